# SPDX-License-Identifier: GPL-3.0-or-later
"""Point caches: PC2 and MDD hold vertices over time, and no faces."""

import struct
from pathlib import Path

import numpy as np

from .track import Track, refuse, role_of

_PC2 = struct.Struct("<12siiffi")
_MDD = struct.Struct(">ii")


def read_pc2(path: Path) -> Track:
    """'POINTCACHE2\\0', then little-endian version, points, first frame, frames per sample, samples, and float32
    positions. Raises TrackError."""
    data = _read(path, _PC2.size)
    if len(data) < _PC2.size:
        raise refuse(path, "it ends within its header")
    magic, version, points, _start, _rate, samples = _PC2.unpack_from(data)
    if magic != b"POINTCACHE2\0" or version != 1:
        raise refuse(path, "it is not a PC2 file of version 1")
    return _track(path, points, samples, _PC2.size, "<f4", None)


def read_mdd(path: Path) -> Track:
    """Big-endian int32 frames and points, float32 time [s] of each frame, then float32 positions. Raises TrackError."""
    data = _read(path, _MDD.size)
    if len(data) < _MDD.size:
        raise refuse(path, "it ends within its header")
    samples, points = _MDD.unpack_from(data)
    start = _MDD.size + 4 * samples
    track = _track(path, points, samples, start, ">f4", None)
    times = np.fromfile(path, ">f4", samples, offset=_MDD.size)
    step = np.diff(times.astype(np.float64))
    if len(step) and (step > 0).all() and np.ptp(step) < 0.1 * step.mean():
        rate = round(1 / step.mean(), 3)
        return Track(track.name, track.vertices, None, track.role, rate)
    return track


def _read(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise refuse(path, f"it cannot be read ({error.strerror})") from error


def _track(path: Path, points: int, samples: int, start: int, dtype: str, rate: float | None) -> Track:
    present = path.stat().st_size
    if points < 1 or samples < 1 or start + 12 * points * samples != present:
        raise refuse(path, f"its header claims {samples} frames of {points} points, which its {present} bytes are not")
    vertices = np.fromfile(path, dtype, 3 * points * samples, offset=start).astype(np.float32)
    return Track(path.stem, vertices.reshape(samples, points, 3), None, role_of(path.stem), rate)
