# SPDX-License-Identifier: GPL-3.0-or-later
"""The local step of projective dynamics on tetrahedra, fused and compiled, in single precision.

Everything is written in the displacement u = x - S_tra from the undisturbed volume, so that an undisturbed tetrahedron
contributes exactly zero. Energies per tetrahedron of volume V (rest), with F = F_tra + grad u:

    E_str = 1/2 V m w_str |F - R F_tra|²     R the rotation of F F_tra^T
    E_vol = 1/2 V w_vol |F - D|²             D nearest to F with det D within ± tolerance of det F_tra
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .matrix3 import cofactor, combine, determinant, inner, load, product, product_transposed, rotation

# A displacement below this [m] leaves a tetrahedron at rest: the 0.001 mm that counts as no change.
REST = 1e-6
LEAST_DETERMINANT = 0.05  # of det F_tra below which the tracked motion has flattened a tetrahedron
_ROTATION_STEPS = 4
# Squared half angle below which a rotation is followed closely enough; the next iteration goes on.
_TURNED = np.float32(1e-8)
_VOLUME_STEPS = 5
_VOLUME_MET = np.float32(1e-4)  # change of the multiplier, about a strain, at which the nearest volume is found
_GENTLE = np.float32(0.5)  # within this factor of its target volume a projection needs no singular values
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_TINY, _LEAST_DETERMINANT = np.float32(1e-12), np.float32(LEAST_DETERMINANT)


def shape_gradients(vertices: NDArray, tets: NDArray) -> tuple[NDArray, NDArray]:
    """Gradients of the four linear shape functions, (t, 4, 3) [1/m], and rest volumes (t,) [m³]."""
    edges = np.stack([vertices[tets[:, k]] - vertices[tets[:, 0]] for k in (1, 2, 3)], axis=2)
    inverse = np.linalg.inv(edges)  # rows are the gradients of shape functions 1..3
    gradients = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
    return np.ascontiguousarray(gradients), np.linalg.det(edges) / 6.0


@njit(cache=True, parallel=True)
def deformation_gradients(displacement, tets, gradients, out, det):
    """F = I + grad d (t, 3, 3) and det F (t,) for a displacement d (n, 3) from rest, written to out and det."""
    for t in prange(tets.shape[0]):
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


@njit(cache=True, inline="always")
def _edges(u, tets, t):
    """Columns: displacements (n, 3) of corners 1..3 against corner 0, subtracted in the precision of u."""
    a, b, c, d = tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3]
    return (
        np.float32(u[b, 0] - u[a, 0]), np.float32(u[c, 0] - u[a, 0]), np.float32(u[d, 0] - u[a, 0]),
        np.float32(u[b, 1] - u[a, 1]), np.float32(u[c, 1] - u[a, 1]), np.float32(u[d, 1] - u[a, 1]),
        np.float32(u[b, 2] - u[a, 2]), np.float32(u[c, 2] - u[a, 2]), np.float32(u[d, 2] - u[a, 2]),
    )  # fmt: skip


@njit(cache=True, inline="always")
def _shape(gradients, t):
    """Gradients of shape functions 1..3 as rows; the first is minus their sum."""
    return (
        np.float32(gradients[t, 1, 0]), np.float32(gradients[t, 1, 1]), np.float32(gradients[t, 1, 2]),
        np.float32(gradients[t, 2, 0]), np.float32(gradients[t, 2, 1]), np.float32(gradients[t, 2, 2]),
        np.float32(gradients[t, 3, 0]), np.float32(gradients[t, 3, 1]), np.float32(gradients[t, 3, 2]),
    )  # fmt: skip


@njit(cache=True, inline="always")
def _follow_rotation(m, q):
    """The warm-started quaternion q turned to the rotation of m (polar decomposition), and its matrix.

    Newton-like iteration on the axis-angle step, after Müller et al., "A robust method to extract the rotational part
    of deformations", MIG 2016.
    """
    r = rotation(q)
    for _ in range(_ROTATION_STEPS):
        scale = _HALF / (abs(inner(r, m)) + _TINY)
        ox = scale * (r[3] * m[6] - r[6] * m[3] + r[4] * m[7] - r[7] * m[4] + r[5] * m[8] - r[8] * m[5])
        oy = scale * (r[6] * m[0] - r[0] * m[6] + r[7] * m[1] - r[1] * m[7] + r[8] * m[2] - r[2] * m[8])
        oz = scale * (r[0] * m[3] - r[3] * m[0] + r[1] * m[4] - r[4] * m[1] + r[2] * m[5] - r[5] * m[2])
        # First order in the angle and normalised: the warm start leaves little to turn.
        w = q[0] - ox * q[1] - oy * q[2] - oz * q[3]
        x = q[1] + ox * q[0] + oy * q[3] - oz * q[2]
        y = q[2] - ox * q[3] + oy * q[0] + oz * q[1]
        z = q[3] + ox * q[2] - oy * q[1] + oz * q[0]
        norm = _ONE / np.sqrt(w * w + x * x + y * y + z * z)
        q = (w * norm, x * norm, y * norm, z * norm)
        r = rotation(q)
        if ox * ox + oy * oy + oz * oz < _TURNED:
            break
    return q, r


@njit(cache=True, inline="always")
def _nearest_volume(f, value, low, high, multiplier):
    """The matrix nearest to f, of determinant `value`, with determinant within [low, high], and its multiplier.

    Stationary points satisfy d = f + λ cof(d), det d = target. Each step renews d for the present λ, then moves both
    along dd/dλ = c + λ ∂cof(d)[c], c = cof(d), to the target determinant; cof is quadratic, so ∂cof(d)[c] = cof(d +
    c) - c - cof(c). multiplier: λ to begin with.
    """
    if low <= value <= high:
        return f, _ZERO
    target = low if value < low else high
    if value < _GENTLE * target or value * _GENTLE > target:
        return _nearest_volume_by_stretches(f, target), _ZERO
    d = combine(f, multiplier, cofactor(f))
    for k in range(_VOLUME_STEPS):
        if k > 0:
            d = combine(f, multiplier, cofactor(d))
        c = cofactor(d)
        change = combine(combine(cofactor(combine(d, _ONE, c)), -_ONE, c), -_ONE, cofactor(c))
        along = combine(c, multiplier, change)
        step = (target - determinant(d)) / (inner(c, along) + _TINY)
        multiplier += step
        d = combine(d, step, along)
        if k > 0 and abs(step) < _VOLUME_MET:
            break
    return d, multiplier


@njit(cache=True)
def _nearest_volume_by_stretches(f, target):
    """The same for tetrahedra far from their volume, flat or inverted: by singular values that stay clear of zero."""
    m = np.empty((3, 3))
    for i in range(9):
        m[i // 3, i % 3] = f[i]
    u, s, vt = np.linalg.svd(m)
    if np.linalg.det(u) * np.linalg.det(vt) < 0.0:  # make both rotations: the smallest stretch of an inverted f is < 0
        s[2] = -s[2]
        for i in range(3):
            u[i, 2] = -u[i, 2]
    least = 0.2 * np.cbrt(target)
    for k in range(3):
        s[k] = max(s[k], least)
    for _ in range(8):
        error = s[0] * s[1] * s[2] - target
        g0, g1, g2 = s[1] * s[2], s[0] * s[2], s[0] * s[1]
        step = error / (g0 * g0 + g1 * g1 + g2 * g2)
        s[0] = max(s[0] - step * g0, least)
        s[1] = max(s[1] - step * g1, least)
        s[2] = max(s[2] - step * g2, least)
    for i in range(3):
        for j in range(3):
            m[i, j] = u[i, 0] * s[0] * vt[0, j] + u[i, 1] * s[1] * vt[1, j] + u[i, 2] * s[2] * vt[2, j]
    return (
        np.float32(m[0, 0]), np.float32(m[0, 1]), np.float32(m[0, 2]),
        np.float32(m[1, 0]), np.float32(m[1, 1]), np.float32(m[1, 2]),
        np.float32(m[2, 0]), np.float32(m[2, 1]), np.float32(m[2, 2]),
    )  # fmt: skip


@njit(cache=True, parallel=True)
def find_displaced(u, displaced):
    """Sets displaced (n,) to where u (n, 3) [m] is not at rest."""
    for v in prange(u.shape[0]):
        displaced[v] = max(abs(u[v, 0]), abs(u[v, 1]), abs(u[v, 2])) >= REST


@njit(cache=True, inline="always")
def _at_rest(tets, t, displaced):
    moved = displaced[tets[t, 0]] or displaced[tets[t, 1]] or displaced[tets[t, 2]] or displaced[tets[t, 3]]
    return not moved


@njit(cache=True, parallel=True, error_model="numpy")
def tet_forces(
    u, displaced, tets, gradients, f_tra, det_tra, v_str, v_vol, tolerance, quaternions, multipliers, out
):  # fmt: skip
    """Right-hand side of the global step: what tetrahedra ask of their corners, as parts of a sum, out (p, n, 3) [N].

    Each part, worked by a thread of its own, takes every p-th tetrahedron, so that the few that are displaced are
    shared evenly, and the sums do not depend on which thread comes first.
    u: (n, 3) displacement [m], displaced: (n,) where it is not at rest; v_str = V m w_str > 0, v_vol = V w_vol (t,)
    [N m]; quaternions (t, 4) and multipliers (t,): warm start, updated. A tetrahedron that the tracked motion itself
    flattened has no volume to keep and is held at its tracked shape instead.
    """
    parts = out.shape[0]
    for part in prange(parts):
        for v in range(out.shape[1]):
            out[part, v, 0] = out[part, v, 1] = out[part, v, 2] = 0.0
        for t in range(part, tets.shape[0], parts):
            if _at_rest(tets, t, displaced):
                continue
            g, f0 = _shape(gradients, t), load(f_tra, t)
            f = combine(f0, _ONE, product(_edges(u, tets, t), g))
            q = (
                np.float32(quaternions[t, 0]), np.float32(quaternions[t, 1]),
                np.float32(quaternions[t, 2]), np.float32(quaternions[t, 3]),
            )  # fmt: skip
            q, r = _follow_rotation(product_transposed(f, f0), q)
            quaternions[t, 0], quaternions[t, 1], quaternions[t, 2], quaternions[t, 3] = q
            det = np.float32(det_tra[t])
            d = f0
            if det > _LEAST_DETERMINANT:
                slack = np.float32(tolerance) * det
                d, multipliers[t] = _nearest_volume(
                    f, determinant(f), det - slack, det + slack, np.float32(multipliers[t])
                )
            strain, volume = np.float32(v_str[t]), np.float32(v_vol[t])
            asked = combine(combine(product(r, f0), -_ONE, f0), volume / strain, combine(d, -_ONE, f0))
            force = product_transposed(asked, g)  # column k: corner k + 1
            for i in range(3):
                x, y, z = strain * force[3 * i], strain * force[3 * i + 1], strain * force[3 * i + 2]
                out[part, tets[t, 0], i] -= x + y + z
                out[part, tets[t, 1], i] += x
                out[part, tets[t, 2], i] += y
                out[part, tets[t, 3], i] += z


@njit(cache=True, parallel=True)
def add_parts(parts, vertices, out):
    """The sum over the first axis of parts (p, n, 3) at the given vertices (m,), written to out (m, 3)."""
    for i in prange(out.shape[0]):
        v = vertices[i]
        x = y = z = 0.0
        for p in range(parts.shape[0]):
            x += parts[p, v, 0]
            y += parts[p, v, 1]
            z += parts[p, v, 2]
        out[i, 0], out[i, 1], out[i, 2] = x, y, z


def corner_lists(elements: NDArray, n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each of n vertices the rows of the flattened (e, k) elements that name it: (start (n + 1,), corners)."""
    flat = elements.ravel()
    order = np.argsort(flat, kind="stable")
    start = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(flat, minlength=n), out=start[1:])
    return start, order.astype(np.int32)


@njit(cache=True, parallel=True)
def volume_ratios(u, displaced, tets, gradients, f_tra, det_tra, out):
    """det(F_tra + grad u) / det F_tra per tetrahedron, written to out (t,); 1 where nothing is displaced (n,), and
    where the tracked motion itself flattened a tetrahedron."""
    for t in prange(tets.shape[0]):
        out[t] = 1.0
        if det_tra[t] > _LEAST_DETERMINANT and not _at_rest(tets, t, displaced):
            out[t] = (
                determinant(combine(load(f_tra, t), _ONE, product(_edges(u, tets, t), _shape(gradients, t))))
                / det_tra[t]
            )
