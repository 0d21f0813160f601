# SPDX-License-Identifier: GPL-3.0-or-later
"""The local step of projective dynamics on tetrahedra, sixteen at a time.

Everything is written in the displacement u = x - S_tra from the undisturbed volume, so that an undisturbed tetrahedron
contributes exactly zero. Energies per tetrahedron of volume V (rest), with F = F_tra + grad u:

    E_str = 1/2 V m w_str |F - R F_tra|²     R the rotation of F F_tra^T
    E_vol = 1/2 V w_vol |F - D|²             D nearest to F with det D within ± tolerance of det F_tra

Tetrahedra are stored in blocks of sixteen in single precision, number by number, so that the compiler vectorises the
loops over a block; only blocks with a displaced corner (`active_set.py`) are processed. A block is a run of rows
of sixteen numbers; nine rows hold a 3 x 3 matrix, row by row.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..geometry.matrix3 import cofactor, combine, determinant, inner, product, product_transposed, rotation
from .elasticity import LEAST_DETERMINANT

LANES = 16
# First rows of a block's stored data: F_tra, gradients of shape functions 1..3, the warm-started quaternion of R and
# multiplier of D, V m w_str and V w_vol [N m], and det F_tra.
_F_TRA, _SHAPE, _QUATERNION, _MULTIPLIER, _STRAIN, _VOLUME, _DET = 0, 9, 18, 22, 23, 24, 25
ROWS = 26
# Working rows of a block: displacements of corners 1..3 relative to corner 0, F, det F, D, strain term, det D wanted,
# and by how much it is missed beyond what is close enough.
_EDGES, _F, _VALUE, _D, _ASKED, _TARGET, _MISSED = 26, 35, 44, 45, 54, 63, 64
_WORKING_ROWS = 65

_ROTATION_STEPS, _VOLUME_STEPS = 2, 5
_LEAST_VOLUME_STEPS = 2  # the first takes cof(D) at F, not at D
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_TINY = np.float32(1e-12)
_FLAT = np.float32(LEAST_DETERMINANT)
_GENTLE = np.float32(0.5)  # within this factor of its target volume a projection continues from its last multiplier
_CRUSHED = np.float32(0.1)  # below this fraction of its target volume a projection needs singular values
_MET = np.float32(0.02)  # relative error of the determinant beyond which a projection falls back on them
_CLOSE = np.float32(1e-4)  # relative error of the determinant at which the steps end: the next iteration goes on
_BISECTIONS = 24
_FAST = {"contract", "arcp", "nsz"}


@njit(cache=True, inline="always")
def _load(s, row, lane):
    return (
        s[row * LANES + lane], s[(row + 1) * LANES + lane], s[(row + 2) * LANES + lane],
        s[(row + 3) * LANES + lane], s[(row + 4) * LANES + lane], s[(row + 5) * LANES + lane],
        s[(row + 6) * LANES + lane], s[(row + 7) * LANES + lane], s[(row + 8) * LANES + lane],
    )  # fmt: skip


@njit(cache=True, inline="always")
def _store(s, row, lane, m):
    for k in range(9):
        s[(row + k) * LANES + lane] = m[k]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _follow_strain(s):
    """F, det F, the rotation R of F F_tra^T and the strain term V m w_str (R F_tra - F_tra), of a block.

    The warm-started quaternion follows by Newton-like steps on the axis-angle step, after Müller et al., "A robust
    method to extract the rotational part of deformations", MIG 2016; the next iteration corrects the small remainder.
    """
    for lane in range(LANES):
        f_tra, shape = _load(s, _F_TRA, lane), _load(s, _SHAPE, lane)
        f = combine(f_tra, _ONE, product(_load(s, _EDGES, lane), shape))
        m = product_transposed(f, f_tra)
        w, x, y, z = (
            s[_QUATERNION * LANES + lane], s[(_QUATERNION + 1) * LANES + lane],
            s[(_QUATERNION + 2) * LANES + lane], s[(_QUATERNION + 3) * LANES + lane],
        )  # fmt: skip
        for _ in range(_ROTATION_STEPS):
            r = rotation((w, x, y, z))
            scale = _HALF / (abs(inner(r, m)) + _TINY)
            ox = scale * (r[3] * m[6] - r[6] * m[3] + r[4] * m[7] - r[7] * m[4] + r[5] * m[8] - r[8] * m[5])
            oy = scale * (r[6] * m[0] - r[0] * m[6] + r[7] * m[1] - r[1] * m[7] + r[8] * m[2] - r[2] * m[8])
            oz = scale * (r[0] * m[3] - r[3] * m[0] + r[1] * m[4] - r[4] * m[1] + r[2] * m[5] - r[5] * m[2])
            # First order in the angle and normalised: the warm start leaves little rotation.
            w, x, y, z = (
                w - ox * x - oy * y - oz * z,
                x + ox * w + oy * z - oz * y,
                y - ox * z + oy * w + oz * x,
                z + ox * y - oy * x + oz * w,
            )
            norm = _ONE / np.sqrt(w * w + x * x + y * y + z * z)
            w, x, y, z = w * norm, x * norm, y * norm, z * norm
        s[_QUATERNION * LANES + lane], s[(_QUATERNION + 1) * LANES + lane] = w, x
        s[(_QUATERNION + 2) * LANES + lane], s[(_QUATERNION + 3) * LANES + lane] = y, z
        turned = combine(product(rotation((w, x, y, z)), f_tra), -_ONE, f_tra)
        strain = s[_STRAIN * LANES + lane]
        for k in range(9):
            s[(_ASKED + k) * LANES + lane] = strain * turned[k]
        _store(s, _F, lane, f)
        _store(s, _D, lane, f)
        s[_VALUE * LANES + lane] = determinant(f)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _nearest_volume(s, tolerance):
    """D, nearest to F with determinant within ± tolerance of det F_tra, of a block.

    Stationary points satisfy D = F + λ cof(D), det D = target. Each step updates D for the current λ, then moves both
    along dD/dλ = C + λ ∂cof(D)[C], C = cof(D), to the target determinant; cof is quadratic, so ∂cof(D)[C] = cof(D +
    C) - C - cof(C). Far from its volume a tetrahedron starts as a scaled F. The steps end when all sixteen are close.
    """
    for lane in range(LANES):
        f, value, det = _load(s, _F, lane), s[_VALUE * LANES + lane], s[_DET * LANES + lane]
        slack = tolerance * det
        target = min(max(value, det - slack), det + slack)
        x = target / max(value, _CRUSHED * target)
        far = x > _ONE / _GENTLE or x < _GENTLE
        size = (_TWO * x + _ONE) / (x + _TWO) if far else _ONE  # Halley's step towards the cube root
        multiplier = s[_MULTIPLIER * LANES + lane] if target != value else _ZERO
        c = cofactor(f)  # scaled by size²
        multiplier = (size - _ONE) * inner(f, c) / (size * size * inner(c, c) + _TINY) if far else multiplier
        s[_MULTIPLIER * LANES + lane], s[_TARGET * LANES + lane] = multiplier, target
        _store(s, _D, lane, combine(f, size * size * multiplier, c))
    for k in range(_VOLUME_STEPS):
        for lane in range(LANES):
            multiplier, target, d = s[_MULTIPLIER * LANES + lane], s[_TARGET * LANES + lane], _load(s, _D, lane)
            if k > 0:
                d = combine(_load(s, _F, lane), multiplier, cofactor(d))
            c = cofactor(d)
            change = combine(combine(cofactor(combine(d, _ONE, c)), -_ONE, c), -_ONE, cofactor(c))
            along = combine(c, multiplier, change)
            step = (target - determinant(d)) / (inner(c, along) + _TINY)
            d = combine(d, step, along)
            s[_MULTIPLIER * LANES + lane] = multiplier + step
            s[_MISSED * LANES + lane] = abs(determinant(d) - target) - _CLOSE * target
            _store(s, _D, lane, d)
        if k + 1 >= _LEAST_VOLUME_STEPS:
            met = True
            for lane in range(LANES):
                met &= s[_MISSED * LANES + lane] < _ZERO
            if met:
                break


@njit(cache=True, nogil=True)
def _by_stretches(s, lane, target):
    """The same for a tetrahedron that is flat or inverted, by singular values σ: δ² = σ δ + λ target, product of δ by
    bisection."""
    m = np.empty((3, 3))
    for k in range(9):
        m[k // 3, k % 3] = s[(_F + k) * LANES + lane]
    u, stretch, vt = np.linalg.svd(m)
    if np.linalg.det(u) * np.linalg.det(vt) < 0.0:  # make both rotations: the smallest stretch of an inverted F is < 0
        stretch[2] = -stretch[2]
        for i in range(3):
            u[i, 2] = -u[i, 2]
    low, high = 0.0, 4.0 * target  # σ of -1 and more
    nearest = np.empty(3)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        for k in range(3):
            nearest[k] = 0.5 * (stretch[k] + np.sqrt(stretch[k] ** 2 + 4.0 * middle))
        if nearest[0] * nearest[1] * nearest[2] < target:
            low = middle
        else:
            high = middle
    stretch = nearest
    for i in range(3):
        for j in range(3):
            value = 0.0
            for k in range(3):
                value += u[i, k] * stretch[k] * vt[k, j]
            s[(_D + 3 * i + j) * LANES + lane] = value
    s[_MULTIPLIER * LANES + lane] = 0.0


@njit(cache=True, nogil=True)
def _volumes(s, tolerance):
    """D of a block, by the method that suits each tetrahedron. One that the tracked motion itself flattened has no
    volume to keep and is held at its tracked shape instead."""
    outside = False
    for lane in range(LANES):
        value, det = s[_VALUE * LANES + lane], s[_DET * LANES + lane]
        outside |= abs(value - det) > tolerance * det or det <= _FLAT
    if not outside:
        return
    _nearest_volume(s, tolerance)
    for lane in range(LANES):
        value, det = s[_VALUE * LANES + lane], s[_DET * LANES + lane]
        if det <= _FLAT:
            _store(s, _D, lane, _load(s, _F_TRA, lane))
            continue
        target = min(max(value, (_ONE - tolerance) * det), (_ONE + tolerance) * det)
        missed = abs(determinant(_load(s, _D, lane)) - target)
        if value < _CRUSHED * target or not missed < _MET * target:
            _by_stretches(s, lane, target)


@njit(cache=True, nogil=True, fastmath=_FAST)
def _forces(s):
    """Forces on corners 1..3 of a block, as columns of a matrix in place of the strain term [N]."""
    for lane in range(LANES):
        asked, volume = _load(s, _ASKED, lane), s[_VOLUME * LANES + lane]
        asked = combine(asked, volume, combine(_load(s, _D, lane), -_ONE, _load(s, _F_TRA, lane)))
        _store(s, _ASKED, lane, product_transposed(asked, _load(s, _SHAPE, lane)))


@njit(cache=True, nogil=True)
def _take_edges(u, tets, first, count, s):
    """Displacements (n, 3) of corners 1..3 relative to corner 0, subtracted in the precision of u."""
    for lane in range(count):
        a, b, c, d = tets[first + lane, 0], tets[first + lane, 1], tets[first + lane, 2], tets[first + lane, 3]
        for i in range(3):
            x = u[a, i]
            s[(_EDGES + 3 * i) * LANES + lane] = u[b, i] - x
            s[(_EDGES + 3 * i + 1) * LANES + lane] = u[c, i] - x
            s[(_EDGES + 3 * i + 2) * LANES + lane] = u[d, i] - x


@njit(cache=True, nogil=True)
def _at_rest(tets, t, displaced):
    moved = displaced[tets[t, 0]] or displaced[tets[t, 1]] or displaced[tets[t, 2]] or displaced[tets[t, 3]]
    return not moved


@njit(cache=True, nogil=True)
def tet_forces(part, parts, u, displaced, awake, tets, blocks, tolerance, out):
    """Right-hand side of the global step: the tetrahedra's contributions to their corners, as one part of a sum, out
    (parts, n, 3) [N].

    Each part takes every parts-th of the awake blocks, so that the load is even and the sums do not depend on the
    threads.
    u: (n, 3) displacement [m]; displaced: (n,) where it is not at rest; awake: rows of the blocks with a displaced
    corner; tets: (t, 4); blocks: from `make_blocks` and `pose`, their warm start is updated; tolerance: float32.
    """
    for v in range(out.shape[1]):
        out[part, v, 0] = out[part, v, 1] = out[part, v, 2] = 0.0
    s = np.zeros(_WORKING_ROWS * LANES, np.float32)
    for k in range(part, awake.shape[0], parts):
        block = awake[k]
        first = block * LANES
        count = min(LANES, tets.shape[0] - first)
        for i in range(ROWS * LANES):
            s[i] = blocks[block, i]
        _take_edges(u, tets, first, count, s)
        _follow_strain(s)
        _volumes(s, tolerance)
        _forces(s)
        for i in range(_QUATERNION * LANES, (_MULTIPLIER + 1) * LANES):
            blocks[block, i] = s[i]
        for lane in range(count):
            if _at_rest(tets, first + lane, displaced):
                continue
            a, b, c, d = tets[first + lane, 0], tets[first + lane, 1], tets[first + lane, 2], tets[first + lane, 3]
            for i in range(3):
                x = s[(_ASKED + 3 * i) * LANES + lane]
                y = s[(_ASKED + 3 * i + 1) * LANES + lane]
                z = s[(_ASKED + 3 * i + 2) * LANES + lane]
                out[part, a, i] -= x + y + z
                out[part, b, i] += x
                out[part, c, i] += y
                out[part, d, i] += z


def make_blocks(gradients: NDArray, v_str: NDArray, v_vol: NDArray) -> NDArray[np.float32]:
    """Blocks (b, ROWS * LANES) of tetrahedra at rest.

    gradients: (t, 4, 3) of the shape functions [1/m]; v_str = V m w_str, v_vol = V w_vol (t,) [N m].
    """
    t = len(gradients)
    rows = np.zeros((-(-t // LANES) * LANES, ROWS), np.float32)
    rows[:, _F_TRA : _F_TRA + 9] = np.eye(3).ravel()
    rows[:t, _SHAPE : _SHAPE + 9] = gradients[:, 1:].reshape(t, 9)
    rows[:t, _STRAIN], rows[:t, _VOLUME] = v_str, v_vol
    rows[:, _DET] = 1.0
    blocks = np.ascontiguousarray(rows.reshape(-1, LANES, ROWS).transpose(0, 2, 1)).reshape(-1, ROWS * LANES)
    restart(blocks)
    return blocks


def restart(blocks: NDArray) -> None:
    """Discards the rotations and volumes found so far."""
    rows = blocks.reshape(len(blocks), ROWS, LANES)
    rows[:, _QUATERNION] = 1.0
    rows[:, _QUATERNION + 1 : _MULTIPLIER + 1] = 0.0


@njit(cache=True, nogil=True, fastmath=_FAST)
def _pose_block(s):
    for lane in range(LANES):
        f = product(_load(s, _EDGES, lane), _load(s, _SHAPE, lane))
        f = (f[0] + _ONE, f[1], f[2], f[3], f[4] + _ONE, f[5], f[6], f[7], f[8] + _ONE)
        _store(s, _F_TRA, lane, f)
        s[_DET * LANES + lane] = determinant(f)


@njit(cache=True, nogil=True)
def pose(part, parts, d, tets, awake, stale, blocks):
    """Makes the undisturbed volume, d (n, 3) displacement from rest [m], the elastic reference F_tra of those awake
    blocks that are stale (b,), which they then no longer are. Parts and awake as in `tet_forces`."""
    s = np.zeros(_WORKING_ROWS * LANES, np.float32)
    for k in range(part, awake.shape[0], parts):
        block = awake[k]
        if not stale[block]:
            continue
        stale[block] = False
        first = block * LANES
        for i in range(_SHAPE * LANES, (_SHAPE + 9) * LANES):
            s[i] = blocks[block, i]
        _take_edges(d, tets, first, min(LANES, tets.shape[0] - first), s)
        _pose_block(s)
        for i in range(9 * LANES):
            blocks[block, _F_TRA * LANES + i] = s[_F_TRA * LANES + i]
        for i in range(LANES):
            blocks[block, _DET * LANES + i] = s[_DET * LANES + i]


@njit(cache=True, nogil=True)
def reference(d, tets, t, stale, blocks, f_tra):
    """F_tra of tetrahedron t into (3, 3), posed where it is stale; returns det F_tra. Arguments as for `pose`."""
    block, lane = t // LANES, t % LANES
    if stale[block]:
        pose(0, 1, d, tets, np.full(1, block), stale, blocks)
    for k in range(9):
        f_tra[k // 3, k % 3] = blocks[block, (_F_TRA + k) * LANES + lane]
    return blocks[block, _DET * LANES + lane]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _values(s):
    for lane in range(LANES):
        f_tra, shape = _load(s, _F_TRA, lane), _load(s, _SHAPE, lane)
        s[_VALUE * LANES + lane] = determinant(combine(f_tra, _ONE, product(_load(s, _EDGES, lane), shape)))


@njit(cache=True, nogil=True)
def volume_ratios(part, parts, u, displaced, awake, tets, blocks, out):
    """det(F_tra + grad u) / det F_tra of the displaced tetrahedra, written to out (t,); untouched where nothing is
    displaced (n,), and where the tracked motion itself flattened a tetrahedron. Parts, displaced and awake as in
    `tet_forces`."""
    s = np.zeros(_WORKING_ROWS * LANES, np.float32)
    for k in range(part, awake.shape[0], parts):
        block = awake[k]
        first = block * LANES
        count = min(LANES, tets.shape[0] - first)
        for i in range((_SHAPE + 9) * LANES):
            s[i] = blocks[block, i]
        _take_edges(u, tets, first, count, s)
        _values(s)
        for lane in range(count):
            det = blocks[block, _DET * LANES + lane]
            if det > _FLAT and not _at_rest(tets, first + lane, displaced):
                out[first + lane] = s[_VALUE * LANES + lane] / det


@njit(cache=True, nogil=True)
def add_parts(parts, vertices, out):
    """The sum over the first axis of parts (p, n, 3) at the given vertices (m,), written to out (m, 3)."""
    for i in range(out.shape[0]):
        v = vertices[i]
        x = y = z = 0.0
        for p in range(parts.shape[0]):
            x += parts[p, v, 0]
            y += parts[p, v, 1]
            z += parts[p, v, 2]
        out[i, 0], out[i, 1], out[i, 2] = x, y, z
