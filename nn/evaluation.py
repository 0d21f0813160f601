# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how well a network reproduces the physics, in free rollout over recorded sequences it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..progress import Job, Progress
from ..sim import measure
from ..sim.geometry.surface import Surface
from ..sim.template import Template
from .controls import Controls
from .recording import Recording, metres
from .runtime import Network
from .weights import Weights

_PENETRATION_EVERY = 3  # frames: measuring takes longer than the network
_UNTOUCHED_SECONDS = 2.0  # after the physics has come to rest, so must the network
_SECONDS_A_MINUTE = 60.0


@dataclass
class Errors:
    """Collects squared errors [m²] and single ones."""

    squared: dict[str, float]
    counts: dict[str, int]
    deformed: list[NDArray[np.float32]]
    largest: float = 0.0

    @classmethod
    def none(cls) -> "Errors":
        names = ("all", "deformed", "contact")
        return cls(dict.fromkeys(names, 0.0), dict.fromkeys(names, 0), [])

    def add(self, predicted: NDArray, true: NDArray, touching: NDArray[np.bool_]) -> float:
        """Errors of one frame, (n, 3) [m]; deformed: more than 0.5 mm in truth or prediction. Returns its RMSE [m]."""
        error = np.linalg.norm(predicted - true, axis=1)
        size = np.maximum(np.linalg.norm(true, axis=1), np.linalg.norm(predicted, axis=1))
        chosen = {"all": np.ones(len(error), bool), "deformed": size > measure.DEFORMED, "contact": touching}
        for name, mask in chosen.items():
            self.squared[name] += float((error[mask].astype(np.float64) ** 2).sum())
            self.counts[name] += int(mask.sum())
        self.deformed.append(error[chosen["deformed"]])
        self.largest = max(self.largest, float(error.max()))
        return float(np.sqrt((error**2).mean()))

    def summary(self) -> dict:
        rmse = {name: 1e3 * float(np.sqrt(s / max(self.counts[name], 1))) for name, s in self.squared.items()}
        single = np.concatenate(self.deformed) if self.deformed else np.zeros(0)
        p95 = 1e3 * float(np.percentile(single, 95)) if len(single) else 0.0
        return {"rmse_mm": rmse, "p95_mm": p95, "max_mm": 1e3 * self.largest}


def evaluate(
    template: Template,
    hands: dict[str, Surface],
    weights: Weights,
    recordings: Sequence[Recording],
    *,
    controls: Controls | None = None,
    strict: bool = True,
    penetration: bool = True,
) -> Job[dict]:
    """The network against the recorded physics: the figures that docs/network.md explains."""
    errors, resting, drifts, added = Errors.none(), 0.0, [], []
    times: dict[str, list[float]] = {name: [] for name in ("total", "encode", "network", "decode")}
    frames = sum(len(r) for r in recordings)
    done = 0
    meters = {
        side: measure.PenetrationMeter(template.skin_triangles, template.outer, hand.triangles)
        for side, hand in hands.items()
    }
    for recording in recordings:
        network = Network(
            template, weights, left=hands.get("L"), right=hands.get("R"), frame_rate=recording.frame_rate,
            strict=strict, controls=controls,
        )  # fmt: skip
        controls = network.controls
        per_frame, quiet = [], 0.0
        for k in range(len(recording)):
            frame = recording.frame(template, k)
            result = network.step(frame)
            turn = recording.cranium[k][:3, :3]
            predicted = (result.skin - result.tracked) @ turn.astype(np.float32)
            true = metres(recording.deformation[k])
            per_frame.append(errors.add(predicted, true, recording.touching[k]))
            times["total"].append(result.statistics["ms"])
            for name in ("encode", "network", "decode"):
                times[name].append(1000 * network.times[name])
            touched = recording.touching[k].any() or recording.deformation[k].any()
            quiet = 0.0 if touched else quiet + 1 / recording.frame_rate
            if quiet > _UNTOUCHED_SECONDS:
                resting = max(resting, float(np.abs(predicted).max()))
            if penetration and recording.touching[k].any() and k % _PENETRATION_EVERY == 0:
                physics = result.tracked + true @ turn.T.astype(np.float32)
                added += [measure.added(meters[s], h, result.skin, physics) for s, h in _hands(frame)]
            done += 1
            if k % 20 == 0:
                yield Progress("evaluation", done / frames, f"frame {done} of {frames}")
        seconds = np.arange(len(per_frame)) / recording.frame_rate
        drifts.append(1e3 * _SECONDS_A_MINUTE * float(np.polyfit(seconds, per_frame, 1)[0]))
    deeper = 1e3 * np.concatenate([a for a in added if len(a)] or [np.zeros(1)])
    return {
        "skin_vertices": template.n_skin,
        "controls": len(controls) if controls is not None else 0,
        "frames": frames,
        **errors.summary(),
        "drift_mm_per_min": float(np.median(drifts)),
        "added_penetration_mm": {"p95": float(np.percentile(deeper, 95)), "max": float(deeper.max())},
        "rest_error_mm": 1e3 * resting,
        "ms": {name: measure.percentiles(np.array(values), (50, 95)) for name, values in times.items()},
        "physics_ms": {
            "mean": float(np.mean(np.concatenate([r.ms for r in recordings]))),
            "in_contact_p50": _busy_p50(recordings),
        },
    }


def _busy_p50(recordings: Sequence[Recording]) -> float:
    busy = np.concatenate([r.ms[r.touching.any(axis=1)] for r in recordings])
    return float(np.median(busy)) if len(busy) else 0.0


def _hands(frame) -> list[tuple[str, NDArray]]:
    return [(side, hand) for side, hand in (("L", frame.left), ("R", frame.right)) if hand is not None]


def subspace_floor(controls: Controls, recordings: Sequence[Recording]) -> dict:
    """The error of the subspace itself: the true states of the controls, decoded."""
    errors = Errors.none()
    for recording in recordings:
        for k in range(len(recording)):
            true = metres(recording.deformation[k])
            errors.add(controls.decode @ true[controls.vertices], true, recording.touching[k])
    return errors.summary()


def pca_floor(seen: Sequence[Recording], unseen: Sequence[Recording], components: int) -> dict:
    """The error of a global linear subspace with this many components (PCA of the seen deformations), by projection."""
    rows = np.concatenate([_busy_rows(r) for r in seen])
    mean = rows.mean(axis=0)
    # The Gram matrix is smaller than the covariance: frames, not vertices.
    centred = rows - mean
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    keep = np.argsort(values)[::-1][: min(components, len(values))]
    keep = keep[values[keep] > 1e-12 * values.max()]
    basis = (centred.T @ vectors[:, keep].astype(np.float32)) / np.sqrt(values[keep]).astype(np.float32)
    errors = Errors.none()
    for recording in unseen:
        for k in range(len(recording)):
            true = metres(recording.deformation[k])
            predicted = true * 0
            if true.any():
                flat = true.ravel() - mean
                predicted = (mean + basis @ (basis.T @ flat)).reshape(-1, 3)
            errors.add(predicted, true, recording.touching[k])
    return {"components": len(keep), **errors.summary()}


_PCA_FRAMES = 6  # stride in frames over the seen sequences


def _busy_rows(recording: Recording) -> NDArray[np.float32]:
    some = recording.deformation[::_PCA_FRAMES]
    return metres(some[some.any(axis=(1, 2))]).reshape(-1, 3 * recording.deformation.shape[1])
