# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network is told about each control: its own state and field, the same of its surroundings, and its place.

For a control: depth, mean depth and area of the hand in the tracked skin, change of the depth; of the skin as it was
left, nearness of the hand, the way out of it where it lies inside, its motion, and how far the skin lags behind it;
displacement and its last change in the control's own frame; then, for each neighbourhood width and each moment (weight,
along x, along y), the same gathered over the neighbours; then what never changes, and the frame's duration.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact_field import AREA, CHANNELS, DEPTH, MEAN, MOTION, NEAR, NORMAL
from .controls import STATIC, WIDTHS, Controls
from .distance_grid import MARGIN as _MARGIN

PRESENT = 5 + 3 * 3  # the first of a control's own features: what the hands do
OWN = PRESENT + 2 * 3
GATHERED = 3 + 3 * 3  # depth, area, nearness, way out (3), lag (3), displacement (3)
MOMENTS = 3 * len(WIDTHS)
MARGIN = np.float32(_MARGIN)
COUNT = OWN + MOMENTS * GATHERED + len(STATIC) + 1
# Lengths [m] by which depths, motions, displacements and their changes are divided; a frame of 1/24 s counts as 1.
DEPTH_UNIT, MOTION_UNIT, STATE_UNIT, CHANGE_UNIT, FRAME_UNIT = 5e-3, 3e-3, 5e-3, 2e-3, 1 / 24


class Features:
    """Computes the rows of the features for chosen controls."""

    def __init__(self, controls: Controls, frame_rate: float):
        near = controls.neighbours
        self._arguments = (
            near[0].start, near[0].index, near[0].moments, near[1].start, near[1].index, near[1].moments,
            np.ascontiguousarray(controls.frames, np.float32),
        )  # fmt: skip
        duration = np.full((len(controls), 1), 1 / (frame_rate * FRAME_UNIT))
        self._packed = np.zeros((len(controls), GATHERED), np.float32)
        self._told = np.zeros(len(controls), np.bool_)
        self._constant = np.concatenate([controls.static, duration], axis=1).astype(np.float32)

    def rows(
        self,
        active: NDArray[np.int32],
        field: NDArray[np.float32],
        depth_before: NDArray[np.float32],
        lag: NDArray[np.float32],
        state: NDArray[np.float32],
        change: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Features (m, COUNT) of the active controls (m,), written into the first rows of `out`.

        field: (k, CHANNELS) as `ContactField` leaves it; depth_before: (k,) its depths in the last frame [m]; lag:
        (k, 3) as `lag.lead` leaves it [m]; state, change: (k, 3) displacement and its last change in the cranium's
        frame [m].
        """
        _pack(field, lag, state, self._packed, self._told)
        _gather(
            active, field, depth_before, lag, state, change, self._packed, self._told, self._constant,
            *self._arguments, out,
        )  # fmt: skip
        return out[: len(active)]


@njit(cache=True, fastmath=True, error_model="numpy")
def _gather(
    active, field, depth_before, lag, state, change, packed, told, constant,
    start1, index1, moments1, start2, index2, moments2, frames, out,
):  # fmt: skip
    sums = np.empty((MOMENTS, GATHERED), np.float32)
    for row in range(len(active)):
        i = active[row]
        f = frames[i]
        x = out[row]
        x[0] = field[i, 0] / DEPTH_UNIT
        x[1] = field[i, 1] / DEPTH_UNIT
        x[2] = field[i, 2]
        x[3] = (field[i, 0] - depth_before[i]) / CHANGE_UNIT
        x[4] = field[i, 3] / DEPTH_UNIT
        inside = max(field[i, 3] - MARGIN, np.float32(0))
        for a in range(3):
            p, m, g, s, c = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for d in range(3):
                p += f[a, d] * field[i, 4 + d]
                m += f[a, d] * field[i, 7 + d]
                g += f[a, d] * lag[i, d]
                s += f[a, d] * state[i, d]
                c += f[a, d] * change[i, d]
            x[5 + a] = inside * p / CHANGE_UNIT
            x[8 + a] = m / MOTION_UNIT
            x[11 + a] = g / MOTION_UNIT
            x[14 + a] = s / STATE_UNIT
            x[17 + a] = c / CHANGE_UNIT
        sums[:] = 0.0
        for e in range(start1[i], start1[i + 1]):
            if told[index1[e]]:
                _add(sums, 0, moments1[e], packed[index1[e]])
        for e in range(start2[i], start2[i + 1]):
            if told[index2[e]]:
                _add(sums, 3, moments2[e], packed[index2[e]])
        o = OWN
        for k in range(MOMENTS):
            x[o] = sums[k, 0] / DEPTH_UNIT
            x[o + 1] = sums[k, 1]
            x[o + 2] = sums[k, 2] / DEPTH_UNIT
            for a in range(3):
                p, m, s = np.float32(0), np.float32(0), np.float32(0)
                for d in range(3):
                    p += f[a, d] * sums[k, 3 + d]
                    m += f[a, d] * sums[k, 6 + d]
                    s += f[a, d] * sums[k, 9 + d]
                x[o + 3 + a] = p / CHANGE_UNIT
                x[o + 6 + a] = m / MOTION_UNIT
                x[o + 9 + a] = s / STATE_UNIT
            o += GATHERED
        for d in range(constant.shape[1]):
            x[o + d] = constant[i, d]


@njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _add(sums, first, moment, values):
    for k in range(3):
        w = moment[k]
        for g in range(GATHERED):  # side by side in memory: one vector instruction takes several
            sums[first + k, g] += w * values[g]


@njit(cache=True, fastmath=True, error_model="numpy")
def _pack(field, lag, state, packed, told):
    """What a control tells those around it, (k, GATHERED), and whether it has anything to tell."""
    for i in range(len(field)):
        told[i] = field[i, 2] != 0 or field[i, 3] != 0 or state[i, 0] != 0 or state[i, 1] != 0 or state[i, 2] != 0
        if not told[i]:
            continue
        inside = max(field[i, 3] - MARGIN, np.float32(0))
        packed[i, 0], packed[i, 1], packed[i, 2] = field[i, 0], field[i, 2], field[i, 3]
        for d in range(3):
            packed[i, 3 + d] = inside * field[i, 4 + d]
            packed[i, 6 + d] = lag[i, d]
            packed[i, 9 + d] = state[i, d]


# `_gather` and `_pack` count on this order.
assert (DEPTH, MEAN, AREA, NEAR, NORMAL, MOTION, CHANNELS) == (0, 1, 2, 3, 4, 7, 10)
