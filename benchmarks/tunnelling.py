# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin on the wrong side of a hand.

Only the surfaces of a frame are used, so every method is judged alike. A finger that the skin went through, or half
through, has its far side under the skin, and skin past the middle of a finger is nearest to the side that faces the
same way as the skin itself.
"""

from collections.abc import Sequence

import numpy as np
from nephim.sim.geometry.surface import triangle_normals, vertex_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.measure import Penetration
from numpy.typing import NDArray

_DEEPER = 1e-3  # [m] what is less deep touches
_SAME_WAY = 0.5  # cos between the normals of skin and hand from which they face the same way


def tunnelled(
    skin: NDArray,
    triangles: NDArray,
    hands: Sequence[tuple[NDArray, NDArray]],
    depths: Sequence[Penetration],
) -> int:
    """How many vertices of skin and hands are on the wrong side in one frame.

    skin: (n, 3) [m]; triangles: (t, 3); of each hand vertices (m, 3) [m], triangles (u, 3) and what the meter found.
    """
    count = 0
    skin = np.asarray(skin, np.float64)
    for (hand, hand_triangles), found in zip(hands, depths, strict=True):
        hand = np.asarray(hand, np.float64)
        under = np.flatnonzero(found.hand_depth > _DEEPER)
        if len(under):
            facing = triangle_normals(skin, triangles[found.hand_triangle[under]])
            count += _same_way(vertex_normals(hand, hand_triangles)[under], facing)
        within = np.flatnonzero(found.skin_depth > _DEEPER)
        if len(within):
            _, nearest, _, _ = TriangleTree(hand, hand_triangles).closest(skin[within])
            facing = triangle_normals(hand, hand_triangles[nearest])
            count += _same_way(vertex_normals(skin, triangles)[within], facing)
    return count


def _same_way(a: NDArray, b: NDArray) -> int:
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return int((np.einsum("ij,ij->i", a, b) > _SAME_WAY * length).sum())
