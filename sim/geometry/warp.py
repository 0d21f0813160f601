# SPDX-License-Identifier: GPL-3.0-or-later
"""A smooth warp of space that maps some points exactly to others, and a volume carried along by it."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

MOST_CENTRES = 1200  # the linear system is dense: its solution takes a fraction of a second
_NEAREST = 1e-6  # [m] closer points count as one: two centres there would contradict each other


class Warp:
    """Triharmonic radial basis functions, φ(r) = r³ plus a linear polynomial: the smoothest interpolation in space in
    the sense of smallest third derivatives (Duchon 1977).

    source, target: (n, 3) [m], matching points. Above `most` points, a subset spread evenly over the source is used.
    """

    def __init__(self, source: NDArray, target: NDArray, most: int = MOST_CENTRES):
        chosen = spread(source, most)
        self._interpolate = RBFInterpolator(source[chosen], target[chosen], kernel="cubic", degree=1)

    def __call__(self, points: NDArray) -> NDArray[np.float64]:
        """Points (k, 3) [m] after the warp, (k, 3)."""
        return self._interpolate(np.asarray(points, np.float64)) if len(points) else np.zeros((0, 3))


def spread(points: NDArray, most: int) -> NDArray[np.int64]:
    """Indices (k,) of at most `most` points (n, 3) that are as far apart as possible, each the farthest from those
    before it (Gonzalez 1985), starting with the first point."""
    distance = np.full(len(points), np.inf)
    chosen: list[int] = []
    here = 0
    while len(chosen) < most and distance[here] > _NEAREST:
        chosen.append(here)
        distance = np.minimum(distance, np.linalg.norm(points - points[here], axis=1))
        here = int(np.argmax(distance))
    return np.array(chosen, np.int64)


def carried_volume(
    vertices: NDArray, boundary: NDArray, target: NDArray, most: int = MOST_CENTRES
) -> NDArray[np.float64]:
    """A volume's vertices (n, 3) carried along when those of its surfaces, `boundary` (k,), move to target (k, 3) [m].

    The surfaces' vertices reach it exactly, the others follow the warp.
    """
    result = Warp(vertices[boundary], target, most)(vertices)
    result[boundary] = target
    return result


def folded(vertices: NDArray, tets: NDArray) -> NDArray[np.int64]:
    """Which tetrahedra (t, 4) have no positive volume, (k,)."""
    edges = vertices[tets[:, 1:]] - vertices[tets[:, :1]]
    return np.flatnonzero(np.linalg.det(edges) <= 0)
