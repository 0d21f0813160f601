# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward kinematics of a rig over time, points on its bones and skin, and their exact derivatives.

As Blender poses bones: pose = parent's pose · parent's rest⁻¹ · rest · location · rotation.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .rotations import cross_matrix, exp


@dataclass(frozen=True)
class Bones:
    """Bones whose parents come first. parents: (j,) index or -1; rest: (j, 4, 4) frames at the bones' heads with y
    along them [m]; lengths: (j,) [m]."""

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    rest: NDArray[np.float64]
    lengths: NDArray[np.float64]

    def below(self) -> NDArray[np.bool_]:
        """(j, j): whether the second bone is the first or hangs on it."""
        result = np.eye(len(self.parents), dtype=bool)
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                result[:, bone] |= result[:, parent]
        return result

    def line(self, bone: int) -> list[int]:
        """The bone and those above it, the nearest first."""
        found = [bone]
        while self.parents[found[-1]] >= 0:
            found.append(int(self.parents[found[-1]]))
        return found

    def tail(self, bone: int) -> NDArray[np.float64]:
        """(3,) end of a bone at rest."""
        return self.rest[bone, :3, 3] + self.lengths[bone] * self.rest[bone, :3, 1]

    def scaled(self, factors: NDArray) -> "Bones":
        """The same bones with lengths (j,) times as long; what hangs on a bone keeps its place along it."""
        rest = self.rest.copy()
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                local = np.linalg.inv(self.rest[parent]) @ self.rest[bone]
                local[:3, 3] *= factors[parent]
                rest[bone] = rest[parent] @ local
        return replace(self, rest=rest, lengths=self.lengths * factors)


@dataclass(frozen=True)
class Points:
    """Points that move with bones by linear blend skinning. rest: (m, 3) [m]; bones, weights: (m, b), rows of weights
    sum to 1; deltas: (m, k, 3) how each expression moves them [m]."""

    rest: NDArray[np.float64]
    bones: NDArray[np.int64]
    weights: NDArray[np.float64]
    deltas: NDArray[np.float64]

    @classmethod
    def on_bones(cls, rest: NDArray, bones: NDArray) -> "Points":
        """Points (m, 3) that each move with one bone (m,)."""
        bones = np.asarray(bones, np.int64).reshape(-1, 1)
        return cls(np.asarray(rest, float), bones, np.ones(bones.shape), np.zeros((len(bones), 0, 3)))

    def taken(self, rows: NDArray) -> "Points":
        return Points(self.rest[rows], self.bones[rows], self.weights[rows], self.deltas[rows])

    def joined(self, other: "Points") -> "Points":
        """These and others, that no expression moves."""
        width = max(self.bones.shape[1], other.bones.shape[1])

        def both(name: str) -> NDArray:
            parts = [getattr(self, name), getattr(other, name)]
            return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])

        rest = np.concatenate([self.rest, other.rest])
        return Points(rest, both("bones"), both("weights"), np.zeros((len(rest), 0, 3)))

    def moved_along(self, before: Bones, after: Bones) -> "Points":
        """The points after bones were scaled: each keeps its place relative to its bone, in shares of its length."""
        rest = np.zeros_like(self.rest)
        for slot in range(self.bones.shape[1]):
            bone = self.bones[:, slot]
            local = np.einsum("mab,mb->ma", np.linalg.inv(before.rest[bone]), _homogeneous(self.rest))[:, :3]
            local[:, 1] *= after.lengths[bone] / np.maximum(before.lengths[bone], 1e-9)
            moved = np.einsum("mab,mb->ma", after.rest[bone], _homogeneous(local))[:, :3]
            rest += self.weights[:, slot, None] * moved
        return replace(self, rest=rest)


def _homogeneous(points: NDArray) -> NDArray[np.float64]:
    return np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)


@dataclass
class Motion:
    """turns: (f, j, 3, 3) of each bone in its rest frame; places: (f, j, 3) its location there [m]; expressions:
    (f, k) weights."""

    turns: NDArray[np.float64]
    places: NDArray[np.float64]
    expressions: NDArray[np.float64]

    @classmethod
    def at_rest(cls, frames: int, bones: int, keys: int) -> "Motion":
        return cls(np.tile(np.eye(3), (frames, bones, 1, 1)), np.zeros((frames, bones, 3)), np.zeros((frames, keys)))

    def copy(self) -> "Motion":
        return Motion(self.turns.copy(), self.places.copy(), self.expressions.copy())

    def taken(self, frames: NDArray) -> "Motion":
        return Motion(self.turns[frames], self.places[frames], self.expressions[frames])


def pose(bones: Bones, motion: Motion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotations (f, j, 3, 3) and origins (f, j, 3) [m] of all bones."""
    frames = len(motion.turns)
    turned = np.empty((frames, len(bones.parents), 3, 3))
    origin = np.empty((frames, len(bones.parents), 3))
    for bone, parent in enumerate(bones.parents):
        if parent < 0:
            local, base, at = bones.rest[bone], np.eye(3)[None], np.zeros((1, 3))
        else:
            local = np.linalg.inv(bones.rest[parent]) @ bones.rest[bone]
            base, at = turned[:, parent], origin[:, parent]
        frame = base @ local[:3, :3]
        origin[:, bone] = at + base @ local[:3, 3] + np.einsum("fab,fb->fa", frame, motion.places[:, bone])
        turned[:, bone] = frame @ motion.turns[:, bone]
    return turned, origin


@dataclass(frozen=True)
class Freedoms:
    """What may change: bones that turn (r,), bones that are located (l,), expressions (e,). In this order they make
    up the unknowns of a frame: 3 r, 3 l and e numbers."""

    turning: NDArray[np.int64]
    located: NDArray[np.int64]
    expressions: NDArray[np.int64]

    @property
    def count(self) -> int:
        return 3 * len(self.turning) + 3 * len(self.located) + len(self.expressions)

    def stepped(self, motion: Motion, step: NDArray) -> Motion:
        """The motion after unknowns (f, n) were added: turns are multiplied from the right."""
        result = motion.copy()
        r, n = 3 * len(self.turning), 3 * (len(self.turning) + len(self.located))
        result.turns[:, self.turning] = motion.turns[:, self.turning] @ exp(step[:, :r].reshape(len(step), -1, 3))
        result.places[:, self.located] += step[:, r:n].reshape(len(step), -1, 3)
        result.expressions[:, self.expressions] += step[:, n:]
        return result


class Moving:
    """Points of a posed rig, (f, m, 3) in `places`, and their derivatives."""

    def __init__(self, bones: Bones, points: Points, motion: Motion):
        self.bones, self.points, self.motion = bones, points, motion
        self.turned, self.origin = pose(bones, motion)
        # Of the skinning: x = R (v - head at rest) + origin, with R = pose · rest⁻¹.
        self.skinning = self.turned @ np.swapaxes(bones.rest[:, :3, :3], -1, -2)
        shaped = points.rest
        if points.deltas.shape[1]:
            shaped = points.rest + np.tensordot(motion.expressions, points.deltas, (1, 1))
        else:
            shaped = np.broadcast_to(points.rest, (len(motion.turns), *points.rest.shape))
        # (f, m, b, 3): where each bone alone would carry each point.
        offset = shaped[:, :, None] - bones.rest[points.bones, :3, 3]
        self.carried = (self.skinning[:, points.bones] @ offset[..., None])[..., 0]
        self.carried += self.origin[:, points.bones]
        self.places = (points.weights[..., None] * self.carried).sum(2)

    def jacobian(self, free: Freedoms) -> NDArray[np.float64]:
        """(f, m, 3, n) derivatives by the unknowns, see `Freedoms.stepped`."""
        points, below = self.points, self.bones.below()
        frames, m = self.places.shape[:2]
        result = np.zeros((frames, m, 3, free.count))
        column = 0
        for bone in free.turning:
            share = points.weights * below[bone][points.bones]
            arm = (share[..., None] * self.carried).sum(2)
            arm -= share.sum(1)[:, None] * self.origin[:, bone, None]
            rows = np.flatnonzero(share.any(1))
            turned = self.turned[:, bone]
            result[:, rows, :, column : column + 3] = -cross_matrix(arm[:, rows]) @ turned[:, None]
            column += 3
        for bone in free.located:
            share = (points.weights * below[bone][points.bones]).sum(1)
            frame = self.turned[:, bone] @ np.swapaxes(self.motion.turns[:, bone], -1, -2)
            result[..., column : column + 3] = share[:, None, None] * frame[:, None]
            column += 3
        if len(free.expressions):
            blended = (points.weights[..., None, None] * self.skinning[:, points.bones]).sum(2)
            result[..., column:] = blended @ np.swapaxes(points.deltas[:, free.expressions], 1, 2)
        return result
