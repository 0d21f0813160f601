# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin over a rigid ball, as a lid over an eye: pressed, it stays off the ball; untouched, nothing changes."""

import numpy as np
import pytest
from nephim.errors import SurfaceError
from nephim.sim.contact.obstacles import Obstacles
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.tuning import DEFAULT
from volumes import RADIUS, finger, icosphere, round_head

TEMPLATE, FINGER = round_head(), finger()
EYE = 0.012  # [m] radius


def ball(below: float) -> Surface:
    """A ball under the place that the finger presses, its top `below` [m] the skin."""
    vertices, triangles = icosphere(EYE, 3)
    return Surface(vertices + [RADIUS - below - EYE, 0, 0], triangles, "Eye")


def tracked(depth: float, eye: Surface | None, frame: int = 0) -> TrackedFrame:
    hand = (FINGER.vertices + [RADIUS - depth, 0, 0]).astype(np.float32)
    vertices = None if eye is None else eye.vertices.astype(np.float32)
    return TrackedFrame(
        TEMPLATE.head_vertices.astype(np.float32), None, hand, np.eye(4), frame=frame, obstacles=vertices
    )


def press(eye: Surface | None, depths) -> list[np.ndarray]:
    simulation = Physics(TEMPLATE, PhysicsSettings.load("default"), right=FINGER, obstacles=eye)
    return [simulation.step(tracked(depth, eye, k)) for k, depth in enumerate(depths)]


def depth_in(eye: Surface, skin: np.ndarray) -> float:
    distance, _, _, sign = TriangleTree(eye.vertices, eye.triangles).closest(skin)
    return float(np.where(sign < 0, distance, 0.0).max())


DEPTHS = [-0.002, 0.001, 0.003, 0.005, 0.006, 0.006]


def test_pressed_skin_stays_off_a_ball():
    eye = ball(0.002)
    assert depth_in(eye, TEMPLATE.skin_vertices) == 0
    without, kept_off = press(None, DEPTHS), press(eye, DEPTHS)
    assert depth_in(eye, without[-1].skin) > 0.003
    assert max(depth_in(eye, result.skin) for result in kept_off) < 1e-4
    assert max(result.statistics["inverted_tets"] for result in kept_off) == 0


def test_skin_that_is_tracked_in_a_ball_goes_no_deeper():
    eye = ball(-0.001)
    before = depth_in(eye, TEMPLATE.skin_vertices)
    assert 0.0005 < before < 0.0015
    kept_off = press(eye, DEPTHS)
    assert depth_in(eye, kept_off[0].skin) == pytest.approx(before, abs=1e-7)
    assert max(depth_in(eye, result.skin) for result in kept_off) < before + 1e-4


def test_without_contact_nothing_changes():
    eye = ball(-0.002)
    result = press(eye, [-0.03])[0]
    assert np.array_equal(result.skin, result.tracked)


def test_after_the_press_the_skin_comes_back_exactly():
    eye = ball(-0.0005)
    last = press(eye, [*DEPTHS, *np.full(40, -0.03)])[-1]
    assert np.array_equal(last.skin, last.tracked)


def test_far_from_obstacles_nothing_changes():
    away = ball(0.002)
    away = Surface(away.vertices * [-1, 1, 1], away.triangles[:, ::-1], "Eye")
    for one, other in zip(press(None, DEPTHS[:4]), press(away, DEPTHS[:4]), strict=True):
        assert np.array_equal(one.skin, other.skin)


def test_skin_over_the_ball_is_dragged_along_with_the_finger_and_no_farther():
    """Between a finger and what is hard, skin is gripped better than over flesh."""
    eye, way = ball(0.001), 0.003

    def dragged(obstacle):
        simulation = Physics(TEMPLATE, PhysicsSettings.load("default"), right=FINGER, obstacles=obstacle)
        for k, y in enumerate([0.0, 0.0, way / 3, 2 * way / 3, way]):
            frame = tracked(0.0015 if k else -0.002, eye)
            hand = frame.right + np.array([0, y, 0], np.float32)
            result = simulation.step(
                TrackedFrame(frame.head, None, hand, np.eye(4), frame=k, obstacles=frame.obstacles)
            )
        assert depth_in(eye, result.skin) < 1e-4 or obstacle is None
        return (result.skin - result.tracked)[:, 1].max()

    assert 1e-3 < dragged(None) < dragged(eye) < way + PhysicsSettings.gap


def test_beside_an_opening_there_is_no_inside():
    """Half a ball, as eyes often are: what is behind its edge is neither over it nor in it."""
    eye = ball(0.0)
    half = eye.triangles[(eye.vertices[eye.triangles, 0] > RADIUS - EYE - 1e-6).all(axis=1)]
    points = np.array([[RADIUS - EYE - 0.004, 0, 0], [RADIUS - 0.001, 0, 0], [RADIUS + 0.001, 0, 0]])
    outer, movable = np.zeros(3, bool), np.ones(3, bool)
    obstacles = Obstacles(Surface(eye.vertices, half, "Eye"), outer, movable, PhysicsSettings.load("default"), DEFAULT)
    near = obstacles.near(eye.vertices, points + [0.002, 0, 0], points, np.arange(3))
    assert near is not None
    assert near.skin.tolist() == [1, 2]
    np.testing.assert_allclose(near.height, [-0.001, 0.001], atol=1e-4)
    np.testing.assert_allclose(near.normal, [[1, 0, 0], [1, 0, 0]], atol=0.1)


def test_obstacles_of_another_size_are_refused():
    eye = ball(0.002)
    simulation = Physics(TEMPLATE, PhysicsSettings.load("default"), right=FINGER, obstacles=eye)
    with pytest.raises(SurfaceError, match="instead of"):
        simulation.step(tracked(0.0, Surface(eye.vertices[1:], eye.triangles, "Eye")))


def test_skin_whose_tracked_place_is_far_from_any_obstacle_is_no_concern():
    """Hidden skin that was carried to an obstacle from afar: without a warning, and kept nowhere."""
    sphere = Surface(*icosphere(0.01, 2), "eye")
    skin = np.array([[0.0, 0.0, 0.0105]])
    nothing = np.zeros(1, bool)
    obstacles = Obstacles(sphere, nothing, ~nothing, PhysicsSettings(), DEFAULT)
    with np.errstate(all="raise"):
        assert obstacles.near(sphere.vertices, skin + [0.0, 0.0, 0.3], skin, np.zeros(0, np.int64)) is None
