# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks in the binary pose format of sign language processing (pose-format 0.1 and 0.2), as its public
specification describes it."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .landmarks import COUNTS, Landmarks, group_of
from .track import refuse

LARGEST = 1 << 31  # [bytes] of a file
_VERSIONS = (0.1, 0.2)


class _Reader:
    """Little-endian values, one after another. Reading past the end raises ValueError."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, kind: str) -> float:
        return self.several(kind, 1)[0]

    def several(self, kind: str, count: int) -> tuple:
        layout = f"<{count}{kind}"
        size = struct.calcsize(layout)
        if size > len(self.data) - self.at:
            raise ValueError("it ends too early")
        values = struct.unpack_from(layout, self.data, self.at)
        self.at += size
        return values

    def text(self) -> str:
        length = int(self.take("H"))
        raw = self.several("s", length)[0] if length else b""
        return raw.decode("utf-8")

    def floats(self, *shape: int) -> NDArray[np.float32]:
        size = 4 * int(np.prod([int(n) for n in shape], dtype=object))
        if size > len(self.data) - self.at:
            raise ValueError("it ends too early")
        array = np.frombuffer(self.data, "<f4", size // 4, self.at).reshape(shape)
        self.at += size
        return array


def read_pose(path: Path) -> Landmarks:
    """Hands and face of the first person, in pixels and NaN where the confidence is 0. Raises TrackError.

    Components are known by their names, such as LEFT_HAND_LANDMARKS, and must have as many points as MediaPipe's.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 30} GB")
        reader = _Reader(path.read_bytes())
        version = round(float(reader.take("f")), 3)
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version:g}, where 0.1 and 0.2 are known")
        components, dimensions = _header(reader)
        rate = float(reader.take("H" if version < 0.2 else "f"))
        frames = int(reader.take("H" if version < 0.2 else "I"))
        people = int(reader.take("H"))
        total = sum(count for _, count in components)
        if not (frames and people and total and dimensions >= 2):
            raise ValueError("it holds no points")
        points = reader.floats(frames, people, total, dimensions)[:, 0].astype(np.float64)
        confidence = reader.floats(frames, people, total)[:, 0]
    except (OSError, ValueError, OverflowError, MemoryError, struct.error) as error:
        raise refuse(path, f"it is no file of the pose format ({error})") from error
    points[~(confidence > 0)] = np.nan
    found: dict[str, NDArray[np.float64]] = {}
    start = 0
    for name, count in components:
        group = group_of(name)
        if group and group not in found and count in COUNTS[group] and "world" not in name.lower():
            found[group] = points[:, start : start + count, :3]
        start += count
    if not any(np.isfinite(array).any() for array in found.values()):
        names = ", ".join(f"{name} ({count} points)" for name, count in components[:8])
        raise refuse(path, f"no hand and no face was seen in it; it has {names}")
    return Landmarks(path.stem, found, rate if 0 < rate < 1e5 else None)


def _header(reader: _Reader) -> tuple[list[tuple[str, int]], int]:
    """Names and numbers of points of the components, and how many coordinates a point has."""
    reader.several("H", 3)  # width, height and depth of the image
    components, dimensions = [], 0
    for _ in range(int(reader.take("H"))):
        name, layout = reader.text(), reader.text()
        points, limbs, colours = reader.several("H", 3)
        for _ in range(points):
            reader.text()
        reader.several("H", 2 * limbs + 3 * colours)
        components.append((name, points))
        dimensions = max(dimensions, len(layout) - 1)  # the last letter is the confidence
    return components, dimensions
