# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network is told about each control: its own state and field, the same of its surroundings, and its place.

For a control: depth, mean depth and area of the hand in the tracked skin, change of the depth, depth and area in the
skin as it was left, motion of the hand, displacement and its last change in the control's own frame; then, for each
neighbourhood width and each moment (weight, along x, along y), both depths and areas, motion × area and displacement
gathered over the neighbours; then what never changes, and the frame's duration.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact_field import AREA, CHANNELS, DEPTH, LEFT_AREA, LEFT_DEPTH, MEAN, MOTION
from .controls import STATIC, WIDTHS, Controls

PRESENT = 4 + 2 + 3  # the first of a control's own features: what the hands do
OWN = PRESENT + 2 * 3
GATHERED = 4 + 2 * 3  # depth, area, both of the skin as it was left, motion × area (3), displacement (3)
MOMENTS = 3 * len(WIDTHS)
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
        self._constant = np.concatenate([controls.static, duration], axis=1).astype(np.float32)

    def rows(
        self,
        active: NDArray[np.int32],
        field: NDArray[np.float32],
        depth_before: NDArray[np.float32],
        state: NDArray[np.float32],
        change: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Features (m, COUNT) of the active controls (m,), written into the first rows of `out`.

        field: (k, CHANNELS) as `ContactField` leaves it; depth_before: (k,) its depths in the last frame [m]; state,
        change: (k, 3) displacement and its last change in the cranium's frame [m].
        """
        _gather(active, field, depth_before, state, change, self._constant, *self._arguments, out)
        return out[: len(active)]


@njit(cache=True, fastmath=True, error_model="numpy")
def _gather(
    active, field, depth_before, state, change, constant,
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
        x[5] = field[i, 4]
        for a in range(3):
            m, s, c = np.float32(0), np.float32(0), np.float32(0)
            for d in range(3):
                m += f[a, d] * field[i, 5 + d]
                s += f[a, d] * state[i, d]
                c += f[a, d] * change[i, d]
            x[6 + a] = m / MOTION_UNIT
            x[9 + a] = s / STATE_UNIT
            x[12 + a] = c / CHANGE_UNIT
        sums[:] = 0.0
        for e in range(start1[i], start1[i + 1]):
            _add(sums, 0, moments1[e], field[index1[e]], state[index1[e]])
        for e in range(start2[i], start2[i + 1]):
            _add(sums, 3, moments2[e], field[index2[e]], state[index2[e]])
        o = OWN
        for k in range(MOMENTS):
            x[o] = sums[k, 0] / DEPTH_UNIT
            x[o + 1] = sums[k, 1]
            x[o + 2] = sums[k, 2] / DEPTH_UNIT
            x[o + 3] = sums[k, 3]
            for a in range(3):
                m, s = np.float32(0), np.float32(0)
                for d in range(3):
                    m += f[a, d] * sums[k, 4 + d]
                    s += f[a, d] * sums[k, 7 + d]
                x[o + 4 + a] = m / MOTION_UNIT
                x[o + 7 + a] = s / STATE_UNIT
            o += GATHERED
        for d in range(constant.shape[1]):
            x[o + d] = constant[i, d]


@njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _add(sums, first, moment, field, state):
    if field[2] == 0.0 and field[4] == 0.0 and state[0] == 0.0 and state[1] == 0.0 and state[2] == 0.0:
        return
    for k in range(3):
        w = moment[k]
        sums[first + k, 0] += w * field[0]
        sums[first + k, 1] += w * field[2]
        sums[first + k, 2] += w * field[3]
        sums[first + k, 3] += w * field[4]
        for d in range(3):
            sums[first + k, 4 + d] += w * field[5 + d] * field[4]
            sums[first + k, 7 + d] += w * state[d]


# `_gather` counts on this order.
assert (DEPTH, MEAN, AREA, LEFT_DEPTH, LEFT_AREA, MOTION, CHANNELS) == (0, 1, 2, 3, 4, 5, 8)
