# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume that skin sweeps, bulges beside a hand, and how sensitive a result is."""

import numpy as np
import pytest
from nephim.sim.flesh import bulge, returned, sensitivity, swept_volumes
from nephim.sim.geometry.triangle_bvh import TriangleTree
from test_measure import box, icosphere


def volume(vertices: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", np.cross(a, b), c).sum() / 6)


def test_the_sum_is_the_change_of_volume():
    """Also for large displacements that turn every triangle."""
    vertices, triangles = icosphere(0.1)
    moved = vertices + np.random.default_rng(3).normal(0, 0.01, vertices.shape)
    swept = swept_volumes(vertices, moved, triangles).sum()
    assert swept == pytest.approx(volume(moved, triangles) - volume(vertices, triangles), rel=1e-9)


def test_a_box_whose_lid_sinks_while_its_side_comes_out():
    vertices, triangles = box((0, 0, 0), (0.1, 0.1, 0.1))
    moved = vertices.copy()
    moved[vertices[:, 2] > 0.05, 2] -= 0.02
    inwards, outwards = returned(vertices, moved, triangles)
    assert inwards == pytest.approx(0.1 * 0.1 * 0.02) and outwards == pytest.approx(0, abs=1e-12)
    moved = vertices.copy()
    moved[vertices[:, 0] > 0.05, 0] += 0.01
    inwards, outwards = returned(vertices, moved, triangles)
    assert inwards == pytest.approx(0, abs=1e-12) and outwards == pytest.approx(0.1 * 0.1 * 0.01)


def test_bulges_count_where_no_hand_is():
    vertices, _ = icosphere(0.1, levels=4)
    normals = vertices / 0.1
    out = np.where(vertices[:, 2] > 0.097, 0.003, np.where(vertices[:, 2] < -0.09, 0.001, -0.002))
    skin = vertices + out[:, None] * normals
    assert bulge(vertices, skin, normals, []) == pytest.approx(0.003)
    hand, faces = box((-0.1, -0.1, 0.0985), (0.1, 0.1, 0.2))
    assert bulge(vertices, skin, normals, [TriangleTree(hand, faces)]) == pytest.approx(0.001)
    assert bulge(vertices, vertices - 0.001 * normals, normals, []) == 0.0


def test_sensitivity_counts_deformed_skin_alone():
    tracked = np.zeros((2, 4, 3))
    skins, others = tracked.copy(), tracked.copy()
    skins[0, 0, 0], others[0, 0, 0] = 0.002, 0.0025
    others[1, 3, 1] = 0.0004  # not deformed
    assert sensitivity(skins, others, tracked) == pytest.approx(0.0005)
    assert sensitivity(tracked, others * 0, tracked) == 0.0
