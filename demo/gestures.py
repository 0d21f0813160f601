# SPDX-License-Identifier: GPL-3.0-or-later
"""Finger poses, and placing a posed hand so that a chosen spot of it lands on a chosen spot of the skin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.surface import vertex_normals
from .character import Part, Skeleton
from .posing import euler, pose_matrices, skin

# A finger pose gives, per finger (thumb first), the bend of its three joints and the spread of the first [degrees],
# on top of the slight bend the hand has at rest. The spread turns towards the thumb's side.
FingerPose = NDArray[np.float64]  # (5, 4)

RELAXED = np.array([[0, 5, 5, 0], [8, 10, 5, 0], [12, 14, 8, 0], [16, 16, 10, 0], [20, 18, 12, 0]], float)
POINT = np.array([[8, 20, 25, 0], [8, 12, 8, 0], [50, 68, 36, 0], [56, 72, 40, 0], [58, 72, 40, 0]], float)
FLAT = np.array([[-5, -5, -5, 0], [2, 0, 0, 0], [2, 0, 0, 0], [4, 0, 0, 0], [4, 2, 2, 0]], float)
# Thumb and index pads face each other, 46 mm and 16 mm apart.
PINCH_OPEN = np.array([[-3, 0, -1, 20], [15, 24, 12, -5], [62, 75, 40, 0], [70, 82, 45, 0], [74, 84, 45, 0]], float)
PINCH_CLOSED = np.array([[8, 11, -10, 17], [23, 32, 21, -5], [66, 80, 42, 0], [72, 84, 45, 0], [76, 85, 45, 0]], float)
FIST = np.array([[18, 26, 30, 0], [64, 77, 47, 0], [67, 79, 47, 0], [69, 79, 47, 0], [69, 77, 47, 0]], float)


def finger_turns(pose: FingerPose, side: str) -> dict[str, NDArray[np.float64]]:
    """Rotations (3, 3) of the fifteen finger bones of a pose."""
    towards_thumb = -1.0 if side == "R" else 1.0
    turns = {}
    for finger in range(5):
        for joint in range(3):
            spread = towards_thumb * pose[finger, 3] if joint == 0 else 0.0
            turns[f"finger{finger + 1}-{joint + 1}.{side}"] = euler(z=spread) @ euler(x=pose[finger, joint])
    return turns


@dataclass(frozen=True)
class Spot:
    """A place on a surface: point (3,), unit outward normal (3,) and a unit direction in the surface (3,)."""

    point: NDArray[np.float64]
    normal: NDArray[np.float64]
    along: NDArray[np.float64]

    def frame(self) -> NDArray[np.float64]:
        """(3, 3) columns: along (made tangent), their cross product, normal."""
        along = self.along - (self.along @ self.normal) * self.normal
        along = along / np.linalg.norm(along)
        return np.column_stack([along, np.cross(self.normal, along), self.normal])


def posed_hand(hand: Part, skeleton: Skeleton, turns: dict[str, NDArray]) -> NDArray[np.float64]:
    """The hand's vertices (n, 3) in the frame of its wrist bone: y along the fingers, z out of the palm."""
    return skin(hand.vertices, hand.weights, skeleton, pose_matrices(skeleton, turns, np.eye(4)))


def place(hand: Spot, target: Spot, depth: float, lift: float = 0.0, roll: float = 0.0) -> NDArray[np.float64]:
    """The wrist frame (4, 4) that lays a spot of the hand on a target, `depth` [m] below it, facing it.

    Degrees tilt the hand against the skin: a negative lift raises the end that `along` comes from, a roll turns about
    `along`.
    """
    facing = Spot(target.point, -target.normal, target.along).frame()
    turn = facing @ euler(x=roll, y=lift) @ hand.frame().T
    result = np.eye(4)
    result[:3, :3] = turn
    result[:3, 3] = target.point - depth * target.normal - turn @ hand.point
    return result


def hand_spot(hand: Part, posed: NDArray, vertex: int, along: NDArray) -> Spot:
    """The spot at a vertex of a posed hand (in its wrist frame)."""
    return Spot(posed[vertex], vertex_normals(posed, hand.triangles)[vertex], along)


def pad_vertex(hand: Part, skeleton: Skeleton, bone: str, along: float, palmar: bool = True) -> int:
    """The vertex on the palmar (or dorsal) side of a bone, at the fraction `along` of its length."""
    frame = skeleton.matrices[skeleton.index(bone)]
    local = (hand.vertices - frame[:3, 3]) @ frame[:3, :3]
    length = skeleton.lengths[skeleton.index(bone)]
    mine = hand.weights[:, skeleton.index(bone)] > 0.4
    aside = np.hypot(local[:, 0], local[:, 1] - along * length)
    facing = local[:, 2] > 0 if palmar else local[:, 2] < 0
    return int(np.where(mine & facing, aside, np.inf).argmin())
