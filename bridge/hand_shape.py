# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that neither a skeleton nor a name makes known: meshes that end in fingers and are as large as hands are."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .meshes import matrix_array, mesh_positions, mesh_triangles, to_world

_TIPS = range(4, 8)  # three fingers and a thumb, up to five fingers and a wrist with something on it
# Extent against the head's, with its neck: a hand has 0.6 to 0.7 of it, a whole arm twice as much.
_SMALLEST, _LARGEST = 0.3, 2.5
_MOST_VERTICES = 100_000  # of a mesh that is looked at: a second


def hands_by_shape(head: Any, meshes: Iterable[Any]) -> list[Any]:
    """Which of these mesh objects are hands to this head."""
    size = _extent(head)
    return [obj for obj in meshes if _SMALLEST * size <= _extent(obj) <= _LARGEST * size and _has_fingers(obj)]


def _extent(obj: Any) -> float:
    """The largest extent along a world axis, in Blender units."""
    return float(np.ptp(to_world(mesh_positions(obj.data), matrix_array(obj.matrix_world)), axis=0).max())


def _has_fingers(obj: Any) -> bool:
    from ..sim.geometry.tips import count_tips  # scipy and numba load on first use

    if len(obj.data.vertices) > _MOST_VERTICES:
        return False
    return count_tips(to_world(mesh_positions(obj.data), matrix_array(obj.matrix_world)), mesh_triangles(obj.data)) in (
        _TIPS
    )
