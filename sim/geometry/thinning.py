# SPDX-License-Identifier: GPL-3.0-or-later
"""Thins a very fine surface to a subset of its vertices, for uses that need less detail."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .topology import unique_edges


def thin(vertices: NDArray, triangles: NDArray, spacing: float) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The vertices that stay (k,), ascending, and the triangles (m, 3) between them.

    Vertices (n, 3) [m] that stay are at least `spacing` [m] apart along the edges; each of the others joins the
    closest one, and triangles with three different corners remain. Joining along edges contracts connected patches, so
    a closed surface stays closed and touching fingers do not fuse.
    """
    edges, _ = unique_edges(triangles)
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    start = np.searchsorted(both[:, 0], np.arange(len(vertices) + 1))
    length = np.linalg.norm(vertices[both[:, 0]] - vertices[both[:, 1]], axis=1)
    joined = _patches(start, both[:, 1].astype(np.int64), length, spacing)
    kept, number = np.unique(joined, return_inverse=True)
    corners = number.reshape(-1)[triangles]
    whole = (corners != np.roll(corners, 1, axis=1)).all(axis=1)
    corners = corners[whole]
    # Each triangle starts with its smallest corner, so that duplicates are found.
    turn = (np.argmin(corners, axis=1)[:, None] + np.arange(3)) % 3
    return kept, np.unique(np.take_along_axis(corners, turn, axis=1), axis=0).astype(np.int32)


@njit(cache=True, nogil=True)
def _patches(start, neighbour, length, spacing):
    """The vertex that each vertex joins, (n,): in vertex order, one without a patch nearby starts a new patch."""
    n = len(start) - 1
    joined = np.full(n, -1)
    distance = np.full(n, np.inf)
    queue = [0]
    for seed in range(n):
        if joined[seed] >= 0:
            continue
        joined[seed], distance[seed] = seed, 0.0
        queue.clear()
        queue.append(seed)
        k = 0
        while k < len(queue):
            v = queue[k]
            k += 1
            for e in range(start[v], start[v + 1]):
                w, far = neighbour[e], distance[v] + length[e]
                if far < spacing and far < distance[w]:
                    joined[w], distance[w] = seed, far
                    queue.append(w)
    return joined
