# SPDX-License-Identifier: GPL-3.0-or-later
"""Impossible hand motion in captured data: jumps relative to the head, and hands shrunk to nothing.

A hand that jumps did not move there, so it swept nothing on its way; a hand shrunk to nothing is missing.
"""

import numpy as np
from numpy.typing import NDArray

from .frame import TrackedFrame
from .geometry import rigid

# Hand speed of Olympic boxers' punches to the face, mean + one standard deviation, 9.14 + 2.06 m/s (Walilko, Viano and
# Bir 2005, "Biomechanics of the head for Olympic boxer punches to the face"): no hand meets a face faster.
FASTEST_HAND = 11.2  # [m/s]
# Diagonals of the bounding boxes: a newborn's fist is about a fifth of its head.
_LEAST_SIZE = 0.05  # of a hand, relative to the head
_ENOUGH = 500  # vertices that suffice to measure the size and motion of a surface


def shrunk(hand: NDArray, head: NDArray) -> bool:
    """Whether a hand (n, 3) is too small for a head (m, 3) to be real: rigs hide hands with a scale of 0."""
    return _size(_some(hand)) < _LEAST_SIZE * _size(_some(head))


def _some(points: NDArray) -> NDArray:
    return points[:: max(1, len(points) // _ENOUGH)]


def _size(points: NDArray) -> float:
    """Diagonal of the bounding box of points (n, 3) [m]."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def jumped_hands(before: TrackedFrame | None, after: TrackedFrame, duration: float) -> NDArray[np.bool_]:
    """Which hands of the frame, left before right, jumped since `before`, (1 or 2,); none if `before` is None.

    duration: time between the frames [s]. A hand jumps if its median vertex moves faster than `FASTEST_HAND` relative
    to the head, whose own motion is removed by a rigid fit to its vertices: riding in a car is not a jump, nor is a
    cut to another place that moves head and hands together. A head that moves away from its hands makes them jump.
    """
    hands = [(getattr(before, side, None), getattr(after, side)) for side in ("left", "right")]
    jumped = np.zeros(sum(now is not None for _, now in hands), np.bool_)
    if before is None:
        return jumped
    carried = np.eye(4)
    if not np.array_equal(before.head, after.head):
        carried = rigid.fit_rigid(*(_some(head).astype(np.float64) for head in (before.head, after.head)))
    farthest = FASTEST_HAND * duration
    for k, (old, now) in enumerate(pair for pair in hands if pair[1] is not None):
        if old is not None:
            motion = np.linalg.norm(_some(now) - rigid.apply(carried, _some(old).astype(np.float64)), axis=1)
            jumped[k] = motion.max() > farthest and np.median(motion) > farthest
    return jumped
