# SPDX-License-Identifier: GPL-3.0-or-later
"""The input of the network for each control: its own state and field, those of its surroundings, and its place.

In this order: depth, mean depth, area and change of depth of the hand in the tracked skin; for the skin of the last
frame, how near the hand is, the way out of it where the skin lies inside, its motion, and how far the skin lags behind
it; displacement and its last change, in the control's own frame; the same gathered over the neighbours, for each
neighbourhood width and each moment (weight, along x, along y); what never changes; the frame's duration.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact_field import AREA, CHANNELS, DEPTH, MEAN, MOTION, NEAR, NORMAL
from .controls import STATIC, WIDTHS, Controls, Neighbours
from .distance_grid import MARGIN as _MARGIN

PRESENT = 5 + 3 * 3  # the first of a control's own features: what the hands do
OWN = PRESENT + 2 * 3
GATHERED = 3 + 3 * 3  # depth, area, nearness, way out (3), lag (3), displacement (3)
MOMENTS = 3 * len(WIDTHS)
MARGIN = np.float32(_MARGIN)
_STRIDE = 16  # GATHERED, filled up to whole vectors
COUNT = OWN + MOMENTS * GATHERED + len(STATIC) + 1
# Lengths [m] by which depths, motions, displacements and their changes are divided; a frame of 1/24 s counts as 1.
DEPTH_UNIT, MOTION_UNIT, STATE_UNIT, CHANGE_UNIT, FRAME_UNIT = 5e-3, 3e-3, 5e-3, 2e-3, 1 / 24
# The compiled loops multiply by these, in single precision.
_A_DEPTH, _A_MOTION, _A_STATE, _A_CHANGE = (
    np.float32(1 / u) for u in (DEPTH_UNIT, MOTION_UNIT, STATE_UNIT, CHANGE_UNIT)
)


class Features:
    """Computes the rows of the features for chosen controls."""

    def __init__(self, controls: Controls, frame_rate: float):
        k = len(controls)
        # Few controls contribute: scattering from them is cheaper than gathering for all others.
        self._telling = (*_columns(controls.neighbours[0], k), *_columns(controls.neighbours[1], k))
        self._frames = np.ascontiguousarray(controls.frames, np.float32)
        duration = np.full((k, 1), 1 / (frame_rate * FRAME_UNIT))
        self._constant = np.concatenate([controls.static, duration], axis=1).astype(np.float32)
        self._row = np.full(k, -1, np.int32)
        self._sums = np.zeros((k, MOMENTS, _STRIDE), np.float32)

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
        _gather(active, field, lag, state, *self._telling, self._row, self._sums)
        _write(active, field, depth_before, lag, state, change, self._sums, self._frames, self._constant, out)
        return out[: len(active)]


def _columns(near: Neighbours, count: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The moments by the control that tells instead of the one that is told: start (k + 1,), told (e,), (e, 3)."""
    rows = np.repeat(np.arange(count, dtype=np.int32), np.diff(near.start))
    order = np.argsort(near.index, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(near.index, minlength=count))])
    return start.astype(np.int64), rows[order], near.moments[order]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _gather(active, field, lag, state, start1, told1, moments1, start2, told2, moments2, row, sums):
    """Sums (m, MOMENTS, _STRIDE) of what the controls around the active ones tell."""
    values = np.zeros(sums.shape[2], np.float32)
    for r in range(len(active)):
        row[active[r]] = r
        sums[r] = 0.0
    for i in range(len(field)):
        if field[i, 2] == 0 and field[i, 3] == 0 and state[i, 0] == 0 and state[i, 1] == 0 and state[i, 2] == 0:
            continue
        inside = max(field[i, 3] - MARGIN, np.float32(0))
        values[0], values[1], values[2] = field[i, 0], field[i, 2], field[i, 3]
        for d in range(3):
            values[3 + d] = inside * field[i, 4 + d]
            values[6 + d] = lag[i, d]
            values[9 + d] = state[i, d]
        for e in range(start1[i], start1[i + 1]):
            _add(sums, row[told1[e]], 0, moments1[e, 0], moments1[e, 1], moments1[e, 2], values)
        for e in range(start2[i], start2[i + 1]):
            _add(sums, row[told2[e]], 3, moments2[e, 0], moments2[e, 1], moments2[e, 2], values)
    for r in range(len(active)):
        row[active[r]] = -1


@njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _add(sums, row, first, weight, along_x, along_y, values):
    if row < 0:
        return
    for g in range(sums.shape[2]):
        sums[row, first, g] += weight * values[g]
        sums[row, first + 1, g] += along_x * values[g]
        sums[row, first + 2, g] += along_y * values[g]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _write(active, field, depth_before, lag, state, change, sums, frames, constant, out):
    for row in range(len(active)):
        i = active[row]
        f = frames[i]
        x = out[row]
        x[0] = field[i, 0] * _A_DEPTH
        x[1] = field[i, 1] * _A_DEPTH
        x[2] = field[i, 2]
        x[3] = (field[i, 0] - depth_before[i]) * _A_CHANGE
        x[4] = field[i, 3] * _A_DEPTH
        inside = max(field[i, 3] - MARGIN, np.float32(0))
        for a in range(3):
            p, m, g, s, c = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for d in range(3):
                p += f[a, d] * field[i, 4 + d]
                m += f[a, d] * field[i, 7 + d]
                g += f[a, d] * lag[i, d]
                s += f[a, d] * state[i, d]
                c += f[a, d] * change[i, d]
            x[5 + a] = inside * p * _A_CHANGE
            x[8 + a] = m * _A_MOTION
            x[11 + a] = g * _A_MOTION
            x[14 + a] = s * _A_STATE
            x[17 + a] = c * _A_CHANGE
        o = OWN
        for k in range(MOMENTS):
            told = sums[row, k]
            x[o] = told[0] * _A_DEPTH
            x[o + 1] = told[1]
            x[o + 2] = told[2] * _A_DEPTH
            for a in range(3):
                p, m, s = np.float32(0), np.float32(0), np.float32(0)
                for d in range(3):
                    p += f[a, d] * told[3 + d]
                    m += f[a, d] * told[6 + d]
                    s += f[a, d] * told[9 + d]
                x[o + 3 + a] = p * _A_CHANGE
                x[o + 6 + a] = m * _A_MOTION
                x[o + 9 + a] = s * _A_STATE
            o += GATHERED
        for d in range(constant.shape[1]):
            x[o + d] = constant[i, d]


# `_gather` and `_write` count on this order.
assert (DEPTH, MEAN, AREA, NEAR, NORMAL, MOTION, CHANNELS) == (0, 1, 2, 3, 4, 7, 10)
