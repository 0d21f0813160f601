# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a quad mesh along edge loops."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def edge_loop(quads: NDArray, first: int, second: int) -> list[int]:
    """The closed loop of edges that goes straight on at every vertex of four edges, starting first → second.

    Raises ValueError where the loop meets a vertex with another number of edges.
    """
    faces: dict[int, list[set[int]]] = {}
    for quad in quads.tolist():
        for v in quad:
            faces.setdefault(v, []).append(set(quad))
    loop = [first, second]
    while True:
        before, here = loop[-2:]
        around = faces[here]
        if len(around) != 4:
            raise ValueError(f"The loop of edge {first}-{second} ends at vertex {here}.")
        beside = set().union(*(f for f in around if before in f))
        # An edge neighbour lies in two of the four faces; the one that goes straight on is in neither face of `before`.
        onward = [v for v in set().union(*around) - beside if sum(v in f for f in around) == 2]
        if onward == [first]:
            return loop
        loop.append(onward[0])


def part_beyond(quads: NDArray, loop: list[int], seed: int) -> NDArray[np.bool_]:
    """Which quads (m,) lie on that side of a loop where the vertex `seed` is; the loop becomes the rim."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges.sort(axis=1)
    key = edges[:, 0].astype(np.int64) * (int(quads.max()) + 1) + edges[:, 1]
    cut = np.sort(np.stack([loop, np.roll(loop, -1)], axis=-1), axis=1)
    cut_key = cut[:, 0].astype(np.int64) * (int(quads.max()) + 1) + cut[:, 1]
    face = np.repeat(np.arange(len(quads)), 4)
    order = np.argsort(key, kind="stable")
    key, face = key[order], face[order]
    shared = (key[1:] == key[:-1]) & ~np.isin(key[1:], cut_key)
    a, b = face[1:][shared], face[:-1][shared]
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(quads), len(quads)))
    label = connected_components(graph, directed=False)[1]
    return label == label[np.flatnonzero((quads == seed).any(1))[0]]


def triangulate(vertices: NDArray, quads: NDArray) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Two triangles a quad along its shorter diagonal, (2m, 3), and their corners' places in the quad, (2m, 3)."""
    first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
    second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
    corners = np.where((first <= second)[:, None, None], [[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 2, 3]]).reshape(-1, 3)
    triangles = np.take_along_axis(np.repeat(quads, 2, axis=0), corners, axis=1)
    return triangles.astype(np.int32), corners.astype(np.int32)
