# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands as scans and captures leave them: with holes, with 200 000 vertices, inside the head from the first frame on,
shrunk to a point. The results are finite and the skin yields."""

import numpy as np
import pytest
from nephim.errors import SurfaceError
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.topology import boundary_loops
from nephim.sim.hands import hand_notes
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.surface_pbd import SurfacePBD
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(3), finger()
PRESS = (-0.004, 0.0, 0.003, 0.005)  # depth of the tip [m], frame after frame
METHODS = [Physics, SurfacePBD]


def run(method, hand: Surface, depths=PRESS, shape=lambda vertices, _depth: vertices):
    """Results of a finger along x whose tip is at x = 0 pressed into the round head."""
    simulation = method(TEMPLATE, PhysicsSettings.load("default"), right=hand)
    results = []
    for k, depth in enumerate(depths):
        vertices = shape(hand.vertices, depth) + [RADIUS - depth, 0, 0]
        head = TEMPLATE.head_vertices.astype(np.float32)
        results.append(simulation.step(TrackedFrame(head, None, vertices.astype(np.float32), np.eye(4), frame=k)))
    assert all(np.isfinite(result.skin).all() for result in results)
    return results


def dent(result) -> float:
    return float(np.linalg.norm(result.skin - result.tracked, axis=1).max())


@pytest.mark.parametrize("method", METHODS)
def test_a_hand_with_holes_presses_as_a_whole_one(method):
    keep = np.ones(len(FINGER.triangles), bool)
    back = FINGER.vertices[FINGER.triangles].mean(1)
    for centre in ([0.008, 0.008, 0.0], [0.008, -0.008, 0.0], [0.02, 0.0, 0.008]):
        keep &= np.linalg.norm(back - centre, axis=1) > 0.0035
    keep &= back[:, 0] < 0.05  # and no wrist
    holed = Surface(FINGER.vertices, FINGER.triangles[keep], "Hand")
    count = len(boundary_loops(holed.triangles))
    note = hand_notes(Surface(holed.vertices, holed.triangles, "Hand"))[0]
    assert count >= 4 and f"{count - 1} openings besides the wrist" in note
    whole, result = run(method, FINGER)[-1], run(method, holed)[-1]
    assert dent(result) == pytest.approx(dent(whole), abs=5e-4) and dent(whole) > 0.004


@pytest.mark.parametrize("method", METHODS)
def test_a_hand_of_200_000_vertices(method):
    around, along = 400, 500
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    polar = np.linspace(0, np.pi, along + 1)[1:-1]
    x = 0.008 * (1 - np.cos(polar)) + 0.04 * (polar > np.pi / 2)
    ring = 0.008 * np.sin(polar)
    vertices = np.stack(np.broadcast_arrays(x[:, None], ring[:, None] * np.cos(angle), ring[:, None] * np.sin(angle)))
    vertices = np.concatenate([vertices.reshape(3, -1).T, [[0, 0, 0], [0.056, 0, 0]]])
    i, j = np.meshgrid(np.arange(along - 2), np.arange(around), indexing="ij")
    a, b, c, d = (
        i * around + j,
        i * around + (j + 1) % around,
        (i + 1) * around + (j + 1) % around,
        (i + 1) * around + j,
    )
    first, last, k = len(vertices) - 2, len(vertices) - 1, np.arange(around)
    end = (along - 2) * around
    faces = [np.stack(t, -1).reshape(-1, 3) for t in ((a, b, d), (b, c, d))]
    faces += [np.column_stack([np.full(around, first), (k + 1) % around, k])]
    faces += [np.column_stack([np.full(around, last), end + k, end + (k + 1) % around])]
    triangles = np.concatenate(faces).astype(np.int32)
    normal = np.cross(*(vertices[triangles[:, q]] - vertices[triangles[:, 0]] for q in (1, 2)))
    outward = np.einsum("ij,ij->i", normal, vertices[triangles].mean(1) - [0.028, 0, 0])
    assert (outward >= 0).mean() > 0.99 and len(vertices) > 199_000
    assert "contact is computed with those about 2 mm apart" in hand_notes(Surface(vertices, triangles, "Hand"))[0]
    results = run(method, Surface(vertices, triangles, "Hand"), PRESS)
    assert dent(results[-1]) == pytest.approx(0.005, abs=1.5e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_hand_inside_from_the_first_frame_on(method):
    results = run(method, FINGER, (0.012, 0.012, 0.012))
    assert dent(results[-1]) < 0.03
    if method is Physics:
        assert results[0].statistics["started_inside_mm"] == pytest.approx(12, abs=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_hand_shrunk_to_a_point_is_refused(method):
    with pytest.raises(SurfaceError, match=r"frame 2: The hand is shrunk to nothing"):
        run(method, FINGER, shape=lambda vertices, depth: vertices * (0.0 if depth == PRESS[2] else 1.0))


def test_positions_that_are_no_numbers_name_frame_and_vertices():
    def broken(vertices, depth):
        vertices = vertices.copy()
        if depth == PRESS[2]:
            vertices[[4, 9]] = np.nan
        return vertices

    with pytest.raises(SurfaceError, match=r"frame 2, vertices 4, 9"):
        run(Physics, FINGER, shape=broken)
