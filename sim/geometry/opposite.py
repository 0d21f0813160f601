# SPDX-License-Identifier: GPL-3.0-or-later
"""Where lines meet the triangles of a surface that look a given way: from one surface to what lies opposite on another
that overlaps it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ... import threads
from .pseudonormals import face_direction
from .triangle_bvh import HIT, LEAST_POINTS, TriangleTree, leaf_span, new_stack, next_leaf, ray_triangle, start
from .vector3 import corner, dot


def opposite(
    tree: TriangleTree, points: NDArray, ways: NDArray, leaving: bool, farthest: float
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Where the lines from `points` (k, 3) along the unit `ways` (k, 3) leave the tree's surface, or enter it.
    Triangles that look the other way are passed, such as the far side of a finger.

    Returns the distance (k,) [m], triangle (k,) and barycentric (k, 3); inf, -1 and 0 if none lies within `farthest`
    [m].
    """
    count = len(points)
    result = np.empty(count), np.empty(count, np.int32), np.zeros((count, 3))
    threads.run(
        _opposite, threads.parts(count, LEAST_POINTS), np.ascontiguousarray(points), np.ascontiguousarray(ways),
        leaving, farthest, tree.vertices, tree.triangles, tree.order, tree.low, tree.high, tree.leaves, *result,
    )  # fmt: skip
    return result


@njit(cache=True, nogil=True)
def _opposite(
    part, parts, points, ways, leaving, farthest, vertices, triangles, order, low, high, leaves, distance, triangle,
    barycentric,
):  # fmt: skip
    total, stack = len(order), new_stack()
    for i in range(part * len(points) // parts, (part + 1) * len(points) // parts):
        p, way = corner(points, i), corner(ways, i)
        # A tiny component instead of zero keeps the slab test free of 0 · inf.
        inverse = (
            1.0 / (way[0] if abs(way[0]) > 1e-300 else 1e-300),
            1.0 / (way[1] if abs(way[1]) > 1e-300 else 1e-300),
            1.0 / (way[2] if abs(way[2]) > 1e-300 else 1e-300),
        )
        best, found = farthest, -1
        top = start(HIT, p, inverse, low, high, stack)
        while True:
            leaf, top = next_leaf(HIT, p, inverse, best, low, high, leaves, stack, top)
            if leaf < 0:
                break
            first, end = leaf_span(leaf, leaves, total)
            for k in range(first, end):
                along, u, v = ray_triangle(p, way, vertices, triangles, order[k])
                if 0.0 <= along < best and (dot(face_direction(vertices, triangles, order[k]), way) > 0.0) == leaving:
                    best, found = along, order[k]
                    barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = 1.0 - u - v, u, v
        distance[i], triangle[i] = best if found >= 0 else np.inf, found
