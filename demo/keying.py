# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions with one key per frame, as motion capture writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from .posing import quaternion

Curves = Mapping[str, NDArray[np.float64]]


def animate(owners: Sequence[Any], id_type: str, name: str, frames: NDArray, curves: Curves) -> None:
    """Gives all `owners` (IDs of one type) the same new action. curves: data path → values (f,) or (f, components)."""
    action = bpy.data.actions.new(name)
    fcurves, slot = compat.new_fcurves(action, id_type)
    for path, values in curves.items():
        for component, column in enumerate(np.reshape(values, (len(frames), -1)).T):
            _fill(fcurves.new(path, index=component), frames, column)
    for owner in owners:
        owner.animation_data_create()
        owner.animation_data.action = action
        if slot is not None:
            owner.animation_data.action_slot = slot


def quaternions(rotations: NDArray) -> NDArray[np.float64]:
    """(f, 4) of rotation matrices (f, 3, 3), neighbours on the same side, so that curves between keys do not spin."""
    result = np.array([quaternion(r) for r in rotations])
    for row in range(1, len(result)):
        if result[row] @ result[row - 1] < 0:
            result[row] = -result[row]
    return result


def _fill(curve: Any, frames: NDArray, values: NDArray) -> None:
    points = curve.keyframe_points
    points.add(len(frames))
    points.foreach_set("co", np.column_stack([frames, values]).astype(np.float32).ravel())
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    points.foreach_set("interpolation", np.full(len(frames), linear, np.int32))
    curve.update()
