# SPDX-License-Identifier: GPL-3.0-or-later
"""How far bone lets hands in: a tracked hand may reach deeper than skin can yield."""

import numpy as np
from numpy.typing import NDArray

from ..geometry.clearance import Clearance
from ..geometry.triangle_bvh import TriangleTree
from ..settings import PhysicsSettings
from .tracker import interpolate


def lift_off_bone(
    clearance: Clearance,
    tree: TriangleTree,
    hands: NDArray,
    bone_direction: NDArray,
    tissue_depth: NDArray,
    settings: PhysicsSettings,
) -> tuple[NDArray[np.float64], float]:
    """The hands (n, 3) as far as bone lets them in, and the farthest that a vertex was moved [m].

    Vertices beyond the compression limit are moved out along the local direction from bone to skin; what is left of the
    penetration is bone-limited and reported. tree: of the tracked skin, which `clearance` is asked for; bone_direction:
    (n_skin, 3) unit, towards bone; tissue_depth: (n_skin,) [m].
    """
    near, _, triangle, weights, _ = clearance.near(tree, hands, 0.0)
    if len(near) == 0:
        return hands, 0.0
    ids = tree.triangles[triangle]
    towards_bone = interpolate(bone_direction, ids, weights)
    towards_bone /= np.maximum(np.linalg.norm(towards_bone, axis=1, keepdims=True), 1e-12)
    depth = np.einsum("ij,ij->i", hands[near] - interpolate(tree.vertices, ids, weights), towards_bone)
    limit = settings.compression_limit * np.einsum("mk,mk->m", weights, tissue_depth[ids])
    allowed = limit + settings.gap  # contact presses skin to its limit; what hands reach beyond is too much
    excess = np.maximum(depth - allowed, 0.0)
    if not excess.any():
        return hands, 0.0
    lifted = hands.copy()
    lifted[near] -= excess[:, None] * towards_bone
    return lifted, float(excess.max())
