# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest beside a point cache: its mesh, motion and settings, and how far it got."""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CacheError
from ...files import atomic_write
from ...sim.frame import TrackedFrame

FORMAT = 1
HANDS = ("left", "right")
_LATER = {"hands"}  # of files written before there was this, its default holds


def fingerprint(values: Iterable[Any]) -> str:
    """SHA-256 over arrays (with type and shape), strings, numbers, None and JSON values, in order."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(json.dumps(value, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def motion_fingerprint(tracked: TrackedFrame, between: Sequence[TrackedFrame] = ()) -> str:
    """Fingerprint of everything tracked in one frame, and at moments between the frame before and it."""
    return fingerprint(value for frame in (tracked, *between) for value in _tracked(frame))


def _tracked(frame: TrackedFrame) -> tuple[Any, ...]:
    values = (frame.head, frame.left, frame.right, frame.cranium, frame.jaw, frame.time)
    return values if frame.obstacles is None else (*values, frame.obstacles)


def settings_fingerprint(settings: Mapping[str, Any]) -> str:
    """Fingerprint of whatever else affects the result: tissue, template, versions."""
    return fingerprint([dict(settings)])


def topology_fingerprint(rig: Any) -> str:
    """Fingerprint of a `bridge.rig.Rig`: vertex counts of the objects, parts and their triangles, without names."""
    parts = (rig.head, rig.left, rig.right)
    return fingerprint(
        value
        for part in parts
        for value in ((None,) if part is None else (part.n_vertices, part.indices, part.triangles))
    )


@dataclass
class Manifest:
    """One point cache. The lists have one entry per finished frame, from frame_start on.

    motion: fingerprints of the tracked frames. checksums: CRC-32 of the stored positions.
    statistics: numbers of each frame by name. hands: sides of those that yield, see `moved`; of the head's cache only.
    """

    object: str
    n_vertices: int
    frame_start: int
    frame_end: int
    topology: str
    settings: str
    motion: list[str] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    statistics: list[dict[str, float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)  # of later steps: bake error …
    hands: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def frames(self) -> range:
        return range(self.frame_start, self.frame_end + 1)

    @property
    def done(self) -> int:
        """Number of finished frames, counted from the first."""
        return len(self.motion)

    def truncate(self, done: int) -> None:
        """Discards the frames from the `done`-th on."""
        del self.motion[done:], self.checksums[done:], self.statistics[done:]

    def save(self, path: Path) -> None:
        """Writes the manifest atomically. Raises CacheError."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Raises CacheError if it is missing or damaged."""
        advice = "Simulate again."
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CacheError(f"There is no simulation at {path}.", advice="Simulate first.") from None
        except (OSError, ValueError) as error:
            raise CacheError(f"{path} cannot be read ({error}).", advice=advice) from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise CacheError(f"{path} was written by another version of NePHIM.", advice=advice)
        manifest = cls(**_checked(path, values, advice))
        lengths = {len(manifest.motion), len(manifest.checksums), len(manifest.statistics)}
        if len(lengths) != 1 or manifest.done > len(manifest.frames) or manifest.n_vertices < 1:
            raise CacheError(f"{path} contradicts itself.", advice=advice)
        return manifest


def _checked(path: Path, values: dict[str, Any], advice: str) -> dict[str, Any]:
    """The known fields, with checked types; others are dropped."""
    sample = Manifest("", 1, 0, 0, "", "")
    known = {}
    for f in fields(Manifest):
        if f.name in _LATER and f.name not in values:
            continue
        if f.name not in values or not isinstance(values[f.name], type(getattr(sample, f.name))):
            raise CacheError(f"{path} is damaged: '{f.name}' is missing or has the wrong type.", advice=advice)
        known[f.name] = values[f.name]
    entries = {"motion": str, "checksums": int, "statistics": dict}
    for name, kind in entries.items():
        if not all(isinstance(entry, kind) for entry in known[name]):
            raise CacheError(f"{path} is damaged: '{name}' has an entry of the wrong type.", advice=advice)
    if not all(side in HANDS for side in known.get("hands", ())):
        raise CacheError(f"{path} is damaged: 'hands' names another side.", advice=advice)
    return known


def write_json(path: Path, values: Any) -> None:
    """Writes JSON under a temporary name and renames it. Raises CacheError."""
    advice = "Free disk space or make the folder writable, then run the step again; finished frames are kept."
    with atomic_write(Path(path), f"{path} could not be written", advice) as stream:
        stream.write(json.dumps(values, indent=1, default=_plain).encode())
        stream.flush()
        os.fsync(stream.fileno())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


def checksum_of(positions: NDArray[np.float32]) -> int:
    """CRC-32 of one stored frame."""
    return zlib.crc32(np.ascontiguousarray(positions, np.float32).data.cast("B"))


def displacement_of(side: str) -> str:
    """The name of a hand's largest displacement [mm] among the statistics, where it may yield."""
    return f"{side}_displacement_mm"


def last_rest(statistics: list[dict[str, float]], frames: range, first: int, remembered: int) -> int:
    """The last frame before `first` from which a run continues exactly as the whole run did.

    Nothing touches and nothing, hands included, is deformed in it and in the `remembered` frames after it, which the
    simulation remembers. The first of `frames` if there is none.
    """
    resting = 0
    for position in range(first - frames.start - 1, -1, -1):
        numbers = statistics[position]
        still = numbers["displacement_mm"] == 0 and numbers["contacts"] == 0 and numbers["substeps"] == 0
        still = still and not any(numbers.get(displacement_of(side), 0.0) for side in HANDS)
        resting = resting + 1 if still else 0
        if resting > remembered:
            return frames.start + position
    return frames.start
