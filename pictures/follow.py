# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras that follow the contact, chosen from all methods together so that none is shown more favourably."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..sim.measure import rigid_rotation
from .camera import focus
from .contact_sheet import Framing
from .raster import Light, View
from .video import smooth_cameras

# The close-up takes this long to follow [s]: contact that starts or ends does not jerk the picture.
_FOLLOW_SECONDS = 0.8
_CONTACT = 0.5e-3  # [m] skin displaced less is not worth following
# Close-ups of moving pictures show more than those of the sheets: the hand must be seen coming.
_WIDER = 1.2


@dataclass(frozen=True)
class Cameras:
    """View and light of each frame, of the whole head and close to the contact."""

    wide: list[tuple[View, Light]]
    close: list[tuple[View, Light]]


class ContactPath:
    """Collects where on the head contact is, frame by frame, relative to the head."""

    def __init__(self) -> None:
        self._first: NDArray | None = None
        self._rotations: list[NDArray] = []
        self._middles: list[NDArray] = []
        self._centres: list[NDArray] = []  # in the head's orientation, from its middle; NaN without contact
        self.largest: list[float] = []  # mean displacement over the methods where it is largest [m]

    def add(self, tracked: NDArray, skins: Sequence[NDArray]) -> None:
        """Adds a frame: tracked head (n, 3) and what each method makes of it."""
        tracked = np.asarray(tracked, np.float64)
        self._first = tracked if self._first is None else self._first
        rotation, middle = rigid_rotation(self._first, tracked), tracked.mean(axis=0)
        displacement = mean_displacement(tracked, skins)
        centre = np.full(3, np.nan)
        if displacement.max() > _CONTACT:
            centre = rotation.T @ (focus(tracked, displacement)[0] - middle)
        self._rotations.append(rotation)
        self._middles.append(middle)
        self._centres.append(centre)
        self.largest.append(float(displacement.max()))

    def cameras(
        self, framings: dict[int, Framing], frame_rate: float, wide: tuple[int, int], close: tuple[int, int]
    ) -> Cameras:
        """The cameras of all frames; framings: of the frames (by index) of the strongest contacts; sizes in pixels."""
        count = len(self.largest)
        near = {
            k: replace(
                f,
                direction=f.close_direction,
                centre=f.close_centre,
                height=_WIDER * f.close_height,
                light=f.close_light,
            )
            for k, f in framings.items()
        }
        follow = smooth_cameras(near, count, frame_rate, close)
        centres = self._smoothed(frame_rate)
        if centres is not None:
            follow = [
                (replace(view, centre=self._middles[k] + self._rotations[k] @ centres[k]), light)
                for k, (view, light) in enumerate(follow)
            ]
        return Cameras(smooth_cameras(framings, count, frame_rate, wide), follow)

    def _smoothed(self, frame_rate: float) -> NDArray[np.float64] | None:
        """Centres (f, 3), those of the nearest frame with contact where there is none; None without any contact."""
        centres = np.array(self._centres)
        known = np.flatnonzero(np.isfinite(centres[:, 0]))
        if not len(known):
            return None
        filled = centres[known[np.abs(np.arange(len(centres))[:, None] - known).argmin(axis=1)]]
        spread = max(1, round(0.5 * _FOLLOW_SECONDS * frame_rate))
        window = np.hanning(2 * spread + 1)
        padded = np.pad(filled, ((spread, spread), (0, 0)), mode="edge")
        return np.stack([np.convolve(padded[:, d], window / window.sum(), mode="valid") for d in range(3)], axis=1)


def mean_displacement(tracked: NDArray, skins: Sequence[NDArray]) -> NDArray[np.float64]:
    """How far the methods move each vertex on average, (n,) [m]."""
    return np.mean([np.linalg.norm(skin - tracked, axis=1) for skin in skins], axis=0)
