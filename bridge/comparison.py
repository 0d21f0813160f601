# SPDX-License-Identifier: GPL-3.0-or-later
"""One take by several methods: read together, measured alike."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import TRACKED
from ..errors import CacheError
from ..sim import measure
from ..sim.template import Template
from .cache.moved import HandCaches
from .cache.point_cache import PointCache
from .cache.results import ResultFrame, ResultReader
from .meshes import to_world
from .report import Survey


class ComparedTake:
    """The tracked take beside its finished simulations. Use it as a context manager.

    caches: point caches by mode, at least one. Raises CacheError if one is not complete or belongs to other frames.
    """

    def __init__(self, scene: Any, caches: Mapping[str, Path]):
        self.result = ResultReader(scene, next(iter(caches.values())))
        self.caches = {mode: PointCache(path) for mode, path in caches.items()}
        self._hands = {mode: HandCaches(self.result.rig, cache) for mode, cache in self.caches.items()}
        self.methods = (TRACKED, *caches)
        for cache in self.caches.values():
            if not cache.complete or cache.frames != self.result.frames:
                raise CacheError(f"{cache.path} holds other frames.", advice="Compare again, which simulates them.")

    def __enter__(self) -> "ComparedTake":
        self.result.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.result.__exit__()

    @property
    def frames(self) -> range:
        return self.result.frames

    def surfaces(self, frame: int) -> dict[str, dict[str, NDArray[np.float64]]]:
        """By mode, the simulated surfaces of the frame that was read last, world [m]: by role, the 'head' (n_head, 3),
        and 'left' and 'right' (n, 3) if they yielded."""
        state = self.result.reader.head
        assert state is not None
        chosen = self.result.rig.head.indices
        return {
            mode: {"head": to_world(cache.read(frame)[chosen], state.matrix)} | self.result.hands(self._hands[mode])
            for mode, cache in self.caches.items()
        }


class Measures:
    """Measures every method of a take, frame by frame."""

    def __init__(self, take: ComparedTake):
        template = Template.load(take.result.folder.volume)
        self._take = take
        self._surveys = {
            mode: Survey(take.result, template, statistics=cache.manifest.statistics)
            for mode, cache in take.caches.items()
        }

    def add(self, read: ResultFrame, surfaces: Mapping[str, Mapping[str, NDArray]]) -> None:
        """Measures one frame by the surfaces of each mode; frames must come in order."""
        for mode, survey in self._surveys.items():
            hands = {side: hand for side, hand in surfaces[mode].items() if side != "head"}
            survey.add(ResultFrame(read.tracked, surfaces[mode]["head"], read.head_object, hands))

    @property
    def touched(self) -> NDArray[np.bool_]:
        """Whether a hand touches or penetrates the head in each frame measured, by any method, (f,)."""
        return np.any([survey.touched for survey in self._surveys.values()], axis=0)

    def deepest_mm(self) -> dict[str, NDArray[np.float64]]:
        """By method, the deepest penetration of each frame measured, (f,)."""
        found = {mode: np.array(survey.deepest)[:, 1] for mode, survey in self._surveys.items()}
        tracked = np.array(next(iter(self._surveys.values())).deepest)[:, 0]
        return {name: measure.MM * depth for name, depth in ({TRACKED: tracked} | found).items()}

    def moved_mm(self) -> dict[str, NDArray[np.float64]]:
        """By method, the largest displacement of each frame measured, (f,)."""
        moved = {mode: measure.MM * np.array(survey.moved) for mode, survey in self._surveys.items()}
        return {TRACKED: np.zeros(len(self.touched))} | moved

    def summary(self) -> dict[str, dict[str, Any]]:
        """By method, the measures of the whole take; docs/comparison.md explains them."""
        deepest, moved = self.deepest_mm(), self.moved_mm()
        return {name: self._of(name, deepest[name], moved[name]) for name in self._take.methods}

    def _of(self, name: str, deepest: NDArray, moved: NDArray) -> dict[str, Any]:
        survey = self._surveys[name] if name != TRACKED else next(iter(self._surveys.values()))
        decaf = survey.penetration.decaf()["before" if name == TRACKED else "after"]
        values: dict[str, Any] = {
            "penetration_max_mm": float(deepest.max(initial=0.0)),
            **decaf,
            "displacement_max_mm": float(moved.max(initial=0.0)),
            "pops": None,
            "acceleration_ratio": None,
            "ms_per_frame": None,
        }
        if name != TRACKED:
            smooth = survey.smoothness(self._take.frames.start)
            values |= {"pops": len(smooth["pops"]), "acceleration_ratio": smooth["acceleration_ratio"]}
            values["ms_per_frame"] = _median_ms(survey.statistics)
        return values


def _median_ms(statistics: Sequence[Mapping[str, float]]) -> float | None:
    times = [numbers["ms"] for numbers in statistics if "ms" in numbers]
    return float(np.median(times)) if times else None
