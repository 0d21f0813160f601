# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin as a membrane on the surface triangles: its local step of projective dynamics.

E_skin = 1/2 w_skin A |G - P|² with G the 3x2 deformation of the triangle relative to the tracked skin H_tra, and P
nearest to it with both principal stretches within limits: skin wrinkles under little compression and hardly stretches.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .elasticity import CHUNKS, REST

STRETCH_LOW, STRETCH_HIGH = 0.95, 1.05  # free range of the principal stretches


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


@njit(cache=True, parallel=True)
def triangle_forces(p, u, triangles, gradients, weights, active, out):
    """Right-hand side of the global step per triangle and corner, written to out (m, 3, 3) [N] where active (m,),
    which is set.

    p: (n, 3) tracked positions, u: (n, 3) displacement [m]; gradients of the rest skin; weights = w_skin area (m,) [N
    m]. The projection is measured against the tracked triangle, whose own deformation G_tra is undone first.
    """
    count = triangles.shape[0]
    for chunk in prange(CHUNKS):
        g_tra = np.empty((3, 2))
        g = np.empty((3, 2))
        h = np.empty((3, 2))
        for t in range(chunk * count // CHUNKS, (chunk + 1) * count // CHUNKS):
            largest = 0.0
            for k in range(3):
                for i in range(3):
                    largest = max(largest, abs(u[triangles[t, k], i]))
            active[t] = largest >= REST
            if not active[t]:
                continue
            g_tra[:] = 0.0
            g[:] = 0.0
            for i in range(3):
                for j in range(2):
                    for k in range(3):
                        v = triangles[t, k]
                        g_tra[i, j] += p[v, i] * gradients[t, k, j]
                        g[i, j] += (p[v, i] + u[v, i]) * gradients[t, k, j]
            # Relative deformation seen in the tracked plane: T upper triangular with g_tra = Q T (Gram-Schmidt).
            t00 = np.sqrt(g_tra[0, 0] ** 2 + g_tra[1, 0] ** 2 + g_tra[2, 0] ** 2) + 1e-12
            t01 = (g_tra[0, 0] * g_tra[0, 1] + g_tra[1, 0] * g_tra[1, 1] + g_tra[2, 0] * g_tra[2, 1]) / t00
            rest = 0.0
            for i in range(3):
                rest += (g_tra[i, 1] - g_tra[i, 0] * t01 / t00) ** 2
            t11 = np.sqrt(rest) + 1e-12
            for i in range(3):  # h = g T^-1
                h[i, 0] = g[i, 0] / t00
                h[i, 1] = (g[i, 1] - h[i, 0] * t01) / t11
            # Principal stretches from the symmetric h^T h.
            a = h[0, 0] ** 2 + h[1, 0] ** 2 + h[2, 0] ** 2
            b = h[0, 0] * h[0, 1] + h[1, 0] * h[1, 1] + h[2, 0] * h[2, 1]
            c = h[0, 1] ** 2 + h[1, 1] ** 2 + h[2, 1] ** 2
            mean = 0.5 * (a + c)
            radius = np.sqrt(0.25 * (a - c) ** 2 + b * b)
            s1 = np.sqrt(max(mean + radius, 1e-12))
            s2 = np.sqrt(max(mean - radius, 1e-12))
            f1 = min(max(s1, STRETCH_LOW), STRETCH_HIGH) / s1
            f2 = min(max(s2, STRETCH_LOW), STRETCH_HIGH) / s2
            angle = 0.5 * np.arctan2(2 * b, a - c)
            x, y = np.cos(angle), np.sin(angle)
            # m = V diag(f) V^T acts on the right of h.
            m00 = f1 * x * x + f2 * y * y
            m01 = (f1 - f2) * x * y
            m11 = f1 * y * y + f2 * x * x
            for i in range(3):
                p0 = h[i, 0] * m00 + h[i, 1] * m01
                p1 = h[i, 0] * m01 + h[i, 1] * m11
                g[i, 0] = p0 * t00 - g_tra[i, 0]
                g[i, 1] = p0 * t01 + p1 * t11 - g_tra[i, 1]
            for k in range(3):
                for i in range(3):
                    out[t, k, i] = weights[t] * (g[i, 0] * gradients[t, k, 0] + g[i, 1] * gradients[t, k, 1])
