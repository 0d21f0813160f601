# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fit needs of a character: its bones, who is who among them, and its skin."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..tracks.track import LEFT, RIGHT
from .anatomy import FINGERS, Hand
from .kinematics import Bones, Points

SIDES = (LEFT, RIGHT)
N_HAND = 21  # points of a hand: the wrist, then four of each finger from its root to its tip


@dataclass(frozen=True)
class Skin:
    """A surface that bones and expressions move. vertices: (n, 3) [m] at rest; triangles: (t, 3); bones, weights:
    (n, b); deltas: (n, k, 3) of the expressions."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    bones: NDArray[np.int64]
    weights: NDArray[np.float64]
    deltas: NDArray[np.float64]

    def points(self, chosen: NDArray) -> Points:
        """At some vertices."""
        return Points(self.vertices[chosen], self.bones[chosen], self.weights[chosen], self.deltas[chosen])

    def points_on(self, triangle: NDArray, barycentric: NDArray) -> Points:
        """At places on triangles (m,), by barycentric coordinates (m, 3); weights are blended as places are."""
        corner = self.triangles[triangle]
        whole = np.zeros((len(corner), int(self.bones.max()) + 1))
        each = barycentric[:, :, None] * self.weights[corner]
        np.add.at(whole, (np.arange(len(corner))[:, None, None], self.bones[corner]), each)
        most = int((whole > 0).sum(1).max())
        bones = np.argsort(-whole, axis=1, kind="stable")[:, :most]
        return Points(
            np.einsum("mc,mcd->md", barycentric, self.vertices[corner]),
            bones,
            np.take_along_axis(whole, bones, 1),
            np.einsum("mc,mckd->mkd", barycentric, self.deltas[corner]),
        )


@dataclass(frozen=True)
class Rig:
    """A character, in metres in the world.

    head, jaw: bones, None if there are none; neck: the bones above the head that turn with it. arms: side → bones
    above the wrist that turn with it. located: 'head', 'left', 'right' → the bone that may be moved freely to place
    that part. keys: names of the expressions; low, high: (k,) their ranges. face_points with face_indices (m,): where
    landmarks of the face's numbering lie. lateral: (3,) the head's own axis to its left.
    """

    bones: Bones
    head: int | None
    jaw: int | None
    neck: tuple[int, ...]
    hands: dict[str, Hand]
    arms: dict[str, tuple[int, ...]]
    located: dict[str, int]
    keys: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    face: Skin | None
    face_points: Points | None
    face_indices: NDArray[np.int64]
    lateral: NDArray[np.float64]
    hand_skins: dict[str, Skin] = field(default_factory=dict)

    def hand_points(self, side: str) -> tuple[Points, NDArray[np.int64]]:
        """The points that a hand of 21 has on this rig, and which of the 21 they are.

        Heads of the wrist and of each finger's bones, and the end of its last; what the rig lacks is left out.
        """
        hand, bones = self.hands[side], self.bones
        places, owners, numbers = [bones.rest[hand.wrist, :3, 3]], [hand.wrist], [0]
        for number in range(len(FINGERS)):
            chain = hand.fingers[number]
            if chain is None:
                continue
            first = 1 + 4 * number
            for place, bone in enumerate(chain):
                places.append(bones.rest[bone, :3, 3])
                owners.append(bone)
                numbers.append(first + 3 - len(chain) + place)
            places.append(bones.tail(chain[-1]))
            owners.append(chain[-1])
            numbers.append(first + 3)
        return Points.on_bones(np.array(places), np.array(owners)), np.array(numbers)
