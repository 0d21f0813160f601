# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points may be near a surface, given their last known clearance: most of a hand is far from the face, and need
not be queried again until it could have come near. What did not move is not queried again either."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .points import farthest_move
from .triangle_bvh import TriangleTree


class Clearance:
    """Lower bounds on the distance of n moving points outside a moving surface.

    deep: [m] distances are searched up to this.
    """

    def __init__(self, n: int, deep: float):
        self.deep = deep
        self._points, self._least, self._reach = np.zeros((n, 3)), np.zeros(n), np.zeros(n)
        self._asked = np.zeros(n, np.int64)
        # Answers, and which of them still hold.
        self._distance, self._nearest = np.zeros(n), np.full(n, -1, np.int32)
        self._barycentric, self._sign = np.zeros((n, 3)), np.zeros(n)
        self._known = np.zeros(n, np.bool_)
        self._surface: NDArray | None = None

    def forget(self) -> None:
        self._surface = None

    def near(
        self, tree: TriangleTree, points: NDArray, reach: NDArray[np.float64] | float
    ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """The points (n, 3) that are inside the tree's surface or within `reach` of it, one number or (n,) [m].

        Returns their rows (k,), and distance, triangle, barycentric and sign as `TriangleTree.closest`. Points deeper
        inside than `deep` are not found.
        """
        moved = 0.0
        if self._surface is None:
            self._least[:], self._known[:] = -np.inf, False
            self._nearest[:] = -1
        elif self._surface is not tree.vertices:
            moved = farthest_move(self._surface, tree.vertices)
        self._surface = tree.vertices
        self._reach[:] = reach
        count = _approach(points, moved, self._reach, self._points, self._least, self._known, self._asked)
        asked = self._asked[:count]
        new = asked[~self._known[asked]]
        distance, triangle, self._barycentric[new], sign = tree.closest(points[new], self.deep, self._nearest[new])
        self._distance[new], self._nearest[new], self._sign[new], self._known[new] = distance, triangle, sign, True
        self._least[new] = np.where(sign > 0, np.minimum(distance, self.deep), -np.inf)
        distance, sign = self._distance[asked], self._sign[asked]
        rows = asked[np.isfinite(distance) & ((sign < 0) | (distance < self._reach[asked]))]
        return rows, self._distance[rows], self._nearest[rows], self._barycentric[rows], self._sign[rows]


@njit(cache=True, nogil=True)
def _approach(points, moved, reach, before, least, known, asked):
    """Reduces least clearances (n,) by the moves of points (n, 3) since `before` (n, 3) and of the surface, `moved`,
    and forgets what is known (n,) where anything moved; writes the rows that may be within reach (n,) to `asked` (n,),
    and returns their number."""
    count = 0
    for i in range(len(points)):
        square = 0.0
        for d in range(3):
            square += (points[i, d] - before[i, d]) ** 2
            before[i, d] = points[i, d]
        if moved + square > 0.0:
            least[i] -= moved + np.sqrt(square)
            known[i] = False
        if least[i] < reach[i]:
            asked[count] = i
            count += 1
    return count
