# SPDX-License-Identifier: GPL-3.0-or-later
"""Free rollout of a network over recorded sequences, at the controls: the error that training is judged by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .contact_field import DEPTH
from .features import COUNT, GATHERED, MOMENTS, OWN, STATE_UNIT, Features
from .runtime import _FELT, _LEAST_DECAY, _active, _update
from .samples import Person, Sample
from .weights import Weights

_DEFORMED = 5e-4  # [m]


def roll(person: Person, weights: Weights, sample: Sample, history: bool = True) -> NDArray[np.float32]:
    """States (f, k, 3) [m] that the network gives for the sample's contact fields, from rest."""
    controls = person.controls
    k = len(controls)
    features = Features(controls, sample.frame_rate)
    rows, awake = np.zeros((k, COUNT), np.float32), np.zeros(k, np.bool_)
    z, change, depth = np.zeros((k, 3), np.float32), np.zeros((k, 3), np.float32), np.zeros(k, np.float32)
    near = controls.neighbours[-1]
    scale = np.full(6, 1e-3, np.float32)
    scale[2] = 1
    kept = np.ones(COUNT, np.float32)
    if not history:
        kept[7:13] = 0
        for m in range(MOMENTS):
            kept[OWN + m * GATHERED + 5 : OWN + (m + 1) * GATHERED] = 0
    every = np.arange(k, dtype=np.int32)
    resting = evaluate(weights, features.rows(every, np.zeros((k, 6), np.float32), depth, z, change, rows) * kept)
    result = np.zeros((len(sample), k, 3), np.float32)
    for f in range(len(sample)):
        field = sample.fields[f].astype(np.float32) * scale
        felt = np.flatnonzero(field[:, 2]).astype(np.int32)
        active = _active(felt, field, z, awake, near.start, near.index)
        if len(active):
            x = features.rows(active, field, depth, z, change, rows) * kept
            x = np.clip(x, weights.low, weights.high)
            pushed = evaluate(weights, x) - resting[active]
            free = not (field[felt, DEPTH] > _FELT).any()
            decay = _LEAST_DECAY ** (24.0 / sample.frame_rate) if free else 0.0
            _update(active, pushed, controls.frames, weights.alpha, weights.beta, decay, z, change)
        depth = field[:, DEPTH].copy()
        result[f] = z
    return result


def evaluate(weights: Weights, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Φ of features (m, COUNT), (m, 3) in `STATE_UNIT` in the controls' frames."""
    value = rows
    for k, (matrix, bias) in enumerate(weights.layers):
        value = value @ matrix.T + bias
        if k < len(weights.layers) - 1:
            value = np.maximum(value, 0)
    return value + rows @ weights.skip.T


def rollout_error(people: Sequence[Person], weights: Weights, samples: Sequence[Sample], history: bool = True) -> float:
    """RMSE [mm] over deformed controls (true or predicted by more than 0.5 mm), in free rollout."""
    total, count = 0.0, 0
    for sample in samples:
        predicted = roll(people[sample.person], weights, sample, history)
        error = ((predicted - sample.states) ** 2).sum(axis=2)
        deformed = np.maximum((sample.states**2).sum(axis=2), (predicted**2).sum(axis=2)) > _DEFORMED**2
        total += float(error[deformed].sum())
        count += int(deformed.sum())
    return 1e3 * float(np.sqrt(total / max(count, 1)))


assert STATE_UNIT > 0
