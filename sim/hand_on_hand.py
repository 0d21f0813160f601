# SPDX-License-Identifier: GPL-3.0-or-later
"""How the flesh of two hands gives where they press each other: folded hands, palms together, a hand in the other.

Both are layers of the same flesh on bone. The same pressure compresses them by the same share of their depth, so that
what overlaps, and a gap, is divided in proportion to both depths, up to the share that flesh gives at most. Like what a
hand gives to a face, this depends on one frame alone; and it does not depend on which hand comes first.
"""

import numpy as np
from numpy.typing import NDArray

from .geometry.opposite import opposite
from .geometry.surface import Surface
from .geometry.topology import fan_caps
from .geometry.triangle_bvh import TriangleTree, bounds, inside_box
from .geometry.winding import inside_by_crossings

# [m] of overlap up to which flesh gives all it can, and from which on it gives nothing: two palms give 12 mm, and what
# is twice as deep went through the other hand, and would be drawn through its own.
_WHOLE, _DEEPEST = 0.010, 0.016
# Distance of a point to the nearest skin of the other hand as a share of the way to the skin opposite, the cosine
# between both if they are flat: from this on it is pressed, and up to that it is not, as it has come in, or is about to
# come out, somewhere else: at the flank of a finger, or at its back.
_FACING, _ASIDE = 0.6, 0.2
_LEAST = 1e-6  # [m] that both are more, so that skin which just touches faces what it touches


class HandOnHand:
    """A left and a right hand that may press each other.

    left, right: their surfaces in any pose, closed or open at the wrist. depth: (n,) of the flesh of both, the left
    hand first; limit: (n,) by how much of it is compressed at most; gap: that remains between them [m].
    """

    def __init__(self, left: Surface, right: Surface, depth: NDArray, limit: NDArray, gap: float):
        self._gap = gap
        self._depth, self._limit = depth, limit
        self._parts = slice(0, len(left.vertices)), slice(len(left.vertices), None)
        closed = [np.concatenate([s.triangles, fan_caps(s.triangles)]).astype(np.int32) for s in (left, right)]
        self._trees = [TriangleTree(s.vertices, t) for s, t in zip((left, right), closed, strict=True)]
        self._inside = np.zeros(len(depth), bool)  # the other hand

    def near(self, hands: NDArray[np.float64]) -> bool:
        """Whether the hands (n, 3) may touch: whether their boxes do."""
        (low, high), (other_low, other_high) = (bounds(hands[part]) for part in self._parts)
        return bool((low < other_high + self._gap).all() and (other_low < high + self._gap).all())

    def press(self, hands: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each vertex of the hands (n, 3) gives to the other hand, against its unit normal (n, 3), (n,) [m]."""
        for part, tree in zip(self._parts, self._trees, strict=True):
            tree.refit(hands[part])
        self._inside[:] = False
        given = np.zeros(len(hands))
        for k in (0, 1):
            self._press(k, normals[self._parts[k]], given)
        return np.minimum(given, self._limit)

    def _press(self, k: int, normals: NDArray, given: NDArray) -> None:
        """Adds what both hands give where vertices of hand k are in the other one. Where that is pressed between its
        vertices, as by a fingertip, those around give for it."""
        tree, other = self._trees[k], self._trees[1 - k]
        near = inside_box(tree.vertices, other.low[0] - self._gap, other.high[0] + self._gap)  # those of its root
        inside = inside_by_crossings(tree.vertices[near], other.vertices, other.triangles)
        self._inside[self._parts[k]][near] = inside
        within, before = near[inside], near[~inside]
        back = opposite(other, tree.vertices[within], -normals[within], True, _DEEPEST)
        on = opposite(other, tree.vertices[before], normals[before], False, self._gap)
        near, way = np.concatenate([within, before]), np.concatenate([back[0], on[0]])
        triangle, weights = np.concatenate([back[1], on[1]]), np.concatenate([back[2], on[2]])
        overlap = self._gap + np.concatenate([back[0], -on[0]])
        found = triangle >= 0
        near, way, overlap, weights = near[found], way[found], overlap[found], weights[found]
        ids = other.triangles[triangle[found]]
        distance = other.closest(tree.vertices[near], _FACING * _DEEPEST)[0]  # where it is more, it makes no difference
        facing = np.clip(((distance + _LEAST) / (way + _LEAST) - _ASIDE) / (_FACING - _ASIDE), 0.0, 1.0)
        facing *= np.clip((_DEEPEST - way) / (_DEEPEST - _WHOLE), 0.0, 1.0)
        own, theirs = self._parts[k].start + near, self._parts[1 - k].start + ids
        depth, beyond = self._depth[own], np.einsum("mk,mk->m", weights, self._depth[theirs])
        strain = facing * overlap / (depth + beyond)
        np.maximum.at(given, own, strain * depth)
        # So far that the point between them moves by its part; weighted again, because a line aslant slides fast.
        around = weights / np.einsum("mk,mk->m", weights, weights)[:, None]
        np.maximum.at(given, theirs, (facing * strain * beyond)[:, None] * around)

    def room(self, hands: NDArray[np.float64], rows: NDArray[np.int64], reach: float) -> NDArray[np.float64]:
        """How far flesh at rows (k,) of the hands that were pressed may bulge before it meets that of the other, (k,)
        [m]: half of what is between them; searched up to reach [m]."""
        room = np.empty(len(rows))
        for k in (0, 1):
            own = (rows >= self._parts[1].start) == bool(k)
            distance = self._trees[1 - k].closest(hands[rows[own]], 2.0 * reach + self._gap)[0]
            room[own] = np.maximum(0.5 * (distance - self._gap), 0.0)
        return np.where(self._inside[rows], 0.0, room)
