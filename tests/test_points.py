# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums over points, sparse rows and counted percentiles against numpy and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nephim.sim.geometry.clearance import Clearance
from nephim.sim.geometry.points import farthest_move, shorten_moves
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.solver.histogram import percentiles
from nephim.sim.solver.sparse import PointMap, put, take
from scipy.sparse import random_array


def test_moves_are_measured_and_shortened():
    before = np.random.default_rng(0).normal(size=(50, 3))
    move = np.random.default_rng(1).normal(size=(50, 3))
    length = np.linalg.norm(move, axis=1)
    assert farthest_move(before, before + move) == pytest.approx(length.max())
    after = before + move
    shorten_moves(before, 1.5, after)
    assert (length > 1.5).any() and (length < 1.5).any()
    assert after - before == pytest.approx(move * np.minimum(1.0, 1.5 / length)[:, None])


def test_rows_of_a_sparse_matrix_act_as_those_of_a_dense_one():
    rng = np.random.default_rng(2)
    sparse = random_array((20, 12), density=0.2, format="csr", rng=rng)
    dense, matrix = sparse.toarray(), PointMap(sparse)
    rows = np.array([7, 3, 19, 0])
    points, out = rng.normal(size=(12, 3)), np.zeros((4, 3))
    matrix.map_rows(rows, points, out)
    assert out == pytest.approx(dense[rows] @ points)
    back = np.ones((12, 3))
    matrix.add_back(rows, out, back)
    assert back == pytest.approx(1 + dense[rows].T @ out)
    root = rng.normal(size=(12, 12))
    responses, between = np.zeros((20, 12), np.float32), np.zeros((4, 4))
    responses[[8, 1, 5, 11]] = dense[rows] @ (root @ root.T)
    matrix.between(rows, responses, np.array([8, 1, 5, 11]), between)
    assert between == pytest.approx(dense[rows] @ root @ root.T @ dense[rows].T, rel=1e-5, abs=1e-5)
    some = np.zeros((3, 3))
    take(points, np.array([5, 0, 5]), some)
    assert np.array_equal(some, points[[5, 0, 5]])
    put(some, np.array([1, 2, 3]), points)
    assert np.array_equal(points[1:4], some)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(0, 8, width=32), min_size=1, max_size=300))
def test_counted_percentiles_are_those_of_the_sorted_numbers(values):
    values, shares = np.array(values, np.float32), np.array([0.01, 0.5, 0.99, 1.0])
    places = np.maximum(np.ceil(shares * len(values)).astype(int) - 1, 0)
    assert percentiles(values, shares) == pytest.approx(np.sort(values)[places], abs=0.5 / 1024 + 1e-6)


def test_percentiles_of_what_is_out_of_range_and_of_rest():
    assert percentiles(np.ones(7, np.float32), np.array([0.01, 0.99])).tolist() == [1.0, 1.0]
    assert percentiles(np.array([-3.0, 20.0]), np.array([0.5, 1.0])).tolist() == [0.0, 8.0]


def test_what_is_near_a_moving_surface_is_what_all_points_asked_anew_would_be():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1.5, (300, 3))
    tree, clearance = TriangleTree(vertices, triangles), Clearance(300, 0.5)
    for step in range(12):
        if step % 3 == 0:
            vertices = vertices + rng.normal(scale=0.03, size=(4, 3))
            tree.refit(vertices)
        points = points + rng.normal(scale=0.05, size=points.shape) * (np.arange(300) % 3 <= step % 4)[:, None]
        reach = 0.1 * (step % 2)
        rows, distance, triangle, barycentric, sign = clearance.near(tree, points, reach)
        wanted = tree.closest(points, 0.5)
        near = np.flatnonzero(np.isfinite(wanted[0]) & ((wanted[3] < 0) | (wanted[0] < reach)))
        assert len(near) and np.array_equal(rows, near)
        assert distance == pytest.approx(wanted[0][near], abs=1e-12) and np.array_equal(sign, wanted[3][near])
        assert tree.points_at(triangle, barycentric) == pytest.approx(
            tree.points_at(wanted[1][near], wanted[2][near]), abs=1e-9
        )


def test_what_did_not_move_is_not_searched_for_again(monkeypatch):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    tree = TriangleTree(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    points, clearance, searched = np.full((5, 3), 0.1), Clearance(5, 0.5), []
    closest = TriangleTree.closest
    monkeypatch.setattr(
        TriangleTree, "closest", lambda self, p, *rest: searched.append(len(p)) or closest(self, p, *rest)
    )
    first = clearance.near(tree, points, 0.0)
    points = points.copy()
    points[3] += 0.01
    second = clearance.near(tree, points, 0.2)
    tree.refit(vertices + 0.01)
    third = clearance.near(tree, points, 0.2)
    assert searched == [5, 1, 5]
    assert first[1].tolist() == pytest.approx([0.1] * 5)
    assert second[1].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.11, 0.1])
    assert third[1].tolist() == pytest.approx([0.09, 0.09, 0.09, 0.1, 0.09])
