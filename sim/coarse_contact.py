# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a coarse mesh off the hands.

However well its vertices are fitted to the simulated skin, the flat faces between them cut through a round fingertip:
with edges of 15 mm by several millimetres. So where hand vertices lie under such a face, its corners give way until
these lie on it.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .geometry.triangle_bvh import TriangleTree, bounds, inside_box
from .template import Template

_DEEPEST = 0.02  # of a hand under a face [m]: farther inside, the nearest face is another side of the head
_TISSUE = 0.9  # share of the tissue's depth that corners may use: below, there is bone
_ROUNDS, _SWEEPS = 4, 10  # searches for the nearest faces, and passes over the hand vertices after each
_FITTED = 0.3  # share of fitted corners in a point of a face, from which it is moved
_AROUND = 0.01  # of the skin that has moved [m]: hand vertices farther away touch none of it
_RINGS = 2  # of finer faces searched around the coarse ones, which must not stand in for the finer ones beside them


class CoarseContact:
    """Moves the fitted vertices of a coarse mesh out of the way of hands.

    coarse: (k,) the character's own vertices that may move.
    """

    def __init__(self, template: Template, coarse: NDArray[np.int64]):
        assert template.linear is not None
        self._movable = np.zeros(template.n_head, bool)
        self._movable[coarse] = True
        self._tissue = _TISSUE * template.tissue_depth[: template.n_head]
        linear = csr_matrix(template.linear)
        touched = linear @ self._movable.astype(float) > 0
        for _ in range(_RINGS):
            near = touched[template.skin_triangles].any(axis=1)
            touched[template.skin_triangles[near]] = True
        near &= template.outer[template.skin_triangles].all(axis=1)
        self._points, triangles = np.unique(template.skin_triangles[near], return_inverse=True)
        self._triangles = triangles.reshape(-1, 3).astype(np.int32)
        self._linear = linear[self._points]
        self._tree: TriangleTree | None = None

    def clear(
        self, own: NDArray[np.float32], tracked: NDArray[np.float32], moved: NDArray[np.bool_], hands: Sequence[NDArray]
    ) -> NDArray[np.float32]:
        """The own vertices (n_head, 3) as far off the hands, (m, 3) each, as tissue permits.

        tracked: (n_head, 3) the undisturbed ones; moved: (n_head,) skin that has been simulated to move.
        """
        seen = own[moved & self._movable]
        if not len(seen) or not len(hands):
            return own
        hand = np.concatenate(hands).astype(np.float64)
        low, high = bounds(seen)
        hand = hand[inside_box(hand, low - _AROUND, high + _AROUND)]
        if not len(hand):
            return own
        result, rest = own.astype(np.float64), tracked.astype(np.float64)
        most = np.maximum(self._tissue, np.linalg.norm(result - rest, axis=1))
        for _ in range(_ROUNDS):
            rows, normals, reach = self._under(hand, result)
            if not rows.shape[0]:
                break
            press(result, rest, most, self._movable, rows.indptr, rows.indices, rows.data, normals, reach, _SWEEPS)
        return result.astype(np.float32)

    def _under(
        self, hand: NDArray[np.float64], own: NDArray[np.float64]
    ) -> tuple[csr_matrix, NDArray[np.float64], NDArray[np.float64]]:
        """For each hand vertex under a face: the weights of the own vertices (k, n_head) in the point of the face
        closest to it, the face's way out (k, 3) there, and how far along it the hand vertex lies (k,) [m]."""
        surface = self._linear @ own
        if self._tree is None:
            self._tree = TriangleTree(surface, self._triangles)
        else:
            self._tree.refit(surface)
        distance, triangle, barycentric, sign = self._tree.closest(hand, _DEEPEST)
        inside = np.flatnonzero(np.isfinite(distance) & (sign < 0) & (distance > 0))
        corners, weights = self._triangles[triangle[inside]], barycentric[inside]
        pick = csr_matrix(
            (weights.ravel(), corners.ravel(), np.arange(0, 3 * len(inside) + 1, 3)),
            shape=(len(inside), len(self._points)),
        )
        rows = csr_matrix(pick @ self._linear)
        used = np.flatnonzero(rows @ self._movable.astype(float) > _FITTED)
        rows, inside = rows[used], inside[used]
        out = self._tree.points_at(triangle[inside], barycentric[inside]) - hand[inside]
        normals = out / distance[inside, None]
        return rows, normals, np.einsum("ki,ki->k", normals, hand[inside])


@njit(cache=True, nogil=True)
def press(own, rest, most, movable, starts, columns, weights, normals, reach, sweeps):
    """Gauss-Seidel: moves own (n, 3) until the points that rows of weights (k, n) pick lie no farther along their
    normals (k, 3) than `reach` (k,); no vertex farther from rest (n, 3) than `most` (n,)."""
    for _ in range(sweeps):
        for k in range(len(reach)):
            out, total = -reach[k], 0.0
            for e in range(starts[k], starts[k + 1]):
                i, w = columns[e], weights[e]
                out += w * (own[i, 0] * normals[k, 0] + own[i, 1] * normals[k, 1] + own[i, 2] * normals[k, 2])
                if movable[i]:
                    total += w * w
            if out <= 0.0 or total == 0.0:
                continue
            for e in range(starts[k], starts[k + 1]):
                i, w = columns[e], weights[e]
                if not movable[i]:
                    continue
                square = 0.0
                for d in range(3):
                    own[i, d] -= out * w / total * normals[k, d]
                    square += (own[i, d] - rest[i, d]) ** 2
                if square > most[i] ** 2:
                    share = most[i] / np.sqrt(square)
                    for d in range(3):
                        own[i, d] = rest[i, d] + share * (own[i, d] - rest[i, d])
