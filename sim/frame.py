# SPDX-License-Identifier: GPL-3.0-or-later
"""Input and output of one frame, for every mode (physics, network, baseline)."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrackedFrame:
    """The tracked surfaces of one frame, in world space, metres (paper: H_tra, L_tra, R_tra).

    head: (n_head, 3) float32, the character's own head vertices, in the order of the template's first vertices.
    left, right: (n, 3) float32 hand vertices, or None if there is no such hand.
    cranium, jaw: (4, 4) float64 rigid transforms T_C, T_J from the neutral frame to this one, or None without
    a bone (the simulation then fits them to the surface).
    frame: the scene's frame number, for messages only. time: seconds. obstacles: (n, 3) float32 vertices of eyes, teeth
    and tongue that skin is kept off, or None.
    """

    head: NDArray[np.float32]
    left: NDArray[np.float32] | None
    right: NDArray[np.float32] | None
    cranium: NDArray[np.float64] | None = None
    jaw: NDArray[np.float64] | None = None
    frame: int = 0
    time: float = 0.0
    obstacles: NDArray[np.float32] | None = None

    @property
    def hands(self) -> list[NDArray[np.float32]]:
        """The hands that there are."""
        return [hand for hand in (self.left, self.right) if hand is not None]


@dataclass(frozen=True)
class SimulatedFrame:
    """The result of one `step(frame)`.

    skin: (n_skin, 3) float32 world positions of the simulation surface (paper: H_phy); the first n_head rows are the
    character's own vertices. tracked: the same vertices undisturbed (H_tra). contacts: indices of the skin vertices
    in contact. statistics: numbers of this frame by name (ms, iterations, penetration …). obstacles: (k, 3) world
    positions of what the skin was kept off, None if there is nothing such. left, right: (n, 3) world positions of a
    hand's own vertices as resolved, in the order of the tracked ones; None where the hand stays as tracked.
    """

    skin: NDArray[np.float32]
    tracked: NDArray[np.float32]
    contacts: NDArray[np.int32]
    statistics: dict[str, float] = field(default_factory=dict)
    obstacles: NDArray[np.float64] | None = None
    left: NDArray[np.float32] | None = None
    right: NDArray[np.float32] | None = None

    @property
    def yielded(self) -> dict[str, NDArray[np.float32]]:
        """The hands that do not stay as tracked, by side."""
        hands = {"left": self.left, "right": self.right}
        return {side: hand for side, hand in hands.items() if hand is not None}

    def resolved(self, tracked: TrackedFrame) -> TrackedFrame:
        """The tracked frame that this is the result of, with its hands as resolved; itself if all stay as tracked."""
        if not self.yielded:
            return tracked
        left = tracked.left if self.left is None else self.left
        right = tracked.right if self.right is None else self.right
        return replace(tracked, left=left, right=right)
