# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens tetrahedra that a contact has flattened or inverted.

Contacts are enforced exactly, energies are not: a deep or folding contact may invert surface tetrahedra. They are
few, so a Gauss-Seidel sweep of position-based volume constraints (Müller et al. 2007) over them and their neighbours
is cheap.
"""

import numpy as np
from numba import njit

from .elasticity import LEAST_DETERMINANT
from .tet_blocks import reference

LEAST_RATIO = 0.1  # of det F / det F_tra that a tetrahedron must keep
_TARGET_RATIO = 0.15  # ratio to which a tetrahedron below the least ratio is opened
SWEEPS = 120


@njit(cache=True, nogil=True)
def _gradients(u, tet, gradients, f_tra, f, cofactor):
    """F of one tetrahedron into f, its cofactor matrix into `cofactor`; returns det F."""
    for i in range(3):
        for j in range(3):
            value = f_tra[i, j]
            for k in range(4):
                value += u[tet[k], i] * gradients[k, j]
            f[i, j] = value
    for i in range(3):
        for j in range(3):
            a, b, c, d = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            cofactor[i, j] = f[a, c] * f[b, d] - f[a, d] * f[b, c]
    return f[0, 0] * cofactor[0, 0] + f[0, 1] * cofactor[0, 1] + f[0, 2] * cofactor[0, 2]


@njit(cache=True, nogil=True)
def untangle(u, tets, gradients, volume, stale, blocks, ratios, mobility, start, corners, sweeps):
    """Moves vertices of u (n, 3) [m] in place until every tetrahedron keeps LEAST_RATIO of its volume; returns how
    many do not.

    volume, stale, blocks: F_tra, see `tet_blocks.pose`; ratios: (t,) current det F / det F_tra, 1 where that has none
    to keep; mobility: (n,) 0 for vertices that must stay, up to 1; start, corners: rows of the flattened (t, 4) corners
    per vertex; sweeps: at most.
    """
    f, cofactor, f_tra = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    step = np.empty((4, 3))
    queued = np.zeros(len(tets), np.bool_)
    queue = np.empty(len(tets), np.int64)
    count = 0
    for t in range(len(tets)):
        if ratios[t] < LEAST_RATIO:
            queue[count] = t
            queued[t] = True
            count += 1
    bad = count
    for _ in range(sweeps):
        if bad == 0:
            break
        bad = 0
        q = 0
        while q < count:
            t = queue[q]
            q += 1
            det_tra = reference(volume, tets, t, stale, blocks, f_tra)
            if det_tra <= LEAST_DETERMINANT:
                continue  # the tracked motion flattened it: nothing to keep
            ratio = _gradients(u, tets[t], gradients[t], f_tra, f, cofactor) / det_tra
            if ratio >= LEAST_RATIO:
                continue
            bad += 1
            square = 0.0
            for k in range(4):
                for i in range(3):
                    total = 0.0
                    for j in range(3):
                        total += cofactor[i, j] * gradients[t, k, j]
                    step[k, i] = total / det_tra
                    square += mobility[tets[t, k]] * step[k, i] ** 2
            if square <= 0.0:
                continue
            scale = (_TARGET_RATIO - ratio) / square
            for k in range(4):
                v = tets[t, k]
                if mobility[v] == 0.0:
                    continue
                for i in range(3):
                    u[v, i] += scale * mobility[v] * step[k, i]
                for c in range(start[v], start[v + 1]):
                    other = corners[c] // 4
                    if not queued[other]:
                        queued[other] = True
                        queue[count] = other
                        count += 1
    bad = 0
    for q in range(count):
        t = queue[q]
        kept = reference(volume, tets, t, stale, blocks, f_tra) > LEAST_DETERMINANT
        if kept and _gradients(u, tets[t], gradients[t], f_tra, f, cofactor) <= 0.0:
            bad += 1
    return bad
