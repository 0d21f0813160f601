# SPDX-License-Identifier: GPL-3.0-or-later
"""Thinned surfaces: a subset of the vertices, as far apart as wished, closed where the surface was closed."""

import numpy as np
import pytest
from nephim.sim.geometry.thinning import thin
from nephim.sim.geometry.topology import boundary_loops
from nephim.sim.geometry.triangle_bvh import TriangleTree
from volumes import icosphere

RADIUS = 0.05


def test_a_thinned_sphere_is_a_closed_sphere():
    vertices, triangles = icosphere(RADIUS, 5)
    kept, coarse = thin(vertices, triangles, 0.008)
    assert len(kept) < len(vertices) / 8 and (np.diff(kept) > 0).all()
    assert not boundary_loops(coarse)
    used, faces = np.unique(coarse, return_inverse=True)
    edges = np.unique(np.sort(np.concatenate([coarse[:, [0, 1]], coarse[:, [1, 2]], coarse[:, [2, 0]]])), axis=0)
    assert len(used) - len(edges) + len(faces.reshape(-1, 3)) == 2  # Euler: still a sphere
    p = vertices[kept][coarse]
    volume = np.einsum("ij,ij->i", p[:, 0], np.cross(p[:, 1], p[:, 2])).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.03)
    assert TriangleTree(vertices[kept], coarse).closest(vertices)[0].max() < 0.001


def test_kept_vertices_are_apart_and_none_is_far():
    vertices, triangles = icosphere(RADIUS, 5)
    kept, _ = thin(vertices, triangles, 0.008)
    apart = np.linalg.norm(vertices[kept][:, None] - vertices[kept][None], axis=2) + np.eye(len(kept))
    assert apart.min() > 0.006  # 8 mm along the edges, which zigzag
    assert np.linalg.norm(vertices[:, None] - vertices[kept][None], axis=2).min(axis=1).max() < 0.008


def test_two_surfaces_that_touch_do_not_grow_together():
    sphere, triangles = icosphere(RADIUS, 4)
    vertices = np.concatenate([sphere, sphere + [2 * RADIUS, 0, 0]])
    kept, coarse = thin(vertices, np.concatenate([triangles, triangles + len(sphere)]), 0.01)
    first = kept[coarse] < len(sphere)
    assert (first.all(axis=1) | ~first.any(axis=1)).all()


def test_a_coarse_surface_stays_as_it_is():
    vertices, triangles = icosphere(RADIUS, 1)
    kept, coarse = thin(vertices, triangles, 0.001)
    assert np.array_equal(kept, np.arange(len(vertices))) and len(coarse) == len(triangles)
