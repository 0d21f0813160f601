# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdivision: a partition of unity that keeps the original vertices, conforms and is smooth."""

import numpy as np
import pytest
from nephim.sim.geometry.refine import blend, refine
from nephim.sim.geometry.topology import boundary_loops, unique_edges

PHI = (1 + 5**0.5) / 2


def icosahedron():
    v = np.array([(a, b * PHI, 0) for a in (-1, 1) for b in (-1, 1)], float)
    v = np.concatenate([v, np.roll(v, 1, axis=1), np.roll(v, 2, axis=1)])
    from scipy.spatial import ConvexHull

    t = ConvexHull(v).simplices
    out = np.einsum("ij,ij->i", np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]]), v[t[:, 0]]) > 0
    t[~out] = t[~out][:, ::-1]
    return v / np.linalg.norm(v[0]), t.astype(np.int32)


def flat(n: int = 5):
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    v = np.column_stack([x.ravel(), y.ravel(), np.zeros(n * n)]).astype(float)
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    t = np.concatenate([np.column_stack([a, a + n, a + n + 1]), np.column_stack([a, a + n + 1, a + 1])])
    return v, t.astype(np.int32)


def test_original_vertices_come_first_and_stay():
    v, t = icosahedron()
    r = refine(v, t, np.full(len(v), 0.2))
    assert (r.matrix[: len(v)] != np.eye(len(v))).sum() == 0
    assert np.asarray(r.matrix.sum(1)).ravel() == pytest.approx(1, abs=1e-12)
    assert np.asarray(r.linear.sum(1)).ravel() == pytest.approx(1, abs=1e-12)


def test_no_edge_stays_long_and_the_surface_stays_closed():
    v, t = icosahedron()
    r = refine(v, t, np.full(len(v), 0.2))
    edges, of_triangle = unique_edges(r.triangles)
    p = r.matrix @ v
    assert np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=1).max() <= np.sqrt(2) * 0.2
    assert (np.bincount(of_triangle.ravel()) == 2).all()  # conforming: no T-junctions
    assert len(p) - len(edges) + len(r.triangles) == 2


def test_graded_targets_split_only_where_wanted_and_conform():
    v, t = flat(9)
    target = np.where(v[:, 0] < 4, 0.4, 3.0)
    r = refine(v, t, target)
    p = r.matrix @ v
    assert (p[len(v) :, 0] < 5.5).all() and len(p) > 2 * len(v)
    assert len(boundary_loops(r.triangles)) == 1
    area = np.cross(p[r.triangles[:, 1]] - p[r.triangles[:, 0]], p[r.triangles[:, 2]] - p[r.triangles[:, 0]])[:, 2] / 2
    assert area.min() > 0 and area.sum() == pytest.approx(64)  # a plane stays that plane, without folds
    assert p[:, 2] == pytest.approx(0)


def test_fairing_brings_new_vertices_closer_to_the_sphere():
    v, t = icosahedron()
    r = refine(v, t, np.full(len(v), 0.2))
    linear = np.abs(np.linalg.norm(r.linear @ v, axis=1) - 1)
    faired = np.abs(np.linalg.norm(r.matrix @ v, axis=1) - 1)
    assert faired.mean() < 0.65 * linear.mean()


def test_blend_goes_from_the_plain_to_the_faired_surface():
    v, t = icosahedron()
    r = refine(v, t, np.full(len(v), 0.3))
    n = r.matrix.shape[0]
    assert blend(r, np.ones(n)) @ v == pytest.approx(r.matrix @ v, abs=1e-12)
    assert blend(r, np.zeros(n)) @ v == pytest.approx(r.linear @ v, abs=1e-12)


def test_fine_enough_surfaces_stay_as_they_are():
    v, t = icosahedron()
    r = refine(v, t, np.full(len(v), 2.0))
    assert (r.triangles == t).all() and (r.parent == np.arange(len(t))).all()
