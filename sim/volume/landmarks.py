# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of a head: its axes, midline profile, ears and chin, found from the surface alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from ...errors import VolumeError
from ..geometry.triangle_bvh import TriangleTree

_REFERENCE = 0.150  # nose tip to top of an adult head [m]; all lengths below are for a head of this size
_ASIDE, _SLIPPED = 1e-4, 0.05  # of the head's breadth: off the edges but still the middle; much deeper than beside it
_OFF_CENTRE = 0.01  # of the breadth, by which the middle of the widest points may be off the face's
_LEAST_HEIGHT = 0.05  # with neck [m]: the profile is sampled in millimetres, too few of them on a smaller head
_LONGEST_NOSE = 0.15  # tip in front of the cheek beside it, as a fraction of the head's breadth including the ears


@dataclass(frozen=True)
class HeadFrame:
    """A head's own coordinates: lateral (towards the person's left), up and front, metres from `origin`.

    rotation: (3, 3), rows lateral, up, front.
    """

    origin: NDArray[np.float64]
    rotation: NDArray[np.float64]

    def into(self, points: ArrayLike) -> NDArray[np.float64]:
        """World (…, 3) to (lateral, up, front) [m]."""
        return (np.asarray(points) - self.origin) @ self.rotation.T

    def out_of(self, points: ArrayLike) -> NDArray[np.float64]:
        """(lateral, up, front) to world (…, 3) [m]."""
        return np.asarray(points) @ self.rotation + self.origin


@dataclass(frozen=True)
class Landmarks:
    """Landmarks in the head's frame [m]; named after the corresponding craniometric points.

    scale: size relative to an adult head. points: name → (lateral, up, front); paired points are given for the left;
    the right one is its mirror image, except ear_left and ear_right, which are found separately.
    """

    frame: HeadFrame
    scale: float
    points: dict[str, NDArray[np.float64]]

    def mirrored(self, name: str) -> list[NDArray[np.float64]]:
        """The point and, if it is off the midline, its mirror image."""
        p = self.points[name]
        return [p] if p[0] == 0 else [p, p * [-1, 1, 1]]


def find_landmarks(
    vertices: NDArray,
    triangles: NDArray,
    up: ArrayLike,
    front: ArrayLike,
    name: str = "head",
    plane: float | None = None,
) -> Landmarks:
    """Landmarks of a head from its midline profile and its widest points.

    vertices: (n, 3) [m]; triangles: (m, 3); up, front: (3,); plane: where the face's plane of symmetry lies along the
    lateral axis [m], if not between the widest points, as in a head with hair on one side. Raises VolumeError when no
    profile can be seen, or for a head of a few centimetres.
    """
    upwards, forwards = np.asarray(up, float), np.asarray(front, float)
    upwards = upwards / np.linalg.norm(upwards)
    forwards = forwards - upwards * (upwards @ forwards)
    forwards = forwards / np.linalg.norm(forwards)
    used = vertices[np.unique(triangles)]
    rotation = np.array([np.cross(upwards, forwards), upwards, forwards])
    own = used @ rotation.T  # the centre of a tilted head is that of its own box, not of the world-aligned one
    centre = 0.5 * (own.min(0) + own.max(0))
    if plane is not None and abs(plane - centre[0]) > _OFF_CENTRE * np.ptp(own[:, 0]):
        centre[0] = plane
    frame = HeadFrame(centre @ rotation, rotation)
    local = frame.into(vertices)
    tree = TriangleTree(local, triangles)
    low, high = local[np.unique(triangles)].min(0), local[np.unique(triangles)].max(0)

    if not high[1] - low[1] >= _LEAST_HEIGHT:
        raise VolumeError(
            f"the head is {1000 * (high[1] - low[1]):.3g} mm high: too small for a volume.",
            object=name,
            advice="Press Fit Size, or set the unit scale (setup --unit-scale) so that it measures 20 to 30 cm.",
        )
    heights = np.arange(low[1], high[1], 0.001)
    breadth = high[0] - low[0]

    def profile(lateral: float) -> NDArray:
        origins = np.column_stack([np.full_like(heights, lateral), heights, np.full_like(heights, high[2] + 1.0)])
        return high[2] + 1.0 - tree.hit(origins, [0.0, 0.0, -1.0])

    # A ray along the edges of a symmetric mesh may slip through between its triangles and hit the back of the head.
    middle, aside = profile(0.0), profile(_ASIDE * breadth)
    middle = np.where(aside > middle + _SLIPPED * breadth, aside, middle)
    midline, beside = middle, 0.5 * (profile(0.1 * breadth) + profile(-0.1 * breadth))
    seen = np.isfinite(midline)
    midline = np.where(seen, midline, low[2])
    beside = np.where(np.isfinite(beside), beside, low[2])
    # Below the chin, the ray beside it hits the neck, which says nothing about noses.
    protrusion = midline + np.clip(midline - beside, 0.0, _LONGEST_NOSE * breadth)
    # The lowest third may be neck or chest, the highest fifth is scalp; neither holds the nose.
    eligible = seen & (heights > low[1] + 0.2 * (high[1] - low[1])) & (heights < high[1] - 0.2 * (high[1] - low[1]))
    if not eligible.any():
        raise VolumeError(
            "no face profile can be seen from the front.",
            object=name,
            advice="Check that the head is upright in the neutral frame, or choose a head bone.",
        )
    tip = int(np.argmax(np.where(eligible, gaussian_filter1d(protrusion, 2), -np.inf)))
    scale = (high[1] - heights[tip]) / _REFERENCE
    smooth = gaussian_filter1d(midline, 1.5)

    def between(below_mm: float, above_mm: float) -> NDArray[np.int64]:
        """Indices of heights from tip + below to tip + above, in mm of an adult head."""
        offset = (heights - heights[tip]) / scale
        return np.flatnonzero((offset >= below_mm * 1e-3) & (offset <= above_mm * 1e-3))

    def at(index: int) -> NDArray:
        return np.array([0.0, heights[index], midline[index]])

    window = between(25, 62)
    sellion = int(window[np.argmin(smooth[window] + 0.15 * heights[window])])
    window = between(-26, -6)
    subnasale = int(window[np.argmin(smooth[window])])
    window = between(-48, -16)
    notch = midline - median_filter(midline, max(3, int(9 * scale)))
    stomion = int(window[np.argmin(notch[window])])
    window = np.flatnonzero((heights < heights[stomion] - 0.018 * scale) & (heights > heights[stomion] - 0.05 * scale))
    window = window if len(window) else np.array([max(0, stomion - int(33 * scale))])
    pogonion = int(window[np.argmax(smooth[window])])
    chin_front = midline[pogonion]
    below = tree.hit([[0.0, low[1] - 1.0, chin_front - 0.014 * scale]], [0.0, 1.0, 0.0])[0] + low[1] - 1.0
    menton_up = below if np.isfinite(below) and below < heights[pogonion] else heights[pogonion] - 0.012 * scale

    points = {
        "vertex": np.array([0.0, high[1], 0.0]),
        "sellion": at(sellion),
        "pronasale": at(tip),
        "subnasale": at(subnasale),
        "stomion": np.array([0.0, heights[stomion], smooth[min(stomion + int(4 * scale), len(smooth) - 1)]]),
        "pogonion": at(pogonion),
        "menton": np.array([0.0, menton_up, chin_front - 0.014 * scale]),
        "opisthocranion": np.array([0.0, heights[sellion], low[2]]),
    }
    points |= _ears(local, np.unique(triangles), points, scale)
    points["eye"] = _eye(tree, points, scale, high[2])
    return Landmarks(frame, scale, points)


def _ears(local: NDArray, used: NDArray, points: dict, scale: float) -> dict[str, NDArray]:
    """The centre of each auricle: what protrudes most between the base of the nose and the brow, behind the face."""
    result = {}
    face = points["sellion"][2]
    heights = local[used, 1]
    level = (heights > points["subnasale"][1] - 0.01 * scale) & (heights < points["sellion"][1] + 0.02 * scale)
    for side, name in ((1.0, "ear_left"), (-1.0, "ear_right")):
        candidates = local[used[level & (local[used, 2] < face - 0.05 * scale) & (side * local[used, 0] > 0)]]
        if len(candidates):
            reach = side * candidates[:, 0]
            result[name] = candidates[reach > reach.max() - 0.012 * scale].mean(0)
        else:
            height = 0.5 * (points["sellion"][1] + points["subnasale"][1])
            result[name] = np.array([side * 0.075 * scale, height, face - 0.1 * scale])
    return result


def _eye(tree: TriangleTree, points: dict, scale: float, front: float) -> NDArray:
    """Centre of the left eyeball: half of the interpupillary distance (63 mm) beside the midline, below the sellion,
    its cornea at the lids; the eyeball's radius is 12 mm."""
    height = points["sellion"][1] - 0.004 * scale
    lids = front + 1.0 - tree.hit([[0.0315 * scale, height + 0.014 * scale, front + 1.0]], [0.0, 0.0, -1.0])[0]
    lids = lids if np.isfinite(lids) else points["sellion"][2]
    return np.array([0.0315 * scale, height, lids - 0.018 * scale])
