# SPDX-License-Identifier: GPL-3.0-or-later
"""Closest points among those triangles of a surface that face a given way."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .pseudonormals import face_direction
from .triangle_bvh import TriangleTree, box_distance, corner, to_triangle

_STACK = 64


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

    The two normals differ in creases: under a nail a triangle may face what its vertices turn away from.
    Returns distance (k,) [m], triangle (k,) and barycentric (k, 3); inf, -1 and 0 where none lies within
    `max_distance`.
    """
    return _closest_facing(
        np.ascontiguousarray(points), np.ascontiguousarray(directions), least_cosine, least_smooth, max_distance**2,
        tree.vertices, normals, tree.triangles, tree.order, tree.low, tree.high, len(tree.low) // 2 + 1,
    )  # fmt: skip


@njit(cache=True, parallel=True)
def _closest_facing(
    points, directions, least_cosine, least_smooth, limit, vertices, normals, triangles, order, low, high, leaves
):  # fmt: skip
    count, total = len(points), len(order)
    distance = np.full(count, np.inf)
    triangle = np.full(count, -1, np.int32)
    barycentric = np.zeros((count, 3))
    for i in prange(count):
        p, direction = corner(points, i), corner(directions, i)
        best = limit
        stack = np.empty(_STACK, np.int64)
        stack[0] = 0
        top = 1
        found = -1
        u = v = w = 0.0
        while top > 0:
            top -= 1
            node = stack[top]
            if box_distance(p, low, high, node) > best:
                continue
            if node < leaves - 1:
                stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
                top += 2
                continue
            leaf = node - leaves + 1
            for k in range(leaf * total // leaves, (leaf + 1) * total // leaves):
                t = order[k]
                nx, ny, nz = face_direction(vertices, triangles, t)
                along = nx * direction[0] + ny * direction[1] + nz * direction[2]
                if along <= least_cosine * np.sqrt(nx * nx + ny * ny + nz * nz):
                    continue
                wa, wb, wc, squared = to_triangle(p, vertices, triangles, t)
                closer = squared < best or (squared == best and found < 0)
                if closer and _faces(normals, triangles, t, wa, wb, wc, direction, least_smooth):
                    best, found = squared, t
                    u, v, w = wa, wb, wc
        if found >= 0:
            distance[i], triangle[i] = np.sqrt(best), found
            barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = u, v, w
    return distance, triangle, barycentric


@njit(cache=True)
def _faces(normals, triangles, t, wa, wb, wc, direction, least_cosine):
    """Whether the normal interpolated at a point of triangle t has at least `least_cosine` to the direction."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    along = square = 0.0
    for i in range(3):
        n = wa * normals[a, i] + wb * normals[b, i] + wc * normals[c, i]
        along += n * direction[i]
        square += n * n
    return along > least_cosine * np.sqrt(square)
