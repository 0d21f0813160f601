# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls, their interpolation, and the contact field, on a round head."""

import numpy as np
import pytest
from nephim.nn.contact_field import AREA, DEPTH, MOTION, NEAR, NORMAL, ContactField
from nephim.nn.controls import STATIC, make_controls
from nephim.nn.distance_grid import MARGIN, make_grid
from nephim.sim.template import Template
from small_cast import FINGER, SPACING, TEMPLATE, controls, finger_at
from volumes import RADIUS


@pytest.fixture(scope="module")
def field() -> ContactField:
    return ContactField(TEMPLATE, controls(), make_grid(TEMPLATE, controls()), FINGER.vertices, FINGER.triangles)


def still() -> np.ndarray:
    return np.zeros((len(controls()), 3), np.float32)


def test_controls_are_evenly_spread_and_the_same_every_time():
    points = controls().points
    gaps = np.linalg.norm(points[:, None] - points, axis=2) + np.eye(len(points))
    assert gaps.min() > 0.75 * SPACING
    assert np.median(gaps.min(axis=1)) < 1.3 * SPACING
    assert np.array_equal(make_controls(TEMPLATE, SPACING).vertices, controls().vertices)


def test_frames_are_orthonormal_and_look_outwards():
    frames = controls().frames
    assert np.abs(frames @ frames.transpose(0, 2, 1) - np.eye(3)).max() < 1e-5
    assert np.abs(np.linalg.det(frames) - 1).max() < 1e-5
    assert (np.einsum("kj,kj->k", frames[:, 2], controls().points) > 0.99 * RADIUS).all()


def test_interpolation_is_exact_at_controls_and_for_translations():
    decode = controls().decode
    values = np.random.default_rng(0).standard_normal((len(controls()), 3)).astype(np.float32)
    assert np.abs((decode @ values)[controls().vertices] - values).max() < 1e-6
    assert np.abs(decode @ np.ones(len(controls()), np.float32) - 1).max() < 1e-4


def test_interpolation_of_a_dent():
    """A dent as wide as that of a fingertip comes back to within a tenth."""
    chosen = make_controls(TEMPLATE, 0.008)
    points = TEMPLATE.skin_vertices
    dent = np.exp(-0.5 * (np.linalg.norm(points - points[7], axis=1) / 0.016) ** 2)
    assert np.abs(chosen.decode @ dent[chosen.vertices] - dent).max() < 0.1


def test_kernels_are_means_with_their_first_moments():
    for near in controls().neighbours:
        rows = np.repeat(np.arange(len(controls())), np.diff(near.start))
        weight = np.bincount(rows, near.moments[:, 0])
        assert np.abs(weight - 1).max() < 1e-5
        # The controls lie around each other: no row leans far to one side.
        assert np.abs(np.bincount(rows, near.moments[:, 1])).max() < 0.5
    assert controls().static.shape == (len(controls()), len(STATIC))
    assert np.isfinite(controls().static).all()


def test_without_a_hand_the_field_is_zero(field):
    far = finger_at(-0.1)
    assert len(field.compute(far, far, still(), still(), still())) == 0
    assert not field.values.any()


def test_the_field_tells_depth_and_motion_of_the_hand(field):
    for depth in (0.0, 0.004):
        hand, before = finger_at(depth), finger_at(depth - 0.002)
        felt = field.compute(hand, before, still(), still(), still())
        nearest = int(np.linalg.norm(controls().points - [RADIUS, 0, 0], axis=1).argmin())
        assert nearest in felt
        away = np.linalg.norm(controls().points[nearest] - [RADIUS, 0, 0])
        expected = (depth + MARGIN) * np.exp(-0.5 * (away / 0.005) ** 2)
        assert field.values[nearest, DEPTH] == pytest.approx(expected, rel=0.25, abs=5e-4)
        assert field.values[nearest, MOTION] == pytest.approx(-0.002, abs=2e-4)
        assert 0 < field.values[nearest, AREA] < 1
        outside = np.setdiff1d(np.arange(len(controls())), felt)
        assert not field.values[outside].any()


def test_the_field_follows_the_expression(field):
    """Skin and hand moved alike by an expression: the hand lies on the skin as before."""
    hand = finger_at(0.003)
    shift = np.array([0.004, 0.002, -0.003], np.float32)
    field.compute(hand, hand, still(), still(), still())
    before = field.values.copy()
    field.compute(hand + shift, hand + shift, still() + shift, still() + shift, still())
    assert np.abs(field.values[:, DEPTH] - before[:, DEPTH]).max() < 5e-4


def test_the_field_is_that_of_the_skin_as_contact_left_it(field):
    """A finger that has pushed a whole side of the head before it still touches its skin, and no other."""
    hand = finger_at(0.003)
    pushed = still() + np.array([-0.012, 0, 0], np.float32) * (controls().points[:, :1] > 0)
    field.compute(hand, hand, still(), still(), still())
    before = field.values.copy()
    further = hand + np.array([-0.012, 0, 0], np.float32)
    field.compute(further, further, still(), still(), pushed.astype(np.float32))
    assert before[:, NEAR].max() > MARGIN + 0.001  # a control lies inside the finger
    assert np.abs(field.values[:, NEAR] - before[:, NEAR]).max() < 5e-4
    most = before[:, NEAR].argmax()
    assert field.values[most, NORMAL : NORMAL + 3] == pytest.approx([-1, 0, 0], abs=0.5)
    assert field.values[:, DEPTH].max() > before[:, DEPTH].max() + 0.008  # in the tracked skin
    assert field.nearest < -0.010


def test_the_field_does_not_depend_on_what_was_before(field):
    field.compute(finger_at(0.006, 1.0), finger_at(0.006, 1.0), still(), still(), still())
    field.compute(finger_at(0.003), finger_at(0.002), still(), still(), still())
    again = ContactField(TEMPLATE, controls(), make_grid(TEMPLATE, controls()), FINGER.vertices, FINGER.triangles)
    again.compute(finger_at(0.003), finger_at(0.002), still(), still(), still())
    assert np.array_equal(field.values, again.values)


def test_skin_that_is_held_has_no_control():
    held = np.zeros(TEMPLATE.n_skin, bool)
    held[TEMPLATE.skin_vertices[:, 2] < -0.05] = True
    rimmed = Template(**{**vars(TEMPLATE), "rim": held})
    chosen = make_controls(rimmed, SPACING)
    assert not held[chosen.vertices].any()
    moved = np.ones((len(chosen), 3), np.float32)
    assert not (chosen.decode @ moved)[held].any()
