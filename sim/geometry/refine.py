# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdivision of the skin where its edges are too long, as a sparse matrix: skin = refinement @ head.

Edges are split at their midpoints, level by level; a triangle is cut according to which of its edges are split, so no
T-junctions arise. The original vertices stay first and do not move. New vertices are placed by discrete bi-Laplacian
fairing, so that the refined surface is as smooth as the coarse one suggests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, identity, vstack

from .topology import unique_edges

_MAX_LEVELS = 6  # 2⁶: reduces an edge of 25 cm to 4 mm
_FAIRING_STEPS = 8  # every new vertex has two fixed neighbours, so the iteration converges fast
_DAMPING = 0.5  # of the Jacobi step; stable for the bi-Laplacian, whose rows are not diagonally dominant
_DROP = 1e-3  # weights below this do not move a vertex by a visible amount (10 µm on 10 mm edges)


@dataclass(frozen=True)
class Refinement:
    """matrix: csr (n_fine, n); linear: the same with every new vertex at its edge's midpoint, exactly on the coarse
    surface; triangles: (m, 3) fine; parent: (m,) the coarse triangle each fine one lies in."""

    matrix: csr_matrix
    linear: csr_matrix
    triangles: NDArray[np.int32]
    parent: NDArray[np.int32]


def refine(vertices: NDArray, triangles: NDArray, target: NDArray) -> Refinement:
    """Splits edges until none is longer than √2 times its target length.

    vertices: (n, 3) [m]; triangles: (m, 3); target: (n,) desired edge length at each vertex [m]. The target of an
    edge is the mean of its ends'. Splitting at √2 leaves edges between 0.71 and 1.41 of the target.
    """
    vertices = np.asarray(vertices, np.float64)
    count = len(vertices)
    matrix = linear = identity(count, format="csr")
    position, target = vertices, np.asarray(target, np.float64)
    triangles = np.asarray(triangles, np.int32)
    parent = np.arange(len(triangles), dtype=np.int32)
    for _ in range(_MAX_LEVELS):
        edges, of_triangle = unique_edges(triangles)
        length = np.linalg.norm(position[edges[:, 0]] - position[edges[:, 1]], axis=1)
        long = length > np.sqrt(2) * target[edges].mean(1)
        if not long.any():
            break
        long = _worthwhile(length, long, of_triangle)
        middle = _middles(edges[long], len(position))
        triangles, parent = _split(triangles, parent, of_triangle, long, position, middle)
        fixed = len(position)
        linear = (middle @ linear).tocsr()
        target = middle @ target
        matrix = _fair((middle @ matrix).tocsr(), triangles, middle @ position, fixed)
        position = matrix @ vertices
    return Refinement(_rows_sum_to_one(matrix), _rows_sum_to_one(linear), triangles, parent)


def blend(refinement: Refinement, smooth: NDArray) -> csr_matrix:
    """The matrix between the plain midpoints (smooth = 0) and the faired vertices (smooth = 1); smooth: (n_fine,)."""
    weight = np.clip(smooth, 0.0, 1.0)
    return _rows_sum_to_one((diags(weight) @ refinement.matrix + diags(1 - weight) @ refinement.linear).tocsr())


def averaging(triangles: NDArray, count: int) -> csr_matrix:
    """The matrix that averages each vertex with its neighbours."""
    edges, _ = unique_edges(triangles)
    both = np.concatenate([edges, edges[:, ::-1], np.repeat(np.arange(count)[:, None], 2, axis=1)])
    matrix = csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    return (diags(1 / np.asarray(matrix.sum(1)).ravel()) @ matrix).tocsr()


def _worthwhile(length: NDArray, long: NDArray, of_triangle: NDArray) -> NDArray[np.bool_]:
    """Adds the longest edge of every split triangle: bisecting only another edge would create a sliver."""
    longest = of_triangle[np.arange(len(of_triangle)), length[of_triangle].argmax(1)]
    while True:
        grown = long.copy()
        grown[longest[long[of_triangle].any(1)]] = True
        if (grown == long).all():
            return long
        long = grown


def _middles(edges: NDArray, count: int) -> csr_matrix:
    """Rows that keep `count` vertices and add the midpoint of each edge (e, 2)."""
    rows = np.repeat(np.arange(len(edges)), 2)
    half = csr_matrix((np.full(2 * len(edges), 0.5), (rows, edges.ravel())), shape=(len(edges), count))
    return vstack([identity(count, format="csr"), half], format="csr")


def _split(triangles, parent, of_triangle, long, position, middle):
    """Cuts every triangle along its split edges: in 2 (one edge), 3 (two edges, by the shorter diagonal) or 4."""
    number = np.full(len(long), -1, np.int64)
    number[long] = len(position) + np.arange(long.sum())
    corner_middle = number[of_triangle]  # (m, 3) new vertex on the edge from corner k to k + 1, or -1
    where = middle @ position
    pattern = (corner_middle >= 0) @ np.array([1, 2, 4])
    out, origin = [triangles[pattern == 0]], [parent[pattern == 0]]
    for rotation in range(3):
        roll = [rotation, (rotation + 1) % 3, (rotation + 2) % 3]
        one = pattern == (1 << rotation)
        (a, b, c), m = triangles[one][:, roll].T, corner_middle[one, rotation]
        out += [np.column_stack([a, m, c]), np.column_stack([m, b, c])]
        origin += [parent[one]] * 2
        two = pattern == (7 & ~(1 << roll[2]))  # the edges a-b and b-c
        (a, b, c), m, n = triangles[two][:, roll].T, corner_middle[two, roll[0]], corner_middle[two, roll[1]]
        short = np.linalg.norm(where[a] - where[n], axis=1) <= np.linalg.norm(where[m] - where[c], axis=1)
        out.append(np.column_stack([m, b, n]))
        out.append(np.where(short[:, None], np.column_stack([a, m, n]), np.column_stack([a, m, c])))
        out.append(np.where(short[:, None], np.column_stack([a, n, c]), np.column_stack([m, n, c])))
        origin += [parent[two]] * 3
    three = pattern == 7
    (a, b, c), (m, n, o) = triangles[three].T, corner_middle[three].T
    out += [np.column_stack(t) for t in ((a, m, o), (m, b, n), (o, n, c), (m, n, o))]
    origin += [parent[three]] * 4
    return np.concatenate(out).astype(np.int32), np.concatenate(origin).astype(np.int32)


def _fair(matrix: csr_matrix, triangles: NDArray, position: NDArray, fixed: int) -> csr_matrix:
    """Moves the rows from `fixed` on towards Δ²x = 0 by damped Jacobi steps; the rest, and boundaries, stay.

    Δ is the umbrella operator weighted by inverse edge lengths (Fujiwara 1995), which tolerates uneven edges.
    """
    count = len(position)
    edges, of_triangle = unique_edges(triangles)
    weight = 1 / np.maximum(np.linalg.norm(position[edges[:, 0]] - position[edges[:, 1]], axis=1), 1e-9)
    both = np.concatenate([edges, edges[:, ::-1]])
    average = csr_matrix((np.tile(weight, 2), (both[:, 0], both[:, 1])), shape=(count, count))
    total = np.asarray(average.sum(1)).ravel()
    laplacian = (diags(1 / np.where(total > 0, total, 1)) @ average - diags((total > 0).astype(float))).tocsr()
    moving = np.zeros(count, bool)
    moving[fixed:] = True
    moving[edges[np.bincount(of_triangle.ravel(), minlength=len(edges)) != 2]] = False
    free = np.flatnonzero(moving)
    if not len(free):
        return matrix
    bilaplacian = (laplacian @ laplacian)[free]
    diagonal = np.asarray(bilaplacian[np.arange(len(free)), free]).ravel()
    step = diags(_DAMPING / diagonal) @ bilaplacian
    scatter = csr_matrix((np.ones(len(free)), (free, np.arange(len(free)))), shape=(count, len(free)))
    for _ in range(_FAIRING_STEPS):
        matrix = (matrix - scatter @ (step @ matrix)).tocsr()
        matrix.data[np.abs(matrix.data) < _DROP] = 0.0
        matrix.eliminate_zeros()
        matrix = _rows_sum_to_one(matrix)
    return matrix


def _rows_sum_to_one(matrix: csr_matrix) -> csr_matrix:
    """A translation of the head must be a translation of the skin, exactly."""
    result = (diags(1 / np.asarray(matrix.sum(1)).ravel()) @ matrix).tocsr()
    result.sort_indices()
    return result
