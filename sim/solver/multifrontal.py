# SPDX-License-Identifier: GPL-3.0-or-later
"""Factor of a symmetric positive definite matrix, computed once and used to solve many times per frame.

A block factor L D⁻¹ Lᵀ over the parts of a nested dissection (Duff and Reid, "The multifrontal solution of indefinite
sparse symmetric linear equations", 1983), with D⁻¹ and L as dense blocks, so a solve is a product of small dense
matrices with three columns. It is computed in double precision and stored in single, which halves the memory that a
solve reads; if the matrix comes from a diffusion, all terms of such products have one sign and no accuracy is lost.

Loads on a touched face are few and close together, and so are visible displacements. The upward pass skips parts
without load, exactly; the downward pass skips those whose separators hardly move.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ... import threads
from .dissection import WIDEST, dissect

_LANES = 8  # block widths are multiples of the vector width
_ROWS = 4  # rows of a block processed at once
_FAST = {"contract", "nsz"}


def _padded(count: int, to: int) -> int:
    return -(-count // to) * to


class Factor:
    """Factor of a matrix (n, n) that couples neighbours in space, at positions (n, 3).

    `solve` is exact to single precision. Its results are the same in every run, for any number of threads.
    """

    def __init__(self, matrix: csr_matrix, positions: NDArray):
        dissection = dissect(matrix, positions)
        self.n = matrix.shape[0]
        self._order = dissection.order
        self._branches = np.array(dissection.branches, np.int64)
        self._start = np.cumsum([0, *map(len, dissection.parts)])
        permuted = matrix[self._order][:, self._order].tocsr()
        permuted.sort_indices()
        self._keep(*_eliminate(permuted, self._start))

    def _keep(self, rows: list[NDArray], inverses: list[NDArray], couplings: list[NDArray]) -> None:
        """Packs D⁻¹ (m, m) and the coupling L (r, m) of each part with its rows (r,) below, padded: for the upward pass
        the transposed coupling, at most WIDEST columns at a time, for the downward pass the inverse over the negative
        coupling."""
        n, parts = self.n, len(rows)
        self._row_start = np.cumsum([0] + [_padded(len(r), _ROWS) for r in rows])
        self._rows = np.full(self._row_start[-1], n, np.int32)  # padding rows refer to an entry that stays zero
        self._row_count = np.array([len(r) for r in rows])
        shapes = [(len(d), _padded(len(d), _ROWS), len(w)) for d, w in zip(inverses, couplings, strict=True)]
        up = [rows_ * _padded(r, _LANES) for _, rows_, r in shapes]
        down = [(rows_ + _padded(r, _ROWS)) * _padded(m, _LANES) for m, rows_, r in shapes]
        self._up_start, self._down_start = np.cumsum([0, *up]), np.cumsum([0, *down])
        self._up, self._down = np.zeros(sum(up), np.float32), np.zeros(sum(down), np.float32)
        for k, (inverse, coupling) in enumerate(zip(inverses, couplings, strict=True)):
            m, m_rows, r = shapes[k]
            self._rows[self._row_start[k] : self._row_start[k] + r] = rows[k]
            for first in range(0, r, WIDEST):
                some = coupling[first : first + WIDEST].T
                at = self._up_start[k] + m_rows * first
                block = self._up[at : at + m_rows * _padded(some.shape[1], _LANES)].reshape(m_rows, -1)
                block[:m, : some.shape[1]] = some
            block = self._down[self._down_start[k] : self._down_start[k + 1]].reshape(-1, _padded(m, _LANES))
            block[:m, :m], block[m_rows : m_rows + r, :m] = inverse, -coupling
        self._trunk = int(self._start[self._branches.max()])  # the first unknown of the trunk
        self._y = np.zeros((3, n + _ROWS), np.float32)
        self._trunk_parts = np.zeros((len(self._branches), 3, n + _ROWS - self._trunk), np.float32)
        self._work = np.zeros((len(self._branches), 3 * WIDEST), np.float32)
        self._loaded = np.zeros(parts, np.bool_)

    def solve(self, b: NDArray[np.float64], x: NDArray[np.float64], least: float = 0.0) -> None:
        """Solves for the three columns of b (n, 3) into x. Parts without their own load whose separators stay below
        `least` stay zero."""
        _gather(b, self._order, self._y)
        up = self._start, self._row_start, self._row_count, self._rows, self._up_start, self._up
        down = self._start, self._row_start, self._row_count, self._rows, self._down_start, self._down
        branches, count, limit = self._branches, len(self._branches), np.float32(least)
        trunk = self._trunk, self._y, self._trunk_parts
        threads.run(_branches_up, count, *up, branches, *trunk, self._work, self._loaded)
        _through_trunk(*up, *down[-2:], branches, *trunk, limit, self._work, self._loaded)
        threads.run(_branches_down, count, *down, branches, limit, self._y, self._work, self._loaded)
        _spread(self._y, self._order, x)


def _eliminate(matrix: csr_matrix, start: NDArray) -> tuple[list[NDArray], list[NDArray], list[NDArray]]:
    """For each part the rows below that it couples to (r,), the inverse D⁻¹ (m, m) of its diagonal block and its
    coupling L (r, m); the matrix is in elimination order."""
    parts = len(start) - 1
    part_of = np.repeat(np.arange(parts), np.diff(start))
    rows, inverses, couplings = [], [], []
    waiting: list[list[tuple[NDArray, NDArray]]] = [[] for _ in range(parts)]  # updates from parts already eliminated
    for k in range(parts):
        first, end = start[k], start[k + 1]
        entries = slice(matrix.indptr[first], matrix.indptr[end])
        row = np.repeat(np.arange(end - first), np.diff(matrix.indptr[first : end + 1]))
        column, value = matrix.indices[entries], matrix.data[entries]
        later = column >= first
        row, column, value = row[later], column[later], value[later]
        named = np.unique(np.concatenate([np.arange(first, end), column, *(names for names, _ in waiting[k])]))
        front = np.zeros((len(named), end - first))
        front[np.searchsorted(named, column), row] = value
        m = end - first
        below = np.zeros((len(named) - m,) * 2)
        for names, update in waiting[k]:
            at = np.searchsorted(named, names)
            own = int(np.searchsorted(at, m))
            front[at[:, None], at[:own]] += update[:, :own]
            below[at[own:, None] - m, at[own:] - m] += update[own:, own:]
        waiting[k].clear()
        inverse = np.linalg.inv(front[:m])
        coupling = front[m:] @ inverse
        rows.append(named[m:])
        inverses.append(inverse)
        couplings.append(coupling)
        if len(named) > m:
            waiting[part_of[named[m]]].append((named[m:], below - coupling @ front[m:].T))
    return rows, inverses, couplings


@njit(cache=True, nogil=True)
def _gather(b, order, y):
    for i in range(len(order)):
        v = order[i]
        y[0, i], y[1, i], y[2, i] = b[v, 0], b[v, 1], b[v, 2]


@njit(cache=True, nogil=True)
def _spread(y, order, x):
    for i in range(len(order)):
        v = order[i]
        x[v, 0], x[v, 1], x[v, 2] = y[0, i], y[1, i], y[2, i]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _add_rows(block, width, y, i, j, k, h, out):
    """Adds to out four rows (width,) of a block times the points i, j, k, h of y (3, n)."""
    ix, iy, iz = y[0, i], y[1, i], y[2, i]
    jx, jy, jz = y[0, j], y[1, j], y[2, j]
    kx, ky, kz = y[0, k], y[1, k], y[2, k]
    hx, hy, hz = y[0, h], y[1, h], y[2, h]
    for e in range(width):
        a, b, c, d = block[e], block[width + e], block[2 * width + e], block[3 * width + e]
        out[e] += a * ix + b * jx + c * kx + d * hx
        out[WIDEST + e] += a * iy + b * jy + c * ky + d * hy
        out[2 * WIDEST + e] += a * iz + b * jz + c * kz + d * hz


@njit(cache=True, nogil=True)
def _clear(work, width):
    for c in range(3):
        for e in range(width):
            work[c * WIDEST + e] = 0.0


@njit(cache=True, nogil=True)
def _go_up(first, end, start, row_start, row_count, rows, up_start, up, trunk, y, trunk_part, work, loaded):
    """Eliminates parts first..end: passes their loads to the rows below. Those for the trunk are summed in
    trunk_part."""
    for k in range(first, end):
        a, m, r = start[k], start[k + 1] - start[k], row_count[k]
        loaded[k] = False
        for i in range(a, a + m):
            loaded[k] |= y[0, i] != 0.0 or y[1, i] != 0.0 or y[2, i] != 0.0
        if not loaded[k]:
            continue
        at = up_start[k]
        for column in range(0, r, WIDEST):
            count = min(r - column, WIDEST)
            width = -(-count // _LANES) * _LANES
            _clear(work, width)
            for i in range(a, a + m, _ROWS):
                _add_rows(up[at : at + _ROWS * width], width, y, i, i + 1, i + 2, i + 3, work)
                at += _ROWS * width
            for j in range(count):
                i = rows[row_start[k] + column + j]
                for c in range(3):
                    if i < trunk:
                        y[c, i] -= work[c * WIDEST + j]
                    else:
                        trunk_part[c, i - trunk] -= work[c * WIDEST + j]


@njit(cache=True, nogil=True)
def _go_down(first, end, start, row_start, row_count, rows, down_start, down, least, y, work, loaded):
    """Solves parts first..end, last to first, from the rows below."""
    for k in range(end - 1, first - 1, -1):
        a, m = start[k], start[k + 1] - start[k]
        moves = loaded[k]
        for j in range(row_start[k], row_start[k] + row_count[k]):
            i = rows[j]
            moves |= abs(y[0, i]) > least or abs(y[1, i]) > least or abs(y[2, i]) > least
        if not moves:
            continue
        width = -(-m // _LANES) * _LANES
        _clear(work, width)
        at = down_start[k]
        for i in range(a, a + m, _ROWS):
            _add_rows(down[at : at + _ROWS * width], width, y, i, i + 1, i + 2, i + 3, work)
            at += _ROWS * width
        for j in range(row_start[k], row_start[k + 1], _ROWS):
            block = down[at : at + _ROWS * width]
            _add_rows(block, width, y, rows[j], rows[j + 1], rows[j + 2], rows[j + 3], work)
            at += _ROWS * width
        for i in range(m):
            for c in range(3):
                y[c, a + i] = work[c * WIDEST + i]


@njit(cache=True, nogil=True)
def _branches_up(
    part, parts, start, row_start, row_count, rows, up_start, up, branches, trunk, y, trunk_parts, work, loaded
):  # fmt: skip
    trunk_parts[part] = 0.0
    _go_up(
        branches[part, 0], branches[part, 1], start, row_start, row_count, rows, up_start, up, trunk, y,
        trunk_parts[part], work[part], loaded,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _through_trunk(
    start, row_start, row_count, rows, up_start, up, down_start, down, branches, trunk, y, trunk_parts, least, work,
    loaded,
):  # fmt: skip
    for b in range(len(branches)):
        for c in range(3):
            for i in range(trunk, y.shape[1]):
                y[c, i] += trunk_parts[b, c, i - trunk]
    first, end = branches[:, 1].max(), len(start) - 1
    _go_up(first, end, start, row_start, row_count, rows, up_start, up, y.shape[1], y, trunk_parts[0], work[0], loaded)
    _go_down(first, end, start, row_start, row_count, rows, down_start, down, least, y, work[0], loaded)


@njit(cache=True, nogil=True)
def _branches_down(part, parts, start, row_start, row_count, rows, down_start, down, branches, least, y, work, loaded):
    _go_down(
        branches[part, 0], branches[part, 1], start, row_start, row_count, rows, down_start, down, least, y, work[part],
        loaded,
    )  # fmt: skip
