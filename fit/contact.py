# SPDX-License-Identifier: GPL-3.0-or-later
"""Where hands are near the skin of the face, when they touch it, and what pulls them onto it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..progress import Job, Progress
from ..sim.geometry.triangle_bvh import TriangleTree
from .kinematics import Bones, Motion, Moving, Points, pose
from .rig import Rig
from .solver import Data, Problem, Sight

SPOTS = 160  # places on a hand that may touch; about one every 8 mm
_REACH = 0.15  # [m] farther ones do not matter
_DEPTH, _SPACE = 0.004, 0.002  # [m] standard deviations of distances from one camera, and from several
_EVEN = 1.25  # standard deviations at which touching and not touching are equally likely
_APART = 4.0  # standard deviations beyond which a distance says no more
_CHANGE = 3.0  # what a change between touching and not costs, in squared standard deviations
_ROUNDS = 4  # of finding contact and solving with it
_TOGETHER = 0.003  # [m] places so much farther away than the nearest touch with it
_YIELDS = 0.004  # [m] skin is dented so far, usually
_PULL = 0.002  # [m] standard deviation of touching places from the skin


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
    return replace(skin.points(rows[chosen]), deltas=np.zeros((len(chosen), 0, 3)))


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

    def nearness(self, points: NDArray, chosen: NDArray, step: str) -> Job[Nearness]:
        """Of points (f, n, 3) in the `chosen` (f,) frames."""
        distance = np.full(points.shape[:2], np.inf)
        closest, normal = np.zeros(points.shape), np.zeros(points.shape)
        for frame in np.flatnonzero(chosen):
            yield Progress(step, frame / len(chosen), "contact")
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


class Touch:
    """Contact of a hand with the face, whose motion is known: when, and what it says about the hand.

    problem: the hand's last one, on the rig's own bones; valid: (f,) frames in which both were seen.
    """

    def __init__(self, rig: Rig, side: str, problem: Problem, valid: NDArray):
        self.rig, self.problem, self.valid = rig, problem, valid
        self.spots = spots(rig, side)

    def job(
        self, motion: Motion, one_view: bool, labels: NDArray | None, step: str
    ) -> Job[tuple[Motion, NDArray[np.bool_]]]:
        """The motion, with contact where one view leaves the depth open or labels (f,) tell of it, and which frames
        touch."""
        face = FaceOverTime(self.rig, self.problem.bones, motion)
        sharp = _DEPTH if one_view else _SPACE
        touching = np.zeros(len(self.valid), bool)
        for count in range(_ROUNDS if one_view or labels is not None else 1):
            near = yield from face.nearness(self._spots(motion), self.valid, step)
            touching = touches(near.least, sharp) if labels is None else labels & (near.least < _REACH)
            if (one_view or labels is not None) and count < _ROUNDS - 1:
                motion = yield from self._pulled(near, touching).solve(motion, step)
        return motion, touching & self.valid

    def _spots(self, motion: Motion) -> NDArray[np.float64]:
        return Moving(self.problem.bones, self.spots, motion).places

    def _pulled(self, near: Nearness, touching: NDArray) -> Problem:
        """The problem with the nearest places drawn onto the skin along its normal, and deep ones out of it."""
        least = np.where(np.isfinite(near.least), near.least, 0.0)
        pulled = touching[:, None] & (near.distance < np.maximum(least, 0.0)[:, None] + _TOGETHER)
        pulled &= np.isfinite(near.distance)
        # Skin yields: places that are a little inside are left there.
        depth = np.clip(near.distance, -_YIELDS, 0.0)
        target = near.closest + depth[..., None] * near.normal
        share = np.maximum(pulled.sum(1), 1)[:, None, None, None]
        information = near.normal[..., :, None] * near.normal[..., None, :] * pulled[..., None, None]
        padding = self.problem.points
        extra = Data(
            np.concatenate([np.zeros((len(target), len(padding.rest), 3)), target], 1),
            np.concatenate([np.zeros((len(target), len(padding.rest), 3, 3)), information / share * _PULL**-2], 1),
        )
        problem = self.problem
        return replace(
            problem,
            points=padding.joined(self.spots),
            observed=_Padded(problem.observed, len(padding.rest)),
            extra=extra,
        )


class _Padded:
    """What was seen, followed by points that were not."""

    def __init__(self, observed: Sight, count: int):
        self.observed, self.count = observed, count

    def data(self, near: NDArray) -> Data:
        data = self.observed.data(near[:, : self.count])
        rest = near.shape[1] - self.count
        return Data(
            np.concatenate([data.target, near[:, self.count :]], 1),
            np.concatenate([data.information, np.zeros((len(near), rest, 3, 3))], 1),
        )


def touches(least: NDArray, sharp: float) -> NDArray[np.bool_]:
    """(f,) in which frames a hand with these least distances (f,) [m] touches, if they are `sharp` [m] to one standard
    deviation: the likeliest course of touching and not, which changes seldom (Viterbi 1967)."""
    away = np.minimum(np.maximum(least, 0.0) / sharp, _APART)
    costs = np.stack([np.where(least < 0, _APART, _EVEN) ** 2, away**2])
    return likeliest(costs, _CHANGE) == 1


def likeliest(costs: NDArray, change: float) -> NDArray[np.int64]:
    """(f,) which of k states with costs (k, f) holds in each frame, if each change costs something (Viterbi 1967)."""
    count, frames = costs.shape
    total, before = costs[:, 0], np.zeros((frames, count), np.int64)
    for frame in range(1, frames):
        ways = total[None, :] + change * (1 - np.eye(count))
        before[frame] = ways.argmin(1)
        total = ways.min(1) + costs[:, frame]
    result = np.zeros(frames, np.int64)
    result[-1] = total.argmin()
    for frame in range(frames - 1, 0, -1):
        result[frame - 1] = before[frame, result[frame]]
    return result
