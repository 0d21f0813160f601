# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own tracked shot as part of a dataset: cut into pieces, each a file beside the sequences.

Recording starts at the last frame before a piece in which no hand is near, so that the piece begins with the history
that the physics has there; only its own frames are kept.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError
from ..files import atomic_write, read_arrays
from ..sim.frame import TrackedFrame
from ..sim.template import Template
from ..sim.tracking import HeadTracking
from .recording import sequence_path

FIRST_SEED = 1_000_000  # the pieces' numbers begin here, far above the seeds of generated sequences
LEAST = 72  # frames of a piece: shorter ones would shorten the windows of the whole training, which has up to 64
NEAR = 0.02  # [m] a hand nearer than this to the head may touch it soon


@dataclass(frozen=True)
class ShotPiece:
    """A clip as `recording.record` takes it. heads: (f, n, 3), hands: side → (f, m, 3), float32, world space [m];
    cranium, jaw: (f, 4, 4); lead: frames before the piece proper, in which it is only brought in."""

    frame_rate: float
    lead: int
    heads: NDArray[np.float32]
    hands: dict[str, NDArray[np.float32]]
    cranium: NDArray[np.float64]
    jaw: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.heads)

    def frame(self, k: int) -> TrackedFrame:
        left, right = (self.hands[side][k] if side in self.hands else None for side in "LR")
        return TrackedFrame(self.heads[k], left, right, self.cranium[k], self.jaw[k], k, k / self.frame_rate)

    @classmethod
    def load(cls, folder: Path, seed: int) -> "ShotPiece":
        """Raises CacheError."""
        path = piece_path(folder, seed)
        try:
            stored = read_arrays(path)
            values = {name: stored[name] for name in ("heads", "cranium", "jaw")}
            hands = {side: stored[side] for side in "LR" if side in stored}
            rate, lead = float(stored["frame_rate"]), int(stored["lead"])
        except (OSError, KeyError, ValueError) as error:
            raise CacheError(f"{path} is no piece of a shot ({error}).", advice="Restart the training.") from error
        return cls(rate, lead, hands=hands, **values)


def piece_path(folder: Path, seed: int) -> Path:
    return folder / f"piece-{seed}.npz"


def piece_seeds(folder: Path) -> list[int]:
    """The numbers of the pieces that lie in the folder."""
    return sorted(int(path.stem.split("-")[1]) for path in folder.glob("piece-*.npz"))


def bounds(frames: int, longest: int) -> list[tuple[int, int]]:
    """First frame and end of the equal pieces of a shot, as few as are not longer than `longest`; none if too short."""
    if frames < LEAST:
        return []
    edges = np.linspace(0, frames, int(np.ceil(frames / longest)) + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


class ShotWriter:
    """Takes the frames of a shot in order and writes its pieces, except those in which no hand comes near.

    Recordings of pieces that have changed are deleted, all others are kept. frames: of the whole shot;
        longest: of a piece.
    """

    def __init__(self, folder: Path, template: Template, frames: int, longest: int, frame_rate: float):
        self._folder, self._frame_rate, self._longest = folder, frame_rate, longest
        self._tracking = HeadTracking(template)
        self._bounds = bounds(frames, longest)
        self._frames: list[tuple[TrackedFrame, bool]] = []  # from `_first` on, and whether a hand is near
        self._first, self._done, self._seeds = 0, 0, set[int]()

    def add(self, frame: TrackedFrame, near: bool) -> None:
        """The next frame; near: whether a hand is nearer than `NEAR` to the head."""
        self._frames.append((frame, near))
        if self._done == len(self._bounds) or self._first + len(self._frames) < self._bounds[self._done][1]:
            return
        start = self._bounds[self._done][0] - self._first
        if any(near for _, near in self._frames[start:]):
            self._write(FIRST_SEED + self._done, start)
        # The next piece is led in from the last frame without a hand, over one piece's length at most.
        clear = [k for k, (_, near) in enumerate(self._frames) if not near]
        kept = max(clear[-1] if clear else 0, len(self._frames) - self._longest)
        self._first += kept
        del self._frames[:kept]
        self._done += 1

    def finish(self) -> list[int]:
        """Deletes the files of pieces that no longer exist. Returns the numbers of the existing ones."""
        for seed in set(piece_seeds(self._folder)) - self._seeds:
            _forget(self._folder, seed)
            piece_path(self._folder, seed).unlink()
        return sorted(self._seeds)

    def _write(self, seed: int, start: int) -> None:
        frames = [frame for frame, _ in self._frames]
        poses = [self._tracking.pose(frame) for frame in frames]
        arrays: dict[str, NDArray] = {
            "heads": np.stack([frame.head for frame in frames]),
            "cranium": np.stack([pose.cranium for pose in poses]),
            "jaw": np.stack([pose.cranium @ pose.jaw for pose in poses]),
            "frame_rate": np.array(self._frame_rate),
            "lead": np.array(start),
        }
        for side, hands in (("L", [f.left for f in frames]), ("R", [f.right for f in frames])):
            if hands[0] is not None:
                arrays[side] = np.stack(hands)  # type: ignore[arg-type]
        self._seeds.add(seed)
        path = piece_path(self._folder, seed)
        if _holds(path, arrays):
            return
        _forget(self._folder, seed)
        with atomic_write(path, f"{path} could not be written", "Free disk space.") as stream:
            np.savez(stream, **arrays)


def _holds(path: Path, arrays: dict[str, NDArray]) -> bool:
    """Whether the file has just these arrays."""
    if not path.is_file():
        return False
    try:
        stored = read_arrays(path)
    except (OSError, ValueError):
        return False  # damaged: written anew
    return set(stored) == set(arrays) and all(np.array_equal(stored[name], array) for name, array in arrays.items())


def _forget(folder: Path, seed: int) -> None:
    """Deletes what was recorded of a piece."""
    sequence_path(folder, seed).unlink(missing_ok=True)
