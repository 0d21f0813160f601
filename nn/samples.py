# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded sequences as a network sees them: states and contact fields at the controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sim.template import Template
from .contact_field import AREA, CHANNELS, NORMAL, ContactField
from .controls import Controls, make_controls
from .distance_grid import DistanceGrid, make_grid
from .lag import follow, lead
from .recording import Recording, metres

_DEFORMED = 5e-4  # [m]


@dataclass(frozen=True)
class Person:
    """One character in training: template, controls, and its hands' triangles together, left before right."""

    template: Template
    controls: Controls
    grid: DistanceGrid
    hand_triangles: NDArray[np.int32]

    @classmethod
    def make(cls, template: Template, hand_triangles: NDArray[np.int32], spacing: float) -> "Person":
        controls = make_controls(template, spacing)
        return cls(template, controls, make_grid(template, controls), hand_triangles)


@dataclass(frozen=True)
class Motion:
    """What was tracked in f frames: hands (f, n, 3) and, of the skin at the controls, moved (f, k, 3); float32 [m]."""

    hands: NDArray[np.float32]
    moved: NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """A sequence of f frames at the k controls of `person`. states: (f, k, 3) float32 displacement [m]; fields:
    (f, k, CHANNELS) float16 of the skin as the physics left it in the frame before, depths in mm and motions in mm;
    lags: (f, k, 3) float16 [mm] of the skin at the end of each frame; touching: (f, k) controls that touch;
    motion: where free rollouts are wanted."""

    person: int
    frame_rate: float
    states: NDArray[np.float32]
    fields: NDArray[np.float16]
    lags: NDArray[np.float16]
    touching: NDArray[np.bool_]
    motion: Motion | None = None

    def __len__(self) -> int:
        return len(self.states)


def make_sample(
    recording: Recording, person: Person, number: int, *, motion: bool = False, history: bool = True
) -> Sample:
    """What a network would have seen of the recording. motion: keep it; history=False: fields of the tracked skin."""
    chosen = person.controls.vertices
    field = field_of(person, recording.hands[0])
    moved, states = metres(recording.tracked[:, chosen]), metres(recording.deformation[:, chosen])
    fields = np.zeros((len(recording), len(chosen), CHANNELS), np.float16)
    lags = np.zeros(states.shape, np.float16)
    rest, lag = np.zeros_like(states[0]), np.zeros_like(states[0])
    for k in range(len(recording)):
        before = max(k - 1, 0)
        state = states[before] if history and k else rest
        field.compute(recording.hands[k], recording.hands[before], moved[k], moved[before], state)
        fields[k] = in_millimetres(field.values)
        if history:
            lead(field.values, lag)
            follow(field.values, states[k] - states[before], lag)
            lags[k] = 1e3 * lag
    kept = Motion(recording.hands, moved) if motion else None
    return Sample(number, recording.frame_rate, states, fields, lags, recording.touching[:, chosen], kept)


def field_of(person: Person, hands: NDArray[np.float32]) -> ContactField:
    """A contact field for a person; hands: (n, 3) [m] any pose."""
    return ContactField(person.template, person.controls, person.grid, hands.astype(np.float64), person.hand_triangles)


def in_millimetres(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths of a field (…, CHANNELS) in mm, which half precision can hold; areas and normals are as they are."""
    scale = np.full(CHANNELS, 1e3, np.float32)
    scale[AREA] = 1.0
    scale[NORMAL : NORMAL + 3] = 1.0
    return field * scale


def least_squares(samples: Sequence[Sample]) -> tuple[float, float]:
    """α and β that predict the next state best from the last two, over controls that are deformed."""
    normal, right = np.zeros((2, 2)), np.zeros(2)
    for sample in samples:
        z = sample.states
        old, change, new = z[1:-1], z[1:-1] - z[:-2], z[2:]
        busy = (np.abs(new).max(axis=2) > _DEFORMED) | (np.abs(old).max(axis=2) > _DEFORMED)
        a = np.stack([old[busy].ravel(), change[busy].ravel()]).astype(np.float64)
        normal += a @ a.T
        right += a @ new[busy].ravel()
    if not normal.any():
        return 1.0, 0.0
    alpha, beta = np.linalg.lstsq(normal, right, rcond=None)[0]
    return float(alpha), float(beta)
