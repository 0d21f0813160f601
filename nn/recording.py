# SPDX-License-Identifier: GPL-3.0-or-later
"""One generated sequence as simulated by the physics: the arrays a network learns from."""

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError
from ..files import atomic_write, read_arrays
from ..sim.frame import TrackedFrame
from ..sim.geometry import rigid
from ..sim.geometry.surface import Surface
from ..sim.physics import Physics
from ..sim.settings import PhysicsSettings
from ..sim.template import Template

FORMAT = 1
_UNIT = 2e-6  # [m] of the stored integers: ±65 mm in steps far below any error that matters
_LIMIT = 32767


@dataclass(frozen=True)
class Recording:
    """A sequence of f frames in the cranium's frame.

    hands: (f, n, 3) float32 [m], left before right; tracked, deformation: (f, n_skin, 3) int16 displacement of the
    tracked skin from the neutral one, and of the simulated from the tracked one, in units of 2 µm; touching:
    (f, n_skin) bool; cranium: (f, 4, 4) to the world; jaw: (f, 4, 4) in the world; ms: (f,) of the physics.
    """

    seed: int
    frame_rate: float
    left: int  # vertices of the left hand, which come first
    hands: NDArray[np.float32]
    tracked: NDArray[np.int16]
    deformation: NDArray[np.int16]
    touching: NDArray[np.bool_]
    cranium: NDArray[np.float64]
    jaw: NDArray[np.float64]
    ms: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.hands)

    def save(self, path: Path) -> None:
        """Writes the sequence, whole or not at all. Raises CacheError."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with atomic_write(path, f"The sequence could not be written to {path}", "Free disk space.") as stream:
            np.savez(stream, format=np.array(FORMAT), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Raises CacheError if the file is missing, damaged or of another version."""
        advice = "Delete it; the next run records it again."
        try:
            stored = read_arrays(path)
            if int(stored["format"]) != FORMAT:
                raise CacheError(f"{path} was written by another version.", advice=advice)
            values: dict[str, Any] = {f.name: stored[f.name] for f in fields(cls)}
        except (OSError, KeyError, ValueError) as error:
            raise CacheError(f"{path} is no recorded sequence ({error}).", advice=advice) from error
        for name, kind in (("seed", int), ("frame_rate", float), ("left", int)):
            values[name] = kind(values[name])
        return cls(**values)

    def part(self, first: int, end: int | None = None) -> "Recording":
        """Frames `first` to `end`, which is no longer in it; None: to the last."""
        columns = ("hands", "tracked", "deformation", "touching", "cranium", "jaw", "ms")
        return replace(self, **{name: getattr(self, name)[first:end] for name in columns})

    def frame(self, template: Template, k: int) -> TrackedFrame:
        """Frame k as the simulation takes it; the head's own vertices are the template's first."""
        still = template.head_vertices + metres(self.tracked[k, : template.n_head])
        head = rigid.apply(self.cranium[k], still).astype(np.float32)
        hands = rigid.apply(self.cranium[k], self.hands[k].astype(np.float64)).astype(np.float32)
        left, right = hands[: self.left], hands[self.left :]
        return TrackedFrame(
            head,
            left if len(left) else None,
            right if len(right) else None,
            self.cranium[k],
            self.jaw[k],
            k,
            k / self.frame_rate,
        )


def record(
    template: Template, settings: PhysicsSettings, seed: int, clip, triangles: dict[str, NDArray]
) -> tuple[Recording, float]:
    """Simulates a clip (what has `frame(k)`, `hands`, `frame_rate` and a length); triangles: of the hands by side.

    Returns the recording and the seconds it took.
    """
    started = time.perf_counter()
    hands = {s: Surface(clip.hands[s][0].astype(np.float64), triangles[s], f"Hand.{s}") for s in clip.hands}
    physics = Physics(template, settings, left=hands.get("L"), right=hands.get("R"), frame_rate=clip.frame_rate)
    columns: dict[str, list] = {name: [] for name in ("hands", "tracked", "deformation", "touching", "jaw", "ms")}
    for k in range(len(clip)):
        frame = clip.frame(k)
        result = physics.step(frame)
        back = rigid.inverse(clip.cranium[k])
        still = rigid.apply(back, result.tracked.astype(np.float64))
        given = [hand for hand in (frame.left, frame.right) if hand is not None]
        columns["hands"].append(rigid.apply(back, np.concatenate(given).astype(np.float64)).astype(np.float32))
        columns["tracked"].append(_units(still - template.refinement @ template.head_vertices))
        moved = (result.skin - result.tracked).astype(np.float64) @ clip.cranium[k][:3, :3]
        columns["deformation"].append(_units(moved))
        touching = np.zeros(template.n_skin, bool)
        touching[result.contacts] = True
        columns["touching"].append(touching)
        columns["jaw"].append(frame.jaw if frame.jaw is not None else clip.cranium[k])
        columns["ms"].append(result.statistics["ms"])
    left = clip.hands["L"].shape[1] if "L" in clip.hands else 0
    stacked = {name: np.stack(column) for name, column in columns.items() if name != "ms"}
    recording = Recording(
        seed, clip.frame_rate, left, cranium=clip.cranium, ms=np.array(columns["ms"], np.float32), **stacked
    )
    return recording, time.perf_counter() - started


def sequence_path(folder: Path, seed: int) -> Path:
    """Where the sequence of this number lies in a dataset's folder."""
    return folder / f"sequence-{seed:06d}.npz"


def metres(units: NDArray[np.int16]) -> NDArray[np.float32]:
    """Stored integers as metres."""
    return units.astype(np.float32) * np.float32(_UNIT)


def _units(values: NDArray) -> NDArray[np.int16]:
    """Metres as stored integers; what does not fit is cut."""
    return np.clip(np.round(values / _UNIT), -_LIMIT, _LIMIT).astype(np.int16)
