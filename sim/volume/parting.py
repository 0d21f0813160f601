# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts jaw and cranium that touch or intersect: teeth that bite into each other, the joint in its socket.

The jaw gives way downwards and the cranium upwards, smoothly around the places, as if the mouth were a little open.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..geometry.intersections import intersecting_pairs
from ..geometry.solid_angle import winding_number
from ..geometry.triangle_bvh import TriangleTree

_GAP = 0.0012  # between vertex and surface [m]; surfaces in between come a little closer
_STEP, _ROUNDS = 0.0003, 60  # of each bone and round [m]; enough for teeth that overlap by 36 mm
_AROUND = 0.005  # standard deviation of the distance to which neighbours follow [m]: about half a tooth
_REACH = 3 * _AROUND  # further away, nothing follows


def parted(
    bones: list[tuple[NDArray, NDArray]], up: ArrayLike, fixed: tuple[bool, bool] = (False, False)
) -> list[NDArray[np.float64]]:
    """The vertices of jaw and cranium, moved apart along `up` (3,) where they are closer than a gap.

    bones: vertices (b, 3) [m] and triangles, closed, of jaw and cranium. Bones that are apart, and those that are
    `fixed`, are left as they are.
    """
    away = np.asarray(up, float) / np.linalg.norm(up)
    moved = [np.asarray(vertices, float) for vertices, _ in bones]
    for _ in range(_ROUNDS):
        close = _close([(v, t) for v, (_, t) in zip(moved, bones, strict=True)])
        if not any(which.any() and not still for which, still in zip(close, fixed, strict=True)):
            break
        for k, (which, side) in enumerate(zip(close, (-1.0, 1.0), strict=True)):
            if which.any() and not fixed[k]:
                distance = cKDTree(moved[k][which]).query(moved[k], distance_upper_bound=_REACH)[0]
                share = np.exp(-0.5 * (distance / _AROUND) ** 2)  # 0 at infinity, which stands for out of reach
                moved[k] = moved[k] + side * _STEP * share[:, None] * away
    return moved


def touching(surfaces: list[tuple[NDArray, NDArray]]) -> int:
    """How many pairs of triangles of different surfaces (vertices [m], triangles) touch or intersect."""
    return len(_crossing(surfaces))


def _close(bones: list[tuple[NDArray, NDArray]]) -> list[NDArray[np.bool_]]:
    """Which vertices of each of both bones lie in the other one, closer than a gap, or on triangles that meet it."""
    trees = [TriangleTree(vertices, triangles) for vertices, triangles in bones]
    close = []
    for (vertices, _), other in zip(bones, reversed(trees), strict=True):
        distance = other.closest(vertices, _REACH)[0]
        which = distance < _GAP
        near = np.isfinite(distance) & ~which
        which[near] = winding_number(other, vertices[near]) > 0.5
        close.append(which)
    jaw = len(bones[0][1])
    for first, second in _crossing(bones):
        close[0][bones[0][1][first]] = True
        close[1][bones[1][1][second - jaw]] = True
    return close


def _crossing(surfaces: list[tuple[NDArray, NDArray]]) -> NDArray[np.int64]:
    """Pairs (k, 2) of triangles of different surfaces that meet, counted through; that of the earlier surface first."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in surfaces)])
    counts = [len(triangles) for _, triangles in surfaces]
    if np.count_nonzero(counts) < 2:
        return np.zeros((0, 2), np.int64)
    triangles = [np.asarray(t, np.int64) + start for (_, t), start in zip(surfaces, starts, strict=False)]
    pairs = intersecting_pairs(np.concatenate([v for v, _ in surfaces]), np.concatenate(triangles).astype(np.int32))
    pairs = np.sort(pairs, axis=1).astype(np.int64)
    owner = np.repeat(np.arange(len(surfaces)), counts)
    return pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
