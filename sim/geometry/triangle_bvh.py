# SPDX-License-Identifier: GPL-3.0-or-later
"""Closest points, signs and rays on a triangle surface, by a bounding volume hierarchy.

The triangles are sorted along a space-filling curve and put into a complete binary tree, so that the tree is plain
arrays, is built in milliseconds and can be refitted when the surface moves.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray

from ..solver.elasticity import corner_lists
from .pseudonormals import pseudonormal

_LEAF = 4  # triangles a leaf: below that, visiting boxes costs more than testing triangles
_STACK = 64  # a complete tree of 2³⁰ leaves needs 31 entries


class TriangleTree:
    """A triangle surface to ask distances of.

    vertices: (n, 3) [m]; triangles: (m, 3). Vertices may move: `refit`. All answers are the same in every run and for
    every number of threads, because each query is computed on its own.
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
        self.refit(vertices)

    def refit(self, vertices: ArrayLike) -> None:
        """Moves the surface to `vertices` (n, 3) [m], keeping its topology and the shape of the tree."""
        self.vertices = np.ascontiguousarray(vertices, dtype=np.float64)
        _fit(self.vertices, self.triangles, self.order, self.leaves, self.low, self.high)

    def closest(
        self, points: ArrayLike, max_distance: float = np.inf, guess: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """The closest point of the surface to each of `points` (k, 3) [m].

        Returns distance (k,) [m] ≥ 0, triangle (k,), barycentric (k, 3) and sign (k,): +1 outside, -1 inside, from
        angle-weighted pseudonormals (Bærentzen and Aanæs 2005), which is exact on closed surfaces without
        self-intersections. Where nothing lies within `max_distance`: inf, -1, 0 and +1. guess: (k,) a triangle that
        may be near each point, or -1: only makes it faster.
        """
        points = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        return _closest(
            points, np.full(len(points), -1, np.int32) if guess is None else guess, float(max_distance) ** 2,
            self.vertices, self.triangles, self.order, self.low, self.high, self.leaves, self._neighbours, self._start,
            self._corners,
        )  # fmt: skip

    def points_at(self, triangle: NDArray, barycentric: NDArray) -> NDArray[np.float64]:
        """Positions (k, 3) [m] of barycentric coordinates (k, 3) on triangles (k,)."""
        return np.einsum("kc,kcd->kd", barycentric, self.vertices[self.triangles[triangle]])

    def hit(self, origins: ArrayLike, directions: ArrayLike, max_distance: float = np.inf) -> NDArray[np.float64]:
        """Distance (k,) along each ray to its first triangle, inf where none.

        origins, directions: (k, 3); distances are in lengths of the direction, `max_distance` too.
        """
        origins = np.ascontiguousarray(origins, dtype=np.float64).reshape(-1, 3)
        directions = np.ascontiguousarray(np.broadcast_to(directions, origins.shape), dtype=np.float64)
        return _first_hit(
            origins, directions, float(max_distance), self.vertices, self.triangles, self.order, self.low, self.high,
            self.leaves,
        )  # fmt: skip


@njit(cache=True)
def inside_box(points, low, high):
    """Rows of those points (n, 3) that lie strictly within the box from low to high (3,)."""
    rows = np.empty(len(points), np.int64)
    count = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if low[0] < x < high[0] and low[1] < y < high[1] and low[2] < z < high[2]:
            rows[count] = i
            count += 1
    return rows[:count].copy()


@njit(cache=True)
def bounds(points):
    """Lowest and highest coordinates (3,) of points (n, 3)."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(len(points)):
        for d in range(3):
            low[d] = min(low[d], points[i, d])
            high[d] = max(high[d], points[i, d])
    return low, high


def edge_neighbours(triangles: NDArray) -> NDArray[np.int32]:
    """Triangle on the other side of the edge opposite to each corner, shape (m, 3); -1 at a boundary.

    Where more than two triangles share an edge, they are paired in order.
    """
    count = len(triangles)
    edges = np.sort(np.concatenate([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]]), axis=1)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    same = (edges[order[1:]] == edges[order[:-1]]).all(1)
    neighbours = np.full(3 * count, -1, np.int32)
    first, second = order[:-1][same], order[1:][same]
    neighbours[first] = second % count
    neighbours[second] = first % count
    return np.ascontiguousarray(neighbours.reshape(3, count).T)


def curve_order(centres: NDArray) -> NDArray[np.int32]:
    """Order of points along the Morton curve."""
    low = centres.min(0)
    size = max(float((centres.max(0) - low).max()), float(np.finfo(np.float64).tiny))
    cell = ((centres - low) * (1023 / size)).astype(np.uint64)
    code = np.zeros(len(centres), np.uint64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cell[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable").astype(np.int32)


@njit(cache=True, parallel=True)
def _fit(vertices, triangles, order, leaves, low, high):
    count = len(order)
    for leaf in prange(leaves):
        node = leaves - 1 + leaf
        x0 = y0 = z0 = np.inf
        x1 = y1 = z1 = -np.inf
        for k in range(leaf * count // leaves, (leaf + 1) * count // leaves):
            for c in range(3):
                x, y, z = corner(vertices, triangles[order[k], c])
                x0, y0, z0 = min(x0, x), min(y0, y), min(z0, z)
                x1, y1, z1 = max(x1, x), max(y1, y), max(z1, z)
        low[node, 0], low[node, 1], low[node, 2] = x0, y0, z0
        high[node, 0], high[node, 1], high[node, 2] = x1, y1, z1
    for node in range(leaves - 2, -1, -1):
        for d in range(3):
            low[node, d] = min(low[2 * node + 1, d], low[2 * node + 2, d])
            high[node, d] = max(high[2 * node + 1, d], high[2 * node + 2, d])


@njit(cache=True, inline="always")
def corner(values, i):
    """Row i of values (n, 3) as three scalars. A row taken as an array counts its references, and threads that count
    on the same array wait for each other."""
    return values[i, 0], values[i, 1], values[i, 2]


@njit(cache=True)
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


@njit(cache=True)
def to_triangle(p, vertices, triangles, t):
    """Barycentric coordinates of the point of triangle t closest to p, and its squared distance."""
    a, b, c = (
        corner(vertices, triangles[t, 0]),
        corner(vertices, triangles[t, 1]),
        corner(vertices, triangles[t, 2]),
    )
    u, v, w = closest_on_triangle(p, a, b, c)
    x = u * a[0] + v * b[0] + w * c[0] - p[0]
    y = u * a[1] + v * b[1] + w * c[1] - p[1]
    z = u * a[2] + v * b[2] + w * c[2] - p[2]
    return u, v, w, x * x + y * y + z * z


@njit(cache=True)
def box_distance(p, low, high, node):
    """Squared distance of p from the box of a node."""
    x = max(low[node, 0] - p[0], 0.0, p[0] - high[node, 0])
    y = max(low[node, 1] - p[1], 0.0, p[1] - high[node, 1])
    z = max(low[node, 2] - p[2], 0.0, p[2] - high[node, 2])
    return x * x + y * y + z * z


@njit(cache=True, parallel=True)
def _closest(
    points, guess, limit, vertices, triangles, order, low, high, leaves, neighbours, start, corners
):  # fmt: skip
    count = len(points)
    distance = np.full(count, np.inf)
    triangle = np.full(count, -1, np.int32)
    barycentric = np.zeros((count, 3))
    sign = np.ones(count)
    total = len(order)
    for i in prange(count):
        p = corner(points, i)
        best = limit
        stack = np.empty(_STACK, np.int64)
        reach = np.empty(_STACK)
        stack[0] = 0
        reach[0] = box_distance(p, low, high, 0)
        top = 1
        found = -1
        u = v = w = 0.0
        if guess[i] >= 0:
            wa, wb, wc, squared = to_triangle(p, vertices, triangles, guess[i])
            if squared <= best:
                best, found = squared, guess[i]
                u, v, w = wa, wb, wc
        while top > 0:
            top -= 1
            node = stack[top]
            if reach[top] > best:
                continue
            if node >= leaves - 1:
                leaf = node - leaves + 1
                for k in range(leaf * total // leaves, (leaf + 1) * total // leaves):
                    t = order[k]
                    wa, wb, wc, squared = to_triangle(p, vertices, triangles, t)
                    if squared < best or (squared == best and found < 0):
                        best, found = squared, t
                        u, v, w = wa, wb, wc
            else:
                left, right = 2 * node + 1, 2 * node + 2
                near, far = box_distance(p, low, high, left), box_distance(p, low, high, right)
                if near > far:
                    left, right, near, far = right, left, far, near
                if far <= best:
                    stack[top], reach[top] = right, far
                    top += 1
                if near <= best:
                    stack[top], reach[top] = left, near
                    top += 1
        if found < 0:
            continue
        distance[i], triangle[i] = np.sqrt(best), found
        barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = u, v, w
        nx, ny, nz = pseudonormal(vertices, triangles, found, u, v, w, neighbours, start, corners)
        along = 0.0
        for d in range(3):
            q = u * vertices[triangles[found, 0], d] + v * vertices[triangles[found, 1], d]
            q += w * vertices[triangles[found, 2], d]
            along += (p[d] - q) * (nx if d == 0 else ny if d == 1 else nz)
        sign[i] = -1.0 if along < 0.0 else 1.0
    return distance, triangle, barycentric, sign


@njit(cache=True)
def _ray_box(origin, inverse, low, high, limit):
    near, far = 0.0, limit
    for d in range(3):
        t1, t2 = (low[d] - origin[d]) * inverse[d], (high[d] - origin[d]) * inverse[d]
        near = max(near, min(t1, t2))
        far = min(far, max(t1, t2))
    return near <= far


@njit(cache=True, parallel=True)
def _first_hit(origins, directions, limit, vertices, triangles, order, low, high, leaves):
    result = np.full(len(origins), np.inf)
    total = len(order)
    for i in prange(len(origins)):
        o, r = origins[i], directions[i]
        inverse = np.empty(3)
        for d in range(3):
            # A tiny component instead of zero keeps the slab test free of 0 · inf.
            inverse[d] = 1.0 / (r[d] if abs(r[d]) > 1e-300 else 1e-300)
        best = limit
        stack = np.empty(_STACK, np.int64)
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if not _ray_box(o, inverse, low[node], high[node], best):
                continue
            if node < leaves - 1:
                stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
                top += 2
                continue
            leaf = node - leaves + 1
            for k in range(leaf * total // leaves, (leaf + 1) * total // leaves):
                t = order[k]
                a = vertices[triangles[t, 0]]
                e1, e2 = vertices[triangles[t, 1]] - a, vertices[triangles[t, 2]] - a
                h = np.cross(r, e2)  # Möller and Trumbore 1997
                det = np.dot(e1, h)
                if det == 0.0:
                    continue
                s = o - a
                u = np.dot(s, h) / det
                q = np.cross(s, e1)
                v = np.dot(r, q) / det
                along = np.dot(e2, q) / det
                if u >= 0.0 and v >= 0.0 and u + v <= 1.0 and 0.0 <= along < best:
                    best = along
                    result[i] = along
    return result
