# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrated cameras: from files, and the rays in the world that image points lie on.

OpenCV's convention throughout: x to the right, y down, z into the picture; x_camera = rotation · x_world + translation.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tracks.track import refuse
from .rotations import exp

LARGEST = 1 << 24  # [bytes] of a calibration; hundreds of cameras have some kilobytes
_ADVICE = "Give each camera a table with `matrix` and `size`, as docs/fitting.md shows."
_ROUNDS = 20  # of the fixed point that removes lens distortion; strong ones need about ten
_NORMALISED = 4.0  # points that all lie within so many image sizes, and no pixels further, are shares of the image


@dataclass(frozen=True)
class Camera:
    """size: (width, height) [px]; matrix: (3, 3) [px]; distortion: (5,) k1, k2, p1, p2, k3 (Brown 1966); rotation
    (3, 3) and translation (3,) [m]. placed: whether these two are known."""

    name: str
    size: tuple[float, float]
    matrix: NDArray[np.float64]
    distortion: NDArray[np.float64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    placed: bool = True

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) in the world [m]."""
        return -self.rotation.T @ self.translation

    @property
    def focal(self) -> float:
        """Mean of both focal lengths [px]."""
        return float((self.matrix[0, 0] + self.matrix[1, 1]) / 2)

    def project(self, points: NDArray) -> NDArray[np.float64]:
        """Pixels (…, 2) of points (…, 3) [m] of the world."""
        seen = points @ self.rotation.T + self.translation
        bent = self._bend(seen[..., :2] / seen[..., 2:])
        return np.concatenate([bent, np.ones((*bent.shape[:-1], 1))], -1) @ self.matrix[:2].T

    def directions(self, pixels: NDArray) -> NDArray[np.float64]:
        """Unit directions (…, 3) in the world of pixels (…, 2); NaN stays NaN."""
        ideal = (pixels - self.matrix[:2, 2]) @ np.linalg.inv(self.matrix[:2, :2]).T
        straight = ideal
        for _ in range(_ROUNDS if self.distortion.any() else 0):
            straight = straight + ideal - self._bend(straight)
        rays = np.concatenate([straight, np.ones((*straight.shape[:-1], 1))], -1) @ self.rotation
        return rays / np.linalg.norm(rays, axis=-1, keepdims=True)

    def pixels(self, points: NDArray) -> NDArray[np.float64]:
        """Points (…, 2) in pixels, whether they were given as such or as shares of the image, as MediaPipe does."""
        known = points[np.isfinite(points)]
        return points * self.size if len(known) and np.abs(known).max() < _NORMALISED else points

    def moved(self, frame: NDArray, scale: float) -> "Camera":
        """The camera after the world's points were scaled and then moved by a rigid (4, 4)."""
        rotation = self.rotation @ frame[:3, :3].T
        return replace(
            self, rotation=rotation, translation=scale * self.translation - rotation @ frame[:3, 3], placed=True
        )

    def _bend(self, straight: NDArray) -> NDArray[np.float64]:
        k1, k2, p1, p2, k3 = self.distortion
        x, y = straight[..., 0], straight[..., 1]
        r = x * x + y * y
        radial = 1 + r * (k1 + r * (k2 + r * k3))
        return np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x),
                y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y,
            ],
            -1,
        )


def read_cameras(path: Path) -> list[Camera]:
    """The cameras of a calibration in TOML as Anipose and FreeMoCap write it, or the same as JSON. Raises TrackError.

    One table a camera with `matrix` (3, 3) and `size` (width, height) in pixels; optional `name`, `distortions` (4 or
    5), and `rotation` (rotation vector or matrix) with `translation` (3) in metres. Other tables are passed over. A
    single camera may lack its place; several may not.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MB")
        text = path.read_text(encoding="utf-8")
        whole = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        if isinstance(whole, Mapping) and isinstance(whole.get("cameras"), list | dict):
            whole = whole["cameras"]
        tables = list(whole.items()) if isinstance(whole, Mapping) else list(enumerate(whole))
        cameras = [
            _camera(str(key), table) for key, table in tables if isinstance(table, Mapping) and "matrix" in table
        ]
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise refuse(path, f"it is no calibration of cameras ({reason})", _ADVICE) from error
    if not cameras:
        raise refuse(path, "no camera is in it", _ADVICE)
    if len(cameras) > 1 and not all(camera.placed for camera in cameras):
        missing = next(camera.name for camera in cameras if not camera.placed)
        raise refuse(path, f"camera '{missing}' has no place", "Give each `rotation` and `translation`.")
    if len({camera.name for camera in cameras}) < len(cameras):
        raise refuse(path, "two of its cameras have the same name", "Give each a `name` of its own.")
    return cameras


def _camera(key: str, table: Mapping[str, Any]) -> Camera:
    matrix = _numbers(table, "matrix", (3, 3))
    width, height = _numbers(table, "size", (2,))
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.array_equal(matrix[2], [0, 0, 1]) and width > 0 < height):
        raise ValueError(f"the matrix or the size of camera {key} is no camera's")
    distortion = np.zeros(5)
    name = next((name for name in ("distortions", "distortion") if name in table), None)
    if name:
        given = np.asarray(table[name], np.float64).ravel()
        if len(given) not in (0, 4, 5) or not np.isfinite(given).all():
            raise ValueError(f"{name} of camera {key} are not 4 or 5 numbers")
        distortion[: len(given)] = given
    placed = "rotation" in table and "translation" in table
    rotation, translation = np.eye(3), np.zeros(3)
    if placed:
        turned = np.asarray(table["rotation"], np.float64)
        rotation = exp(_numbers(table, "rotation", (3,))) if turned.ndim == 1 else _numbers(table, "rotation", (3, 3))
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise ValueError(f"the rotation of camera {key} is none")
        translation = _numbers(table, "translation", (3,))
    return Camera(str(table.get("name", key)), (width, height), matrix, distortion, rotation, translation, placed)


def _numbers(table: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(table[name], np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} has shape {array.shape}, or is not of numbers, where {shape} belongs")
    return array
