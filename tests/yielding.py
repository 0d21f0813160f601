# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for hands that yield: the physics, whose hands are flattened where they are near the head's middle."""

from dataclasses import replace

import numpy as np
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics

DENT = 0.004  # [m] largest displacement of a hand
NEAR = 0.12  # [m] from the middle of the head: hands farther away stay as tracked


def flattened(tracked: TrackedFrame) -> dict[str, np.ndarray]:
    """The hands of a frame, by side: moved away from the middle of the head where they are near it."""
    middle = tracked.head.mean(axis=0, dtype=np.float64)
    found = {}
    for side in ("left", "right"):
        hand = getattr(tracked, side)
        if hand is not None:
            away = hand - middle
            length = np.linalg.norm(away, axis=1, keepdims=True)
            pressed = np.clip((NEAR - length) / 0.02, 0, 1)
            found[side] = (hand + DENT * pressed * away / length).astype(np.float32)
    return found


class YieldingPhysics(Physics):
    """`Physics` whose hands are `flattened` when they yield."""

    def __init__(self, *given, yielding_hands=False, **others):
        super().__init__(*given, **others)
        self.yields = yielding_hands

    def step(self, frame, between=()):
        result = super().step(frame, between)
        return replace(result, **flattened(frame)) if self.yields else result
