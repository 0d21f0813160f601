# SPDX-License-Identifier: GPL-3.0-or-later
"""Where landmarks of MediaPipe's face mesh lie on any head: on the template head by their meaning, then carried along
by the registration of the template's skin.

Only landmarks with a meaning that anatomy gives are used: lids, lips, brows, nose, forehead, cheeks and chin.
MediaPipe's own canonical face is not needed.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.mending import main_part, mend
from ..sim.geometry.topology import boundary_loops
from ..sim.geometry.triangle_bvh import TriangleTree
from ..sim.volume.axes import find_axes
from ..sim.volume.hints import Hints
from ..sim.volume.landmarks import Landmarks, find_landmarks
from ..sim.volume.registered_skull import register_template
from ..sim.volume.template_head import TemplateHead, load_template_head
from .kinematics import Points
from .rig import Skin

N_FACE, N_FACE_WITH_IRIS = 468, 478
# Along the lids and the inner lips from the outer to the inner corner, or from the right to the left one.
_UPPER_LID = {
    "right": (33, 246, 161, 160, 159, 158, 157, 173, 133),
    "left": (263, 466, 388, 387, 386, 385, 384, 398, 362),
}
_LOWER_LID = {
    "right": (33, 7, 163, 144, 145, 153, 154, 155, 133),
    "left": (263, 249, 390, 373, 374, 380, 381, 382, 362),
}
_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
# On the template as seen from the front [mm]: index, height; and right index, left index, distance from the middle,
# height. Found by looking at the template.
_MIDDLE = (
    (10, 83), (151, 58), (9, 41), (8, 33), (168, 22), (6, 15), (197, 8), (195, 2), (5, -2), (4, -5), (1, -9), (2, -22),
    (0, -34), (17, -51), (200, -58), (199, -65), (175, -73),
)  # fmt: skip
_PAIRS = (
    (70, 300, 47, 37), (63, 293, 42, 41.5), (105, 334, 34, 44), (66, 296, 24, 42.5), (107, 336, 13, 38.5),
    (46, 276, 46, 33), (53, 283, 41, 37), (52, 282, 34, 39), (65, 295, 23, 38), (55, 285, 12, 34),
    (129, 358, 16, -12), (98, 327, 10, -20), (37, 267, 5, -33), (39, 269, 11, -35), (61, 291, 23.5, -41),
    (84, 314, 6, -51), (181, 405, 13, -49), (50, 280, 42, -5), (205, 425, 34, -24), (187, 411, 44, -28),
    (109, 338, 18, 80), (67, 297, 34, 74), (104, 333, 32, 58),
)  # fmt: skip
_IN_FRONT = 1.0  # [m] from where rays look at the template


@cache
def on_template() -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Indices of the landmarks used, and where they lie on the template's skin, (m, 3) [m]."""
    template = load_template_head()
    found: dict[int, NDArray] = {}
    for loop in boundary_loops(template.skin_triangles):
        points = template.skin_vertices[loop]
        middle = points.mean(0)
        if middle[2] < 0.05:  # the neck, and the ears that were cut off
            continue
        if abs(middle[0]) < 0.01:
            found |= _along(points, (-1, 0, 0), _UPPER_LIP, _LOWER_LIP)
        else:
            side = "left" if middle[0] > 0 else "right"
            outward = (np.sign(middle[0]), 0, 0)
            found |= _along(points, outward, _UPPER_LID[side], _LOWER_LID[side])
    places: list[tuple[int, float, float]] = [(index, 0.0, height) for index, height in _MIDDLE]
    for right, left, aside, height in _PAIRS:
        places += [(right, -aside, height), (left, aside, height)]
    origins = np.array([[x * 1e-3, y * 1e-3, _IN_FRONT] for _, x, y in places])
    tree = TriangleTree(template.skin_vertices, template.skin_triangles)
    # Never along an edge of the symmetric mesh, where a ray may slip through.
    away = tree.hit(origins + [1e-5, 1e-5, 0], [0.0, 0.0, -1.0])
    for (index, _, _), origin, distance in zip(places, origins, away, strict=True):
        found.setdefault(index, origin - [0, 0, distance])
    order = sorted(found)
    return tuple(order), np.array([found[index] for index in order])


def _along(points: NDArray, outward: tuple, upper: tuple[int, ...], lower: tuple[int, ...]) -> dict[int, NDArray]:
    """Landmarks at equal steps along both edges of an opening, from its outermost to its innermost point."""
    across = points @ np.asarray(outward, float)
    start, end = int(np.argmax(across)), int(np.argmin(across))
    one = _path(points, start, end)
    other = _path(points[::-1], len(points) - 1 - start, len(points) - 1 - end)
    high, low = (one, other) if one[:, 1].mean() > other[:, 1].mean() else (other, one)
    return {
        index: place
        for path, indices in ((low, lower), (high, upper))
        for index, place in zip(indices, _evenly(path, len(indices)), strict=True)
    }


def _path(points: NDArray, start: int, end: int) -> NDArray:
    return np.roll(points, -start, axis=0)[: (end - start) % len(points) + 1]


def _evenly(path: NDArray, count: int) -> NDArray:
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(wanted, steps, path[:, k]) for k in range(3)], 1)


def on_head(
    vertices: NDArray, triangles: NDArray, landmarks: Landmarks, template: TemplateHead | None = None
) -> tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.float64]]:
    """MediaPipe's indices (m,), and where they lie on a head: triangles (m,) and barycentric coordinates (m, 3).

    vertices: (n, 3) [m]; triangles: (t, 3). Raises VolumeError where the template cannot be brought onto the head.
    """
    indices, places = on_template()
    registration = register_template(vertices, triangles, landmarks, template or load_template_head())
    moved = landmarks.frame.out_of(registration.warp(places))
    _, triangle, barycentric, _ = TriangleTree(vertices, triangles).closest(moved)
    return indices, triangle.astype(np.int64), barycentric


@dataclass(frozen=True)
class Face:
    """skin: the surface of the face alone, seams joined; points with indices (m,): MediaPipe's landmarks on it;
    lateral: (3,) to the person's left."""

    skin: Skin
    points: Points
    indices: NDArray[np.int64]
    lateral: NDArray[np.float64]


def read_face(skin: Skin, hints: Hints, name: str) -> Face:
    """Finds the landmarks on a head at rest. Raises VolumeError if its face is not recognised."""
    welded = mend(skin.vertices, skin.triangles).triangles
    body = welded[main_part(skin.vertices, welded)]
    axes = find_axes(skin.vertices, body, hints, name)
    landmarks = find_landmarks(skin.vertices, body, axes.up, axes.front, name, axes.middle)
    whole = replace(skin, triangles=body)
    indices, triangle, barycentric = on_head(skin.vertices, body, landmarks)
    return Face(whole, whole.points_on(triangle, barycentric), np.array(indices), landmarks.frame.rotation[0])
