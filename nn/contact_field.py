# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact field: what the hands do at each control of the skin, from tracked surfaces alone.

Every hand vertex near the tracked skin is put down on the controls around its nearest point of the skin: how deep it
lies, how large the hand is there and how it moves along.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..sim.system import vertex_areas
from ..sim.template import Template
from .controls import Controls
from .distance_grid import CELL, MARGIN, DistanceGrid

# Per control: largest depth, mean depth, covered area, mean motion of the hand since the last frame (x, y, z in the
# cranium's frame). Depths count from MARGIN outside the skin, so that 0 means that there is no hand.
DEPTH, MEAN, AREA, MOTION = 0, 1, 2, 3
CHANNELS = 6
_REACH = 0.013  # [m] along the skin from a hand vertex to the controls that feel it
_WIDTH = 0.005  # [m] of the Gaussian they feel it with
_UNIT_AREA = 4e-5  # [m²] of hand that counts as fully covering a control


class ContactField:
    """Computes the field of a frame. triangles: of the hands together; rest: (n, 3) [m] any pose of them, for areas."""

    def __init__(
        self, template: Template, controls: Controls, grid: DistanceGrid, rest: NDArray, triangles: NDArray[np.int32]
    ):
        near = controls.distance.tocsr()
        keep = near.data < _REACH
        rows = np.repeat(np.arange(len(controls)), np.diff(near.indptr))[keep]
        self._start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(controls)))]).astype(np.int64)
        self._index = near.indices[keep].astype(np.int32)
        self._area = (vertex_areas(rest, triangles) / _UNIT_AREA).astype(np.float32)
        self._points = controls.points.astype(np.float32)
        self._grid = grid
        self._low = grid.low.astype(np.float32)
        self.values = np.zeros((len(controls), CHANNELS), np.float32)
        self._touched = np.zeros(len(controls), np.int32)
        self._count = 0
        self.nearest = np.inf  # [m] of a hand vertex to the tracked skin, negative inside, infinite beyond the margin

    def compute(self, hands: NDArray, before: NDArray, moved: NDArray) -> NDArray[np.int32]:
        """Fills `values` (k, CHANNELS) and returns the controls that feel a hand.

        hands, before: (n, 3) float32 [m] hand vertices of this and the last frame in the cranium's frame; moved: (k, 3)
        float32 displacement of the tracked skin at the controls.
        """
        self._count, self.nearest = _splat(
            hands, before, moved, self._low, self._grid.distance, self._grid.control, self._start, self._index,
            self._area, self._points, self.values, self._touched, self._count,
        )  # fmt: skip
        return self._touched[: self._count]


@njit(cache=True, fastmath=True, error_model="numpy")
def _cell(q, low, shape):
    """Lower corner (3) of the cell and fractions (3) in it; -1 outside the grid."""
    x, y, z = (q[0] - low[0]) / CELL, (q[1] - low[1]) / CELL, (q[2] - low[2]) / CELL
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if i < 0 or j < 0 or k < 0 or i >= shape[0] - 1 or j >= shape[1] - 1 or k >= shape[2] - 1:
        return -1, 0, 0, np.float32(0), np.float32(0), np.float32(0)
    return i, j, k, np.float32(x - i), np.float32(y - j), np.float32(z - k)


@njit(cache=True, fastmath=True, error_model="numpy")
def _splat(hands, before, moved, low, distance, control, start, index, area, points, values, touched, count):
    for c in range(count):
        for d in range(CHANNELS):
            values[touched[c], d] = 0.0
    count = 0
    nearest = np.inf
    shape = distance.shape
    q = np.empty(3, np.float32)
    g = np.empty(3, np.float32)
    for v in range(len(hands)):
        for d in range(3):
            q[d] = hands[v, d]
        i, j, k, fx, fy, fz = _cell(q, low, shape)
        if i < 0:
            continue
        near = control[i + (fx > 0.5), j + (fy > 0.5), k + (fz > 0.5)]
        if near < 0:
            continue
        # Where expression and jaw have moved the skin, the hand is looked up where it would be on the neutral skin.
        for d in range(3):
            q[d] -= moved[near, d]
        i, j, k, fx, fy, fz = _cell(q, low, shape)
        if i < 0:
            continue
        near = control[i + (fx > 0.5), j + (fy > 0.5), k + (fz > 0.5)]
        if near < 0:
            continue
        c00 = distance[i, j, k] * (1 - fx) + distance[i + 1, j, k] * fx
        c10 = distance[i, j + 1, k] * (1 - fx) + distance[i + 1, j + 1, k] * fx
        c01 = distance[i, j, k + 1] * (1 - fx) + distance[i + 1, j, k + 1] * fx
        c11 = distance[i, j + 1, k + 1] * (1 - fx) + distance[i + 1, j + 1, k + 1] * fx
        low_z, high_z = c00 * (1 - fy) + c10 * fy, c01 * (1 - fy) + c11 * fy
        value = low_z * (1 - fz) + high_z * fz
        depth = MARGIN - value
        if depth <= 0.0:
            continue
        nearest = min(nearest, value)
        g[2] = high_z - low_z
        g[1] = (c10 - c00) * (1 - fz) + (c11 - c01) * fz
        g[0] = (
            (distance[i + 1, j, k] - distance[i, j, k]) * (1 - fy) * (1 - fz)
            + (distance[i + 1, j + 1, k] - distance[i, j + 1, k]) * fy * (1 - fz)
            + (distance[i + 1, j, k + 1] - distance[i, j, k + 1]) * (1 - fy) * fz
            + (distance[i + 1, j + 1, k + 1] - distance[i, j + 1, k + 1]) * fy * fz
        )
        length = np.sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]) + 1e-9
        for d in range(3):
            q[d] -= value * g[d] / length
        for e in range(start[near], start[near + 1]):
            c = index[e]
            r = 0.0
            for d in range(3):
                r += (points[c, d] - q[d]) ** 2
            w = np.exp(-0.5 * r / (_WIDTH * _WIDTH))
            if values[c, AREA] == 0.0:
                touched[count] = c
                count += 1
            s = w * area[v]
            values[c, AREA] += s + 1e-12
            values[c, DEPTH] = max(values[c, DEPTH], w * depth)
            values[c, MEAN] += s * depth
            deep = s * depth  # deeper parts of the hand lead the skin
            for d in range(3):
                values[c, MOTION + d] += deep * (hands[v, d] - before[v, d])
    for t in range(count):
        c = touched[t]
        for d in range(3):
            values[c, MOTION + d] /= values[c, MEAN] + 1e-9
        values[c, MEAN] /= values[c, AREA]
        values[c, AREA] = values[c, AREA] / (1.0 + values[c, AREA])
    return count, nearest
