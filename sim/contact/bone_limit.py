# SPDX-License-Identifier: GPL-3.0-or-later
"""How far bone lets hands and skin in: a tracked hand may reach deeper than skin can yield."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..geometry.clearance import Clearance
from ..geometry.triangle_bvh import TriangleTree
from ..settings import PhysicsSettings
from ..tuning import ContactTuning
from .contacts import interpolate


def lift_off_bone(
    clearance: Clearance,
    tree: TriangleTree,
    hands: NDArray,
    bone_direction: NDArray,
    tissue_depth: NDArray,
    settings: PhysicsSettings,
    tuning: ContactTuning,
) -> tuple[NDArray[np.float64], float]:
    """The hands (n, 3) as far as bone lets them in, and the farthest that a vertex was moved [m].

    Vertices beyond the compression limit are moved out along the local direction from bone to skin, and where that is
    far, the hand around them as one, see `ContactTuning.one_by_one`; what is left of the penetration is bone-limited
    and reported. tree: of the tracked skin, which `clearance` is asked for; bone_direction:
    (n_skin, 3) unit, towards bone; tissue_depth: (n_skin,) [m].
    """
    near, _, triangle, weights, _ = clearance.near(tree, hands, 0.0)
    if len(near) == 0:
        return hands, 0.0
    ids = tree.triangles[triangle]
    towards_bone, depth = towards(tree.vertices, bone_direction, hands[near], ids, weights)
    limit = settings.compression_limit * np.einsum("mk,mk->m", weights, tissue_depth[ids])
    allowed = limit + settings.gap  # contact presses skin to its limit; what hands reach beyond is too much
    excess = np.maximum(depth - allowed, 0.0)
    if not excess.any():
        return hands, 0.0
    lifted = hands.copy()
    single = tuning.one_by_one * settings.gap
    lifted[near] -= np.minimum(excess, single)[:, None] * towards_bone
    far = np.flatnonzero(excess > single)
    if len(far):
        moves = (excess[far] - single)[:, None] * towards_bone[far]
        lifted -= spread(hands, hands[near[far]], moves, tuning.thickness * settings.gap)
    return lifted, float(excess.max())


def towards(
    skin: NDArray, bone_direction: NDArray, points: NDArray, ids: NDArray, weights: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The unit way to bone (m, 3) where points (m, 3) are closest to the skin, and how far beyond it they are that way
    (m,) [m].

    skin, bone_direction: (n_skin, 3); ids, weights: (m, 3) of the closest points of the skin.
    """
    way = interpolate(bone_direction, ids, weights)
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
    return way, np.einsum("ij,ij->i", points - interpolate(skin, ids, weights), way)


def where_carried(
    tree: TriangleTree,
    direction: NDArray,
    limit: NDArray,
    moved: NDArray,
    asked: NDArray[np.int64],
    carried: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The unit way to bone (n, 3), how far skin yields that way (n,), and how much of that is left (n,) [m], where skin
    has `moved` (n, 3) [m] to from the tracked skin of the tree.

    direction, limit: the same where it is tracked, which holds for all skin but that `asked` (k,) for, and there up to
    the first length [m] `carried` along the face; from the second on, those of the place it came to hold.
    """
    towards_bone = np.einsum("ij,ij->i", moved, direction)
    room = limit - towards_bone
    lateral = moved[asked] - towards_bone[asked, None] * direction[asked]
    share = (np.linalg.norm(lateral, axis=1) - carried[0]) / (carried[1] - carried[0])
    asked, share = asked[share > 0], np.minimum(share[share > 0], 1.0)
    if len(asked) == 0:
        return direction, limit, room
    points = tree.vertices[asked] + moved[asked]
    triangle, weights = tree.closest(points)[1:3]
    ids = tree.triangles[triangle]
    way, beyond = towards(tree.vertices, direction, points, ids, weights)
    there = np.einsum("mk,mk->m", weights, limit[ids])
    direction, limit = direction.copy(), limit.copy()
    direction[asked] += share[:, None] * (way - direction[asked])
    direction[asked] /= np.maximum(np.linalg.norm(direction[asked], axis=1, keepdims=True), 1e-12)
    limit[asked] += share * (there - limit[asked])
    room[asked] += share * (there - beyond - room[asked])
    return direction, limit, room


@njit(cache=True, nogil=True)
def spread(points, sources, moves, thick):
    """Moves (k, 3) of sources (k, 3) spread over the points (n, 3) around: the length of the largest, fading from
    `thick` [m] to twice that, in the direction of their mean; (n, 3)."""
    out = np.zeros_like(points)
    length = np.zeros(len(sources))
    for j in range(len(sources)):
        length[j] = np.sqrt(moves[j, 0] ** 2 + moves[j, 1] ** 2 + moves[j, 2] ** 2)
    for i in range(len(points)):
        most, x, y, z = 0.0, 0.0, 0.0, 0.0
        for j in range(len(sources)):
            square = 0.0
            for d in range(3):
                square += (points[i, d] - sources[j, d]) ** 2
            if square >= 4.0 * thick * thick:
                continue
            weight = min(1.0, 2.0 - np.sqrt(square) / thick)
            most = max(most, weight * length[j])
            x += weight * moves[j, 0]
            y += weight * moves[j, 1]
            z += weight * moves[j, 2]
        total = np.sqrt(x * x + y * y + z * z)
        if total > 0.0:
            out[i, 0], out[i, 1], out[i, 2] = most * x / total, most * y / total, most * z / total
    return out
