# SPDX-License-Identifier: GPL-3.0-or-later
"""How deep the two hands are in each other, before and after they yielded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .measure import PenetrationMeter, millimetres


class HandsRecord:
    """Collects the penetration between a left and a right hand over a sequence; before = tracked, after = simulated.

    left, right: (m, 3) triangles of the hands, which stay the same; open wrists are closed as in `PenetrationMeter`.
    Mean, p95 and max are taken over the same set before and after: every (vertex, frame) of either hand that is in the
    other one as tracked or as simulated.
    """

    def __init__(self, left: NDArray, right: NDArray):
        self._meter = PenetrationMeter(left, np.ones(int(np.max(left)) + 1, bool), right)
        self._depths: tuple[list[NDArray], list[NDArray]] = ([], [])

    def add(self, tracked: Sequence[NDArray], simulated: Sequence[NDArray]) -> None:
        """Adds one frame: left (n, 3) and right (k, 3) hand, in the same space, metres."""
        depths = []
        for left, right in (tracked, simulated):
            found = self._meter.measure(left, right)
            depths.append(np.concatenate([found.skin_depth, found.hand_depth]))
        either = (depths[0] > 0) | (depths[1] > 0)
        for kept, depth in zip(self._depths, depths, strict=True):
            kept.append(depth[either])

    def summary(self) -> dict[str, dict[str, float]]:
        """`before` and `after`, each with mean, p95 and max in millimetres and the number of samples."""
        return {
            name: millimetres(np.concatenate([*depths, np.zeros(0)]))
            for name, depths in zip(("before", "after"), self._depths, strict=True)
        }
