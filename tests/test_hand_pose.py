# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands too deep in the head: how deep, and the smallest smooth shift that takes them out."""

import io
from itertools import pairwise

import numpy as np
import pytest
from nephim.progress import drive
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.fading import fading
from nephim.sim.geometry.surface import Surface
from nephim.sim.hand_depth import HandDepth
from nephim.sim.hand_flesh import flesh_depth
from nephim.sim.hand_pose import SMOOTH, PoseCorrection, smallest_shift
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, icosphere, round_head

SETTINGS = PhysicsSettings.load("default")
TEMPLATE = round_head(3)
ALLOWED = SETTINGS.compression_limit * TEMPLATE.tissue_depth[0] + SETTINGS.gap
OUT, ASIDE = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
DEEP = 0.004
NONE = (np.zeros((0, 3)), np.zeros(0))
WAY = np.array([1.0, 0.0, 0.0])  # out of the round head, where the ball presses
BALL_RADIUS = 0.01
BALL = Surface(*icosphere(BALL_RADIUS, 3), "ball")
GIVES = 0.6 * flesh_depth(BALL, "left").min()  # flesh is compressed to that share of its depth


def limits(rate, seconds, depth):
    """A plane to be left along OUT by depth(t)."""
    return [(OUT[None], np.array([depth(f / rate)])) for f in range(round(seconds * rate) + 1)]


def held(rate):
    return limits(rate, 4.0, lambda t: DEEP if 1.5 <= t <= 2.5 else -1.0)


def test_nothing_to_resolve_is_no_shift():
    assert not smallest_shift([NONE] * 20, 24.0).any()
    assert not smallest_shift(limits(24.0, 1.0, lambda t: -1e-6), 24.0).any()
    assert smallest_shift([], 24.0).shape == (0, 3)


def test_a_hand_held_too_deep_comes_out_by_that_much_and_goes_back():
    shift = smallest_shift(held(24.0), 24.0)
    along, time = shift @ OUT, np.arange(len(shift)) / 24.0
    assert np.abs(shift - along[:, None] * OUT).max() < 1e-12
    inside = (time >= 1.5) & (time <= 2.5)
    assert along[inside].min() > DEEP * 0.999 and along.max() < 1.03 * DEEP
    assert along.min() >= 0.0  # it never swings the other way
    far = (time < 1.5 - 6.1 * SMOOTH) | (time > 2.5 + 6.1 * SMOOTH)
    assert far.any() and (shift[far] == 0.0).all()
    assert np.abs(np.diff(along)).max() < 1e-3  # in a frame of film
    assert (np.diff(along[time <= 1.5]) >= 0).all() and (np.diff(along[time >= 2.5]) <= 0).all()


def test_one_frame_gives_the_kernel():
    """The Green's function of (1 − τ² d²/dt²)², as finely as frames allow."""
    rate = 200.0
    shift = smallest_shift(limits(rate, 4.0, lambda t: DEEP if abs(t - 2) < 1e-9 else -1.0), rate) @ OUT
    x = np.abs(np.arange(len(shift)) / rate - 2.0) / SMOOTH
    expected = DEEP * (1 + x) * np.exp(-x)
    assert np.abs(shift - expected).max() < 0.02 * DEEP  # of which cutting the tail off takes the most


def test_the_frame_rate_does_not_matter():
    coarse, fine = (smallest_shift(held(rate), rate) @ OUT for rate in (24.0, 96.0))
    assert np.abs(coarse - fine[::4]).max() < 0.05 * DEEP


def test_limits_in_two_directions_are_met_with_the_least():
    both = (np.stack([OUT, ASIDE]), np.array([0.004, 0.003]))
    shift = smallest_shift([NONE] * 30 + [both] + [NONE] * 30, 24.0)
    assert shift[30] == pytest.approx(0.004 * OUT + 0.003 * ASIDE, abs=1e-5)


def test_contradictory_limits_end_in_the_middle():
    squeezed = (np.stack([OUT, -OUT]), np.array([0.004, 0.002]))
    shift = smallest_shift([NONE] * 30 + [squeezed] * 5 + [NONE] * 30, 24.0)
    assert shift[32] == pytest.approx(0.001 * OUT, abs=2e-5)


def test_a_contact_at_the_end_of_the_take_stays_out():
    shift = smallest_shift(limits(24.0, 2.0, lambda t: DEEP if t > 1.5 else -1.0), 24.0) @ OUT
    assert shift[-1] > 0.999 * DEEP and shift[-1] < 1.03 * DEEP


# What is too deep


def at(depth, turn=None):
    """The ball, `depth` [m] below the skin of the round head; both turned."""
    hand = BALL.vertices + WAY * (RADIUS + BALL_RADIUS - depth)
    turn = np.eye(3) if turn is None else turn
    cranium = np.eye(4)
    cranium[:3, :3] = turn
    head = (TEMPLATE.head_vertices @ turn.T).astype(np.float32)
    return TrackedFrame(head, (hand @ turn.T).astype(np.float32), None, cranium, None)


@pytest.mark.parametrize("yielding", [False, True])
def test_depth_is_measured_beyond_what_gives(yielding):
    depth = HandDepth(TEMPLATE, SETTINGS, left=BALL, yielding_hands=yielding)
    assert not depth.limits(at(-0.01))
    assert depth.limits(at(0.005))["left"].most == 0.0
    found = depth.limits(at(ALLOWED + DEEP + (GIVES if yielding else 0.0)))["left"]
    assert found.outward[found.excess.argmax()] @ WAY > 0.99
    assert found.most == pytest.approx(DEEP, abs=5e-4)


def take(rate=24.0, most=ALLOWED + DEEP, turn=None, yielding=False):
    """A press that comes from 20 mm outside, stays half a second and leaves; frames and the correction of the hand."""
    most += GIVES if yielding else 0.0
    time = np.arange(round(3.0 * rate) + 1) / rate
    depth = np.interp(time, [0.8, 1.2, 1.7, 2.1], [-0.02, most, most, -0.02])
    frames = [at(d, turn) for d in depth]
    solver = PoseCorrection(HandDepth(TEMPLATE, SETTINGS, left=BALL, yielding_hands=yielding), rate)
    for frame in frames:
        solver.add(frame)
    return frames, drive(solver.solve_job(), io.StringIO())


@pytest.mark.parametrize("yielding", [False, True])
def test_a_ball_in_a_round_head_is_taken_out(yielding):
    frames, found = take(yielding=yielding)
    one = found["left"]
    deepest = one.before.max()
    assert one.after.max() < 1e-5
    assert deepest <= one.largest < 1.05 * deepest + 1.5e-4
    steps = np.linalg.norm(np.diff(one.shift, axis=0), axis=1)
    own = [np.linalg.norm(b.left - a.left, axis=1).max() for a, b in pairwise(frames)]
    assert (steps <= np.array(own) + 1e-3).all()
    assert np.abs(one.shift[:, 1:]).max() < 3e-4  # straight out
    assert (one.shift[0] == 0).all() and (one.shift[-1] == 0).all()


def test_it_turns_with_the_head():
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    plain, turned = (take(turn=t)[1]["left"].shift for t in (None, turn))
    # What is deep under facets has several that are equally near: which one is found differs.
    assert np.abs(turned - plain @ turn.T).max() < 0.05 * DEEP


def test_frames_without_the_hand_ask_for_nothing():
    frames, found = take()
    solver = PoseCorrection(HandDepth(TEMPLATE, SETTINGS, left=BALL), 24.0)
    for frame in frames:
        solver.add(frame, missing=["left"])
    assert found and drive(solver.solve_job(), io.StringIO()) == {}


def test_what_is_not_too_deep_is_left_alone():
    assert take(most=0.8 * ALLOWED)[1] == {}


def test_the_physics_finds_nothing_beyond_bone_any_more():
    frames, found = take()
    shift = found["left"].shift
    most = []
    for shifted in (False, True):
        physics = Physics(TEMPLATE, SETTINGS, left=BALL, frame_rate=24.0)
        beyond = []
        for frame, way in zip(frames[15:45:2], shift[15:45:2], strict=True):
            hand = (frame.left + shifted * way).astype(np.float32)
            moved = TrackedFrame(frame.head, hand, None, frame.cranium, None)
            beyond.append(physics.step(moved).statistics["bone_limited_mm"])
        most.append(max(beyond))
    assert most[0] == pytest.approx(1e3 * DEEP, abs=0.5) and most[1] == 0.0


def test_a_hand_around_the_head_stays_and_what_remains_is_said():
    """Two balls that are one hand, on both sides of the head, each too deep."""
    count = len(BALL.vertices)
    pair = np.concatenate([BALL.vertices + WAY, BALL.vertices - WAY])
    hand = Surface(pair, np.concatenate([BALL.triangles, BALL.triangles + count]), "hand")
    solver = PoseCorrection(HandDepth(TEMPLATE, SETTINGS, left=hand), 24.0)
    for depth in [-0.02] * 20 + [ALLOWED + 0.004] * 10 + [-0.02] * 20:
        placed = np.concatenate(
            [b + s * WAY * (RADIUS + BALL_RADIUS - depth) for b, s in ((BALL.vertices, 1), (BALL.vertices, -1))]
        )
        solver.add(TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), placed.astype(np.float32), None, np.eye(4)))
    one = drive(solver.solve_job(), io.StringIO())["left"]
    assert one.largest < 5e-4
    assert one.after.max() == pytest.approx(one.before.max(), abs=5e-4)


def test_weights_fade_along_the_surface_and_across_seams():
    x, y = np.meshgrid(np.arange(11.0), np.arange(3.0), indexing="ij")
    strip = np.column_stack([x.ravel(), y.ravel(), np.zeros(33)])
    cell = np.array([0, 3, 4, 0, 4, 1])
    faces = np.concatenate([cell + 3 * i + j for i in range(10) for j in range(2)]).reshape(-1, 3)
    inside = np.flatnonzero(strip[:, 0] <= 2)
    whole = fading(strip, faces, inside, 4.0)
    assert (whole[inside] == 1).all() and (whole[strip[:, 0] >= 6] == 0).all()
    middle = whole[1::3]
    assert (np.diff(middle) <= 0).all() and middle[4] == pytest.approx(0.5)
    cut = 3 * 3  # a seam at x = 3: faces beyond it have vertices of their own
    doubled = np.concatenate([strip, strip[cut : cut + 3]])
    beyond = faces[:, 0] >= cut
    again = faces.copy()
    again[beyond] = np.where(
        (faces[beyond] >= cut) & (faces[beyond] < cut + 3), faces[beyond] + 33 - cut, faces[beyond]
    )
    assert fading(doubled, again, inside, 4.0)[:33] == pytest.approx(whole)
