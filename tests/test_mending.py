# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes as people own them: split along texture seams, with faces turned inwards."""

import numpy as np
import pytest
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.mending import mend
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.topology import boundary_loops
from nephim.sim.hands import hand_notes
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(3), finger()


def split_at_a_seam(surface: Surface, apart: float = 0.0) -> Surface:
    """The half with y > 0 gets vertices of its own, `apart` [m] from where they were."""
    upper = surface.vertices[surface.triangles, 1].mean(axis=1) > 0
    triangles = surface.triangles.copy()
    triangles[upper] += len(surface.vertices)
    vertices = np.concatenate([surface.vertices, surface.vertices + apart])
    used = np.unique(triangles)
    return Surface(vertices[used], np.searchsorted(used, triangles).astype(np.int32), "Hand")


def turned(surface: Surface, which: np.ndarray) -> Surface:
    triangles = surface.triangles.copy()
    triangles[which] = triangles[which][:, ::-1]
    return Surface(surface.vertices, triangles, "Hand")


def volume(vertices: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def dent(hand: Surface) -> np.ndarray:
    """Displacement of the skin (n, 3) after a press of 4 mm."""
    physics = Physics(TEMPLATE, PhysicsSettings(), left=hand)
    for depth in (-0.004, -0.002, 0.0, 0.002, 0.004):
        at = (hand.vertices + [RADIUS - depth, 0, 0]).astype(np.float32)
        frame = TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), at, None, np.eye(4), np.eye(4))
        result = physics.step(frame)
    return result.skin - result.tracked


@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_a_seam_is_joined_and_no_opening(apart):
    split = split_at_a_seam(FINGER, apart)
    mended = mend(split.vertices, split.triangles)
    assert len(boundary_loops(split.triangles)) > len(boundary_loops(mended.triangles))
    assert len(boundary_loops(mended.triangles)) == len(boundary_loops(FINGER.triangles))
    assert mended.welded == len(split.vertices) - len(FINGER.vertices) > 5 and mended.turned == 0
    assert volume(split.vertices, mended.triangles) == pytest.approx(
        volume(FINGER.vertices, FINGER.triangles), rel=1e-4
    )


WHICH = {
    "all": np.ones(len(FINGER.triangles), bool),
    "half": FINGER.vertices[FINGER.triangles, 1].mean(axis=1) > 0,
    "every second": np.arange(len(FINGER.triangles)) % 2 == 0,
    "none": np.zeros(len(FINGER.triangles), bool),
}


@pytest.mark.parametrize("which", WHICH)
def test_faces_are_turned_outwards(which):
    wrong = turned(FINGER, WHICH[which])
    mended = mend(wrong.vertices, wrong.triangles)
    assert np.array_equal(mended.triangles, FINGER.triangles)
    assert volume(wrong.vertices, mended.triangles) == pytest.approx(volume(FINGER.vertices, FINGER.triangles))
    assert mended.turned == WHICH[which].sum()


def test_an_open_surface_is_turned_outwards_too():
    tip = FINGER.vertices[FINGER.triangles, 0].max(axis=1) < 0.04
    opened = Surface(FINGER.vertices, FINGER.triangles[tip][:, ::-1], "Hand")
    mended = mend(opened.vertices, opened.triangles)
    assert np.array_equal(mended.triangles, FINGER.triangles[tip]) and mended.turned == tip.sum()


def test_parts_are_turned_each_by_itself():
    both = np.concatenate([FINGER.vertices, FINGER.vertices + 1.0])
    triangles = np.concatenate([FINGER.triangles, FINGER.triangles[:, ::-1] + len(FINGER.vertices)])
    mended = mend(both, triangles)
    assert mended.turned == len(FINGER.triangles)
    assert volume(both, mended.triangles) == pytest.approx(2 * volume(FINGER.vertices, FINGER.triangles), rel=1e-6)


@pytest.mark.parametrize("kind", ["split", "every second face turned"])
def test_such_a_hand_presses_as_a_sound_one_and_is_told(kind):
    hand = split_at_a_seam(FINGER) if kind == "split" else turned(FINGER, WHICH["every second"])
    assert np.abs(dent(hand) - dent(FINGER)).max() < 5e-5  # the solver's own tolerance: vertices are numbered otherwise
    note = hand_notes(hand)[0]
    assert "joined" in note if kind == "split" else "point inwards" in note
    assert not any("openings" in text for text in hand_notes(hand))
