# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts in the motion: a hand that jumps against the head was not moved there, so it swept nothing on its way."""

import numpy as np
from numpy.typing import NDArray

from . import rigid
from .frame import TrackedFrame

# Hand speed of Olympic boxers' punches to the face, mean + one standard deviation, 9.14 + 2.06 m/s (Walilko, Viano and
# Bir 2005, "Biomechanics of the head for Olympic boxer punches to the face"): faster, no hand meets a face.
FASTEST_HAND = 11.2  # [m/s]


def jumped_hands(before: TrackedFrame | None, after: TrackedFrame, duration: float) -> NDArray[np.bool_]:
    """Which of the hands in the frame, left before right, jumped since `before`, (1 or 2,); none without a before.

    duration: time between the frames [s]. A hand jumps when its median vertex moves faster than `FASTEST_HAND` against
    the head, whose own motion is taken out by a rigid fit to all its vertices: riding in a car is no jump, and neither
    is a cut to another place that takes head and hands along. A head that is cut away under its hands makes them jump.
    """
    hands = [(getattr(before, side, None), getattr(after, side)) for side in ("left", "right")]
    jumped = np.zeros(sum(now is not None for _, now in hands), np.bool_)
    if before is None:
        return jumped
    carried = rigid.fit_rigid(before.head.astype(np.float64), after.head.astype(np.float64))
    farthest = FASTEST_HAND * duration
    for k, (old, now) in enumerate(pair for pair in hands if pair[1] is not None):
        if old is not None:
            motion = np.linalg.norm(now - rigid.apply(carried, old.astype(np.float64)), axis=1)
            jumped[k] = np.median(motion) > farthest
    return jumped
