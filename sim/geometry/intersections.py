# SPDX-License-Identifier: GPL-3.0-or-later
"""Where triangles of a surface pass through or touch each other."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .triangle_bvh import OVERLAP, TriangleTree, closest_on_triangle, leaf_span, new_stack, next_leaf, start
from .vector3 import triangle_corners

_TOUCH = 1e-6  # surfaces closer than this touch [m]; TetGen would merge or reject them
_PARALLEL = 1e-9  # sine of the angle between a segment and a plane below which rounding dominates


def intersecting_pairs(vertices: NDArray, triangles: NDArray, touch: float = _TOUCH) -> NDArray[np.int32]:
    """Pairs (k, 2) of triangles that intersect or come closer than `touch` [m], other than at vertices they share.

    vertices: (n, 3) [m]; triangles: (m, 3).
    """
    tree = TriangleTree(vertices, triangles)
    pairs = _pairs(tree.vertices, tree.triangles, tree.order, tree.low, tree.high, tree.leaves, touch)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def degenerate(vertices: NDArray, triangles: NDArray, touch: float = _TOUCH) -> NDArray[np.int64]:
    """Triangles whose height is below `touch` [m]: TetGen treats them as segments."""
    p = vertices[triangles]
    longest = np.linalg.norm(p - p[:, [1, 2, 0]], axis=2).max(1)
    area = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1)
    return np.flatnonzero(area <= touch * longest)


@njit(cache=True, nogil=True)
def _crosses(p, q, a, b, c):
    """Whether the segment pq passes through triangle abc (Möller and Trumbore 1997)."""
    r = q - p
    e1, e2 = b - a, c - a
    hx, hy, hz = r[1] * e2[2] - r[2] * e2[1], r[2] * e2[0] - r[0] * e2[2], r[0] * e2[1] - r[1] * e2[0]
    det = e1[0] * hx + e1[1] * hy + e1[2] * hz
    size = np.sqrt(np.dot(r, r) * np.dot(e1, e1) * np.dot(e2, e2))
    if abs(det) <= _PARALLEL * size:  # coplanar: detected by touching end points, not by crossings
        return False
    s = p - a
    u = (s[0] * hx + s[1] * hy + s[2] * hz) / det
    if u < 0.0 or u > 1.0:
        return False
    gx, gy, gz = s[1] * e1[2] - s[2] * e1[1], s[2] * e1[0] - s[0] * e1[2], s[0] * e1[1] - s[1] * e1[0]
    v = (r[0] * gx + r[1] * gy + r[2] * gz) / det
    if v < 0.0 or u + v > 1.0:
        return False
    t = (e2[0] * gx + e2[1] * gy + e2[2] * gz) / det
    return 0.0 <= t <= 1.0


@njit(cache=True, nogil=True)
def _near(p, a, b, c, limit):
    u, v, w = closest_on_triangle(p, a, b, c)
    total = 0.0
    for d in range(3):
        difference = u * a[d] + v * b[d] + w * c[d] - p[d]
        total += difference * difference
    return total < limit


@njit(cache=True, nogil=True)
def _meet(vertices, s, t, touch):
    """Whether triangles s and t (3,) meet anywhere but at their shared vertices."""
    for one, two in ((s, t), (t, s)):
        a, b, c = vertices[two[0]], vertices[two[1]], vertices[two[2]]
        for k in range(3):
            i, j = one[k], one[(k + 1) % 3]
            i_shared = i == two[0] or i == two[1] or i == two[2]
            j_shared = j == two[0] or j == two[1] or j == two[2]
            if not i_shared and _near(vertices[i], a, b, c, touch * touch):
                return True
            if not i_shared and not j_shared and _crosses(vertices[i], vertices[j], a, b, c):
                return True
    return False


@njit(cache=True, nogil=True)
def _pairs(vertices, triangles, order, low, high, leaves, touch):
    found = np.empty((256, 2), np.int32)
    count = 0
    total, stack = len(order), new_stack()
    for s in range(len(triangles)):
        box_low, box_high = _box(vertices, triangles, s, touch)
        top = start(OVERLAP, box_low, box_high, low, high, stack)
        while True:
            leaf, top = next_leaf(OVERLAP, box_low, box_high, 0.0, low, high, leaves, stack, top)
            if leaf < 0:
                break
            first, end = leaf_span(leaf, leaves, total)
            for k in range(first, end):
                t = order[k]
                if t <= s:
                    continue
                other_low, other_high = _box(vertices, triangles, t, 0.0)
                apart = False
                for d in range(3):
                    apart = apart or other_low[d] > box_high[d] or other_high[d] < box_low[d]
                if apart or not _meet(vertices, triangles[s], triangles[t], touch):
                    continue
                if count == len(found):
                    larger = np.empty((2 * count, 2), np.int32)
                    larger[:count] = found
                    found = larger
                found[count, 0], found[count, 1] = s, t
                count += 1
    return found[:count].copy()


@njit(cache=True, nogil=True)
def _box(vertices, triangles, t, margin):
    """Lowest and highest corner of the bounding box of triangle t."""
    a, b, c = triangle_corners(vertices, triangles, t)
    low = (min(a[0], b[0], c[0]) - margin, min(a[1], b[1], c[1]) - margin, min(a[2], b[2], c[2]) - margin)
    high = (max(a[0], b[0], c[0]) + margin, max(a[1], b[1], c[1]) + margin, max(a[2], b[2], c[2]) + margin)
    return low, high
