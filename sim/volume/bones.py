# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's own jaw and cranium: checked against the skin and turned into fields for the isosurface."""

import numpy as np
from numpy.typing import NDArray

from ...errors import SurfaceError, VolumeError
from ..geometry.isosurface import Grid
from ..geometry.solid_angle import inside_grid, winding_number
from ..geometry.surface import Surface
from ..geometry.topology import fan_caps
from ..geometry.triangle_bvh import TriangleTree

PIERCES = 0.005  # bone further outside than this [m] is not a minor slip
MISPLACED = 0.2  # fraction of vertices outside the skin above which the object or its place is wrong


def check_bone(bone: Surface, skin: TriangleTree) -> str:
    """Checks that a bone lies inside the visible skin, its openings closed; returns a note to show, or "".

    Vertices up to 5 mm outside are fine: the bone is pulled back inside. Raises SurfaceError for positions that are not
    finite and VolumeError for a bone that is empty or lies outside, naming the vertices.
    """
    bad = np.flatnonzero(~np.isfinite(bone.vertices).all(1))
    if len(bad):
        raise SurfaceError("positions are not finite numbers.", object=bone.name, vertices=bad.tolist())
    if len(bone.triangles) == 0:
        raise VolumeError(
            "this bone has no faces.",
            object=bone.name,
            advice="Choose a closed mesh, or none: the bone is then placed for you.",
        )
    outside, distance = sticking_out(bone, skin)
    if not len(outside):
        return ""
    far = outside[distance > PIERCES]
    if len(far) or len(outside) > MISPLACED * len(np.unique(bone.triangles)):
        worst = far if len(far) else outside
        raise VolumeError(
            f"the bone lies up to {1000 * distance.max():.0f} mm outside the head in the neutral frame.",
            object=bone.name,
            vertices=worst.tolist(),
            advice="Move it inside the head, check its scale, or leave it out to place bone by tissue thickness.",
        )
    return f"'{bone.name}' pierced the skin by up to {1000 * distance.max():.1f} mm and was pulled back inside."


def sticking_out(bone: Surface, skin: TriangleTree) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The vertices (k,) of a bone outside the skin, and how far (k,) [m]."""
    used = np.unique(bone.triangles)
    outside = used[winding_number(skin, bone.vertices[used]) < 0.5]
    return outside, skin.closest(bone.vertices[outside])[0]


def signed_distance(bone: Surface, grid: Grid) -> NDArray[np.float64]:
    """Distance (k,) [m] of a grid's samples to a bone's surface, negative inside; holes are closed."""
    closed = np.concatenate([bone.triangles, fan_caps(bone.triangles)])
    tree = TriangleTree(bone.vertices, closed)
    distance = tree.closest(grid.points())[0]
    return np.where(inside_grid(tree, grid, distance), -distance, distance)
