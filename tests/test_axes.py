# SPDX-License-Identifier: GPL-3.0-or-later
"""Up and front of heads that are turned, lying, mirrored or cut to a shell, with and without a head bone."""

import numpy as np
import pytest
from nephim.sim.volume import axes as axes_module
from nephim.sim.volume.axes import axes_notes, find_axes
from nephim.sim.volume.hints import Hints
from nephim.sim.volume.size import head_height
from scipy.spatial.transform import Rotation
from synthetic_head import synthetic_head

UP, FRONT, LEFT = np.array([0.0, 0, 1]), np.array([0.0, -1, 0]), np.array([1.0, 0, 0])


@pytest.fixture(scope="module")
def head():
    return synthetic_head(0.009)


def turn(order: str, *degrees: float) -> np.ndarray:
    return Rotation.from_euler(order, degrees, degrees=True).as_matrix()


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Degrees between two directions."""
    return float(np.degrees(np.arccos(np.clip(found @ expected, -1, 1))))


@pytest.mark.parametrize("turned", [("x", 30), ("y", 30), ("z", 35), ("zyx", 70, 25, 40)])
def test_a_turned_head_without_a_bone_is_known_by_its_face(head, turned):
    turned = turn(*turned)
    axes = find_axes(head.vertices @ turned.T, head.triangles)
    assert off(axes.left, turned @ LEFT) < 1 and off(axes.up, turned @ UP) < 12 and off(axes.front, turned @ FRONT) < 12


@pytest.mark.parametrize("turned", [("x", 90), ("x", -90), ("y", 90), ("x", 180), ("xz", 50, 20)])
def test_a_head_bone_tells_how_a_lying_head_lies(head, turned):
    turned = turn(*turned)
    hints = Hints(upright=turned, neck=turned @ UP)
    axes = find_axes(head.vertices @ turned.T, head.triangles, hints)
    assert off(axes.up, turned @ UP) < 1e-3 and off(axes.front, turned @ FRONT) < 1e-3
    assert not axes_notes(axes, hints)


@pytest.mark.parametrize("turned", [("z", 0), ("z", 35), ("y", 20)])
def test_the_open_back_of_a_face_shell_is_no_neck(head, turned):
    turned = turn(*turned)
    shell = head.triangles[(head.vertices[head.triangles][:, :, 1] < 0.0).all(1)]
    axes = find_axes(head.vertices @ turned.T, shell)
    assert off(axes.left, turned @ LEFT) < 1 and off(axes.up, turned @ UP) < 12 and off(axes.front, turned @ FRONT) < 12


@pytest.mark.parametrize("mirror", [np.diag([-1.0, 1, 1]), np.diag([1.0, -1, 1]), -np.eye(3)])
def test_a_mirrored_head_keeps_its_axes(head, mirror):
    hints = Hints(upright=mirror, neck=mirror @ UP, left=mirror @ LEFT)
    axes = find_axes(head.vertices @ mirror.T, head.triangles, hints)
    assert axes.up == pytest.approx(mirror @ UP) and axes.front == pytest.approx(mirror @ FRONT)


def test_hands_tell_front_from_back_where_no_face_is(head):
    ball = head.vertices / np.linalg.norm(head.vertices, axis=1, keepdims=True)
    for left in (LEFT, -LEFT):
        axes = find_axes(0.1 * ball, head.triangles, Hints(neck=UP, left=left))
        assert off(axes.left, left) < 60
        assert "Up and Front" in axes_notes(axes)[0]


def test_what_is_set_by_hand_counts(head):
    for up, front in ((UP, -FRONT), (LEFT, FRONT), (-UP, FRONT)):
        axes = find_axes(head.vertices, head.triangles, Hints(up=up, front=front))
        assert off(axes.up, up) < 50 and off(axes.front, front) < 50
    assert axes_notes(axes, Hints(up=up, front=front)) == []


def test_a_tilt_that_no_bone_explains_is_said(head):
    turned = turn("y", 30)
    axes = find_axes(head.vertices @ turned.T, head.triangles)
    assert np.degrees(axes.tilt) == pytest.approx(30, abs=3)
    assert any("off the axes it was modelled along" in note for note in axes_notes(axes))


def test_an_unchanged_head_is_looked_at_once(head, monkeypatch):
    """By the check and by the build; a moved vertex, other triangles or another hint is another head."""
    looked = []
    inner = axes_module._look_for_axes
    monkeypatch.setattr(axes_module, "_look_for_axes", lambda *told: looked.append(told) or inner(*told))
    monkeypatch.setattr(axes_module, "_found", {})
    first = find_axes(head.vertices, head.triangles)
    head_height(head)
    assert find_axes(head.vertices.copy(), head.triangles.copy()) is first and len(looked) == 1
    moved = head.vertices.copy()
    moved[100] += 1e-6
    for told in (
        (moved, head.triangles), (head.vertices, head.triangles[1:]), (head.vertices, head.triangles, Hints(neck=UP)),
        (head.vertices, head.triangles, Hints(eyes=UP)),
    ):  # fmt: skip
        find_axes(*told)
    assert len(looked) == 5 and len(axes_module._found) == 4
