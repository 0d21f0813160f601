# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting the fingers of a surface."""

import numpy as np
import pytest
from nephim.sim.geometry.tips import count_tips
from synthetic_hand import hand_of_cubes
from volumes import finger, icosphere


def triangles(quads):
    quads = np.array(quads)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


@pytest.mark.parametrize("fingers", [3, 4, 5])
@pytest.mark.parametrize("arm", [0, 3, 20])
def test_each_finger_is_a_tip(fingers, arm):
    """The square end of the arm, or of the palm, is one or two more."""
    vertices, quads = hand_of_cubes(fingers, arm=arm)
    assert fingers + 1 <= count_tips(vertices, triangles(quads)) <= fingers + 2


def test_position_size_and_seams_do_not_matter():
    vertices, quads = hand_of_cubes()
    faces = triangles(quads)
    expected = count_tips(vertices, faces)
    assert count_tips(vertices[:, [2, 0, 1]] * 100 + 7, faces) == expected
    assert count_tips(vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)) == expected


def test_parts_beside_the_largest_are_left_out():
    vertices, quads = hand_of_cubes()
    faces = triangles(quads)
    nail = np.concatenate([vertices, vertices * 0.1 + 1])
    assert count_tips(nail, np.concatenate([faces, faces + len(vertices)])) == count_tips(vertices, faces)


def test_a_ball_and_a_capsule_have_no_fingers():
    assert count_tips(*icosphere(0.1, 3)) <= 2
    assert count_tips(finger().vertices, finger().triangles) <= 2
