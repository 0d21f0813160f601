# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of consecutive frames in which a condition holds."""

import numpy as np
from numpy.typing import NDArray


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First frame of each run of true values in (f,) and the frame after its last one, ascending."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
