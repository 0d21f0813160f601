# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies opposite points of one surface on another that overlaps it: where the lines along their normals meet it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ... import threads
from .pseudonormals import face_direction
from .triangle_bvh import HIT, LEAST_POINTS, TriangleTree, leaf_span, new_stack, next_leaf, ray_triangle, start
from .vector3 import corner, dot

# Cosine below which a line only grazes a triangle. Fingers of a tracked hand overlap a little: a line along the seam
# between them would otherwise end at the flank of the next one.
_GRAZING = 0.15


def opposite(
    tree: TriangleTree, points: NDArray, normals: NDArray, deepest: float, gap: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Where the tree's closed surface lies opposite `points` (k, 3) of another one with unit `normals` (k, 3).

    A point inside is asked for the way back, against its normal, to the side it came through; a point outside for the
    way on, along its normal. Returns the depth (k,) [m], negative outside and -inf if nothing faces the point within
    `deepest` or `gap`; the way ahead (k,) [m] to where a point inside would come out again, at most `deepest`; the
    triangle (k,) and barycentric (k, 3).
    """
    count = len(points)
    result = np.empty(count), np.empty(count), np.empty(count, np.int32), np.zeros((count, 3))
    threads.run(
        _opposite, threads.parts(count, LEAST_POINTS), np.ascontiguousarray(points), np.ascontiguousarray(normals),
        deepest, gap, tree.vertices, tree.triangles, tree.order, tree.low, tree.high, tree.leaves, *result,
    )  # fmt: skip
    return result


@njit(cache=True, nogil=True)
def _opposite(
    part, parts, points, normals, deepest, gap, vertices, triangles, order, low, high, leaves, depth, ahead, triangle,
    barycentric,
):  # fmt: skip
    stack = new_stack()
    for i in range(part * len(points) // parts, (part + 1) * len(points) // parts):
        p, n = corner(points, i), corner(normals, i)
        depth[i], ahead[i], triangle[i] = -np.inf, deepest, -1
        back = (-n[0], -n[1], -n[2])
        far, t, faces, u, v = _first(p, back, n, deepest, False, vertices, triangles, order, low, high, leaves, stack)
        if t >= 0 and faces:
            depth[i] = far
            ahead[i] = _first(p, n, n, deepest, True, vertices, triangles, order, low, high, leaves, stack)[0]
        else:
            far, t, faces, u, v = _first(p, n, n, gap, False, vertices, triangles, order, low, high, leaves, stack)
            if t < 0 or not faces:
                continue
            depth[i] = -far
        triangle[i] = t
        barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = 1.0 - u - v, u, v


@njit(cache=True, nogil=True)
def _first(p, way, n, limit, leaving, vertices, triangles, order, low, high, leaves, stack):
    """The first triangle along the way from p: its distance, at most `limit`, its number or -1, whether it faces n, and
    where it is met; leaving: only one that does not face n."""
    # A tiny component instead of zero keeps the slab test free of 0 · inf.
    inverse = (
        1.0 / (way[0] if abs(way[0]) > 1e-300 else 1e-300),
        1.0 / (way[1] if abs(way[1]) > 1e-300 else 1e-300),
        1.0 / (way[2] if abs(way[2]) > 1e-300 else 1e-300),
    )
    best, found, faces, at_u, at_v = limit, -1, False, 0.0, 0.0
    top = start(HIT, p, inverse, low, high, stack)
    while True:
        leaf, top = next_leaf(HIT, p, inverse, best, low, high, leaves, stack, top)
        if leaf < 0:
            return best, found, faces, at_u, at_v
        first, end = leaf_span(leaf, leaves, len(order))
        for k in range(first, end):
            t = order[k]
            along, u, v = ray_triangle(p, way, vertices, triangles, t)
            if not 0.0 <= along < best:
                continue
            normal = face_direction(vertices, triangles, t)
            cosine = dot(normal, n)
            if abs(cosine) <= _GRAZING * np.sqrt(dot(normal, normal)) or (leaving and cosine < 0.0):
                continue
            best, found, faces, at_u, at_v = along, t, cosine < 0.0, u, v
