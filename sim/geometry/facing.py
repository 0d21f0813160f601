# SPDX-License-Identifier: GPL-3.0-or-later
"""Closest points on the triangles of a surface that face a given direction."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ... import threads
from .pseudonormals import face_direction
from .triangle_bvh import LEAST_POINTS, NEAR, TriangleTree, leaf_span, new_stack, next_leaf, start, to_triangle
from .vector3 import corner, dot


def closest_facing(
    tree: TriangleTree,
    normals: NDArray,
    points: NDArray,
    directions: NDArray,
    least_cosine: float,
    max_distance: float,
    least_smooth: float,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Closest point to each of `points` (k, 3) on triangles whose normal has at least `least_cosine` to `directions`
    (k, 3), where the normal interpolated from those of the vertices, `normals` (n, 3), has at least `least_smooth`.

    The two normals differ in creases: under a nail a triangle may face where its vertex normals do not.
    Returns distance (k,) [m], triangle (k,) and barycentric (k, 3); inf, -1 and 0 if none lies within
    `max_distance`.
    """
    count = len(points)
    result = np.empty(count), np.empty(count, np.int32), np.empty((count, 3))
    threads.run(
        _closest_facing, threads.parts(count, LEAST_POINTS), np.ascontiguousarray(points),
        np.ascontiguousarray(directions), least_cosine, least_smooth, max_distance**2, tree.vertices, normals,
        tree.triangles, tree.order, tree.low, tree.high, tree.leaves, *result,
    )  # fmt: skip
    return result


@njit(cache=True, nogil=True)
def _closest_facing(
    part, parts, points, directions, least_cosine, least_smooth, limit, vertices, normals, triangles, order, low, high,
    leaves, distance, triangle, barycentric,
):  # fmt: skip
    total, stack = len(order), new_stack()
    for i in range(part * len(points) // parts, (part + 1) * len(points) // parts):
        p, direction = corner(points, i), corner(directions, i)
        best = limit
        found = -1
        u = v = w = 0.0
        top = start(NEAR, p, p, low, high, stack)
        while True:
            leaf, top = next_leaf(NEAR, p, p, best, low, high, leaves, stack, top)
            if leaf < 0:
                break
            first, end = leaf_span(leaf, leaves, total)
            for k in range(first, end):
                t = order[k]
                normal = face_direction(vertices, triangles, t)
                if dot(normal, direction) <= least_cosine * np.sqrt(dot(normal, normal)):
                    continue
                wa, wb, wc, squared = to_triangle(p, vertices, triangles, t)
                closer = squared < best or (squared == best and found < 0)
                if closer and _faces(normals, triangles, t, wa, wb, wc, direction, least_smooth):
                    best, found = squared, t
                    u, v, w = wa, wb, wc
        distance[i], triangle[i] = np.sqrt(best) if found >= 0 else np.inf, found
        barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = u, v, w


@njit(cache=True, nogil=True)
def _faces(normals, triangles, t, wa, wb, wc, direction, least_cosine):
    """Whether the normal interpolated at a point of triangle t has at least `least_cosine` to the direction."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    along = square = 0.0
    for i in range(3):
        n = wa * normals[a, i] + wb * normals[b, i] + wc * normals[c, i]
        along += n * direction[i]
        square += n * n
    return along > least_cosine * np.sqrt(square)
