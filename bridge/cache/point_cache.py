# SPDX-License-Identifier: GPL-3.0-or-later
"""Point caches (PC2) with a manifest: written frame by frame, resumed after an interruption, checked when read.

PC2: 'POINTCACHE2\\0', then little-endian int32 version = 1, int32 points, float32 first frame, float32 frames per
sample, int32 samples, then samples × points × 3 float32. Positions are in the object's local space, Blender units, as
Blender's Mesh Cache modifier plays them. The manifest is written last, so every frame that it lists is complete.
"""

import math
import os
import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CacheError
from .manifest import Manifest, checksum_of

HEADER = struct.Struct("<12siiffi")
MAGIC = b"POINTCACHE2\0"
_SAVE_SECONDS = 2.0  # at most this much work is lost in a crash
_SAVE_FRAMES = 50


@dataclass(frozen=True)
class CacheStatus:
    """state: 'missing', 'partial', 'stale' or 'valid'. done: finished frames that are still valid, counted from the
    first. reason: to show; empty if valid."""

    state: str
    done: int
    reason: str = ""


def manifest_path(path: Path) -> Path:
    """simulation.json beside simulation.pc2."""
    return Path(path).with_suffix(".json")


def delete_cache(path: Path) -> None:
    """Deletes a point cache and its manifest, if they exist. Raises CacheError."""
    try:
        manifest_path(path).unlink(missing_ok=True)  # first: the positions are useless without it
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        advice = "Make the folder writable."
        raise CacheError(f"{path} could not be deleted: {error.strerror}.", advice=advice) from error


def cache_status(
    path: Path, *, topology: str, settings: str, frames: range, motion: Sequence[str] | None = None
) -> CacheStatus:
    """How much of the cache is still valid for this topology, these settings and frames.

    motion: fingerprints of the tracked frames in the order of `frames`, if known. The physics has a history: a
    changed frame makes all later ones stale.
    """
    if not manifest_path(path).exists() and not Path(path).exists():
        return CacheStatus("missing", 0, "Nothing has been simulated yet.")
    try:
        cache = PointCache(path)
    except CacheError as error:
        return CacheStatus("missing", 0, str(error))
    manifest = cache.manifest
    if manifest.topology != topology:
        return CacheStatus(
            "stale", 0, "The meshes, or the eyes and teeth that skin is kept off, have changed since the simulation."
        )
    if manifest.settings != settings:
        return CacheStatus("stale", 0, "The settings have changed since the simulation.")
    if manifest.frame_start != frames.start:
        return CacheStatus("stale", 0, "The first frame has changed since the simulation.")
    done = min(manifest.done, len(frames))
    if motion is not None:
        same = [a == b for a, b in zip(manifest.motion[:done], motion, strict=False)]
        if not all(same):
            done = same.index(False)
            return CacheStatus("stale", done, f"The motion has changed from frame {frames[done]} on.")
    if done < len(frames):
        return CacheStatus("partial", done, f"Simulated up to {done} of {len(frames)} frames.")
    return CacheStatus("valid", done)


class PointCache:
    """A point cache for reading. Raises CacheError if it is missing, damaged or contradicts its manifest."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.manifest = Manifest.load(manifest_path(self.path))
        n_points, start, samples = read_header(self.path)
        m = self.manifest
        if (n_points, start, samples) != (m.n_vertices, m.frame_start, len(m.frames)):
            raise CacheError(f"{self.path} does not belong to its manifest.", advice="Simulate again.")

    @property
    def n_vertices(self) -> int:
        return self.manifest.n_vertices

    @property
    def frames(self) -> range:
        """The finished frames."""
        start = self.manifest.frame_start
        return range(start, start + self.manifest.done)

    @property
    def complete(self) -> bool:
        return self.manifest.done == len(self.manifest.frames)

    def read(self, frame: int) -> NDArray[np.float32]:
        """Positions of one finished frame, shape (n_vertices, 3), object space, Blender units. Raises CacheError."""
        if frame not in self.frames:
            raise CacheError("This frame has not been simulated.", frame=frame, advice="Simulate it.")
        position = frame - self.manifest.frame_start
        size = 12 * self.n_vertices
        try:
            with open(self.path, "rb") as stream:
                stream.seek(HEADER.size + position * size)
                data = stream.read(size)
        except OSError as error:
            raise CacheError(f"{self.path} cannot be read ({error}).", frame=frame, advice="Simulate again.") from error
        positions = np.frombuffer(data, "<f4").reshape(-1, 3)
        if len(data) != size or checksum_of(positions) != self.manifest.checksums[position]:
            raise CacheError(f"{self.path} is damaged.", frame=frame, advice="Simulate again.")
        return positions.astype(np.float32)

    def save_results(self, **results: Any) -> None:
        """Adds results of a later step to the manifest."""
        self.manifest.results |= results
        self.manifest.save(manifest_path(self.path))


class PointCacheWriter:
    """Writes a point cache frame by frame, resuming a matching one where it stopped. Use it as a context manager.

    The file is allocated up front; the manifest is saved every two seconds. `done` frames need not be written again.
    Raises CacheError with the path and the next step.
    """

    def __init__(
        self,
        path: Path,
        *,
        object_name: str,
        n_vertices: int,
        frames: range,
        topology: str,
        settings: str,
        versions: Mapping[str, str] | None = None,
        hands: Sequence[str] = (),
    ):
        self.path = Path(path)
        self.manifest = Manifest(
            object=object_name,
            n_vertices=n_vertices,
            frame_start=frames.start,
            frame_end=frames[-1],
            topology=topology,
            settings=settings,
            versions=dict(versions or {}),
            hands=list(hands),
        )
        status = cache_status(path, topology=topology, settings=settings, frames=frames)
        if status.done:
            old = Manifest.load(manifest_path(self.path))
            self.manifest.motion, self.manifest.checksums = old.motion, old.checksums
            self.manifest.statistics = old.statistics
            self.manifest.truncate(status.done)
        self._allocate(keep=status.done > 0)
        self._stream = self._guard(lambda: open(self.path, "r+b"))  # noqa: SIM115 - closed by close()
        self._saved, self._unsaved = time.monotonic(), 0

    @property
    def done(self) -> int:
        """Number of finished frames, counted from the first."""
        return self.manifest.done

    @property
    def next_frame(self) -> int:
        """The frame that `write` expects next; one past the last if all are done."""
        return self.manifest.frame_start + self.manifest.done

    def holds(self, frame: int, motion: str) -> bool:
        """Whether this frame is finished and was made from this motion."""
        position = frame - self.manifest.frame_start
        return 0 <= position < self.manifest.done and self.manifest.motion[position] == motion

    def restart(self, frame: int) -> None:
        """Discards this frame and all after it, immediately on disk too."""
        position = frame - self.manifest.frame_start
        if position < self.manifest.done:
            self.manifest.truncate(max(position, 0))
            self.save()

    def write(self, frame: int, positions: NDArray, motion: str, statistics: Mapping[str, float] | None = None) -> None:
        """Stores one frame: positions (n_vertices, 3), object space, Blender units. Later frames are discarded."""
        m = self.manifest
        positions = np.ascontiguousarray(positions, "<f4")
        if positions.shape != (m.n_vertices, 3):
            raise ValueError(f"positions have shape {positions.shape}, the cache {m.n_vertices} vertices")
        if not np.isfinite(positions).all():
            bad = np.nonzero(~np.isfinite(positions).all(axis=1))[0]
            raise CacheError(
                "The simulation produced positions that are not finite.",
                object=m.object,
                frame=frame,
                vertices=bad.tolist(),
                advice="Finished frames are kept. Use more substeps or a softer preset.",
            )
        self.restart(frame)
        if frame != self.next_frame or frame > m.frame_end:
            raise ValueError(f"frame {frame} does not follow: {self.next_frame} is next")
        offset = HEADER.size + m.done * positions.nbytes

        def store() -> None:
            self._stream.seek(offset)
            self._stream.write(positions.data)

        self._guard(store)
        m.motion.append(motion)
        m.checksums.append(checksum_of(positions))
        m.statistics.append({name: float(value) for name, value in (statistics or {}).items()})
        self._unsaved += 1
        if self._unsaved >= _SAVE_FRAMES or time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Flushes everything to disk: first the positions, then the manifest that lists them as finished."""

        def sync() -> None:
            self._stream.flush()
            os.fsync(self._stream.fileno())

        self._guard(sync)
        self.manifest.save(manifest_path(self.path))
        self._saved, self._unsaved = time.monotonic(), 0

    def close(self) -> None:
        if not self._stream.closed:
            try:
                self.save()
            finally:
                self._guard(self._stream.close)

    def __enter__(self) -> "PointCacheWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _allocate(self, keep: bool) -> None:
        """Allocates the file in full and saves the manifest before any frame is written."""
        m = self.manifest
        size = HEADER.size + 12 * m.n_vertices * len(m.frames)

        def allocate() -> None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            present = self.path.stat().st_size if self.path.exists() else 0
            free = shutil.disk_usage(self.path.parent).free
            if size - present > free:
                raise CacheError(
                    f"{self.path} needs {size / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free.",
                    advice="Free disk space, or simulate fewer frames.",
                )
            m.save(manifest_path(self.path))
            with open(self.path, "r+b" if keep else "wb") as stream:
                stream.write(HEADER.pack(MAGIC, 1, m.n_vertices, m.frame_start, 1.0, len(m.frames)))
                if hasattr(os, "posix_fallocate"):
                    stream.flush()
                    os.posix_fallocate(stream.fileno(), 0, size)
                stream.truncate(size)

        self._guard(allocate)

    def _guard(self, action: Any) -> Any:
        try:
            return action()
        except OSError as error:
            raise CacheError(
                f"{self.path} could not be written: {error.strerror or error}.",
                advice="Free disk space or make the folder writable, then simulate again; finished frames are kept.",
            ) from error


def read_header(path: Path) -> tuple[int, int, int]:
    """Points, first frame and samples of a PC2 file. Raises CacheError if it is not one, or is truncated."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(HEADER.size)
            size = os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        raise CacheError(f"There is no point cache at {path}.", advice="Simulate first.") from None
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror}).", advice="Make it readable.") from error
    if len(data) == HEADER.size:
        magic, version, points, start, _rate, samples = HEADER.unpack(data)
        whole = size == HEADER.size + 12 * points * samples and math.isfinite(start)
        if magic == MAGIC and version == 1 and whole:
            return points, round(start), samples
    raise CacheError(f"{path} is not a whole point cache.", advice="Simulate again.")
