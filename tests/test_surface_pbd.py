# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface-only baseline: its constraints, and what it does and does not do on a round head."""

import numpy as np
import pytest
from nephim.errors import SimulationError, SurfaceError
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry import rigid
from nephim.sim.geometry.topology import edges_and_hinges
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.settings import PhysicsSettings
from nephim.sim.surface_pbd import (
    ITERATIONS,
    SurfacePBD,
    hinge_angle,
    per_iteration,
    relax,
    rest_shape,
)
from volumes import RADIUS, finger, icosphere, round_head

TEMPLATE, FINGER = round_head(), finger()
FAR = np.array([RADIUS + 0.05, 0, 0])


def turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    transform = np.eye(4)
    transform[:2, :2] = [[c, -s], [s, c]]
    return transform


def at(depth: float, angle: float = 0.0) -> np.ndarray:
    """The finger with its tip `depth` below the skin, turned by `angle` about z, (n, 3)."""
    return rigid.apply(turn(angle), FINGER.vertices + [RADIUS - depth, 0, 0])


def tracked(hand: np.ndarray, head: np.ndarray = TEMPLATE.head_vertices, frame: int = 0) -> TrackedFrame:
    return TrackedFrame(head.astype(np.float32), None, hand.astype(np.float32), frame=frame)


def baseline() -> SurfacePBD:
    return SurfacePBD(TEMPLATE, PhysicsSettings(), right=FINGER)


def skin_in_hand(skin: np.ndarray, hand: np.ndarray) -> float:
    distance, _, _, sign = TriangleTree(hand, FINGER.triangles).closest(skin)
    return float(np.where(sign < 0, distance, 0).max())


def test_a_sphere_has_the_edges_and_hinges_of_euler():
    edges, hinges = edges_and_hinges(TEMPLATE.skin_triangles)
    assert len(edges) == len(hinges) == len(TEMPLATE.skin_triangles) * 3 // 2
    assert len(np.unique(np.sort(edges, axis=1), axis=0)) == len(edges)
    assert all(len(set(hinge)) == 4 for hinge in hinges.tolist())


def test_an_open_edge_has_no_hinge():
    edges, hinges = edges_and_hinges(np.array([[0, 1, 2], [2, 1, 3]], np.int32))
    assert len(edges) == 5
    assert len(hinges) == 1
    assert set(hinges[0, :2]) == {1, 2}


def test_hinge_angles_are_signed_and_their_gradient_is_right():
    flat = np.array([[0, 0, 0], [0, 1, 0], [-1, 0.5, 0], [1, 0.5, 0]], float)
    hinge, gradient, unused = np.arange(4), np.empty((4, 3)), np.empty((4, 3))
    assert hinge_angle(flat, hinge, gradient) == 0
    up, down = flat + [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], flat - [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert hinge_angle(up, hinge, gradient) == pytest.approx(-hinge_angle(down, hinge, unused))
    assert abs(hinge_angle(up, hinge, gradient)) == pytest.approx(np.pi / 4)
    x = np.random.default_rng(3).normal(size=(4, 3))
    hinge_angle(x, hinge, gradient)
    for corner in range(4):
        for axis in range(3):
            step = np.zeros((4, 3))
            step[corner, axis] = 1e-6
            slope = (hinge_angle(x + step, hinge, unused) - hinge_angle(x - step, hinge, unused)) / 2e-6
            assert slope == pytest.approx(gradient[corner, axis], abs=1e-8)


def test_stiffness_does_not_depend_on_the_iterations():
    assert (1 - per_iteration(0.7)) ** ITERATIONS == pytest.approx(0.3)
    assert per_iteration(0.0) == 0


def test_a_bent_and_stretched_patch_returns_to_its_shape():
    """Stretch and bend alone: lengths and angles come back, the place does not matter."""
    rest, triangles = icosphere(0.05, 2)
    edges, hinges = edges_and_hinges(triangles)
    lengths, angles = rest_shape(rest, edges, hinges)
    x = rest + np.random.default_rng(1).normal(scale=1e-3, size=rest.shape)
    n, none = len(rest), np.zeros((0, 3))
    before = [np.abs(a - b).max() for a, b in zip(rest_shape(x, edges, hinges), (lengths, angles), strict=True)]
    for _ in range(10):
        relax(
            x, rest, np.ones(n), np.zeros(n), edges, lengths, hinges, angles, np.zeros(0, np.int64), none, none, 0.0,
            np.ones(n, bool), ITERATIONS,
        )  # fmt: skip
    after = [np.abs(a - b).max() for a, b in zip(rest_shape(x, edges, hinges), (lengths, angles), strict=True)]
    assert after[0] < 0.02 * before[0]
    assert after[1] < 0.02 * before[1]


def test_without_contact_nothing_changes():
    result = baseline().step(tracked(FINGER.vertices + FAR))
    assert np.array_equal(result.skin, result.tracked)
    assert np.array_equal(result.tracked, TEMPLATE.head_vertices.astype(np.float32))
    assert len(result.contacts) == result.statistics["contacts"] == 0


def test_a_push_removes_most_penetration_and_stays_local():
    result = baseline().step(tracked(at(0.006)))
    assert skin_in_hand(result.tracked, at(0.006)) > 0.005
    assert skin_in_hand(result.skin, at(0.006)) < 0.0005
    assert len(result.contacts)
    moved = np.linalg.norm(result.skin - result.tracked, axis=1)
    assert 0.005 < moved.max() < 0.008
    far = np.arccos(np.clip(TEMPLATE.skin_vertices[:, 0] / RADIUS, -1, 1)) > 1.0
    assert moved[far].max() < 1e-5


def test_a_turned_scene_gives_the_turned_result():
    straight = baseline().step(tracked(at(0.005))).skin
    head = rigid.apply(turn(0.8), TEMPLATE.head_vertices)
    turned = baseline().step(tracked(at(0.005, 0.8), head)).skin
    assert np.abs(turned - rigid.apply(turn(0.8), straight.astype(float))).max() < 2e-6


def test_skin_near_bone_yields_less_around_a_push():
    thin = round_head(3)
    results = []
    for depth in (0.004, 0.02):
        template = type(thin)(**(vars(thin) | {"tissue_depth": np.full(thin.n_skin, depth)}))
        simulation = SurfacePBD(template, PhysicsSettings(), right=FINGER)
        result = simulation.step(tracked(at(0.005), thin.head_vertices))
        results.append(np.linalg.norm(result.skin - result.tracked, axis=1).sum())
    assert results[0] < 0.8 * results[1]


def test_the_rim_stays():
    template = type(TEMPLATE)(**(vars(TEMPLATE) | {"rim": np.ones(TEMPLATE.n_skin, bool)}))
    result = SurfacePBD(template, PhysicsSettings(), right=FINGER).step(tracked(at(0.005)))
    assert np.array_equal(result.skin, result.tracked)


def test_the_way_there_is_forgotten():
    """The same final pose by two routes, and with no route at all: the same bits."""
    results = [baseline().step(tracked(at(0.004))).skin]
    for side in (-1, 1):
        simulation = baseline()
        for step in range(4, -1, -1):
            result = simulation.step(tracked(at(0.004, side * 0.15 * step / 4)))
        results.append(result.skin)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    simulation.reset()
    assert np.array_equal(simulation.step(tracked(at(0.004))).skin, results[0])


def test_release_pops_back_at_once():
    simulation = baseline()
    simulation.step(tracked(at(0.006)))
    result = simulation.step(tracked(FINGER.vertices + FAR))
    assert np.array_equal(result.skin, result.tracked)


def test_wrong_input_is_named():
    with pytest.raises(SimulationError, match="no hand"):
        SurfacePBD(TEMPLATE, PhysicsSettings())
    simulation = baseline()
    with pytest.raises(SurfaceError, match=r"'finger', frame 7.*3 vertices"):
        simulation.step(tracked(np.zeros((3, 3)), frame=7))
    broken = at(0.0)
    broken[5] = np.nan
    with pytest.raises(SurfaceError, match="'finger', frame 8, vertex 5"):
        simulation.step(tracked(broken, frame=8))
    with pytest.raises(SurfaceError, match=r"'head', frame 9.*4 vertices"):
        simulation.step(tracked(at(0.0), np.zeros((4, 3)), frame=9))
