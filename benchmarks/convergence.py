# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a substep of the physics is from the converged minimiser with the same contacts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics
from nephim.sim.template import TISSUE
from numpy.typing import NDArray

from .reference import Converged, Energy, converged

MOVED = 1e-4  # [m] skin that either solution displaces by less does not count


@dataclass(frozen=True)
class Substep:
    """What one substep started from and arrived at: displacements (n, 3) and (n_skin, 3) [m], θ, and the skin vertices
    that pushed contacts or bone held."""

    volume: NDArray[np.float64]
    skin: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    theta: float
    held: NDArray[np.int64]


class Recorder(Physics):
    """The physics, keeping the last substep of each step."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.recorded: Substep | None = None
        self._problem: Any = None

    def step(self, frame: TrackedFrame):
        self.recorded = None
        return super().step(frame)

    def _contact_problem(self, *situation: Any):
        self._problem = super()._contact_problem(*situation)
        return self._problem

    def _substep(
        self, skin: NDArray, volume: NDArray, hands: NDArray, obstacles: NDArray, theta: float, *, last: bool
    ) -> int:
        before, self._problem = self._u.copy(), None
        iterations = super()._substep(skin, volume, hands, obstacles, theta, last=last)
        held = np.zeros(0, np.int64)
        if self._problem is not None:
            held = self.system.free[self._problem.pushed()]
        self.recorded = Substep(volume.copy(), skin.copy(), before, self._u.copy(), theta, held)
        return iterations


def compare(physics: Recorder) -> tuple[dict[str, float], Converged]:
    """Distance of the last recorded substep from the minimiser that holds the same vertices where they are.

    Over the skin that moved by more than 0.1 mm and is not held: p95_mm, max_mm; over the whole volume:
    inside_max_mm; the energies [J] of both; Newton's steps. Raises ValueError when no substep was recorded.
    """
    substep, template = physics.recorded, physics.template
    if substep is None:
        raise ValueError("the last step had no substep: nothing was near")
    kept = _cells(physics)
    result = converged(
        template, physics.settings, substep.volume, substep.held, substep.after[substep.held], substep.before,
        substep.theta, skin=substep.skin, **kept,
    )  # fmt: skip
    energy = Energy(
        template, physics.settings, substep.volume, skin=substep.skin, u_before=substep.before, theta=substep.theta,
        **kept,
    )  # fmt: skip
    found, wanted = template.embedding @ substep.after, template.embedding @ result.u
    moved = np.maximum(np.linalg.norm(found, axis=1), np.linalg.norm(wanted, axis=1)) > MOVED
    loose = np.ones(len(substep.after))
    loose[substep.held] = 0.0
    moved &= abs(template.embedding) @ loose > 0
    distance = 1000 * np.linalg.norm(found - wanted, axis=1)[moved]
    return {
        "p95_mm": float(np.percentile(distance, 95)) if moved.any() else 0.0,
        "max_mm": float(distance.max(initial=0.0)),
        "inside_max_mm": 1000 * float(np.linalg.norm(result.u - substep.after, axis=1).max()),
        "moved": float(moved.sum()),
        "held": float(len(substep.held)),
        "energy": energy.value(substep.after)[0],
        "energy_converged": result.energy,
        "newton_steps": float(result.steps),
    }, result


def _cells(physics: Physics) -> dict[str, Any]:
    """The pressure cells as the reference takes them."""
    if physics.cells is None:
        return {}
    label = np.full(len(physics.template.tets), -1)
    label[physics.system.tissue] = physics.cells.label
    return {"cells": label[physics.template.tet_region == TISSUE], "bulk": physics.cells.bulk}
