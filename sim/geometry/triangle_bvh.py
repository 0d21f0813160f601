# SPDX-License-Identifier: GPL-3.0-or-later
"""Closest points, signs and ray hits on a triangle surface, by a bounding volume hierarchy.

The triangles are sorted along a space-filling curve and put into a complete binary tree, so the tree consists of plain
arrays, is built in milliseconds and can be refitted when the surface moves.
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ... import threads
from .boxes import find_moved, fit, fit_moved, leaf_span, of_leaves
from .pseudonormals import pseudonormal
from .topology import corner_lists, edge_neighbours
from .vector3 import corner, cross, dot, triangle_corners

LEAST_POINTS = 200  # worth another thread: a few tenths of a millisecond
_LEAF = 4  # triangles per leaf: with fewer, visiting boxes costs more than testing triangles
_FEW = 0.1  # share of the vertices up to which it pays to look for those that moved
_SEAM = 1e-9  # of a triangle's size: no ray slips through between two that round differently
_STACK = 64  # a complete tree of 2³⁰ leaves needs 31 entries


class TriangleTree:
    """A triangle surface for distance queries.

    vertices: (n, 3) [m]; triangles: (m, 3). Vertices may move: `refit`. Results are the same in every run and for
    any number of threads, because each query is computed independently.
    """

    def __init__(self, vertices: ArrayLike, triangles: ArrayLike):
        self.triangles = np.ascontiguousarray(triangles, dtype=np.int32).reshape(-1, 3)
        if not len(self.triangles):
            raise ValueError("a distance needs at least one triangle")
        vertices = np.ascontiguousarray(vertices, dtype=np.float64)
        self.order = curve_order(vertices[self.triangles].mean(1))
        self.leaves = 1 << max(0, int(np.ceil(np.log2(len(self.triangles) / _LEAF))))
        self._neighbours = edge_neighbours(self.triangles)
        self._start, self._corners = corner_lists(self.triangles, len(vertices))
        self.low, self.high = np.zeros((2, 2 * self.leaves - 1, 3))
        self._leaf, self._first, self._ids = of_leaves(self.triangles, self.order, self.leaves)
        self._moved = np.empty(len(vertices), np.int64)
        self._stale = np.zeros(2 * self.leaves - 1, np.bool_)
        self.vertices = vertices
        fit(vertices, self._first, self._ids, self.low, self.high)

    def refit(self, vertices: ArrayLike) -> None:
        """Moves the surface to `vertices` (n, 3) [m], keeping its topology and the shape of the tree. Where few of them
        are elsewhere than before, only the boxes around those are fitted anew."""
        before, self.vertices = self.vertices, np.ascontiguousarray(vertices, dtype=np.float64)
        moved = -1
        if not np.may_share_memory(before, self.vertices):  # otherwise nobody knows where they were
            moved = find_moved(before, self.vertices, int(_FEW * len(before)), self._moved)
        if moved < 0:
            fit(self.vertices, self._first, self._ids, self.low, self.high)
        else:
            fit_moved(
                self._moved[:moved], self.vertices, self._first, self._ids, self._start, self._corners, self._leaf,
                self._stale, self.low, self.high,
            )  # fmt: skip

    def closest(
        self, points: ArrayLike, max_distance: float = np.inf, guess: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """The closest point of the surface to each of `points` (k, 3) [m].

        Returns distance (k,) [m] ≥ 0, triangle (k,), barycentric (k, 3) and sign (k,): +1 outside, -1 inside, from
        angle-weighted pseudonormals (Bærentzen and Aanæs 2005), which is exact on closed surfaces without
        self-intersections. If nothing lies within `max_distance`: inf, -1, 0 and +1. guess: (k,) a triangle that may
        be near each point, or -1; it only speeds up the query.
        """
        points = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        count = len(points)
        result = np.empty(count), np.empty(count, np.int32), np.empty((count, 3)), np.empty(count)
        threads.run(
            _closest, threads.parts(count, LEAST_POINTS), points,
            np.full(count, -1, np.int32) if guess is None else guess, float(max_distance) ** 2, self.vertices,
            self.triangles, self.order, self.low, self.high, self.leaves, self._neighbours, self._start, self._corners,
            *result,
        )  # fmt: skip
        return result

    def points_at(self, triangle: NDArray, barycentric: NDArray) -> NDArray[np.float64]:
        """Positions (k, 3) [m] at barycentric coordinates (k, 3) on triangles (k,)."""
        return np.einsum("kc,kcd->kd", barycentric, self.vertices[self.triangles[triangle]])

    def hit(self, origins: ArrayLike, directions: ArrayLike, max_distance: float = np.inf) -> NDArray[np.float64]:
        """Distance (k,) along each ray to its first triangle, inf if none.

        origins, directions: (k, 3); distances, including `max_distance`, are in lengths of the direction.
        """
        origins = np.ascontiguousarray(origins, dtype=np.float64).reshape(-1, 3)
        directions = np.ascontiguousarray(np.broadcast_to(directions, origins.shape), dtype=np.float64)
        result = np.empty(len(origins))
        threads.run(
            _first_hit, threads.parts(len(origins), LEAST_POINTS), origins, directions, float(max_distance),
            self.vertices, self.triangles, self.order, self.low, self.high, self.leaves, result,
        )  # fmt: skip
        return result


@njit(cache=True, nogil=True)
def inside_box(points, low, high):
    """Rows of the points (n, 3) that lie strictly within the box from low to high (3,)."""
    rows = np.empty(len(points), np.int64)
    count = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if low[0] < x < high[0] and low[1] < y < high[1] and low[2] < z < high[2]:
            rows[count] = i
            count += 1
    return rows[:count].copy()


@njit(cache=True, nogil=True)
def bounds(points):
    """Lowest and highest coordinates (3,) of points (n, 3)."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(len(points)):
        for d in range(3):
            low[d] = min(low[d], points[i, d])
            high[d] = max(high[d], points[i, d])
    return low, high


def curve_order(centres: NDArray) -> NDArray[np.int32]:
    """Order of points along the Morton curve."""
    low = centres.min(0)
    size = float((centres.max(0) - low).max()) or 1.0  # all in one point: in any order
    cell = ((centres - low) * (1023 / size)).astype(np.uint64)
    code = np.zeros(len(centres), np.uint64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cell[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable").astype(np.int32)


@njit(cache=True, nogil=True)
def closest_on_triangle(p, a, b, c):
    """Barycentric coordinates of the point of triangle abc closest to p (Ericson 2005, 5.1.5); points of 3 numbers."""
    abx, aby, abz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    acx, acy, acz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    apx, apy, apz = p[0] - a[0], p[1] - a[1], p[2] - a[2]
    d1 = abx * apx + aby * apy + abz * apz
    d2 = acx * apx + acy * apy + acz * apz
    if d1 <= 0.0 and d2 <= 0.0:
        return 1.0, 0.0, 0.0
    bpx, bpy, bpz = p[0] - b[0], p[1] - b[1], p[2] - b[2]
    d3 = abx * bpx + aby * bpy + abz * bpz
    d4 = acx * bpx + acy * bpy + acz * bpz
    if d3 >= 0.0 and d4 <= d3:
        return 0.0, 1.0, 0.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        t = d1 / (d1 - d3) if d1 != d3 else 0.0
        return 1.0 - t, t, 0.0
    cpx, cpy, cpz = p[0] - c[0], p[1] - c[1], p[2] - c[2]
    d5 = abx * cpx + aby * cpy + abz * cpz
    d6 = acx * cpx + acy * cpy + acz * cpz
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 0.0, 1.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        t = d2 / (d2 - d6) if d2 != d6 else 0.0
        return 1.0 - t, 0.0, t
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        width = (d4 - d3) + (d5 - d6)
        t = (d4 - d3) / width if width != 0.0 else 0.0
        return 0.0, 1.0 - t, t
    scale = 1.0 / (va + vb + vc)
    return va * scale, vb * scale, vc * scale


@njit(cache=True, nogil=True)
def to_triangle(p, vertices, triangles, t):
    """Barycentric coordinates of the point of triangle t closest to p, and its squared distance."""
    a, b, c = triangle_corners(vertices, triangles, t)
    u, v, w = closest_on_triangle(p, a, b, c)
    x = u * a[0] + v * b[0] + w * c[0] - p[0]
    y = u * a[1] + v * b[1] + w * c[1] - p[1]
    z = u * a[2] + v * b[2] + w * c[2] - p[2]
    return u, v, w, x * x + y * y + z * z


# Kinds of traversal: what is near a point, what a ray hits, what a box overlaps.
NEAR, HIT, OVERLAP = 0, 1, 2


@njit(cache=True, inline="always")
def _way(kind, p, q, low, high, node):
    """How far the box of a node is, in the metric of the traversal; infinite if it cannot matter.

    NEAR: squared distance from p. HIT: where the ray from p with inverse direction q enters. OVERLAP: 0 if the box
    from p to q overlaps. p, q: three numbers each.
    """
    if kind == NEAR:
        x = max(low[node, 0] - p[0], 0.0, p[0] - high[node, 0])
        y = max(low[node, 1] - p[1], 0.0, p[1] - high[node, 1])
        z = max(low[node, 2] - p[2], 0.0, p[2] - high[node, 2])
        return x * x + y * y + z * z
    enters, leaves = 0.0, np.inf
    for d in range(3):
        if kind == OVERLAP:
            if low[node, d] > q[d] or high[node, d] < p[d]:
                return np.inf
        else:
            one, two = (low[node, d] - p[d]) * q[d], (high[node, d] - p[d]) * q[d]
            enters, leaves = max(enters, min(one, two)), min(leaves, max(one, two))
    return enters if enters <= leaves else np.inf


@njit(cache=True, inline="always")
def new_stack():
    """The nodes that a traversal has yet to visit, and their distances."""
    return np.empty(_STACK, np.int64), np.empty(_STACK)


@njit(cache=True, inline="always")
def start(kind, p, q, low, high, stack):
    """Begins a traversal at the root; returns the height of the stack."""
    stack[0][0], stack[1][0] = 0, _way(kind, p, q, low, high, 0)
    return 1


@njit(cache=True, inline="always")
def next_leaf(kind, p, q, best, low, high, leaves, stack, top):
    """The next leaf that is not further than `best`, the nearer child first; -1 if there is none.

    Returns it with the height of the stack. All traversals of the tree go through here, except the one in
    `solid_angle.py`, which stops at nodes.
    """
    nodes, way = stack
    while top > 0:
        top -= 1
        node = nodes[top]
        if way[top] > best:
            continue
        if node >= leaves - 1:
            return node - leaves + 1, top
        left, right = 2 * node + 1, 2 * node + 2
        near, far = _way(kind, p, q, low, high, left), _way(kind, p, q, low, high, right)
        if near > far:
            left, right, near, far = right, left, far, near
        if far <= best and far < np.inf:
            nodes[top], way[top] = right, far
            top += 1
        if near <= best and near < np.inf:
            nodes[top], way[top] = left, near
            top += 1
    return -1, 0


@njit(cache=True, nogil=True)
def _closest(
    part, parts, points, guess, limit, vertices, triangles, order, low, high, leaves, neighbours, corner_start, corners,
    distance, triangle, barycentric, sign,
):  # fmt: skip
    total, stack = len(order), new_stack()
    for i in range(part * len(points) // parts, (part + 1) * len(points) // parts):
        p = corner(points, i)
        best = limit
        found = -1
        u = v = w = 0.0
        if guess[i] >= 0:
            wa, wb, wc, squared = to_triangle(p, vertices, triangles, guess[i])
            if squared <= best:
                best, found = squared, guess[i]
                u, v, w = wa, wb, wc
        top = start(NEAR, p, p, low, high, stack)
        while True:
            leaf, top = next_leaf(NEAR, p, p, best, low, high, leaves, stack, top)
            if leaf < 0:
                break
            first, end = leaf_span(leaf, leaves, total)
            for k in range(first, end):
                t = order[k]
                wa, wb, wc, squared = to_triangle(p, vertices, triangles, t)
                if squared < best or (squared == best and found < 0):
                    best, found = squared, t
                    u, v, w = wa, wb, wc
        distance[i], triangle[i], sign[i] = np.inf, found, 1.0
        barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = u, v, w
        if found < 0:
            continue
        distance[i] = np.sqrt(best)
        nx, ny, nz = pseudonormal(vertices, triangles, found, u, v, w, neighbours, corner_start, corners)
        along = 0.0
        for d in range(3):
            q = u * vertices[triangles[found, 0], d] + v * vertices[triangles[found, 1], d]
            q += w * vertices[triangles[found, 2], d]
            along += (p[d] - q) * (nx if d == 0 else ny if d == 1 else nz)
        if along < 0.0:
            sign[i] = -1.0


@njit(cache=True, nogil=True)
def _first_hit(part, parts, origins, directions, limit, vertices, triangles, order, low, high, leaves, result):
    total, stack = len(order), new_stack()
    for i in range(part * len(origins) // parts, (part + 1) * len(origins) // parts):
        o, r = corner(origins, i), corner(directions, i)
        # A tiny component instead of zero keeps the slab test free of 0 · inf.
        inverse = (
            1.0 / (r[0] if abs(r[0]) > 1e-300 else 1e-300),
            1.0 / (r[1] if abs(r[1]) > 1e-300 else 1e-300),
            1.0 / (r[2] if abs(r[2]) > 1e-300 else 1e-300),
        )
        best, result[i] = limit, np.inf
        top = start(HIT, o, inverse, low, high, stack)
        while True:
            leaf, top = next_leaf(HIT, o, inverse, best, low, high, leaves, stack, top)
            if leaf < 0:
                break
            first, end = leaf_span(leaf, leaves, total)
            for k in range(first, end):
                along = ray_triangle(o, r, vertices, triangles, order[k])[0]
                if 0.0 <= along < best:
                    best = result[i] = along


@njit(cache=True, nogil=True)
def ray_triangle(o, r, vertices, triangles, t):
    """Where the ray from o along r meets triangle t (Möller and Trumbore 1997): in lengths of r, -1 if it does not,
    and the barycentric coordinates of its second and third corner."""
    a, b, c = triangle_corners(vertices, triangles, t)
    e1, e2 = (b[0] - a[0], b[1] - a[1], b[2] - a[2]), (c[0] - a[0], c[1] - a[1], c[2] - a[2])
    h = cross(r, e2)
    det = dot(e1, h)
    if det == 0.0:
        return -1.0, 0.0, 0.0
    s = (o[0] - a[0], o[1] - a[1], o[2] - a[2])
    u = dot(s, h) / det
    q = cross(s, e1)
    v = dot(r, q) / det
    if u >= -_SEAM and v >= -_SEAM and u + v <= 1.0 + _SEAM:
        return dot(e2, q) / det, u, v
    return -1.0, 0.0, 0.0
