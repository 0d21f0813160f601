# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to look from: views that show the deformed skin and hide as little of it as possible behind the hand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.surface import triangle_normals
from .raster import Model, View, visible

# Small pictures are enough to compare views.
_TRIAL_PIXELS = 96
# Directions tried: degrees to the side of the face and above it.
_YAW, _PITCH = range(-90, 91, 15), (-25, -5, 15, 35)
# How much a view from the front counts against seeing the deformed skin.
_FRONT_WEIGHT = 0.35


def directions(front: NDArray, up: NDArray) -> NDArray[np.float64]:
    """Directions from the subject to the camera that are tried, unit, shape (k, 3)."""
    side = np.cross(up, front)
    yaw, pitch = (np.radians(a).ravel() for a in np.meshgrid(_YAW, _PITCH))
    level = np.cos(yaw)[:, None] * front + np.sin(yaw)[:, None] * side
    return np.cos(pitch)[:, None] * level + np.sin(pitch)[:, None] * up


def best_direction(
    head: Model,
    others: Sequence[Model],
    displacement: NDArray,
    front: NDArray,
    up: NDArray,
    centre: NDArray,
    size: float,
) -> NDArray[np.float64]:
    """The direction to the camera that shows most displaced skin, unit, shape (3,).

    displacement: (n,) of the head's vertices [m]; front, up: unit; centre, size: what the picture frames [m].
    Seen skin counts by displacement and by how obliquely it is seen: a dent reads best from the side.
    """
    weight = displacement[head.triangles].mean(axis=1)
    normals = triangle_normals(head.vertices, head.triangles)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    tried = directions(front, up)
    score = np.zeros(len(tried))
    for k, direction in enumerate(tried):
        view = View(centre, -direction, up, size, (_TRIAL_PIXELS, _TRIAL_PIXELS))
        model, triangle = visible([head, *others], view)
        seen = triangle[model == 0]
        oblique = 1.0 - 0.5 * np.clip(normals[seen] @ direction, 0, 1)
        score[k] = (weight[seen] * oblique).sum()
    score /= max(score.max(), 1e-30)
    # Between equally good views the straight one is easier to read than one from far above or below.
    return tried[np.argmax(score + _FRONT_WEIGHT * (tried @ front) - 0.15 * np.abs(tried @ up))]


def focus(vertices: NDArray, displacement: NDArray) -> tuple[NDArray[np.float64], float]:
    """Centre and extent [m] of the displaced skin: weighted by displacement, extent is twice the 90th percentile."""
    weight = np.maximum(displacement - 0.1 * displacement.max(), 0)
    if not weight.any():
        return vertices.mean(axis=0), float(np.ptp(vertices, axis=0).max())
    centre = (vertices * weight[:, None]).sum(axis=0) / weight.sum()
    far = np.linalg.norm(vertices[weight > 0] - centre, axis=1)
    return centre, 2 * float(np.percentile(far, 90))
