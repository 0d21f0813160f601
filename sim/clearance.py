# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points can be near a surface, remembered from where they were: most of a hand is far from the face, and need
not be asked again until it could have come near."""

import numpy as np
from numpy.typing import NDArray

from .distance import TriangleTree


class Clearance:
    """How far n moving points at least are outside a moving surface.

    deep: [m] distances are looked for so far.
    """

    def __init__(self, n: int, deep: float):
        self.deep = deep
        self._points, self._least = np.zeros((n, 3)), np.zeros(n)
        self._surface: NDArray | None = None

    def forget(self) -> None:
        self._surface = None

    def near(
        self, tree: TriangleTree, points: NDArray, reach: NDArray[np.float64] | float
    ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """Those of the points (n, 3) that are inside or within `reach`, one number or (n,), of the tree's surface [m].

        Returns their rows (k,), and as `TriangleTree.closest` distance, triangle, barycentric and sign. Points deeper
        inside than `deep` are not found.
        """
        if self._surface is None:
            self._least[:] = -np.inf  # nothing is known
        elif self._surface is not tree.vertices:
            self._least -= np.abs(tree.vertices - self._surface).max() * np.sqrt(3.0)
        self._surface = tree.vertices
        self._least -= np.sqrt(((points - self._points) ** 2).sum(axis=1))
        self._points[:] = points
        reach = np.broadcast_to(reach, len(points))
        asked = np.flatnonzero(self._least < reach)
        distance, triangle, barycentric, sign = tree.closest(points[asked], self.deep)
        self._least[asked] = np.where(sign > 0, np.minimum(distance, self.deep), -np.inf)
        found = np.isfinite(distance) & ((sign < 0) | (distance < reach[asked]))
        return asked[found], distance[found], triangle[found], barycentric[found], sign[found]
