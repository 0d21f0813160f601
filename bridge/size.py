# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the head is as large as a person's, and the unit scale that would make it so."""

from typing import Any

from ..errors import SizeError
from .rig import Rig


def check_size(surfaces: Any, rig: Rig) -> None:
    """Raises SizeError if the head is far larger or smaller than a person's.

    surfaces: `surfaces.NeutralSurfaces` of this rig.
    """
    from ..sim.volume.size import LARGEST, SMALLEST, fitting_unit

    height = _height(surfaces)
    if not height or SMALLEST <= height <= LARGEST:
        return
    unit = fitting_unit(height / rig.scale)
    raise SizeError(
        f"From chin to top the head measures {_length(height)}; a person's has 20 to 30 cm.",
        object=surfaces.head.name,
        frame=rig.neutral_frame,
        advice=f"Press Fit Size, or set the unit scale to {unit:g} (setup --unit-scale {unit:g}): NePHIM alone then "
        f"reads the head as {_length(height / rig.scale * unit)}. If the mesh holds more than the head, choose the "
        "head's vertex group.",
        unit_scale=unit,
    )


def fitting_scale(surfaces: Any, rig: Rig) -> float:
    """Metres per unit with which the head of this rig is as large as a person's; the rig's own if it is already."""
    from ..sim.volume.size import LARGEST, SMALLEST, fitting_unit

    height = _height(surfaces)
    if not height or SMALLEST <= height <= LARGEST:
        return rig.scale
    return fitting_unit(height / rig.scale)


def _height(surfaces: Any) -> float:
    from ..sim.volume.size import head_height

    return head_height(surfaces.head, surfaces.hints)


def _length(metres: float) -> str:
    """For people: millimetres up to 10 cm, centimetres up to 1 m, then metres."""
    if metres < 0.1:
        return f"{1000 * metres:.3g} mm"
    return f"{100 * metres:.0f} cm" if metres < 1 else f"{metres:.3g} m"
