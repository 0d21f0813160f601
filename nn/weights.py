# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights file: plain arrays with their origin. Loading it executes nothing."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError
from ..files import atomic_write, read_arrays
from .controls import SPACING
from .features import COUNT

FORMAT = 2  # the contact field is that of the skin as the last frame left it
LICENCE = "CC0-1.0"
_LARGEST = 64 << 20  # bytes of arrays; no network comes near this, so a larger file is not a network
_MOST = 1e3  # of any weight: a trained network's are of order 1


@dataclass(frozen=True)
class Weights:
    """A trained network.

    alpha, beta: share of the last displacement, and of its last change, that a frame begins with. layers: matrices
    (out, in) and biases (out,), ReLU between them; skip: (3, COUNT) the linear part. low, high: (COUNT,) range of the
    features in training. heads, hands: numbers of
    vertices of the meshes it was trained for (how a head's skin is divided for the simulation, and how quads are cut
    into triangles, goes with pose and program, and matters little). origin: how it was made.
    """

    alpha: float
    beta: float
    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    skip: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    spacing: float = SPACING
    heads: tuple[int, ...] = ()
    hands: tuple[int, ...] = ()
    frame_rates: tuple[float, float] = (24.0, 30.0)
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(m.size + b.size for m, b in self.layers) + self.skip.size

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all. Raises CacheError."""
        arrays = {"skip": self.skip, "low": self.low, "high": self.high}
        for k, (matrix, bias) in enumerate(self.layers):
            arrays |= {f"matrix{k}": matrix, f"bias{k}": bias}
        note = {
            "format": FORMAT,
            "licence": LICENCE,
            **{name: getattr(self, name) for name in _NOTED},
        }
        text = np.frombuffer(json.dumps(note).encode(), np.uint8)
        with atomic_write(Path(path), f"The network could not be written to {path}", "Free disk space.") as stream:
            np.savez(stream, note=text, **{k: np.asarray(v, np.float32) for k, v in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> "Weights":
        """Raises CacheError that says what is wrong with a file that is missing, damaged, foreign or not plausible."""
        advice = "Train the network again, or choose another file."
        try:
            stored = read_arrays(path, _LARGEST)
            note = json.loads(stored["note"].tobytes().decode())
            if not isinstance(note, dict) or note.get("format") != FORMAT:
                raise CacheError(f"{path} was written by another version of NePHIM.", advice=advice)
            count = sum(name.startswith("matrix") for name in stored)
            layers = tuple((stored[f"matrix{k}"], stored[f"bias{k}"]) for k in range(count))
            values: dict[str, Any] = {name: stored[name] for name in ("skip", "low", "high")}
            values |= {name: tuple(v) if isinstance(v := note[name], list) else v for name in _NOTED}
        except FileNotFoundError:
            raise CacheError(f"There is no network at {path}.", advice="Train it first.") from None
        except (OSError, KeyError, ValueError) as error:
            raise CacheError(f"{path} is not a network that NePHIM can read ({error}).", advice=advice) from error
        result = cls(layers=layers, **values)
        problem = result._problem()
        if problem:
            raise CacheError(f"{path} is not a usable network: {problem}.", advice=advice)
        return result

    def _problem(self) -> str:
        """What makes it unusable, or nothing."""
        arrays = [self.skip, self.low, self.high, *(a for layer in self.layers for a in layer)]
        if not self.layers or any(a.dtype != np.float32 for a in arrays):
            return "it has no layers of numbers"
        if not all(np.isfinite(a).all() and (np.abs(a) < _MOST).all() for a in arrays):
            return "it has values that are not finite or far too large"
        width = COUNT
        for matrix, bias in self.layers:
            if matrix.ndim != 2 or matrix.shape[1] != width or bias.shape != matrix.shape[:1]:
                return "its layers do not fit together"
            width = len(bias)
        if width != 3 or self.skip.shape != (3, COUNT) or {self.low.shape, self.high.shape} != {(COUNT,)}:
            return f"it is made for other inputs than the {COUNT} expected"
        numbers = (self.alpha, self.beta, self.spacing, *self.frame_rates)
        if not all(isinstance(v, int | float) and abs(v) < _MOST for v in numbers) or not 0.002 < self.spacing < 0.05:
            return "its settings are out of range"
        if not all(isinstance(v, int) for v in (*self.heads, *self.hands)) or not isinstance(self.origin, dict):
            return "its notes are damaged"
        return ""


_NOTED = tuple(f.name for f in fields(Weights) if f.name not in ("layers", "skip", "low", "high"))
