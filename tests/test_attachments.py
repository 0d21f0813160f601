# SPDX-License-Identifier: GPL-3.0-or-later
"""What hangs on the skin is told from what does not, and follows the skin where a finger presses it."""

import numpy as np
import pytest
from nephim.sim.attachments import Attached, SkinToFollow
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, icosphere, round_head

TEMPLATE, FINGER = round_head(4), finger()
BALL, FACES = icosphere(RADIUS, 4)
SKIN = SkinToFollow(BALL, FACES, np.ones(len(BALL), bool))


def grid(columns: np.ndarray, rows: np.ndarray, radius: np.ndarray) -> Surface:
    """A sheet over the ball where +x points out; columns, rows: angles; radius: (len(rows),) of each row [m]."""
    a, b = np.meshgrid(columns, rows)
    out = np.stack([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)], axis=-1)
    wide, count = len(columns), len(columns) * len(rows)
    corner = np.arange(count).reshape(len(rows), wide)[:-1, :-1].ravel()
    quads = np.stack([corner, corner + 1, corner + wide + 1, corner + wide], axis=1)
    return Surface((out * radius[:, None, None]).reshape(-1, 3), np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]))


def brow(above: float = 0.001) -> Surface:
    """A strip of 30 x 6 mm, this far above the skin [m]."""
    return grid(np.linspace(-0.17, 0.17, 31), np.linspace(-0.035, 0.035, 7), np.full(7, RADIUS + above))


def ball(radius: float, at: float, level: int = 2) -> Surface:
    """A small ball with its middle at x = at."""
    vertices, triangles = icosphere(radius, level)
    return Surface(vertices + [at, 0, 0], triangles)


def signed(vertices: np.ndarray, skin: np.ndarray, triangles: np.ndarray = FACES) -> np.ndarray:
    distance, _, _, sign = TriangleTree(skin, triangles).closest(vertices)
    return distance * sign


@pytest.fixture(scope="module")
def pressed() -> tuple[np.ndarray, np.ndarray]:
    """Skin under a finger 9 mm deep, and the finger."""
    simulation = Physics(TEMPLATE, PhysicsSettings.load("default"), right=FINGER)
    for depth in np.arange(-0.002, 0.0091, 0.001):
        hand = FINGER.vertices + [RADIUS - depth, 0, 0]
        head, fingers = TEMPLATE.head_vertices.astype(np.float32), hand.astype(np.float32)
        skin = simulation.step(TrackedFrame(head, None, fingers)).skin
    return skin.astype(np.float64), hand


def test_a_brow_stays_on_the_skin_that_a_finger_presses(pressed):
    skin, hand = pressed
    strip = brow()
    attached = Attached(strip, SKIN)
    assert attached.pieces == 1 and len(attached.rows) == len(strip.vertices)
    carried = strip.vertices + attached.displacement(strip.vertices, BALL, skin)
    left_behind, kept = signed(strip.vertices, skin), signed(carried, skin)
    assert left_behind.max() > 0.008  # where the skin went away from under it
    assert kept.min() > 0.0004 and kept.max() < 0.0016
    in_finger = signed(strip.vertices, hand, FINGER.triangles).min(), signed(carried, hand, FINGER.triangles).min()
    assert in_finger[0] < -0.006 and in_finger[1] > -0.001


def test_skin_at_rest_moves_nothing():
    strip = brow()
    assert not Attached(strip, SKIN).displacement(strip.vertices, BALL, BALL).any()


def test_a_moving_head_and_the_attachment_s_own_motion_are_kept(pressed):
    skin, _ = pressed
    strip = brow()
    attached = Attached(strip, SKIN)
    still = attached.displacement(strip.vertices, BALL, skin)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    moved = attached.displacement(strip.vertices @ turn.T + 1, BALL @ turn.T + 1, skin @ turn.T + 1)
    np.testing.assert_allclose(moved, still @ turn.T, atol=1e-9)
    raised = strip.vertices * (1 + 0.001 / RADIUS)  # a rig lifts the brow by a millimetre
    np.testing.assert_allclose(attached.displacement(raised, BALL, skin), still, atol=0.0011)


def test_lashes_follow_their_roots_and_are_not_torn(pressed):
    skin, _ = pressed
    rows = np.linspace(0, 0.08, 5)
    lash = grid(np.linspace(-0.1, 0.1, 21), rows, RADIUS + np.array([0.0, 0.002, 0.005, 0.008, 0.011]))
    attached = Attached(lash, SKIN)
    assert attached.pieces == 1
    moved = (lash.vertices + attached.displacement(lash.vertices, BALL, skin)).reshape(5, 21, 3)
    before = lash.vertices.reshape(5, 21, 3)
    length = np.linalg.norm(np.diff(moved, axis=0), axis=-1) / np.linalg.norm(np.diff(before, axis=0), axis=-1)
    apart = np.linalg.norm(np.diff(moved, axis=1), axis=-1) / np.linalg.norm(np.diff(before, axis=1), axis=-1)
    assert length.min() > 0.5 and length.max() < 1.8
    assert apart.max() < 2.5


def test_a_piercing_moves_as_one(pressed):
    skin, _ = pressed
    stud = ball(0.002, RADIUS + 0.0015)
    attached = Attached(stud, SKIN)
    assert attached.pieces == 1
    moved = stud.vertices + attached.displacement(stud.vertices, BALL, skin)
    assert np.linalg.norm(moved.mean(axis=0) - stud.vertices.mean(axis=0)) > 0.008
    size = np.linalg.norm(moved - moved.mean(axis=0), axis=1)
    np.testing.assert_allclose(size, np.linalg.norm(stud.vertices - stud.vertices.mean(axis=0), axis=1), atol=1e-6)


@pytest.mark.parametrize("above", [0.0, 2e-4, -2e-4])
def test_a_second_layer_moves_with_the_first(pressed, above):
    skin, _ = pressed
    near = np.flatnonzero((BALL[FACES].mean(axis=1)[:, 0]) > 0.8 * RADIUS)
    used, faces = np.unique(FACES[near], return_inverse=True)
    layer = Surface(BALL[used] * (1 + above / RADIUS), faces.reshape(-1, 3).astype(np.int32))
    attached = Attached(layer, SKIN)
    assert attached.pieces == 1 and len(attached.rows) == len(used)
    moved = layer.vertices + attached.displacement(layer.vertices, BALL, skin)
    opened = np.linalg.norm(moved - layer.vertices - (skin - BALL)[used], axis=1)
    assert opened.max() < (1e-9 if above == 0 else 3e-4)


def test_seams_of_an_attachment_do_not_open(pressed):
    skin, _ = pressed
    strip = brow()
    corners = strip.triangles.ravel()
    apart = Surface(strip.vertices[corners], np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
    attached = Attached(apart, SKIN)
    assert attached.pieces == 1
    whole = Attached(strip, SKIN).displacement(strip.vertices, BALL, skin)
    np.testing.assert_allclose(attached.displacement(apart.vertices, BALL, skin), whole[corners], atol=1e-9)


@pytest.mark.parametrize(
    "what",
    [
        ball(0.012, RADIUS - 0.0125, 3),  # an eyeball behind its lid
        ball(0.012, RADIUS - 0.003, 3),  # … that looks out of it
        ball(0.003, RADIUS - 0.006),  # a tooth behind the lip
        grid(np.linspace(-0.1, 0.1, 9), np.linspace(0, 0.1, 12), RADIUS + np.linspace(0, 0.08, 12)),  # a strand of hair
        ball(0.01, RADIUS + 0.2),  # something elsewhere
    ],
    ids=["eyeball", "open eye", "tooth", "strand", "elsewhere"],
)
def test_what_does_not_hang_on_the_skin_stays(what):
    assert Attached(what, SKIN).pieces == 0


def test_teeth_in_front_of_the_mouth_bag_stay():
    """The bag of an open mouth is skin as well, and teeth stand in front of it; but they look at more skin."""
    inner, faces = icosphere(0.03, 3)
    vertices = np.concatenate([BALL, inner + [0.03, 0, 0]])
    triangles = np.concatenate([FACES, faces[:, ::-1] + len(BALL)])
    skin = SkinToFollow(vertices, triangles, np.ones(len(vertices), bool))
    assert Attached(ball(0.002, 0.03 + 0.028), skin).pieces == 0
    assert Attached(brow(), skin).pieces == 1
