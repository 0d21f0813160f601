# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions that cover a sphere."""

import numpy as np
from numpy.typing import NDArray


def sphere_directions(count: int) -> NDArray[np.float64]:
    """Unit vectors (count, 3), evenly spread without randomness: a Fibonacci sphere."""
    k = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    return np.column_stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)])
