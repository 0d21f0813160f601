# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones that follow 21 landmarks of a hand, and the skin about them."""

import numpy as np
import pytest
from nephim.sim.geometry.topology import boundary_loops
from nephim.tracks.hand_skeleton import HEADS, NAMES, hand_skeleton, skin
from scipy.spatial.transform import Rotation

FRAMES = 8


def flat_hand():
    """Landmarks (21, 3) of a right hand, palm down, fingers along +y [m]."""
    points = np.zeros((21, 3))
    for finger, (x, y) in enumerate([(-0.045, 0.02), (-0.03, 0.09), (-0.008, 0.095), (0.014, 0.09), (0.034, 0.08)]):
        root = np.array([x, y, 0])
        way = np.array([-0.6, 0.8, 0]) if finger == 0 else np.array([x / 0.2, 1, 0]) / np.hypot(x / 0.2, 1)
        lengths = [0, 0.035, 0.03, 0.025] if finger == 0 else [0, 0.04, 0.025, 0.02]
        points[1 + 4 * finger : 5 + 4 * finger] = root + np.cumsum(lengths)[:, None] * way
    return points


def grasp(frames=FRAMES, side=1):
    """(f, 21, 3): fingers that curl by up to 60° a joint while the whole hand turns and moves."""
    flat, result = flat_hand(), []
    for share in np.linspace(0, 1, frames):
        points = flat.copy()
        for finger in range(1, 5):
            for joint in range(3):
                at = 1 + 4 * finger + joint
                turn = Rotation.from_rotvec([-share * np.pi / 3, 0, 0])
                points[at + 1 : 5 + 4 * finger] = turn.apply(points[at + 1 : 5 + 4 * finger] - points[at]) + points[at]
        whole = Rotation.from_rotvec([0.3, share, 0.5])
        result.append(whole.apply(points) * [side, 1, 1] + [0.1 * share, 0.2, 0])
    return np.array(result)


@pytest.mark.parametrize("side", [1, -1])
def test_joints_follow_the_landmarks_and_bones_keep_their_length(side):
    points = grasp(side=side)
    made = hand_skeleton(points)
    assert np.allclose(made.joints(), points, atol=1e-9) and made.residual < 1e-9
    assert np.allclose(np.linalg.det(made.turns), 1) and np.allclose(made.turns @ made.turns.swapaxes(2, 3), np.eye(3))
    assert 0.17 < made.span < 0.19 and len(NAMES) == len(HEADS) == 20


def test_noise_is_left_over_as_a_residual_and_hinges_do_not_twist():
    points = grasp()
    made = hand_skeleton(points + np.random.default_rng(0).normal(0, 0.001, points.shape))
    assert 0.0005 < made.residual < 0.004
    bent = hand_skeleton(grasp()).turns[-1]
    hinge = Rotation.from_rotvec([0.3, 1.0, 0.5]).apply([-np.pi / 3, 0, 0])
    for bone in (10, 11):  # of the finger in the middle, which stands across its hinges
        turn = Rotation.from_matrix(bent[bone] @ bent[bone - 1].T).as_rotvec()
        assert np.allclose(turn, hinge, atol=0.05)


def test_the_skin_is_closed_around_the_bones_and_fingers_share_no_weights():
    made = hand_skeleton(grasp())
    vertices, triangles, weights = skin(made)
    assert 800 < len(vertices) < 4000 and not boundary_loops(triangles)
    corners = vertices[triangles].astype(float)
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 1.5e-4 < volume < 5e-4  # a hand has a third of a litre
    assert np.allclose(weights.sum(1), 1, atol=1e-5)
    tips = [np.linalg.norm(vertices - made.rest[4 * k + 4], axis=1).argmin() for k in range(5)]
    for k, tip in enumerate(tips):
        assert weights[tip, 4 * k : 4 * k + 4].sum() > 0.999 and weights[tip].argmax() == 4 * k + 3
    beyond = weights.reshape(len(weights), 5, 4)[:, :, 1:].sum(2) > 0
    assert beyond.sum(1).max() == 1


def test_a_still_hand_of_no_length_is_no_error():
    made = hand_skeleton(np.zeros((3, 21, 3)))
    assert np.isfinite(made.turns).all() and made.residual == 0
