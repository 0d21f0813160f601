# SPDX-License-Identifier: GPL-3.0-or-later
"""Where hands are near the skin of the face, when they touch it, and what pulls them onto it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.triangle_bvh import TriangleTree
from .kinematics import Bones, Motion, Points, pose
from .rig import Rig

SPOTS = 160  # places on a hand that may touch; about one every 8 mm
_REACH = 0.15  # [m] farther ones do not matter


@dataclass(frozen=True)
class Nearness:
    """Of places on a hand: distance (f, n) [m] from the face, negative inside, inf beyond reach; closest (f, n, 3) on
    the face, normal (f, n, 3) out of it there."""

    distance: NDArray[np.float64]
    closest: NDArray[np.float64]
    normal: NDArray[np.float64]

    @property
    def least(self) -> NDArray[np.float64]:
        """(f,) of the nearest place."""
        return self.distance.min(1)


def spots(rig: Rig, side: str) -> Points:
    """Well spread places on a hand's skin, as the skin moves."""
    skin = rig.hand_skins[side]
    wrist = rig.hands[side].wrist
    of_hand = (skin.weights * rig.bones.below()[wrist][skin.bones]).sum(1) > 0.5
    rows = np.flatnonzero(of_hand)
    places = skin.vertices[rows]
    # Farthest first: each is farthest from those before it.
    chosen = [int(np.linalg.norm(places - rig.bones.rest[wrist, :3, 3], axis=1).argmax())]
    away = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < min(SPOTS, len(rows)):
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return skin.points(rows[chosen])


class FaceOverTime:
    """The posed face of a take, for distances from it. Frames are posed one at a time: all of them may not fit."""

    def __init__(self, rig: Rig, bones: Bones, motion: Motion):
        assert rig.face is not None
        self.skin = rig.face
        turned, origin = pose(bones, motion)
        self.linear = turned @ np.swapaxes(bones.rest[:, :3, :3], -1, -2)
        self.shift = origin - np.einsum("fjab,jb->fja", self.linear, bones.rest[:, :3, 3])
        self.expressions = motion.expressions
        self.tree = TriangleTree(self.skin.vertices, self.skin.triangles)

    def posed(self, frame: int) -> NDArray[np.float64]:
        """Its vertices (n, 3) [m]."""
        skin, shaped = self.skin, self.skin.vertices
        moved = np.flatnonzero(self.expressions[frame])
        if len(moved):
            shaped = shaped + np.einsum("k,nkd->nd", self.expressions[frame, moved], skin.deltas[:, moved])
        blended = np.einsum("nb,nbij->nij", skin.weights, self.linear[frame][skin.bones])
        shift = np.einsum("nb,nbi->ni", skin.weights, self.shift[frame][skin.bones])
        return np.einsum("nij,nj->ni", blended, shaped) + shift

    def nearness(self, points: NDArray, chosen: NDArray) -> Nearness:
        """Of points (f, n, 3) in the `chosen` (f,) frames."""
        distance = np.full(points.shape[:2], np.inf)
        closest, normal = np.zeros(points.shape), np.zeros(points.shape)
        for frame in np.flatnonzero(chosen):
            self.tree.refit(self.posed(int(frame)))
            away, triangle, barycentric, sign = self.tree.closest(points[frame], _REACH)
            found = np.flatnonzero(np.isfinite(away))
            corner = self.tree.vertices[self.skin.triangles[triangle[found]]]
            at = np.einsum("nc,ncd->nd", barycentric[found], corner)
            out = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
            distance[frame, found] = away[found] * sign[found]
            closest[frame, found] = at
            normal[frame, found] = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
        return Nearness(distance, closest, normal)
