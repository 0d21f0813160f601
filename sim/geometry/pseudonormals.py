# SPDX-License-Identifier: GPL-3.0-or-later
"""Angle-weighted pseudonormals (Bærentzen and Aanæs 2005): the normal of the feature closest to a point determines
exactly on which side of a closed surface the point is. Computed on demand, because few features are ever needed."""

import numpy as np
from numba import njit

_ON_FEATURE = 1e-9  # a barycentric coordinate below this counts as zero


@njit(cache=True, nogil=True)
def face_direction(vertices, triangles, t):
    """Normal of triangle t, with twice its area as length [m²]."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@njit(cache=True, nogil=True)
def _face_normal(vertices, triangles, t):
    x, y, z = face_direction(vertices, triangles, t)
    length = np.sqrt(x * x + y * y + z * z)
    if length == 0.0:
        return 0.0, 0.0, 0.0
    return x / length, y / length, z / length


@njit(cache=True, nogil=True)
def _angle(vertices, v, i, j):
    """Angle [rad] at vertex v between the edges to i and j."""
    ax, ay, az = vertices[i, 0] - vertices[v, 0], vertices[i, 1] - vertices[v, 1], vertices[i, 2] - vertices[v, 2]
    bx, by, bz = vertices[j, 0] - vertices[v, 0], vertices[j, 1] - vertices[v, 1], vertices[j, 2] - vertices[v, 2]
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return np.arctan2(np.sqrt(cx * cx + cy * cy + cz * cz), ax * bx + ay * by + az * bz)


@njit(cache=True, nogil=True)
def _vertex_normal(vertices, triangles, v, start, corners):
    x = y = z = 0.0
    for c in range(start[v], start[v + 1]):
        t, k = corners[c] // 3, corners[c] % 3
        angle = _angle(vertices, v, triangles[t, (k + 1) % 3], triangles[t, (k + 2) % 3])
        nx, ny, nz = _face_normal(vertices, triangles, t)
        x, y, z = x + angle * nx, y + angle * ny, z + angle * nz
    return x, y, z


@njit(cache=True, nogil=True)
def pseudonormal(vertices, triangles, t, u, v, w, neighbours, start, corners):
    """Normal of the feature of triangle t on which barycentric coordinates u, v, w lie: a corner, an edge or the face.

    neighbours: (m, 3) triangle opposite to each corner or -1; start, corners: rows of the flattened (m, 3) corners per
    vertex.
    """
    zeros = (u <= _ON_FEATURE) + (v <= _ON_FEATURE) + (w <= _ON_FEATURE)
    if zeros == 2:
        full = 0 if u > _ON_FEATURE else 1 if v > _ON_FEATURE else 2
        return _vertex_normal(vertices, triangles, triangles[t, full], start, corners)
    x, y, z = _face_normal(vertices, triangles, t)
    if zeros == 1:
        other = neighbours[t, 0 if u <= _ON_FEATURE else 1 if v <= _ON_FEATURE else 2]
        if other >= 0:
            ox, oy, oz = _face_normal(vertices, triangles, other)
            x, y, z = x + ox, y + oy, z + oz
    return x, y, z
