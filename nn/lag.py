# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the skin lags behind the hand that touches it, per control: the memory of stick and slip.

While a hand touches a control, the hand's motion adds to the lag and the skin's own motion reduces it; beyond a
certain length the skin slips (Jenkins' element: a spring and a Coulomb slider in series). Skin that sticks has no lag;
skin that slides has the longest lag, towards the hand. A network that has followed a finger too little thus still knows
where the finger wants the skin to be.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact_field import MOTION, NEAR
from .distance_grid import MARGIN

TOUCHING = np.float32(MARGIN - 2e-3)  # of NEAR [m] from which on a hand touches
LONGEST = np.float32(6e-3)  # [m]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def lead(field: NDArray[np.float32], lag: NDArray[np.float32]) -> None:
    """Before a step: adds the motion of the hand in `field` (k, CHANNELS) to `lag` (k, 3) [m], in place."""
    for c in range(len(lag)):
        if field[c, NEAR] < TOUCHING:
            lag[c, 0], lag[c, 1], lag[c, 2] = 0.0, 0.0, 0.0
            continue
        square = np.float32(0)
        for d in range(3):
            lag[c, d] += field[c, MOTION + d]
            square += lag[c, d] * lag[c, d]
        if square > LONGEST * LONGEST:
            scale = LONGEST / np.sqrt(square)
            for d in range(3):
                lag[c, d] *= scale


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def follow(field: NDArray[np.float32], change: NDArray[np.float32], lag: NDArray[np.float32]) -> None:
    """After a step: takes the skin's motion `change` (k, 3) [m] from the lag, in place."""
    for c in range(len(lag)):
        if field[c, NEAR] >= TOUCHING:
            for d in range(3):
                lag[c, d] -= change[c, d]
