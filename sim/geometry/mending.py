# SPDX-License-Identifier: GPL-3.0-or-later
"""Triangles as they should be: seams of texture maps joined, every face turned outwards."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .surface import triangle_normals
from .topology import boundary_loops, edge_neighbours

# Share of a surface's size within which the two sides of a seam lie: exporters round positions to six digits or so.
_SAME_PLACE = 1e-5
# Volume of a part against its area to the power of 1.5 (a ball has 0.09) from which it has an inside.
_HAS_INSIDE = 0.01


@dataclass(frozen=True)
class Mended:
    """triangles: (m, 3) mended; kept: (m,) the row each had before; welded_to: (n,) the vertex that stands for each
    one; welded, turned: how many vertices were joined and how many faces turned."""

    triangles: NDArray[np.int32]
    kept: NDArray[np.int64]
    welded_to: NDArray[np.int64]
    welded: int
    turned: int

    def notes(self, name: str) -> list[str]:
        """What was done to the surface `name`, for people."""
        notes = []
        if self.welded:
            notes.append(f"'{name}': joined {self.welded} vertices along seams.")
        if self.turned:
            notes.append(f"'{name}': {self.turned} of {len(self.triangles)} faces point inwards and are read turned.")
        return notes


def mend(vertices: NDArray, triangles: NDArray) -> Mended:
    """Joins seams and turns faces outwards. vertices: (n, 3); triangles: (m, 3)."""
    welded, kept, welded_to = weld_seams(vertices, triangles)
    outward, turned = turn_outwards(vertices, welded)
    return Mended(outward, kept, welded_to, int((welded_to != np.arange(len(welded_to))).sum()), int(turned.sum()))


def weld_seams(vertices: NDArray, triangles: NDArray) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Joins open boundaries whose vertices lie on each other, such as the seams of texture maps.

    vertices: (n, 3); triangles: (m, 3). Returns the triangles that keep three corners, with welded numbers, their rows,
    and, per vertex, the one that stands for it (n,): the first. Coincident vertices inside a surface, such as lips that
    touch, stay apart.
    """
    welded_to = np.arange(len(vertices))
    loops = boundary_loops(triangles)
    if loops:
        border = np.unique(np.concatenate(loops))
        points = np.asarray(vertices, np.float64)[border]
        near = cKDTree(points).query_pairs(_SAME_PLACE * float(np.ptp(vertices, axis=0).max()), output_type="ndarray")
        graph = csr_matrix((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(border),) * 2)
        group = connected_components(graph, directed=False)[1]
        first = np.full(group.max() + 1, len(vertices))
        np.minimum.at(first, group, border)
        welded_to[border] = first[group]
    welded = welded_to[triangles].astype(np.int32)
    kept = np.flatnonzero((welded != np.roll(welded, 1, axis=1)).all(1))
    return welded[kept], kept, welded_to


def parts_of(triangles: NDArray, count: int) -> NDArray[np.int32]:
    """The number (m,) of the connected part that each triangle belongs to; count: of vertices."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    graph = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1][triangles[:, 0]]


def main_part(vertices: NDArray, triangles: NDArray) -> NDArray[np.bool_]:
    """Which triangles (m,) belong to the connected part with the largest area; the rest may be eyes, teeth, tongue."""
    part = parts_of(triangles, len(vertices))
    area = np.linalg.norm(triangle_normals(vertices, triangles), axis=1)
    return part == np.bincount(part, area).argmax()


def turn_outwards(vertices: NDArray, triangles: NDArray) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Triangles (m, 3) whose neighbours agree and whose parts have a positive volume, and which were turned (m,).

    Where a part has hardly any volume, as a brow's strip has, the majority of its faces is right.
    """
    triangles = np.ascontiguousarray(triangles, np.int32)
    turned = _disagreeing(triangles, edge_neighbours(triangles))
    part = parts_of(triangles, len(vertices))
    corners = vertices[np.where(turned[:, None], triangles[:, ::-1], triangles)]
    size = np.maximum(np.bincount(part), 1)
    # Seen from its own middle an opening adds nothing to a part's volume, so that it needs no cap.
    middle = np.column_stack([np.bincount(part, corners.mean(axis=1)[:, d]) / size for d in range(3)])
    a, b, c = (corners[:, k] - middle[part] for k in range(3))
    volume = np.bincount(part, np.einsum("ij,ij->i", a, np.cross(b, c))) / 6
    area = np.bincount(part, np.linalg.norm(np.cross(b - a, c - a), axis=1)) / 2
    has_inside = np.abs(volume) > _HAS_INSIDE * area**1.5
    inwards = np.where(has_inside, volume < 0, np.bincount(part, turned) > 0.5 * size)
    turned ^= inwards[part]
    return np.where(turned[:, None], triangles[:, ::-1], triangles), turned


@njit(cache=True, nogil=True)
def _disagreeing(triangles, neighbours):
    """Which triangles to turn so that all agree with the first of their part that was met (m,)."""
    count = len(triangles)
    turned, seen = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    stack = np.empty(count, np.int64)
    for seed in range(count):
        if seen[seed]:
            continue
        stack[0], top, seen[seed] = seed, 1, True
        while top > 0:
            top -= 1
            t = stack[top]
            for k in range(3):
                other = neighbours[t, k]
                if other < 0 or seen[other]:
                    continue
                # They agree where they run along their common edge in opposite directions.
                a, b = triangles[t, (k + 1) % 3], triangles[t, (k + 2) % 3]
                same = False
                for j in range(3):
                    same |= triangles[other, j] == a and triangles[other, (j + 1) % 3] == b
                turned[other] = turned[t] != same
                seen[other] = True
                stack[top] = other
                top += 1
    return turned
