# SPDX-License-Identifier: GPL-3.0-or-later
"""Free rollout of a network over recorded sequences, at the controls: the error by which training is judged."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .recurrence import Recurrence
from .samples import Motion, Person, Sample, field_of
from .weights import Weights

_DEFORMED = 5e-4  # [m]


def roll(person: Person, weights: Weights, motion: Motion, frame_rate: float, history: bool = True) -> NDArray:
    """States (f, k, 3) float32 [m] that the network gives for tracked hands and skin, from rest."""
    field = field_of(person, motion.hands[0])
    recurrence = Recurrence(person.controls, field, weights, frame_rate, history=history)
    result = np.zeros_like(motion.moved)
    for f in range(len(result)):
        result[f] = recurrence.advance(motion.hands[f], motion.moved[f])
    return result


def rollout_error(people: Sequence[Person], weights: Weights, samples: Sequence[Sample], history: bool = True) -> float:
    """RMSE [mm] over deformed controls (true or predicted by more than 0.5 mm), in free rollout; of samples that were
    made with their motion."""
    total, count = 0.0, 0
    for sample in samples:
        assert sample.motion is not None
        predicted = roll(people[sample.person], weights, sample.motion, sample.frame_rate, history)
        error = ((predicted - sample.states) ** 2).sum(axis=2)
        deformed = np.maximum((sample.states**2).sum(axis=2), (predicted**2).sum(axis=2)) > _DEFORMED**2
        total += float(error[deformed].sum())
        count += int(deformed.sum())
    return 1e3 * float(np.sqrt(total / max(count, 1)))
