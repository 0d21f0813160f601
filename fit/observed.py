# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of one part of the body over a take: points in space, or rays of cameras."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .solver import Data
from .triangulation import NEAREST, Rays, triangulate

_SPACE_NOISE, _PIXEL_NOISE = 0.005, 3.0  # [m] and [px] of points, until their residuals say more
_LEAST_SPACE, _LEAST_PIXEL = 0.0003, 0.2  # trackers are not better


@dataclass(frozen=True)
class Observed:
    """numbers: (m,) of the points, as the part counts them; points: (f, m, 3) [m], NaN where not seen, or not by two
    cameras that agree; rays: those of the cameras; agree: (c, f, m) rays that made the points."""

    numbers: NDArray[np.int64]
    points: NDArray[np.float64]
    rays: Rays | None = None
    agree: NDArray[np.bool_] | None = None

    @classmethod
    def of_rays(cls, numbers: NDArray, rays: Rays) -> "Observed":
        points, agree = triangulate(rays)
        return cls(numbers, points, rays, agree)

    @property
    def first_noise(self) -> float:
        return _SPACE_NOISE if self.rays is None else _PIXEL_NOISE

    @property
    def least_noise(self) -> float:
        return _LEAST_SPACE if self.rays is None else _LEAST_PIXEL

    @cached_property
    def in_space(self) -> NDArray[np.bool_]:
        """(f, m): whether the depth of a point is known."""
        return np.isfinite(self.points).all(-1)

    @cached_property
    def alone(self) -> NDArray[np.bool_]:
        """(f, m): whether a single camera saw a point."""
        if self.rays is None:
            return np.zeros(self.points.shape[:2], bool)
        return self.rays.seen.sum(0) == 1

    @cached_property
    def one_view(self) -> bool:
        """Whether nearly nothing is known of depths."""
        return int(self.in_space.sum()) < int(self.alone.sum())

    @property
    def frames(self) -> int:
        return len(self.points)

    def taken(self, rows: NDArray) -> "Observed":
        """Some of the points."""
        rays = None if self.rays is None else self.rays.taken(rows)
        agree = None if self.agree is None else self.agree[:, :, rows]
        return Observed(self.numbers[rows], self.points[:, rows], rays, agree)

    def moved(self, frame: NDArray, scale: float) -> "Observed":
        """After the world was scaled and then moved by a rigid (4, 4)."""
        rotation, shift = frame[:3, :3], frame[:3, 3]
        points = scale * self.points @ rotation.T + shift
        rays = self.rays
        if rays is not None:
            rays = Rays(scale * rays.origin @ rotation.T + shift, rays.direction @ rotation.T, rays.focal)
        return replace(self, points=points, rays=rays)

    @cached_property
    def _known(self) -> NDArray[np.float64]:
        """(f, m, 3, 3) information of the points in space."""
        if self.rays is None:
            return np.eye(3) * self.in_space[..., None, None]
        assert self.agree is not None
        return self.rays.information(np.nan_to_num(self.points), self.agree)[0]

    def data(self, near: NDArray) -> Data:
        """For a noise of one metre or one pixel. near: (f, m, 3) where the points are thought to be.

        A point that one camera saw lies on its ray. What a move along the line of sight changes in the image counts
        nothing, exactly so for points beside the ray as well: else noise would draw everything towards the camera.
        """
        target, information = np.nan_to_num(self.points), self._known
        if self.rays is None or not self.alone.any():
            return Data(target, information)
        information = information.copy()
        frame, point = np.nonzero(self.alone)
        camera = self.rays.seen[:, frame, point].argmax(0)
        d = self.rays.direction[camera, frame, point]
        away = near[frame, point] - self.rays.origin[camera]
        depth = np.maximum((away * d).sum(-1, keepdims=True), NEAREST)
        aside = away - depth * d
        slope = np.eye(3) - (d + aside / depth)[..., :, None] * d[..., None, :]  # (1 − d dᵀ) − aside dᵀ / depth
        slope *= (self.rays.focal[camera, None] / depth)[..., None]
        information[frame, point] = np.swapaxes(slope, -1, -2) @ slope
        target[frame, point] = near[frame, point] - aside
        return Data(target, information)
