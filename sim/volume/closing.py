# SPDX-License-Identifier: GPL-3.0-or-later
"""Closes and repairs a skin: caps over its holes, above all the neck, and a gap where lips or lids touch."""

import numpy as np
from numpy.typing import NDArray

from ..geometry.intersections import intersecting_pairs
from ..geometry.refine import averaging
from ..geometry.surface import vertex_normals
from ..geometry.topology import boundary_loops

GAP = 5e-5  # step by which touching skin is moved apart [m]
_ROUNDS = 6  # of that step: a little more than the 0.2 mm that visible skin may move


def cap_holes(
    vertices: NDArray, triangles: NDArray, edge: float
) -> tuple[NDArray[np.float64], NDArray[np.int32], list[NDArray[np.int64]]]:
    """Closes every open boundary with rings of triangles that shrink towards its centre.

    vertices: (n, 3) [m]; triangles: (m, 3); edge: desired edge length inside the caps [m]. Returns all vertices, the
    given ones first, the triangles of the caps only, (k, 3), and the loops that were closed.
    """
    positions, caps = [np.asarray(vertices, np.float64)], [np.zeros((0, 3), np.int64)]
    count = len(vertices)
    loops = [loop for loop in boundary_loops(triangles) if len(loop) >= 3]
    for loop in loops:
        ring, points = loop, vertices[loop]
        if len(loop) > 3:
            centre = points.mean(0)
            radius = np.linalg.norm(points - centre, axis=1).mean()
            rings = max(1, round(radius / edge))
            for k in range(1, rings):
                # Ragged rims even out towards the centre: each ring is a smoothed, shrunken copy of the rim.
                shrunk = centre + (_smoothed(points, 2 * k) - centre) * (1 - k / rings)
                inner = _resampled(shrunk, edge)
                number = count + np.arange(len(inner))
                caps.append(_stitch(ring, points_of(positions, ring), number, inner))
                positions.append(inner)
                count += len(inner)
                ring = number
            positions.append(centre[None])
            caps.append(np.column_stack([ring, np.roll(ring, -1), np.full(len(ring), count)]))
            count += 1
        else:
            caps.append(loop[None])
    return np.concatenate(positions), np.concatenate(caps).astype(np.int32), loops


def points_of(positions: list[NDArray], numbers: NDArray) -> NDArray:
    """Rows `numbers` of the concatenated blocks `positions`."""
    return np.concatenate(positions)[numbers]


def _smoothed(points: NDArray, steps: int) -> NDArray:
    """A closed polygon (k, 3) after `steps` of averaging with its neighbours."""
    for _ in range(steps):
        points = 0.5 * points + 0.25 * (np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0))
    return points


def _resampled(points: NDArray, edge: float) -> NDArray:
    """A closed polygon (k, 3) with even edges of about `edge` [m], at least 5 of them, with the same start."""
    closed = np.concatenate([points, points[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    number = max(5, round(along[-1] / edge))
    at = along[-1] * np.arange(number) / number
    return np.column_stack([np.interp(at, along, closed[:, d]) for d in range(3)])


def _stitch(outer: NDArray, outer_points: NDArray, inner: NDArray, inner_points: NDArray) -> NDArray[np.int64]:
    """The band of triangles between two closed polygons in the same direction, always by the shorter diagonal."""
    triangles, i, j = [], 0, 0
    n, m = len(outer), len(inner)
    j = int(np.linalg.norm(inner_points - outer_points[0], axis=1).argmin())
    start = j
    while i < n or j < start + m:
        a, b = outer_points[i % n], inner_points[j % m]
        next_a, next_b = outer_points[(i + 1) % n], inner_points[(j + 1) % m]
        advance_outer = j >= start + m or (i < n and np.linalg.norm(next_a - b) <= np.linalg.norm(a - next_b))
        if advance_outer:
            triangles.append((outer[i % n], outer[(i + 1) % n], inner[j % m]))
            i += 1
        else:
            triangles.append((outer[i % n], inner[(j + 1) % m], inner[j % m]))
            j += 1
    return np.array(triangles, np.int64)


def separate(
    vertices: NDArray, triangles: NDArray, limit: NDArray, gap: float = GAP
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Pulls skin that touches or penetrates other skin back into its own flesh.

    vertices: (n, 3) [m]; triangles: (m, 3); limit: (n,) how far each vertex may move [m]; gap: desired between the
    parts [m]. Returns the moved vertices and the pairs of triangles that still meet, (k, 2).
    """
    moved = np.asarray(vertices, np.float64).copy()
    count = len(moved)
    pairs = intersecting_pairs(moved, triangles)
    for _ in range(_ROUNDS):
        if not len(pairs):
            break
        meeting = np.zeros(count)
        meeting[np.unique(triangles[np.unique(pairs)])] = 1.0
        # Neighbours follow in part, so that no step forms at the seam.
        share = np.maximum(meeting, 0.5 * np.minimum(averaging(triangles, count) @ meeting * 3, 1))
        offset = moved - gap * share[:, None] * vertex_normals(moved, triangles) - vertices
        length = np.linalg.norm(offset, axis=1)
        moved = vertices + offset * np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None]
        pairs = intersecting_pairs(moved, triangles)
    return moved, pairs
