# SPDX-License-Identifier: GPL-3.0-or-later
"""Jitter of tracked surfaces, and a low-pass filter without delay that does not blur the moments of contact."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_ORDER = 2  # forwards and backwards: the fourth order that biomechanics uses for markers (Winter 2009)
_NEAR = 0.008  # [m] between vertices of hand and head in contact: half an edge of a coarse mesh
_SHORTEST = 4  # frames; what is shorter cannot be filtered


def jitter(vertices: NDArray) -> float:
    """How far vertices (f, n, 3) jump about a smooth path, RMS in their unit; 0 for fewer than four frames.

    From third differences over time, which smooth motion leaves near zero, and in which independent noise of standard
    deviation s has √20 s.
    """
    if len(vertices) < 4:
        return 0.0
    third = np.diff(vertices.astype(np.float64), 3, axis=0)
    return float(np.sqrt((third**2).sum(2).mean() / 20))


def contact_changes(head: NDArray, hands: Sequence[NDArray]) -> list[int]:
    """Frames in which contact of (f, n, 3) hands with the head begins or ends: the first frame of the new state."""
    touching = np.zeros(len(head), bool)
    for hand in hands:
        for frame, (skin, fingers) in enumerate(zip(head, hand, strict=True)):
            touching[frame] |= bool(cKDTree(skin).query(fingers, distance_upper_bound=_NEAR)[0].min() < _NEAR)
    return [int(k) + 1 for k in np.flatnonzero(touching[1:] != touching[:-1])]


def low_pass(vertices: NDArray, cut_off: float, frame_rate: float, changes: Sequence[int] = ()) -> NDArray[np.float32]:
    """(f, n, 3) filtered by a Butterworth filter, forwards and backwards, so that nothing lags.

    cut_off, frame_rate: [1/s]. changes: frames across which nothing is averaged. Raises ValueError unless the cut-off
    lies between 0 and half the frame rate.
    """
    from scipy.signal import butter, sosfiltfilt  # loads scipy's statistics, which takes a second

    if not 0 < cut_off < 0.5 * frame_rate:
        raise ValueError(f"a cut-off of {cut_off:g} Hz is not between 0 and half the frame rate, {frame_rate / 2:g} Hz")
    sections = butter(_ORDER, cut_off / (0.5 * frame_rate), output="sos")
    result = vertices.astype(np.float32)
    for start, end in zip([0, *changes], [*changes, len(vertices)], strict=True):
        if end - start >= _SHORTEST:
            # Extended oddly, so that the ends stay; by as much as there is, at most a period of the cut-off.
            extent = min(end - start - 1, round(frame_rate / cut_off))
            part = vertices[start:end].astype(np.float64)
            result[start:end] = sosfiltfilt(sections, part, axis=0, padtype="odd", padlen=extent)
    return result
