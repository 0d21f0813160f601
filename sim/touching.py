# SPDX-License-Identifier: GPL-3.0-or-later
"""Which vertices of a skin and of a hand touch, for results whose solver did not say, or had no contacts of its own."""

import numpy as np
from numpy.typing import NDArray

from .geometry.triangle_bvh import TriangleTree, bounds, inside_box

TOUCHING = 1e-3  # [m] nearer surfaces touch: larger than the gap that the solver keeps, smaller than can be seen


class Touching:
    """One skin and one hand whose triangles stay the same over many frames.

    triangles: (t, 3) of the skin; outer: (n,) bool, skin that a hand can reach; hand_triangles: (u, 3).
    """

    def __init__(self, triangles: NDArray, outer: NDArray[np.bool_], hand_triangles: NDArray):
        self._outer = outer
        self._triangles = {"skin": triangles[outer[triangles].all(axis=1)], "hand": hand_triangles}
        self._trees: dict[str, TriangleTree] = {}

    def find(self, skin: NDArray, hand: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Vertices of the skin (n,) and of the hand (m,) that touch the other; positions (n, 3) and (m, 3) [m].

        Where a vertex of the hand is near a triangle of the skin, that triangle's vertices touch.
        """
        of_skin, of_hand = np.zeros(len(skin), bool), np.zeros(len(hand), bool)
        near = _within(skin, hand)
        near = near[self._outer[near]]
        if len(near):
            distance = self._tree("hand", hand).closest(skin[near], TOUCHING)[0]
            of_skin[near] = np.isfinite(distance)
        near = _within(hand, skin)
        if len(near):
            triangle = self._tree("skin", skin).closest(hand[near], TOUCHING)[1]
            of_hand[near] = triangle >= 0
            of_skin[self._triangles["skin"][triangle[triangle >= 0]]] = True
        return of_skin, of_hand

    def _tree(self, name: str, vertices: NDArray) -> TriangleTree:
        if name in self._trees:
            self._trees[name].refit(vertices)
        else:
            self._trees[name] = TriangleTree(vertices, self._triangles[name])
        return self._trees[name]


def _within(points: NDArray, others: NDArray) -> NDArray[np.int64]:
    """Rows (k,) of the points (n, 3) in the bounding box of the others."""
    low, high = bounds(others)
    return np.asarray(inside_box(points, low - TOUCHING, high + TOUCHING))
