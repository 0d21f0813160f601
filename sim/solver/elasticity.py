# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear tetrahedra: shape functions, deformation gradients, and which elements a vertex belongs to."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..geometry.matrix3 import determinant

# A displacement below this [m] leaves a tetrahedron at rest: too small to be seen or to affect contacts nearby.
REST = 5e-6
LEAST_DETERMINANT = 0.05  # of det F_tra below which the tracked motion has flattened a tetrahedron


def shape_gradients(vertices: NDArray, tets: NDArray) -> tuple[NDArray, NDArray]:
    """Gradients of the four linear shape functions, (t, 4, 3) [1/m], and rest volumes (t,) [m³]."""
    edges = np.stack([vertices[tets[:, k]] - vertices[tets[:, 0]] for k in (1, 2, 3)], axis=2)
    inverse = np.linalg.inv(edges)  # rows are the gradients of shape functions 1..3
    gradients = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
    return np.ascontiguousarray(gradients), np.linalg.det(edges) / 6.0


@njit(cache=True, nogil=True)
def deformation_gradients(displacement, tets, gradients, out, det):
    """F = I + grad d (t, 3, 3) and det F (t,) for a displacement d (n, 3) from rest, written to out and det."""
    for t in range(tets.shape[0]):
        for i in range(3):
            for j in range(3):
                value = 1.0 if i == j else 0.0
                for k in range(4):
                    value += displacement[tets[t, k], i] * gradients[t, k, j]
                out[t, i, j] = value
        det[t] = determinant(
            (
                out[t, 0, 0], out[t, 0, 1], out[t, 0, 2],
                out[t, 1, 0], out[t, 1, 1], out[t, 1, 2],
                out[t, 2, 0], out[t, 2, 1], out[t, 2, 2],
            )
        )  # fmt: skip
