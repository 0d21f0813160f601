# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones as transforms."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SurfaceError
from .meshes import matrix_array
from .rig import scene_object


def posed_bone(bone: tuple[str, str], depsgraph: Any, scale: float) -> NDArray[np.float64]:
    """(4, 4) from a bone's space to the world in metres; `scale`: metres per unit."""
    armature = scene_object(bone[0]).evaluated_get(depsgraph)
    matrix = matrix_array(armature.matrix_world @ armature.pose.bones[bone[1]].matrix)
    matrix[:3] *= scale
    return matrix


def rigid_motion(
    before: NDArray[np.float64], after: NDArray[np.float64], bone: tuple[str, str], frame: int
) -> NDArray[np.float64]:
    """The rotation and translation that move a bone from one pose to another, shape (4, 4).

    Scale and shear are removed by the polar decomposition; the bone's head is moved exactly. Raises SurfaceError
    if the bone is scaled to zero.
    """
    degenerate = SurfaceError(
        f"The bone '{bone[1]}' is scaled to zero.",
        object=bone[0],
        frame=frame,
        advice="Restore its scale, or choose another bone.",
    )
    if abs(np.linalg.det(before[:3, :3])) <= np.finfo(np.float64).tiny or not np.isfinite(after).all():
        raise degenerate
    u, stretch, v = np.linalg.svd(after[:3, :3] @ np.linalg.inv(before[:3, :3]))
    if stretch[-1] <= np.finfo(np.float32).eps * stretch[0]:
        raise degenerate
    rotation = u @ v
    if np.linalg.det(rotation) < 0:
        u[:, 2] *= -1.0
        rotation = u @ v
    motion = np.eye(4)
    motion[:3, :3] = rotation
    motion[:3, 3] = after[:3, 3] - rotation @ before[:3, 3]
    return motion
