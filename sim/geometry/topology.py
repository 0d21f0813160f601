# SPDX-License-Identifier: GPL-3.0-or-later
"""Connectivity of a mesh: edges, neighbours, boundaries, and the elements of each vertex."""

import numpy as np
from numpy.typing import NDArray


def unique_edges(triangles: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The undirected edges (e, 2) and, per triangle, the index of the edge from corner k to k + 1, (m, 3)."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    key = edges[:, 0].astype(np.int64) * (int(triangles.max(initial=0)) + 1) + edges[:, 1]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return edges[first].astype(np.int64), inverse.reshape(3, -1).T


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


def edges_and_hinges(triangles: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges (e, 2), and hinges (h, 4): the two ends of an inner edge, the opposite corner of the triangle in which the
    edge runs in that direction, and that of the other one. An edge of more than two triangles has no hinge."""
    directed = np.concatenate([triangles[:, [0, 1, 2]], triangles[:, [1, 2, 0]], triangles[:, [2, 0, 1]]]).astype(
        np.int64
    )
    n = int(directed.max()) + 1
    key = directed[:, :2].min(axis=1) * n + directed[:, :2].max(axis=1)
    order = np.argsort(key, kind="stable")
    directed = directed[order]
    _, first, count = np.unique(key[order], return_index=True, return_counts=True)
    edges = directed[first, :2]
    one, other = directed[first[count == 2]], directed[first[count == 2] + 1]
    opposed = one[:, 0] == other[:, 1]  # windings agree
    hinges = np.column_stack([one, other[:, 2]])[opposed]
    return np.ascontiguousarray(edges), np.ascontiguousarray(hinges)


def corner_lists(elements: NDArray, n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each of n vertices the rows of the flattened (e, k) elements that refer to it: (start (n + 1,), corners)."""
    flat = elements.ravel()
    order = np.argsort(flat, kind="stable")
    start = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(flat, minlength=n), out=start[1:])
    return start, order.astype(np.int32)


def boundary_loops(triangles: NDArray) -> list[NDArray[np.int64]]:
    """Open boundaries as vertex loops, each in the direction that closes the surface with outward winding.

    A vertex where two holes touch splits its loops there.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in edges}
    successors: dict[int, list[int]] = {}
    for a, b in edges:
        if (int(b), int(a)) not in known:
            successors.setdefault(int(b), []).append(int(a))
    loops = []
    while successors:
        start = next(iter(successors))
        path, position = [start], {start: 0}
        while True:
            here = path[-1]
            after = successors.get(here)
            if not after:
                break
            following = after.pop()
            if not after:
                del successors[here]
            if following in position:
                first = position[following]
                loops.append(np.array(path[first:]))
                for v in path[first + 1 :]:
                    del position[v]
                path = path[: first + 1]
                if following not in successors:
                    break
            else:
                position[following] = len(path)
                path.append(following)
    return loops


def fan_caps(triangles: NDArray) -> NDArray[np.int32]:
    """Triangles that close every open boundary without new vertices, shape (k, 3).

    Each cap is a fan from its loop's first vertex.
    """
    caps = [
        np.column_stack([np.full(len(loop) - 2, loop[0]), loop[1:-1], loop[2:]])
        for loop in boundary_loops(triangles)
        if len(loop) >= 3
    ]
    return np.concatenate(caps).astype(np.int32) if caps else np.zeros((0, 3), np.int32)
