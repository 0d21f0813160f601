# SPDX-License-Identifier: GPL-3.0-or-later
"""How the head was found to stand, kept with the scene so that the viewport can show it with two arrows.

They are kept in the space of what carries the head, so that they stay with it when it moves.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .meshes import matrix_array
from .rig import Rig, scene_object


def choose_carrier(scene: Any, rig: Rig) -> NDArray[np.float64]:
    """Chooses the head's bone, or else its object, to carry the arrows; returns (4, 4) from the world [m] into its
    space. To be called at the neutral frame."""
    facing = scene.nephim.facing
    name, facing.bone = rig.head_bone or (rig.head.object_name, "")
    facing.carrier = scene_object(name)
    return np.linalg.inv(_place(facing)) @ np.diag([1 / rig.scale] * 3 + [1.0])


def remember(scene: Any, to_carrier: NDArray[np.float64], ends: NDArray[np.float64]) -> None:
    """Keeps arrows (2, 2, 3), world space of the neutral frame [m]; to_carrier: from `choose_carrier`."""
    scene.nephim.facing.ends = _apply(to_carrier, ends.reshape(-1, 3)).ravel()


def forget(scene: Any) -> None:
    """Nothing is known any more of how the head stands."""
    scene.nephim.facing.carrier = None


def arrows(settings: Any) -> NDArray[np.float64] | None:
    """The arrows (2, 2, 3) where they are now, world space, Blender units: first that of the face, then that of the
    top. None where nothing is known."""
    facing = settings.facing
    carrier = facing.carrier
    if carrier is None or (facing.bone and facing.bone not in getattr(carrier.pose, "bones", ())):
        return None
    return _apply(_place(facing), np.array(facing.ends).reshape(-1, 3)).reshape(2, 2, 3)


def _place(facing: Any) -> NDArray[np.float64]:
    """(4, 4) from the carrier to the world, Blender units."""
    carrier = facing.carrier
    if not facing.bone:
        return matrix_array(carrier.matrix_world)
    return matrix_array(carrier.matrix_world @ carrier.pose.bones[facing.bone].matrix)


def _apply(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 3) moved by an affine matrix (4, 4)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
