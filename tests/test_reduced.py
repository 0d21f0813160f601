# SPDX-License-Identifier: GPL-3.0-or-later
"""The reduced physics on a round head and a capsule finger: what it must share with the physics, and its plane."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.sim.contact.push_out import push_out
from nephim.sim.contact.stops import Bone
from nephim.sim.frame import SimulatedFrame, TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.reduced import ReducedPhysics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, icosphere, round_head

TEMPLATE, FINGER = round_head(), finger()
BALL = Surface(icosphere(0.03, 1)[0] + [0.03, 0, 0], icosphere(0.03, 1)[1])  # coarser than the skin, which touches it
SETTINGS = PhysicsSettings.load("default")
# Depth of the fingertip [m] in each frame: it comes fast, presses, slides by `ASIDE`, and leaves.
DEPTHS = [-0.05, -0.02, 0.002, 0.006, 0.008, 0.008, 0.008, 0.008, 0.004, -0.01, -0.05]
ASIDE = [0.0, 0.0, 0.0, 0.0, 0.0, 0.003, 0.006, 0.008, 0.008, 0.008, 0.008]


def tracked(depth: float, aside: float = 0.0, frame: int = 0) -> TrackedFrame:
    hand = FINGER.vertices + [RADIUS - depth, 0, aside]
    return TrackedFrame(
        TEMPLATE.head_vertices.astype(np.float32), None, hand.astype(np.float32), np.eye(4), frame=frame
    )


def simulate(kind: type[Physics], laps: int = 1, **others) -> list[SimulatedFrame]:
    simulation = kind(TEMPLATE, SETTINGS, right=FINGER, **others)
    lap = [*zip(DEPTHS, ASIDE, strict=True), *[(-0.05, 0.0)] * 12]
    return [simulation.step(tracked(*at)) for _ in range(laps) for at in lap]


def deepest(skin: np.ndarray, depth: float, aside: float = 0.0, finger: Surface = FINGER) -> float:
    """Largest depth [m] of the skin in the finger."""
    hand = finger.vertices + [RADIUS - depth, 0, aside]
    distance, _, _, sign = TriangleTree(hand, finger.triangles).closest(skin)
    return float(np.where(sign < 0, distance, 0).max())


def test_follows_the_physics_off_the_hand():
    exact, reduced = simulate(Physics), simulate(ReducedPhysics)
    for k in range(3, 8):  # while the finger presses
        moved, wanted = (s[k].skin - s[k].tracked for s in (reduced, exact))
        assert np.linalg.norm(moved - wanted) < 0.35 * np.linalg.norm(wanted)
        assert deepest(reduced[k].skin, DEPTHS[k], ASIDE[k]) < 5e-4
        assert len(reduced[k].contacts) > 0
    # 30 mm within a frame take all substeps, 2 mm a single one.
    assert (reduced[1].statistics["substeps"], reduced[4].statistics["substeps"]) == (8, 1)


def test_a_hand_that_arrives_fast_traps_no_skin_behind_it():
    left = {}
    for kind in (Physics, ReducedPhysics):
        simulation = kind(TEMPLATE, SETTINGS, right=FINGER)
        simulation.step(tracked(-0.02))
        left[kind] = [deepest(simulation.step(tracked(0.015)).skin, 0.015) for _ in range(3)]  # 35 mm in one frame
    assert max(left[ReducedPhysics]) < max(left[Physics]) + 3e-4


def test_skin_that_the_finger_drags_along_is_dragged():
    steps = simulate(ReducedPhysics)
    before, after = (steps[k].skin - steps[k].tracked for k in (4, 7))
    spot = steps[7].contacts[np.argmax(np.abs(after[steps[7].contacts]).max(axis=1))]
    assert after[spot, 2] - before[spot, 2] > 1e-3


@pytest.mark.parametrize("seed", [2, 5])
def test_flesh_stays_finite_under_a_hand_that_comes_fast_and_far_too_deep(seed):
    rng = np.random.default_rng(seed)
    simulation = ReducedPhysics(TEMPLATE, PhysicsSettings.load("flesh"), right=FINGER)
    for _ in range(10):
        depth, aside = rng.choice([-0.03, 0.01, 0.02, 0.03, 0.045]), rng.uniform(-0.03, 0.03)
        step = simulation.step(tracked(depth, aside))
        assert np.linalg.norm(step.skin - step.tracked, axis=1).max() < 0.04


def test_what_many_contacts_leave_out_of_their_responses_stays_little():
    system = ReducedPhysics(TEMPLATE, SETTINGS, right=FINGER).system
    pushed = np.flatnonzero(np.linalg.norm(TEMPLATE.skin_vertices - [RADIUS, 0, 0], axis=1) < 0.03)
    forces = np.tile([-0.1, 0.0, 0.0], (len(pushed), 1))
    added, exact, load = np.zeros((3, len(system.free), 3))
    system.add_responses(system.respond(pushed), forces, added)
    system.skin_rows.add_back(pushed, forces, load)
    system.factor.solve(load, exact)
    assert len(pushed) > 50
    assert np.abs(added - exact).max() < 0.02 * np.abs(exact).max()


def test_rest_is_exact_before_and_after():
    steps = simulate(ReducedPhysics)
    for k in (0, -1):
        assert np.array_equal(steps[k].skin, steps[k].tracked)


def test_ten_laps_end_as_the_first():
    steps = simulate(ReducedPhysics, laps=10)
    lap = len(steps) // 10
    for first, last in zip(steps[:lap], steps[-lap:], strict=True):
        assert np.abs(first.skin - last.skin).max() < 1e-6


def test_more_work_comes_nearer_to_the_physics():
    exact = simulate(Physics)

    def error(**others) -> float:
        steps = simulate(ReducedPhysics, **others)
        return sum(float(np.linalg.norm(a.skin - b.skin)) for a, b in zip(steps, exact, strict=True))

    assert error(substeps=4, iterations=6) < error(substeps=1, iterations=1)


@pytest.mark.parametrize("kind", [Physics, ReducedPhysics])
def test_a_touch_is_found_wherever_the_finger_comes_from(kind):
    simulation = kind(TEMPLATE, SETTINGS, right=FINGER)
    simulation.step(tracked(-0.002))
    result = simulation.step(tracked(0.006))  # 8 mm in one frame, into the skin
    assert deepest(result.skin, 0.006) < 1e-3


def left_in_the_finger(depth: float = 1e-3):
    """A simulation in which the finger presses, and its skin with the vertices in contact `depth` [m] deeper in it."""
    simulation = ReducedPhysics(TEMPLATE, SETTINGS, right=BALL)
    for press in (-0.002, 0.005, 0.009, 0.009):
        hand = BALL.vertices + [RADIUS - press, 0, 0]
        frame = tracked(press)
        simulation.step(replace(frame, right=hand.astype(np.float32)))
    contacts = simulation.contact.contacts
    touched = np.unique(contacts.key[contacts.key < TEMPLATE.n_skin])
    skin = TEMPLATE.skin_vertices + simulation._skin_u
    skin[touched, 0] += depth
    return simulation, touched, skin


def pushed_out(simulation, skin, room: float):
    nearest = np.full(TEMPLATE.n_skin, -1, np.int32)
    direction = -TEMPLATE.skin_vertices / RADIUS
    bone = Bone(direction, np.full(TEMPLATE.n_skin, 0.02), np.full(TEMPLATE.n_skin, room))
    return push_out(simulation.system, simulation.contact, simulation._solved, skin, nearest, bone, 0.02, 5e-7)


def test_skin_that_was_left_in_a_hand_is_pushed_out_with_what_is_around_it():
    simulation, touched, skin = left_in_the_finger()
    moved = pushed_out(simulation, skin, room=0.02)
    assert moved is not None
    assert deepest(skin, 0.009, finger=BALL) > 3e-4
    assert deepest(skin + moved, 0.009, finger=BALL) < 5e-5
    length = np.linalg.norm(moved, axis=1)
    beside = np.linalg.norm(TEMPLATE.skin_vertices - [RADIUS, 0, 0], axis=1)
    assert (length > 1e-5).sum() > len(touched)  # no spikes
    assert length[beside > RADIUS].max() < 0.02 * length.max()
    assert length.max() < 1.5e-3


def test_skin_that_is_out_of_the_hands_stays_and_bone_is_not_entered():
    simulation, _, skin = left_in_the_finger(depth=0.0)
    assert pushed_out(simulation, skin, room=0.02) is None
    simulation, _, skin = left_in_the_finger()
    moved = pushed_out(simulation, skin, room=0.0)
    assert (np.einsum("ij,ij->i", moved, TEMPLATE.skin_vertices) / RADIUS).min() > -1e-12
