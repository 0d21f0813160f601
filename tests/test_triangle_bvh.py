# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances, signs, rays and winding numbers against analytic cases and brute force."""

import time

import numpy as np
import pytest
from nephim.sim.geometry.isosurface import Grid, isosurface
from nephim.sim.geometry.solid_angle import winding_number
from nephim.sim.geometry.topology import edge_neighbours
from nephim.sim.geometry.triangle_bvh import TriangleTree, closest_on_triangle


def sphere(radius: float = 0.1, spacing: float = 0.01):
    grid = Grid.around([-radius] * 3, [radius] * 3, spacing, 2 * spacing)
    field = np.linalg.norm(grid.points(), axis=1) - radius
    return isosurface(field.reshape(grid.shape), grid)


def test_the_closest_point_is_that_of_all_triangles():
    vertices, triangles = sphere()
    points = np.random.default_rng(1).uniform(-0.2, 0.2, (30, 3))
    distance, triangle, barycentric, _ = TriangleTree(vertices, triangles).closest(points)
    for p, d in zip(points, distance, strict=True):
        every = [np.array(closest_on_triangle(p, *vertices[t])) @ vertices[t] for t in triangles]
        assert d == pytest.approx(np.linalg.norm(np.array(every) - p, axis=1).min(), abs=1e-12)
    found = TriangleTree(vertices, triangles).points_at(triangle, barycentric)
    assert np.linalg.norm(found - points, axis=1) == pytest.approx(distance, abs=1e-12)
    assert barycentric.sum(1) == pytest.approx(1)


def test_a_guess_changes_nothing_but_time():
    vertices, triangles = sphere()
    tree, rng = TriangleTree(vertices, triangles), np.random.default_rng(1)
    points = rng.uniform(-0.2, 0.2, (300, 3))
    guess = rng.integers(-1, len(triangles), 300).astype(np.int32)
    found, wanted = tree.closest(points, 0.08, guess), tree.closest(points, 0.08)
    assert np.isinf(wanted[0]).any() and np.isfinite(wanted[0]).any()
    for a, b in zip(found, wanted, strict=True):
        assert np.array_equal(a, b)


def test_sign_and_winding_number_tell_inside_from_outside():
    vertices, triangles = sphere()
    points = np.random.default_rng(2).uniform(-0.15, 0.15, (2000, 3))
    radius = np.linalg.norm(points, axis=1)
    clear = np.abs(radius - 0.1) > 0.002  # the polyhedron differs from the sphere by less
    tree = TriangleTree(vertices, triangles)
    distance, _, _, sign = tree.closest(points)
    assert ((sign < 0) == (radius < 0.1))[clear].all()
    assert (sign * distance)[clear] == pytest.approx((radius - 0.1)[clear], abs=0.002)
    assert winding_number(tree, points)[clear] == pytest.approx((radius < 0.1)[clear].astype(float), abs=0.1)


def test_winding_number_is_two_where_a_surface_lies_in_itself():
    vertices, triangles = sphere()
    both = np.concatenate([triangles, triangles + len(vertices)])
    twice = TriangleTree(np.concatenate([vertices, 0.5 * vertices]), both)
    assert winding_number(twice, [[0, 0, 0], [0, 0, 0.08], [0, 0, 0.2]]) == pytest.approx([2, 1, 0], abs=0.05)


def test_beyond_the_largest_distance_nothing_is_found():
    tree = TriangleTree(*sphere())
    distance, triangle, barycentric, sign = tree.closest([[0.2, 0, 0], [0.11, 0, 0]], max_distance=0.05)
    assert np.isinf(distance[0]) and triangle[0] == -1 and not barycentric[0].any() and sign[0] == 1
    assert triangle[1] >= 0


def test_rays_hit_the_near_side_first():
    tree = TriangleTree(*sphere())
    hits = tree.hit([[0.3, 0.001, 0.002], [0.3, 0.2, 0]], [-1.0, 0.0, 0.0])
    assert hits[0] == pytest.approx(0.2, abs=0.001) and np.isinf(hits[1])
    assert np.isinf(tree.hit([[0.3, 0.001, 0.002]], [-1.0, 0.0, 0.0], 0.1)[0])


def test_refitting_is_building_anew():
    vertices, triangles = sphere()
    points = np.random.default_rng(3).uniform(-0.2, 0.2, (200, 3))
    tree = TriangleTree(vertices, triangles)
    tree.refit(vertices * [1, 2, 1] + 0.03)
    fresh = TriangleTree(vertices * [1, 2, 1] + 0.03, triangles)
    assert tree.closest(points)[0] == pytest.approx(fresh.closest(points)[0], abs=1e-15)
    assert (tree.closest(points)[3] == fresh.closest(points)[3]).all()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.9])
def test_refitting_after_a_few_moves_is_refitting_all(share):
    vertices, triangles = sphere()
    rng = np.random.default_rng(4)
    moved = vertices + 0.02 * rng.normal(size=vertices.shape) * (rng.random(len(vertices)) < share)[:, None]
    tree, fresh = TriangleTree(vertices, triangles), TriangleTree(vertices, triangles)
    fresh.refit(vertices + 1.0)
    tree.refit(moved)
    fresh.refit(moved)
    assert (tree.low == fresh.low).all() and (tree.high == fresh.high).all()


def test_a_surface_that_was_moved_in_place_is_fitted():
    vertices, triangles = sphere()
    tree = TriangleTree(vertices, triangles)
    vertices += 1.0
    tree.refit(vertices)
    assert tree.low[0] == pytest.approx(vertices.min(axis=0))


def test_neighbours_share_the_edge_opposite_to_the_corner():
    _, triangles = sphere()
    neighbours = edge_neighbours(triangles)
    assert (neighbours >= 0).all()
    for corner in range(3):
        edge = np.delete(triangles, corner, axis=1)
        other = triangles[neighbours[:, corner]]
        assert (edge[:, :, None] == other[:, None]).any(2).all()


def test_twenty_thousand_points_are_fast():
    vertices, triangles = sphere(0.1, 0.0035)
    points = vertices[np.arange(20_000) % len(vertices)] * 1.02
    tree = TriangleTree(vertices, triangles)
    tree.closest(points[:10])
    started = time.perf_counter()
    tree.closest(points)
    assert len(triangles) > 15_000
    assert time.perf_counter() - started < 1.5  # about 0.1 s on an idle machine


def test_a_surface_that_is_one_point_is_found_like_any_other():
    triangles = np.arange(30, dtype=np.int32).reshape(10, 3)
    with np.errstate(all="raise"):
        tree = TriangleTree(np.full((30, 3), 0.2), triangles)
    assert sorted(tree.order) == list(range(10))
    assert tree.closest(np.array([[0.2, 0.2, 0.5]]))[0] == pytest.approx([0.3])
