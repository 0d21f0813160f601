# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand of 20 bones that follows 21 landmarks, and a skin about them, so that landmarks alone can touch a face."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.isosurface import Grid, isosurface, smooth_surface
from ..sim.geometry.rigid import fit_rigid

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
BONES_OF_A_FINGER = 4  # from the wrist to the tip
# Of each bone: the landmark at its head; that at its tail is 1 + its number. Bones of a finger follow each other.
HEADS = np.array([0 if k % BONES_OF_A_FINGER == 0 else k for k in range(20)])
NAMES = tuple(f"{finger}.{k + 1:02}" for finger in FINGERS for k in range(BONES_OF_A_FINGER))
_PALM = [0, 5, 9, 13, 17]  # landmarks that move as one: wrist and roots of the fingers
# Radii of the skin about the bones, as fractions of the way from the wrist to the tip of the longest finger, of which
# people have 19 cm: 13 mm in the palm, so that its bones grow together, 9 to 7 mm along the fingers.
_RADII = np.tile([0.068, 0.047, 0.042, 0.037], 5)
_SPACING = 0.024  # of the skin's vertices, in the same measure: 4.5 mm
_BLEND = 0.02  # over which weights go from a bone to the next, in the same measure


@dataclass(frozen=True)
class HandSkeleton:
    """rest: (21, 3) joints with straight fingers [m]. turns: (f, 20, 3, 3) of the bones from rest, in the world.
    palm: (f, 3, 3) of the palm. wrist: (f, 3) [m]. residual: RMS distance of its joints from the landmarks [m]."""

    rest: NDArray[np.float64]
    turns: NDArray[np.float64]
    palm: NDArray[np.float64]
    wrist: NDArray[np.float64]
    residual: float

    @property
    def span(self) -> float:
        """From the wrist to the tip of the longest finger along the bones [m]."""
        lengths = np.linalg.norm(self.rest[1:] - self.rest[HEADS], axis=1)
        return float(lengths.reshape(-1, BONES_OF_A_FINGER).sum(1).max())

    def joints(self) -> NDArray[np.float64]:
        """(f, 21, 3) [m]."""
        joints = np.repeat(self.wrist[:, None], 21, 1)
        for bone, head in enumerate(HEADS):
            joints[:, bone + 1] = joints[:, head] + self.turns[:, bone] @ (self.rest[bone + 1] - self.rest[head])
        return joints


def hand_skeleton(points: NDArray) -> HandSkeleton:
    """From landmarks (f, 21, 3) [m], all finite. Bones keep their median length.

    Rotation about a bone's own axis, which landmarks do not show, is the least from the palm outwards.
    """
    points = np.asarray(points, np.float64)
    bones = points[:, 1:] - points[:, HEADS]
    lengths = np.linalg.norm(bones, axis=2)
    ways = bones / np.maximum(lengths, 1e-9)[..., None]
    length = np.median(lengths, 0)
    # The palm at rest is that of the frame with bones nearest their median length; fingers go straight on from it.
    typical = int(np.abs(lengths - length).sum(1).argmin())
    rest = np.repeat(points[typical, :1], 21, 0)
    for bone, head in enumerate(HEADS):
        first = bone - bone % BONES_OF_A_FINGER
        rest[bone + 1] = rest[head] + ways[typical, first] * length[bone]
    palm = np.array([fit_rigid(rest[_PALM], frame[_PALM])[:3, :3] for frame in points])
    turns = np.empty((len(points), 20, 3, 3))
    for bone, head in enumerate(HEADS):
        before = turns[:, bone - 1] if bone % BONES_OF_A_FINGER else palm
        at_rest = (rest[bone + 1] - rest[head]) / max(float(length[bone]), 1e-9)
        turns[:, bone] = _least_turn(before @ at_rest, ways[:, bone]) @ before
    made = HandSkeleton(rest, turns, palm, points[:, 0], 0.0)
    residual = float(np.sqrt(((made.joints() - points) ** 2).sum(2).mean()))
    return HandSkeleton(rest, turns, palm, points[:, 0], residual)


def _least_turn(start: NDArray, end: NDArray) -> NDArray[np.float64]:
    """Rotations (f, 3, 3) that take unit vectors (f, 3) to others by the shortest way; none for opposite ones."""
    axis = np.cross(start, end)
    cosine = (start * end).sum(1)[:, None, None]
    zero = np.zeros(len(axis))
    x, y, z = axis.T
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    turn = np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-9)
    return np.where(cosine < -1 + 1e-6, np.eye(3), turn)


def skin(skeleton: HandSkeleton) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Vertices (n, 3) [m] at rest, outward triangles, and weights (n, 20): capsules about the bones, grown together."""
    span, rest = skeleton.span, skeleton.rest
    radii = _RADII * span
    grid = Grid.around(rest.min(0), rest.max(0), _SPACING * span, float(radii.max()) + 2 * _SPACING * span)
    field = (_distances(grid.points(), rest) - radii).min(1)
    vertices, triangles = isosurface(field.reshape(grid.shape), grid)
    vertices = smooth_surface(vertices, triangles, 2)
    depth = _distances(vertices, rest) - radii
    nearest = depth.argmin(1)
    # Only the bones of the same finger share a vertex, and those of the palm with each other.
    finger, inner = np.arange(20) // BONES_OF_A_FINGER, np.arange(20) % BONES_OF_A_FINGER == 0
    shares = (finger[nearest][:, None] == finger) | (inner[nearest][:, None] & inner)
    weights = np.where(shares, np.exp((depth.min(1, keepdims=True) - depth) / (_BLEND * span)), 0.0)
    weights[weights < 0.02] = 0  # too little to be seen
    weights /= weights.sum(1, keepdims=True)
    return vertices.astype(np.float32), triangles, weights.astype(np.float32)


def _distances(points: NDArray, joints: NDArray) -> NDArray[np.float64]:
    """Distance (k, 20) of points (k, 3) from each bone."""
    result = np.empty((len(points), 20))
    for bone, head in enumerate(HEADS):
        start, way = joints[head], joints[bone + 1] - joints[head]
        along = ((points - start) @ way / max(float(way @ way), 1e-18)).clip(0, 1)
        result[:, bone] = np.linalg.norm(points - start - along[:, None] * way, axis=1)
    return result
