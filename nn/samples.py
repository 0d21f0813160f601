# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded sequences as what a network sees of them: states and contact fields at the controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sim.template import Template
from .contact_field import CHANNELS, ContactField
from .controls import Controls, make_controls
from .distance_grid import DistanceGrid, make_grid
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
class Sample:
    """A sequence of f frames at the k controls of `person`. states: (f, k, 3) float32 displacement [m]; fields:
    (f, k, CHANNELS) float16, depths in mm and motions in mm; loose: (f, k) controls that touch."""

    person: int
    frame_rate: float
    states: NDArray[np.float32]
    fields: NDArray[np.float16]
    touching: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.states)


def make_sample(recording: Recording, person: Person, number: int) -> Sample:
    """What a network would have seen of the recording."""
    chosen = person.controls.vertices
    field = ContactField(
        person.template, person.controls, person.grid, recording.hands[0].astype(np.float64), person.hand_triangles
    )
    moved = metres(recording.tracked[:, chosen])
    fields = np.zeros((len(recording), len(chosen), CHANNELS), np.float16)
    before = recording.hands[0]
    for k in range(len(recording)):
        field.compute(recording.hands[k], before, moved[k])
        before = recording.hands[k]
        fields[k] = in_millimetres(field.values)
    states = metres(recording.deformation[:, chosen])
    return Sample(number, recording.frame_rate, states, fields, recording.touching[:, chosen])


def in_millimetres(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths of a field (…, CHANNELS) in mm, which half precision can hold; the area is a share."""
    scale = np.full(CHANNELS, 1e3, np.float32)
    scale[2] = 1.0
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
