# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that fade along a surface."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from .mending import weld_seams
from .topology import unique_edges


def fading(vertices: NDArray, triangles: NDArray, inside: NDArray, length: float) -> NDArray[np.float64]:
    """1 at the vertices `inside` (k,), falling smoothly to 0 within `length` along the surface, (n,).

    vertices: (n, 3); triangles: (m, 3). Seams are no borders. Pieces that hang on nothing inside have 0.
    """
    welded, _, stands_for = weld_seams(vertices, triangles)
    edges = unique_edges(welded)[0]
    long = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = csr_matrix((np.maximum(long, 1e-12), edges.T), shape=(len(vertices),) * 2)
    start = np.unique(stands_for[inside])
    distance = dijkstra(graph, directed=False, indices=start, min_only=True, limit=length)[stands_for]
    distance[inside] = 0.0
    left = np.clip(1.0 - distance / length, 0.0, 1.0)
    return np.asarray(left * left * (3.0 - 2.0 * left))
