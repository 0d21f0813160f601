# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin as a membrane on the surface triangles: its local step of projective dynamics.

E_skin = 1/2 w_skin A |G - P|² with G the 3x2 deformation of the triangle relative to the tracked skin H_tra, and P
the nearest deformation with both principal stretches within limits: skin wrinkles easily and hardly stretches.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..geometry.vector3 import dot

STRETCH_LOW, STRETCH_HIGH = 0.95, 1.05  # free range of the principal stretches
_TINY = 1e-12


def triangle_frames(vertices: NDArray, triangles: NDArray) -> tuple[NDArray, NDArray]:
    """In-plane gradients of the three shape functions, (m, 3, 2) [1/m], and areas (m,) [m²], of a reference surface."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    e1, e2 = b - a, c - a
    length = np.linalg.norm(e1, axis=1)
    x = e1 / length[:, None]
    normal = np.cross(e1, e2)
    area2 = np.linalg.norm(normal, axis=1)
    y = np.cross(normal / area2[:, None], x)
    edges = np.zeros((len(triangles), 2, 2))
    edges[:, 0, 0] = length
    edges[:, 0, 1] = np.einsum("ij,ij->i", e2, x)
    edges[:, 1, 1] = np.einsum("ij,ij->i", e2, y)
    inverse = np.linalg.inv(edges)
    gradients = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
    return np.ascontiguousarray(gradients), area2 / 2


@njit(cache=True, nogil=True)
def _in_plane(p, triangles, gradients, t):
    """Deformation (3 x 2, by columns) of triangle t of the vertices p (n, 3) from rest."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    bx, by, bz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
    cx, cy, cz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
    g10, g11, g20, g21 = gradients[t, 1, 0], gradients[t, 1, 1], gradients[t, 2, 0], gradients[t, 2, 1]
    return (
        (bx * g10 + cx * g20, by * g10 + cy * g20, bz * g10 + cz * g20),
        (bx * g11 + cx * g21, by * g11 + cy * g21, bz * g11 + cz * g21),
    )


@njit(cache=True, nogil=True)
def _limited(stretch):
    return min(max(stretch, STRETCH_LOW), STRETCH_HIGH) / stretch


@njit(cache=True, nogil=True, error_model="numpy")
def triangle_forces(part, parts, p, u, awake, triangles, gradients, weights, out):
    """Right-hand side of the global step: the triangles' contributions to their corners, as one part of a sum, out
    (parts, n, 3) [N].

    Parts as in `tet_blocks.tet_forces`.

    p: (n, 3) tracked positions, u: (n, 3) displacement [m], awake: rows of the triangles with a displaced corner;
    gradients of the rest skin; weights = w_skin area (m,) [N m]. The projection is measured against the tracked
    triangle, whose own deformation G_tra is undone first.
    """
    for v in range(out.shape[1]):
        out[part, v, 0] = out[part, v, 1] = out[part, v, 2] = 0.0
    for k in range(part, awake.shape[0], parts):
        t = awake[k]
        x, y = _in_plane(p, triangles, gradients, t)
        dx, dy = _in_plane(u, triangles, gradients, t)
        # Relative deformation seen in the tracked plane: T upper triangular with G_tra = Q T (Gram-Schmidt).
        t00 = np.sqrt(dot(x, x)) + _TINY
        t01 = dot(x, y) / t00
        t11 = np.sqrt(max(dot(y, y) - t01 * t01, 0.0)) + _TINY
        hx = ((x[0] + dx[0]) / t00, (x[1] + dx[1]) / t00, (x[2] + dx[2]) / t00)  # H = G T^-1
        hy = (
            (y[0] + dy[0] - hx[0] * t01) / t11,
            (y[1] + dy[1] - hx[1] * t01) / t11,
            (y[2] + dy[2] - hx[2] * t01) / t11,
        )
        # Principal stretches from the symmetric H^T H.
        a, b, c = dot(hx, hx), dot(hx, hy), dot(hy, hy)
        mean = 0.5 * (a + c)
        radius = np.sqrt(0.25 * (a - c) ** 2 + b * b)
        larger, smaller = mean + radius, max(mean - radius, _TINY)
        f1, f2 = _limited(np.sqrt(larger)), _limited(np.sqrt(smaller))
        # M = V diag(f1, f2) V^T acts on the right of H.
        share = (f1 - f2) / (larger - smaller) if radius > _TINY else 0.0
        m00, m01, m11 = f2 + share * (a - smaller), share * b, f2 + share * (c - smaller)
        for i in range(3):
            p0 = hx[i] * m00 + hy[i] * m01
            p1 = hx[i] * m01 + hy[i] * m11
            g0 = weights[t] * (p0 * t00 - x[i])
            g1 = weights[t] * (p0 * t01 + p1 * t11 - y[i])
            f_b = g0 * gradients[t, 1, 0] + g1 * gradients[t, 1, 1]
            f_c = g0 * gradients[t, 2, 0] + g1 * gradients[t, 2, 1]
            out[part, triangles[t, 0], i] -= f_b + f_c
            out[part, triangles[t, 1], i] += f_b
            out[part, triangles[t, 2], i] += f_c
