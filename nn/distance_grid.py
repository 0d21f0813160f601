# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid from which the distance of hand vertices to the neutral skin, and the nearest control, are read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..sim.geometry.topology import fan_caps
from ..sim.geometry.triangle_bvh import TriangleTree
from ..sim.template import Template
from .controls import Controls

CELL = 0.004  # [m]; distances are interpolated, so the error on a curved cheek is hundredths of a millimetre
MARGIN = 0.008  # [m] hand vertices further outside than this are not felt
_DEEP = 0.030  # [m] largest depth that is represented
_ROOM = 0.032  # [m] around the skin: the furthest that held skin is pulled


@dataclass(frozen=True)
class DistanceGrid:
    """low (3,) [m]; distance: (x, y, z) float32 [m], negative inside, cut at margin and depth; control: (x, y, z)
    int16, the control nearest to the nearest point of the outer skin, −1 far away."""

    low: NDArray[np.float64]
    distance: NDArray[np.float32]
    control: NDArray[np.int16]


def make_grid(template: Template, controls: Controls) -> DistanceGrid:
    """Samples the neutral skin; a second or two."""
    points, triangles = template.skin_vertices, template.skin_triangles
    outer = template.outer[triangles].all(axis=1)
    surface = TriangleTree(points, triangles[outer])
    closed = TriangleTree(points, np.concatenate([triangles, fan_caps(triangles)]))
    reach = MARGIN + 2 * CELL
    low = points[template.outer].min(axis=0) - _ROOM
    shape = np.ceil((points[template.outer].max(axis=0) + _ROOM - low) / CELL).astype(int) + 1
    axes = [low[d] + CELL * np.arange(shape[d]) for d in range(3)]
    samples = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.full(len(samples), reach, np.float32)
    control = np.full(len(samples), -1, np.int16)
    near = np.flatnonzero(cKDTree(points[template.outer]).query(samples, distance_upper_bound=_DEEP + CELL)[0] < np.inf)
    found, triangle, corners, _ = surface.closest(samples[near], _DEEP)
    known = np.isfinite(found)
    near, found = near[known], found[known]
    on_skin = surface.points_at(triangle[known], corners[known])
    inside = closed.closest(samples[near])[3] < 0
    distance[near] = np.clip(np.where(inside, -found, found), -_DEEP, reach)
    touchable = np.flatnonzero(template.outer[controls.vertices])
    control[near] = touchable[cKDTree(controls.points[touchable]).query(on_skin)[1]]
    # Below the largest depth and far outside, the grid has no value: there it says "far", where no hand ever is.
    return DistanceGrid(low, distance.reshape(shape), control.reshape(shape))
