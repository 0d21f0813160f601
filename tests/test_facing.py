# SPDX-License-Identifier: GPL-3.0-or-later
"""Closest points among the triangles that face a given way, against trying them all."""

import numpy as np
from nephim.sim.geometry.facing import closest_facing
from nephim.sim.geometry.surface import triangle_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from volumes import icosphere

VERTICES, TRIANGLES = icosphere(0.1, 2)
TREE = TriangleTree(VERTICES, TRIANGLES)
NORMALS = VERTICES / np.linalg.norm(VERTICES, axis=1, keepdims=True)


def test_only_triangles_that_face_the_direction_are_found():
    rng = np.random.default_rng(0)
    points, directions = rng.normal(0, 0.08, (60, 3)), rng.normal(size=(60, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance, triangle, weights = closest_facing(TREE, NORMALS, points, directions, 0.3, 1.0, -1.0)
    normals = triangle_normals(VERTICES, TRIANGLES)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for k in range(len(points)):
        facing = np.flatnonzero(normals @ directions[k] >= 0.3)
        expected = TriangleTree(VERTICES, TRIANGLES[facing]).closest(points[k : k + 1])[0][0]
        assert abs(distance[k] - expected) < 1e-12
        assert triangle[k] in facing
        assert abs(np.linalg.norm(weights[k] @ VERTICES[TRIANGLES[triangle[k]]] - points[k]) - expected) < 1e-12


def test_nothing_within_reach_is_infinitely_far():
    distance, triangle, _ = closest_facing(
        TREE, NORMALS, np.array([[1.0, 0, 0]]), np.array([[1.0, 0, 0]]), 0.3, 0.1, -1.0
    )
    assert np.isinf(distance[0]) and triangle[0] == -1
    # From inside, the side that faces away from the point is the far one.
    distance, triangle, _ = closest_facing(
        TREE, NORMALS, np.array([[0.09, 0, 0]]), np.array([[-1.0, 0, 0]]), 0.9, 1.0, -1.0
    )
    assert distance[0] > 0.15


def test_a_triangle_whose_vertices_turn_away_is_passed_over():
    point = np.array([[0.12, 0.0, 0.0]])
    _, closest, _ = closest_facing(TREE, NORMALS, point, point / 0.12, 0.3, 1.0, -0.2)
    creased = NORMALS.copy()
    creased[TRIANGLES[closest[0]]] *= -1
    _, triangle, weights = closest_facing(TREE, creased, point, point / 0.12, 0.3, 1.0, -0.2)
    assert triangle[0] >= 0 and triangle[0] != closest[0]
    assert weights[0] @ creased[TRIANGLES[triangle[0]]] @ point[0] > 0
