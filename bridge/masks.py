# SPDX-License-Identifier: GPL-3.0-or-later
"""Vertices that Mask modifiers hide, such as the helper geometry of MPFB's bodies: they are part of no surface."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .meshes import group_weights


def masks(obj: Any) -> list[Any]:
    """The Mask modifiers that hide vertices by a vertex group. Those by an armature follow its selection: not these."""
    return [
        modifier
        for modifier in obj.modifiers
        if modifier.type == "MASK"
        and modifier.show_viewport
        and modifier.mode == "VERTEX_GROUP"
        and modifier.vertex_group in obj.vertex_groups
    ]


def seen_vertices(obj: Any) -> NDArray[np.bool_] | None:
    """Which vertices (n,) of a mesh object its masks leave; None if there are no masks."""
    found = masks(obj)
    if not found:
        return None
    seen = np.ones(len(obj.data.vertices), bool)
    for modifier in found:
        shown = group_weights(obj, modifier.vertex_group) > modifier.threshold
        seen &= shown != modifier.invert_vertex_group
    return seen


def seen_triangles(obj: Any, triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """Those of an object's triangles (m, 3) whose vertices its masks all leave."""
    seen = seen_vertices(obj)
    return triangles if seen is None else triangles[seen[triangles].all(axis=1)]
