# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that are deeper in the head than any face can yield: limited, kept in shape, let go of without a pop."""

import numpy as np
import pytest
from nephim.sim.contact.bone_limit import lift_off_bone, where_carried
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.clearance import Clearance
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.solver import local_step
from nephim.sim.solver.system import ElasticSystem
from nephim.sim.tuning import DEFAULT
from volumes import RADIUS, icosphere, round_head

SETTINGS = PhysicsSettings.load("default")
TEMPLATE = round_head(3)
THICK = 0.024
ALLOWED = SETTINGS.compression_limit * TEMPLATE.tissue_depth[0] + SETTINGS.gap
CARRIED = (0.002, 0.004)


def flat_hand(side: float) -> Surface:
    """A flat ellipsoid, 80 by 60 by 24 mm, its palm at the origin and turned to the head's middle from `side` of x."""
    sphere, triangles = icosphere(1.0, 3)
    return Surface(sphere * [THICK / 2, 0.04, 0.03] + [side * THICK / 2, 0, 0], triangles, "hand")


LEFT, RIGHT = flat_hand(1.0), flat_hand(-1.0)


def at(hand: Surface, depth: float) -> np.ndarray:
    """Its palm `depth` [m] below the skin."""
    side = np.sign(hand.vertices[:, 0].mean())
    return hand.vertices + [side * (RADIUS - depth), 0, 0]


def volume(vertices: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def lifted(depth: float) -> tuple[np.ndarray, float]:
    hand = at(LEFT, depth)
    tree = TriangleTree(TEMPLATE.skin_vertices, TEMPLATE.skin_triangles)
    return lift_off_bone(
        Clearance(len(hand), 0.05),
        tree,
        hand,
        TEMPLATE.bone_direction,
        TEMPLATE.tissue_depth,
        SETTINGS,
        DEFAULT.contact,
    )


def test_a_little_too_deep_moves_only_what_is_too_deep():
    hand, most = lifted(ALLOWED + 0.004)
    moved = np.linalg.norm(hand - at(LEFT, ALLOWED + 0.004), axis=1)
    assert most == pytest.approx(0.004, abs=5e-4)
    assert 0 < (moved > 0).mean() < 0.4 and moved.max() == pytest.approx(most)


@pytest.mark.parametrize("depth", [0.030, 0.040])
def test_a_hand_far_too_deep_keeps_its_shape(depth):
    hand, most = lifted(depth)
    assert most == pytest.approx(depth - ALLOWED, abs=1e-3)
    assert volume(hand, LEFT.triangles) > 0.6 * volume(LEFT.vertices, LEFT.triangles)
    assert np.linalg.norm(hand, axis=1).min() > RADIUS - ALLOWED - 1e-3  # and is no deeper than bone lets it


def clamp() -> tuple[list, list]:
    """Both hands go 30 mm deep within 8 frames, stay, and are gone within two; skins and statistics."""
    depths = [-0.005, *np.linspace(0.0, 0.03, 8), *[0.03] * 3, 0.0, -0.03, *[-0.03] * 4]
    physics = Physics(TEMPLATE, SETTINGS, left=LEFT, right=RIGHT, frame_rate=24.0)
    head = TEMPLATE.head_vertices.astype(np.float32)
    results = []
    for k, depth in enumerate(depths):
        hands = [at(hand, depth).astype(np.float32) for hand in (LEFT, RIGHT)]
        results.append(physics.step(TrackedFrame(head, *hands, np.eye(4), None, k, k / 24)))
    return [r.skin.astype(float) - r.tracked for r in results], [r.statistics for r in results]


def test_clamped_from_both_sides_and_let_go():
    moves, statistics = clamp()
    most = np.array([np.linalg.norm(move, axis=1).max() for move in moves])
    assert most.max() < 1.3 * ALLOWED  # nothing is dragged further than skin is pressed in
    assert max(s["inverted_tets"] for s in statistics) == 0
    still = moves[11] - moves[10]
    assert np.linalg.norm(still, axis=1).max() < 1e-3  # held, it stands
    assert (np.diff(most[11:]) <= 1e-9).all() and most[-1] < 1e-3  # and goes back, without a swing outwards
    assert max(s["bone_limited_mm"] for s in statistics) == pytest.approx(1e3 * (0.03 - ALLOWED), abs=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_skin_that_contact_holds_crumpled_is_opened_as_well(seed, monkeypatch):
    """Skin in contact moves least when tetrahedra are opened; where that is not enough, all move alike."""
    system = ElasticSystem(TEMPLATE, SETTINGS)
    rng = np.random.default_rng(seed)
    skin, n = TEMPLATE.skin_vertices, TEMPLATE.n_skin
    pole = skin[rng.integers(n)]
    near = np.flatnonzero(np.linalg.norm(skin - pole, axis=1) < 0.03)
    crumpled = np.zeros((len(TEMPLATE.vertices), 3))
    crumpled[near] = -0.02 * skin[near] / RADIUS * rng.uniform(0, 1, (len(near), 1)) + rng.normal(
        0, 0.01, (len(near), 3)
    )
    mobility = np.zeros(len(crumpled))
    mobility[system.free] = 1.0
    mobility[:n] *= DEFAULT.step.skin_mobility
    mobility[near] = np.minimum(mobility[near], DEFAULT.step.contact_mobility)
    inverted = []
    for rounds in (0, local_step._FREE_ROUNDS):
        monkeypatch.setattr(local_step, "_FREE_ROUNDS", rounds)
        elements = local_step.LocalStep(system, SETTINGS)
        elements.pose(np.zeros_like(crumpled))
        u = crumpled.copy()
        assert elements.untangle(u, mobility)
        assert not u[mobility == 0].any()
        inverted.append(int((elements.ratios <= 0).sum()))
    assert inverted[0] > 0 and inverted[1] == 0


def test_skin_that_is_carried_along_lies_over_the_bone_where_it_came_to():
    """A plane with bone 5 mm below its left half and 15 mm below its right half, which slopes towards +x there."""
    vertices = np.array([[x, y, 0.0] for x in (-0.04, -0.01, 0.01, 0.04) for y in (-0.02, 0.02)])
    triangles = np.array([[0, 2, 1], [1, 2, 3], [2, 4, 3], [3, 4, 5], [4, 6, 5], [5, 6, 7]], np.int32)
    right = vertices[:, 0] > 0
    slope = np.array([0.6, 0.0, -0.8])
    direction, limit = np.where(right[:, None], slope, [0.0, 0, -1]), np.where(right, 0.015, 0.005)
    moved = np.zeros_like(vertices)
    moved[0] = [0.06, 0.01, -0.002]  # into the right half
    moved[2] = [0.0, 0.001, -0.004]  # pressed, and carried by no more than a millimetre
    moved[4] = [0.0, 0.003, 0.0]  # halfway between here and there, where it is the same
    tree = TriangleTree(vertices, triangles)
    way, allowed, room = where_carried(tree, direction, limit, moved, np.array([0, 2, 4]), CARRIED)
    assert np.allclose(way[0], slope) and allowed[0] == pytest.approx(0.015)
    assert room[0] == pytest.approx(0.015 - 0.002 * 0.8)
    assert np.array_equal(way[2], direction[2]) and room[2] == pytest.approx(0.001)
    assert np.allclose(way[4], slope) and allowed[4] == pytest.approx(0.015) and room[4] == pytest.approx(0.015)
    untouched = [1, 3, 5, 6, 7]
    assert np.array_equal(way[untouched], direction[untouched]) and np.array_equal(room[untouched], limit[untouched])


def test_what_is_left_to_the_bone_changes_without_a_jump():
    """Skin carried from shallow to deep tissue, ever farther."""
    vertices = np.array([[x, y, 0.0] for x in (-0.01, 0.01) for y in (-0.02, 0.02)])
    tree = TriangleTree(vertices, np.array([[0, 2, 1], [1, 2, 3]], np.int32))
    direction, limit = np.tile([0.0, 0, -1], (4, 1)), np.array([0.005, 0.005, 0.015, 0.015])
    rooms = []
    for way in np.linspace(0.0, 0.008, 81):
        moved = np.zeros((4, 3))
        moved[0, 0] = way
        rooms.append(where_carried(tree, direction, limit, moved, np.array([0]), CARRIED)[2][0])
    assert rooms[0] == 0.005 and rooms[-1] == pytest.approx(0.009)  # 8 of 20 mm on the way from 5 to 15
    assert np.diff(rooms).min() >= 0 and np.diff(rooms).max() < 2e-4
