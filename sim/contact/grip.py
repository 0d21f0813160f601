# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a hand grips the skin at each place: moist lips better than a dry cheek, hair less."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...choices import REGIONS
from ..settings import PhysicsSettings
from ..template import LIPS, SCALP, Template
from .contacts import Contacts


@dataclass(frozen=True)
class Grip:
    """Of the skin's vertices. friction: (n_skin,) Coulomb coefficient; drag_limit: (n_skin,) [m], see the settings."""

    friction: NDArray[np.float64]
    drag_limit: NDArray[np.float64]

    @classmethod
    def of(cls, template: Template, settings: PhysicsSettings) -> "Grip":
        """Where a volume knows no regions, the whole skin is a cheek's."""
        share = template.skin_region
        if share is None:
            share = np.zeros((template.n_skin, len(REGIONS)), np.float32)
        lips, scalp = share[:, LIPS].astype(np.float64), share[:, SCALP].astype(np.float64)
        friction = 1.0 + (settings.lips_grip - 1.0) * lips + (settings.scalp_grip - 1.0) * scalp
        drag = 1.0 + (settings.lips_drag - 1.0) * lips
        return cls(settings.friction * friction, settings.drag_limit * drag)

    def at(self, contacts: Contacts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Friction (m,) and drag limit (m,) [m] at the skin points of the contacts."""
        return _between(self.friction, contacts), _between(self.drag_limit, contacts)


def _between(values: NDArray, contacts: Contacts) -> NDArray[np.float64]:
    """By differences, so that equal values stay exactly what they are."""
    corners, weights = values[contacts.skin], contacts.skin_weights
    first = corners[:, 0]
    return np.asarray(
        first + weights[:, 1] * (corners[:, 1] - first) + weights[:, 2] * (corners[:, 2] - first), np.float64
    )
