# SPDX-License-Identifier: GPL-3.0-or-later
"""The boxes around the triangles of a `TriangleTree`: a complete binary tree, fitted to where the surface is.

Node k has the nodes 2 k + 1 and 2 k + 2 below it; the last ones are the leaves.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .vector3 import corner


@njit(cache=True, inline="always")
def leaf_span(leaf, leaves, total):
    """First and last + 1 of the triangles of a leaf, in the order of the tree."""
    return leaf * total // leaves, (leaf + 1) * total // leaves


def of_leaves(
    triangles: NDArray, order: NDArray, leaves: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """The leaf (m,) of each of the triangles (m, 3), and the vertices of each leaf, each once: (first (leaves + 1,),
    ids)."""
    leaf, count = np.empty(len(triangles), np.int32), int(triangles.max()) + 1
    spans = np.diff(np.arange(leaves + 1) * len(triangles) // leaves)
    leaf[order] = np.repeat(np.arange(leaves), spans)
    pairs = np.unique(np.repeat(leaf.astype(np.int64), 3) * count + triangles.ravel())
    first = np.searchsorted(pairs, np.arange(leaves + 1) * count).astype(np.int32)
    return leaf, first, (pairs % count).astype(np.int32)


@njit(cache=True, nogil=True)
def fit(vertices, first, ids, low, high):
    """Fits the boxes low, high (nodes, 3) of all nodes to the vertices (n, 3). first, ids: see `of_leaves`."""
    leaves = len(first) - 1
    for leaf in range(leaves):
        _fit_leaf(leaf, vertices, first, ids, low, high)
    for node in range(leaves - 2, -1, -1):
        _join(node, low, high)


@njit(cache=True, inline="always")
def _fit_leaf(leaf, vertices, first, ids, low, high):
    x0 = y0 = z0 = np.inf
    x1 = y1 = z1 = -np.inf
    for k in range(first[leaf], first[leaf + 1]):
        x, y, z = corner(vertices, ids[k])
        x0, y0, z0 = min(x0, x), min(y0, y), min(z0, z)
        x1, y1, z1 = max(x1, x), max(y1, y), max(z1, z)
    node = len(first) - 2 + leaf
    low[node, 0], low[node, 1], low[node, 2] = x0, y0, z0
    high[node, 0], high[node, 1], high[node, 2] = x1, y1, z1


@njit(cache=True, inline="always")
def _join(node, low, high):
    """The box of a node that is no leaf, from the two below."""
    for d in range(3):
        low[node, d] = min(low[2 * node + 1, d], low[2 * node + 2, d])
        high[node, d] = max(high[2 * node + 1, d], high[2 * node + 2, d])


@njit(cache=True, nogil=True)
def find_moved(before, after, most, out):
    """Writes the vertices that are not where they were (n, 3) to out (n,); returns their number, -1 if more than
    `most`."""
    count = 0
    for v in range(len(after)):
        if before[v, 0] != after[v, 0] or before[v, 1] != after[v, 1] or before[v, 2] != after[v, 2]:
            if count == most:
                return -1
            out[count] = v
            count += 1
    return count


@njit(cache=True, nogil=True)
def fit_moved(moved, vertices, first, ids, start, corners, leaf, stale, low, high):
    """Fits the boxes around vertices that moved (k,). start, corners: rows of the flattened (m, 3) corners per vertex;
    leaf: (m,) of each triangle; stale: (nodes,) all False, also afterwards."""
    leaves = len(first) - 1
    for v in moved:
        for c in range(start[v], start[v + 1]):
            node = leaves - 1 + leaf[corners[c] // 3]
            while not stale[node]:
                stale[node] = True
                if node == 0:
                    break
                node = (node - 1) // 2
    for node in range(2 * leaves - 2, -1, -1):
        if stale[node]:
            stale[node] = False
            if node < leaves - 1:
                _join(node, low, high)
            else:
                _fit_leaf(node - leaves + 1, vertices, first, ids, low, high)
