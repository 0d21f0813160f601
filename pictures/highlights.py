# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the frames that tell the story of a sequence."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..sim.intervals import runs

# Displacement [m] from which a frame belongs to a contact episode.
_EPISODE = 0.5e-3
# Touches weaker than this share of the strongest are not worth a picture while there are others.
_WEAK = 0.2
# A dip below this share of both neighbouring peaks parts two episodes that run into each other.
_DIP = 0.35


def episodes(displacement: NDArray) -> list[tuple[int, int]]:
    """Runs of frames (first, last + 1) whose largest displacement (f,) [m] exceeds 0.5 mm, parted at deep dips."""
    found: list[tuple[int, int]] = []
    pending = runs(np.asarray(displacement) > _EPISODE)
    while pending:
        first, end = pending.pop()
        cut = _deepest_dip(displacement[first:end])
        if cut is None:
            found.append((first, end))
        else:
            pending += [(first, first + cut), (first + cut, end)]
    return sorted(found)


def _deepest_dip(values: NDArray) -> int | None:
    """Where the values fall furthest below the lower of the highest peaks before and after, if far enough."""
    before, after = np.maximum.accumulate(values), np.maximum.accumulate(values[::-1])[::-1]
    share = values / np.minimum(before, after)
    k = int(np.argmin(share))
    return k if 0 < k < len(values) - 1 and share[k] < _DIP else None


def choose_frames(displacement: NDArray, count: int = 6) -> list[int]:
    """Indices of `count` frames, ascending: of each contact episode the one with the largest displacement (f,).

    With more episodes the strongest win; with fewer the rest are clearly deformed frames as far as possible from those
    already chosen, or, where there are not enough of those, any frames spread over the sequence.
    """
    displacement = np.asarray(displacement, float)
    largest = displacement.max(initial=0.0)
    peaks = [first + int(np.argmax(displacement[first:end])) for first, end in episodes(displacement)]
    chosen = sorted((k for k in peaks if displacement[k] > _WEAK * largest), key=lambda k: -displacement[k])[:count]
    levels = (max(0.5 * largest, _EPISODE), max(_WEAK * largest, _EPISODE), -np.inf)
    for candidates in (np.flatnonzero(displacement > level) for level in levels):
        while len(chosen) < min(count, len(displacement)):
            free = np.setdiff1d(candidates, chosen)
            if not len(free):
                break
            chosen.append(int(free[0]) if not chosen else int(free[np.argmax(_distance(free, chosen))]))
    return sorted(chosen)


def _distance(frames: NDArray, chosen: Sequence[int]) -> NDArray:
    return np.abs(frames[:, None] - np.asarray(chosen)).min(axis=1)
