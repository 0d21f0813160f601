# SPDX-License-Identifier: GPL-3.0-or-later
"""A head and hands that move without Blender: those of the demo character, or of a tracked shot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..demo import gestures
from ..demo.character import Character, Part, Skeleton
from ..demo.gestures import Spot
from ..demo.posing import euler, pose_matrices, skin
from ..sim.geometry.surface import vertex_normals
from .repertoire import Grip, demo_grips

# Share of a head rotation that each bone takes.
_NECK_SHARE = {"neck02": 0.2, "neck03": 0.3, "head": 0.5}


@dataclass(frozen=True)
class HeadPose:
    """turn: yaw to the left, nod down, tilt to the right shoulder [degrees]; jaw: its opening [degrees]; expressions:
    name → weight 0..1."""

    turn: tuple[float, float, float]
    jaw: float
    expressions: Mapping[str, float]


class HeadPuppet(Protocol):
    """A head that can be posed."""

    triangles: NDArray[np.int32]
    expressions: tuple[str, ...]

    def posed(self, pose: HeadPose) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Vertices (n, 3) [m], and the rigid motions (4, 4) of cranium and jaw from the neutral head."""


class HandPuppet(Protocol):
    """A hand that can be posed; `grips` define what it touches with."""

    side: str
    triangles: NDArray[np.int32]
    grips: dict[str, Grip]

    def posed(self, pose: NDArray) -> NDArray[np.float64]:
        """Vertices (n, 3) [m] in the hand's own frame."""


@dataclass(frozen=True)
class Puppet:
    """One person: head and the hands there are, by side "L" and "R"."""

    name: str
    head: HeadPuppet
    hands: dict[str, HandPuppet]


class DemoHead:
    """The demo character's head, at any resolution.

    part: coarse head; matrix: (n, n_coarse) its vertices from the coarse ones; linear: the same for weights;
    triangles: (m, 3).
    """

    def __init__(self, part: Part, skeleton: Skeleton, matrix, linear, triangles: NDArray[np.int32]):
        self.triangles = triangles
        self._vertices, self._weights = matrix @ part.vertices, linear @ part.weights
        self._keys = {name: matrix @ delta for name, delta in part.keys.items()}
        self._skeleton = skeleton
        self.expressions = tuple(name for name in self._keys if name != "jawOpen")  # the jaw has its bone

    @property
    def neutral(self) -> NDArray[np.float64]:
        """Vertices (n, 3) [m] of the untouched face at rest."""
        return self._vertices

    def posed(self, pose: HeadPose) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        yaw, nod, tilt = pose.turn
        turns = {b: euler(y=s * yaw) @ euler(x=s * nod) @ euler(z=s * tilt) for b, s in _NECK_SHARE.items()}
        turns["jaw"] = euler(x=pose.jaw)
        frames = pose_matrices(self._skeleton, turns)
        vertices = self._vertices + sum(w * self._keys[name] for name, w in pose.expressions.items())
        motion = frames @ np.linalg.inv(self._skeleton.matrices)
        cranium, jaw = (motion[self._skeleton.index(name)] for name in ("head", "jaw"))
        return skin(vertices, self._weights, self._skeleton, frames), cranium, jaw


class DemoHand:
    """A hand of the demo character; its frame is the wrist's: y along the fingers, z out of the palm."""

    def __init__(self, part: Part, skeleton: Skeleton, side: str):
        self.side, self.triangles = side, part.triangles
        self._part, self._skeleton = part, skeleton
        self.grips = demo_grips(self.posed, self._spot, self._pad)

    def posed(self, pose: NDArray) -> NDArray[np.float64]:
        return gestures.posed_hand(self._part, self._skeleton, gestures.finger_turns(pose, self.side))

    def _spot(self, posed: NDArray, vertex: int, along: NDArray) -> Spot:
        return gestures.hand_spot(self._part, posed, vertex, along)

    def _pad(self, bone: str, fraction: float, palmar: bool) -> int:
        return gestures.pad_vertex(self._part, self._skeleton, f"{bone}.{self.side}", fraction, palmar)


class RecordedHead:
    """A head that repeats the poses of a tracked shot: `posed` takes the one whose number the jaw angle would be.

    Its own expressions are what was recorded; without any, it stays neutral. neutral: (n, 3) [m].
    """

    def __init__(self, neutral: NDArray, triangles: NDArray[np.int32]):
        self.neutral, self.triangles, self.expressions = np.asarray(neutral, float), triangles, ()

    def posed(self, pose: HeadPose) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The neutral head, turned as a whole about its own middle."""
        yaw, nod, tilt = pose.turn
        cranium = np.eye(4)
        cranium[:3, :3] = euler(z=yaw) @ euler(x=nod) @ euler(y=tilt)
        middle = self.neutral.mean(axis=0)
        cranium[:3, 3] = middle - cranium[:3, :3] @ middle
        return self.neutral @ cranium[:3, :3].T + cranium[:3, 3], cranium, cranium


class RecordedHand:
    """A hand known by the shapes of a tracked shot only. A pose is a weight for each shape; they are blended.

    shapes: (k, n, 3) [m], rigidly aligned to each other; contact: (n,) how often a vertex was near the face.
    """

    def __init__(self, shapes: NDArray, triangles: NDArray[np.int32], side: str, contact: NDArray):
        self.side, self.triangles = side, triangles
        self._shapes = np.asarray(shapes, float)
        self.grips = {f"shot{k}": self._grip(k, int(v)) for k, v in enumerate(np.asarray(contact))}

    def posed(self, pose: NDArray) -> NDArray[np.float64]:
        return np.tensordot(pose, self._shapes, 1)

    def _grip(self, shape: int, vertex: int) -> Grip:
        pose = np.eye(len(self._shapes))[shape]

        def spot(posed: NDArray) -> Spot:
            away = posed[vertex] - posed.mean(axis=0)
            return Spot(posed[vertex], vertex_normals(posed, self.triangles)[vertex], away / np.linalg.norm(away))

        return Grip(pose, pose, spot, (-25.0, 10.0), (-10.0, 10.0))


def demo_puppet(name: str, character: Character, matrix, linear, triangles: NDArray[np.int32]) -> Puppet:
    """A demo character with its head at the resolution that matrix, linear and triangles give it."""
    head = DemoHead(character.head, character.head_skeleton, matrix, linear, triangles)
    hands: dict[str, HandPuppet] = {
        side: DemoHand(part, character.hand_skeletons[side], side) for side, part in character.hands.items()
    }
    return Puppet(name, head, hands)
