# SPDX-License-Identifier: GPL-3.0-or-later
"""The tips of a surface: where it ends in fingers, limbs or ears."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from .mending import main_part, weld_seams
from .topology import unique_edges

# A tip stands out if the way back to where its limb branches off is at least this share of the way from the middle to
# the farthest end: the fingers of a hand with a forearm have 0.2, with less of the arm more, those of a body 0.07.
_STANDS_OUT = 0.15


def count_tips(vertices: NDArray, triangles: NDArray) -> int:
    """How many limbs the largest part of a surface ends in. vertices: (n, 3); triangles: (m, 3)."""
    return len(tips(vertices, triangles))


def tips(vertices: NDArray, triangles: NDArray) -> NDArray[np.int64]:
    """The vertices (k,) in which the limbs of the largest part of a surface end. vertices: (n, 3); triangles: (m, 3).

    Tips are the peaks of the distance along the surface from its middle, as in Hilaga et al., Topology Matching (2001),
    that stand out (topological persistence).
    """
    triangles = weld_seams(vertices, triangles)[0]
    triangles = triangles[main_part(vertices, triangles)]
    used, triangles = np.unique(triangles, return_inverse=True)
    points, triangles = np.asarray(vertices, np.float64)[used], triangles.reshape(-1, 3)
    edges = unique_edges(triangles)[0]
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    graph = csr_matrix((lengths, (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2)
    middle = int(cKDTree(points).query(points[triangles].mean(axis=(0, 1)))[1])
    distance = dijkstra(graph, directed=False, indices=middle)
    return np.asarray(used[_peaks(distance, (graph + graph.T).tocsr())], np.int64)


def _peaks(height: NDArray[np.float64], graph: csr_matrix) -> list[int]:
    """The peaks of a height over a connected graph that stand out: where two hills meet, the lower one ends."""
    least = _STANDS_OUT * height.max()
    hill = np.full(len(height), -1)  # of each vertex so far: its hill's peak, or another vertex of that hill
    peaks = []

    def top(vertex: int) -> int:
        while hill[vertex] != vertex:
            hill[vertex] = hill[hill[vertex]]
            vertex = hill[vertex]
        return vertex

    for vertex in np.argsort(-height, kind="stable").tolist():
        around = graph.indices[graph.indptr[vertex] : graph.indptr[vertex + 1]]
        tops = sorted({top(v) for v in around.tolist() if hill[v] >= 0}, key=lambda v: -height[v])
        hill[vertex] = tops[0] if tops else vertex
        for lower in tops[1:]:
            if height[lower] - height[vertex] >= least:
                peaks.append(lower)
            hill[lower] = tops[0]
    return [*peaks, int(np.argmax(height))]
