# SPDX-License-Identifier: GPL-3.0-or-later
"""The local step of projective dynamics on tetrahedra, fused and compiled.

Everything is written in the displacement u = x - S_tra from the undisturbed volume, so that an undisturbed tetrahedron
contributes exactly zero. Energies per tetrahedron of volume V (rest), with F = F_tra + grad u:

    E_str = 1/2 V m w_str |F - R F_tra|²     R the rotation of F F_tra^T
    E_vol = 1/2 V w_vol |F - D|²             D nearest to F with det D within ± tolerance of det F_tra
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

# A displacement below this [m] leaves a tetrahedron at rest: the 0.001 mm that counts as no change.
REST = 1e-6
LEAST_DETERMINANT = 0.05  # of det F_tra below which the tracked motion has flattened a tetrahedron
_ROTATION_STEPS = 4
_TURNED = 1e-8  # squared half angle below which a rotation is followed closely enough; the next iteration goes on
_VOLUME_STEPS = 5
_VOLUME_MET = 1e-4  # change of the multiplier, about a strain, at which the nearest volume is found
CHUNKS = 64  # elements are worked in so many runs, each with its own scratch memory
_GENTLE = 0.5  # within this factor of its target volume a tetrahedron's projection needs no singular values


def shape_gradients(vertices: NDArray, tets: NDArray) -> tuple[NDArray, NDArray]:
    """Gradients of the four linear shape functions, (t, 4, 3) [1/m], and rest volumes (t,) [m³]."""
    edges = np.stack([vertices[tets[:, k]] - vertices[tets[:, 0]] for k in (1, 2, 3)], axis=2)
    inverse = np.linalg.inv(edges)  # rows are the gradients of shape functions 1..3
    gradients = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
    return np.ascontiguousarray(gradients), np.linalg.det(edges) / 6.0


@njit(cache=True, inline="always")
def _det(m):
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


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
        det[t] = _det(out[t])


@njit(cache=True, inline="always")
def _cofactor(m, c):
    c[0, 0] = m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1]
    c[0, 1] = m[1, 2] * m[2, 0] - m[1, 0] * m[2, 2]
    c[0, 2] = m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0]
    c[1, 0] = m[0, 2] * m[2, 1] - m[0, 1] * m[2, 2]
    c[1, 1] = m[0, 0] * m[2, 2] - m[0, 2] * m[2, 0]
    c[1, 2] = m[0, 1] * m[2, 0] - m[0, 0] * m[2, 1]
    c[2, 0] = m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1]
    c[2, 1] = m[0, 2] * m[1, 0] - m[0, 0] * m[1, 2]
    c[2, 2] = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]


@njit(cache=True, inline="always")
def _rotate(q, r):
    """Rotation matrix of the unit quaternion q = (w, x, y, z)."""
    w, x, y, z = q[0], q[1], q[2], q[3]
    r[0, 0] = 1 - 2 * (y * y + z * z)
    r[0, 1] = 2 * (x * y - w * z)
    r[0, 2] = 2 * (x * z + w * y)
    r[1, 0] = 2 * (x * y + w * z)
    r[1, 1] = 1 - 2 * (x * x + z * z)
    r[1, 2] = 2 * (y * z - w * x)
    r[2, 0] = 2 * (x * z - w * y)
    r[2, 1] = 2 * (y * z + w * x)
    r[2, 2] = 1 - 2 * (x * x + y * y)


@njit(cache=True, inline="always")
def _follow_rotation(m, q, r):
    """Turns the warm-started quaternion q to the rotation of m (polar decomposition), and writes its matrix r.

    Newton-like iteration on the axis-angle step, after Müller et al., "A robust method to extract the rotational part
    of deformations", MIG 2016.
    """
    _rotate(q, r)
    for _ in range(_ROTATION_STEPS):
        ox = oy = oz = dot = 0.0
        for k in range(3):
            ox += r[1, k] * m[2, k] - r[2, k] * m[1, k]
            oy += r[2, k] * m[0, k] - r[0, k] * m[2, k]
            oz += r[0, k] * m[1, k] - r[1, k] * m[0, k]
            dot += r[0, k] * m[0, k] + r[1, k] * m[1, k] + r[2, k] * m[2, k]
        scale = 1.0 / (abs(dot) + 1e-9)
        ox *= scale
        oy *= scale
        oz *= scale
        # First order in the angle and normalised: the warm start leaves little to turn.
        w, x, y, z = q[0], q[1], q[2], q[3]
        ox *= 0.5
        oy *= 0.5
        oz *= 0.5
        q[0] = w - ox * x - oy * y - oz * z
        q[1] = x + ox * w + oy * z - oz * y
        q[2] = y - ox * z + oy * w + oz * x
        q[3] = z + ox * y - oy * x + oz * w
        norm = 1.0 / np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
        for k in range(4):
            q[k] *= norm
        _rotate(q, r)
        if ox * ox + oy * oy + oz * oz < _TURNED:
            break


@njit(cache=True)
def _nearest_volume(f, d, low, high, scratch):
    """Writes to d the matrix nearest to f with determinant within [low, high]; scratch: (4, 3, 3).

    Stationary points satisfy d = f + λ cof(d), det d = target. Each step renews d for the present λ, then moves both
    along dd/dλ = c + λ ∂cof(d)[c], c = cof(d), to the target determinant; cof is quadratic, so ∂cof(d)[c] = cof(d +
    c) - c - cof(c).
    """
    for i in range(3):
        for j in range(3):
            d[i, j] = f[i, j]
    value = _det(f)
    if low <= value <= high:
        return
    target = low if value < low else high
    if value < _GENTLE * target or value * _GENTLE > target:
        _nearest_volume_by_stretches(f, d, target)
        return
    c, sum_, cof_sum, cof_c = scratch[0], scratch[1], scratch[2], scratch[3]
    multiplier = 0.0
    for k in range(_VOLUME_STEPS):
        if k > 0:
            _cofactor(d, c)
            for i in range(3):
                for j in range(3):
                    d[i, j] = f[i, j] + multiplier * c[i, j]
        _cofactor(d, c)
        _cofactor(c, cof_c)
        for i in range(3):
            for j in range(3):
                sum_[i, j] = d[i, j] + c[i, j]
        _cofactor(sum_, cof_sum)
        slope = 1e-12
        for i in range(3):
            for j in range(3):
                cof_sum[i, j] = c[i, j] + multiplier * (cof_sum[i, j] - c[i, j] - cof_c[i, j])
                slope += c[i, j] * cof_sum[i, j]
        step = (target - _det(d)) / slope
        multiplier += step
        for i in range(3):
            for j in range(3):
                d[i, j] += step * cof_sum[i, j]
        if k > 0 and abs(step) < _VOLUME_MET:
            break


@njit(cache=True)
def _nearest_volume_by_stretches(f, d, target):
    """The same for tetrahedra far from their volume, flat or inverted: by singular values that stay clear of zero."""
    u, s, vt = np.linalg.svd(f)
    if _det(u) * _det(vt) < 0.0:  # make both rotations; an inverted f has its smallest stretch negative
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
            d[i, j] = u[i, 0] * s[0] * vt[0, j] + u[i, 1] * s[1] * vt[1, j] + u[i, 2] * s[2] * vt[2, j]


@njit(cache=True, parallel=True)
def tet_forces(u, tets, gradients, f_tra, det_tra, v_str, v_vol, tolerance, quaternions, active, out):
    """Right-hand side of the global step per tetrahedron and corner, written to out (t, 4, 3) [N] where active.

    A tetrahedron that the tracked motion itself flattened has no volume to keep and is held at its tracked shape
    instead.
    u: (n, 3) displacement [m]; v_str = V m w_str, v_vol = V w_vol (t,) [N m]; quaternions: (t, 4) warm start, updated;
    active: (t,) bool, set to whether a tetrahedron is displaced at all.
    """
    count = tets.shape[0]
    for chunk in prange(CHUNKS):
        f = np.empty((3, 3))
        m = np.empty((3, 3))
        r = np.empty((3, 3))
        d = np.empty((3, 3))
        scratch = np.empty((4, 3, 3))
        for t in range(chunk * count // CHUNKS, (chunk + 1) * count // CHUNKS):
            largest = 0.0
            for k in range(4):
                for i in range(3):
                    largest = max(largest, abs(u[tets[t, k], i]))
            active[t] = largest >= REST
            if not active[t]:
                continue
            for i in range(3):
                for j in range(3):
                    value = f_tra[t, i, j]
                    for k in range(4):
                        value += u[tets[t, k], i] * gradients[t, k, j]
                    f[i, j] = value
            for i in range(3):
                for j in range(3):
                    m[i, j] = f[i, 0] * f_tra[t, j, 0] + f[i, 1] * f_tra[t, j, 1] + f[i, 2] * f_tra[t, j, 2]
            _follow_rotation(m, quaternions[t], r)
            if det_tra[t] > LEAST_DETERMINANT:
                slack = tolerance * det_tra[t]
                _nearest_volume(f, d, det_tra[t] - slack, det_tra[t] + slack, scratch)
            else:
                d[:] = f_tra[t]
            for i in range(3):
                for j in range(3):
                    rotated = r[i, 0] * f_tra[t, 0, j] + r[i, 1] * f_tra[t, 1, j] + r[i, 2] * f_tra[t, 2, j]
                    m[i, j] = v_str[t] * (rotated - f_tra[t, i, j]) + v_vol[t] * (d[i, j] - f_tra[t, i, j])
            for k in range(4):
                for i in range(3):
                    out[t, k, i] = (
                        m[i, 0] * gradients[t, k, 0] + m[i, 1] * gradients[t, k, 1] + m[i, 2] * gradients[t, k, 2]
                    )


@njit(cache=True, parallel=True)
def gather(forces, active, start, corners, out):
    """Sums element forces (e, k, 3) of active elements (e,) into the vertices, out (n, 3) +=.

    start: (n + 1,) and corners: rows of the flattened (e k) corners per vertex, as in a CSR matrix. The order of the
    sum, and with it every bit of the result, does not depend on the threads.
    """
    k = forces.shape[1]
    for v in prange(out.shape[0]):
        x = y = z = 0.0
        for c in range(start[v], start[v + 1]):
            e = corners[c] // k
            if active[e]:
                corner = corners[c] - e * k
                x += forces[e, corner, 0]
                y += forces[e, corner, 1]
                z += forces[e, corner, 2]
        out[v, 0] += x
        out[v, 1] += y
        out[v, 2] += z


def corner_lists(elements: NDArray, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each of n vertices the rows of the flattened (e, k) elements that name it: (start (n + 1,), corners)."""
    flat = elements.ravel()
    order = np.argsort(flat, kind="stable")
    start = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(flat, minlength=n), out=start[1:])
    return start, order


@njit(cache=True, parallel=True)
def determinants(u, tets, gradients, f_tra, out):
    """det(F_tra + grad u) per tetrahedron, written to out (t,)."""
    count = tets.shape[0]
    for chunk in prange(CHUNKS):
        f = np.empty((3, 3))
        for t in range(chunk * count // CHUNKS, (chunk + 1) * count // CHUNKS):
            for i in range(3):
                for j in range(3):
                    value = f_tra[t, i, j]
                    for k in range(4):
                        value += u[tets[t, k], i] * gradients[t, k, j]
                    f[i, j] = value
            out[t] = _det(f)
