# SPDX-License-Identifier: GPL-3.0-or-later
"""Winding numbers of points in closed triangle surfaces, by counting signed crossings of a ray.

Unlike the sign of the nearest triangle, this stays correct where a surface intersects itself, as in a fist.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Cells of the grid that sorts the points; more do not pay off for a few thousand points.
_MAX_CELLS = 64


@njit(cache=True, nogil=True)
def _left_of(point_y, point_z, a, b, vertices):
    """Whether the point lies left of a→b in the (y, z) plane; both triangles at an edge compute the same number."""
    if a < b:
        first, second, turned = a, b, False
    else:
        first, second, turned = b, a, True
    dy = vertices[second, 1] - vertices[first, 1]
    dz = vertices[second, 2] - vertices[first, 2]
    area = dy * (point_z - vertices[first, 2]) - dz * (point_y - vertices[first, 1])
    return area <= 0.0 if turned else area > 0.0


@njit(cache=True, nogil=True)
def _count_crossings(points, vertices, triangles, order, cell_start, cells_y, cells_z, low, cell):
    winding = np.zeros(len(points), np.int32)
    for t in range(len(triangles)):
        triangle = triangles[t]
        y0, y1, z0, z1, x1 = np.inf, -np.inf, np.inf, -np.inf, -np.inf
        for k in range(3):
            p = vertices[triangle[k]]
            x1 = max(x1, p[0])
            y0, y1 = min(y0, p[1]), max(y1, p[1])
            z0, z1 = min(z0, p[2]), max(z1, p[2])
        if x1 < low[0]:
            continue
        first_y = max(int(np.floor((y0 - low[1]) / cell[0])), 0)
        last_y = min(int(np.floor((y1 - low[1]) / cell[0])), cells_y - 1)
        first_z = max(int(np.floor((z0 - low[2]) / cell[1])), 0)
        last_z = min(int(np.floor((z1 - low[2]) / cell[1])), cells_z - 1)
        for cy in range(first_y, last_y + 1):
            for cz in range(first_z, last_z + 1):
                index = cy * cells_z + cz
                for q in range(cell_start[index], cell_start[index + 1]):
                    i = order[q]
                    y, z = points[i, 1], points[i, 2]
                    if points[i, 0] > x1 or y < y0 or y > y1 or z < z0 or z > z1:
                        continue
                    # Winding of the projected triangle around the projected point; half-open in z, so that a ray
                    # through a vertex or an edge is counted exactly once.
                    around = 0
                    for k in range(3):
                        a, b = triangle[k], triangle[(k + 1) % 3]
                        if vertices[a, 2] <= z:
                            if vertices[b, 2] > z and _left_of(y, z, a, b, vertices):
                                around += 1
                        elif vertices[b, 2] <= z and not _left_of(y, z, a, b, vertices):
                            around -= 1
                    if around == 0:
                        continue
                    o, u, v = vertices[triangle[0]], vertices[triangle[1]], vertices[triangle[2]]
                    normal = np.cross(u - o, v - o)
                    if normal[0] == 0.0:
                        continue
                    hit = o[0] - (normal[1] * (y - o[1]) + normal[2] * (z - o[2])) / normal[0]
                    if hit > points[i, 0]:
                        winding[i] += around
    return winding


def winding_numbers(points: NDArray, vertices: NDArray, triangles: NDArray) -> NDArray[np.int32]:
    """How often the closed surface winds around each point, shape (k,): 0 outside, 1 inside, 2 in overlaps.

    points: (k, 3); vertices: (n, 3); triangles: (m, 3), outward winding, no open boundary. Same unit throughout.
    """
    points = np.ascontiguousarray(points, np.float64)
    vertices = np.ascontiguousarray(vertices, np.float64)
    triangles = np.ascontiguousarray(triangles, np.int32)
    if len(points) == 0 or len(triangles) == 0:
        return np.zeros(len(points), np.int32)
    low, high = points.min(axis=0), points.max(axis=0)
    count = int(min(max(np.sqrt(len(points)), 1), _MAX_CELLS))
    # Points in one plane (no extent) still need cells of some size.
    cell = np.maximum((high[1:] - low[1:]) / count, 1e-9)
    place = np.minimum(((points[:, 1:] - low[1:]) / cell).astype(np.int64), count - 1)
    index = place[:, 0] * count + place[:, 1]
    order = np.argsort(index, kind="stable")
    cell_start = np.searchsorted(index[order], np.arange(count * count + 1))
    return _count_crossings(points, vertices, triangles, order, cell_start, count, count, low, cell)


def inside_by_crossings(points: NDArray, vertices: NDArray, triangles: NDArray) -> NDArray[np.bool_]:
    """Which points lie inside the closed surface, shape (k,) (winding number at least one)."""
    result = np.zeros(len(points), np.bool_)
    if len(points) == 0 or len(vertices) == 0:
        return result
    near = np.all((points >= vertices.min(axis=0)) & (points <= vertices.max(axis=0)), axis=1)
    result[near] = winding_numbers(points[near], vertices, triangles) > 0
    return result
