# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a head is, and the unit in which it would be as large as a person's."""

from dataclasses import replace

import numpy as np

from ...errors import VolumeError
from ..geometry.mending import main_part, mend
from ..geometry.surface import Surface
from .axes import find_axes
from .hints import Hints
from .landmarks import find_landmarks

ADULT = 0.23  # chin to top of an adult head [m]
SMALLEST, LARGEST = 0.12, 0.45  # heads between these [m] are simulated as they are: a newborn's has 0.12
LEAST_VERTICES = 500  # of a head: with fewer, neither its face nor its size is known
_HUMAN = (0.18, 0.30)  # a known unit is taken for the intended one if it puts the head between these [m]
_UNITS = (*(10.0**k for k in range(-4, 4)), 0.0254)  # metres: powers of ten, inches
_EXTENT = 0.3  # landmarks are sampled in millimetres: other heads are brought to this size before [m]
_AS_IT_IS = (0.15, 0.6)  # extents of heads that are not [m]: these have the same axes as in the build, found once


def head_height(head: Surface, hints: Hints | None = None) -> float:
    """Height of a head from chin to top, in the unit of its vertices; 0 for one without size or too coarse to tell.

    hints: see `build.build_template`. Where no face can be seen, the largest extent stands for the height.
    """
    if len(head.vertices) < LEAST_VERTICES:
        return 0.0
    triangles = mend(head.vertices, head.triangles).triangles
    triangles = triangles[main_part(head.vertices, triangles)]
    extent = float(np.ptp(head.vertices[np.unique(triangles)], axis=0).max()) if len(triangles) else 0.0
    if not extent > 0:
        return 0.0
    factor = 1.0 if _AS_IT_IS[0] <= extent <= _AS_IT_IS[1] else _EXTENT / extent
    scaled = head.vertices * factor
    if hints is not None and hints.eyes is not None:
        hints = replace(hints, eyes=hints.eyes * factor)
    try:
        axes = find_axes(scaled, triangles, hints)
        marks = find_landmarks(scaled, triangles, axes.up, axes.front, head.name, axes.middle)
    except VolumeError:
        return extent
    return float(marks.points["vertex"][1] - marks.points["menton"][1]) / factor


def fitting_unit(units: float) -> float:
    """Metres per unit that make a head of so many units human-sized: a common unit if one does, else to two digits."""
    for unit in _UNITS:
        if _HUMAN[0] <= units * unit <= _HUMAN[1]:
            return unit
    return float(f"{ADULT / units:.2g}")
