# SPDX-License-Identifier: GPL-3.0-or-later
"""Products of sparse matrices with points, written in place: scipy allocates a new array for each."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


class PointMap:
    """A sparse matrix (m, n) that acts on points (n, 3)."""

    def __init__(self, matrix: csr_matrix):
        matrix = matrix.tocsr()
        self._rows = matrix.indptr, matrix.indices, matrix.data.astype(np.float64)
        count = matrix.shape[0]  # of the first points, if that is all it takes, as skin of a conforming volume
        same = all(np.array_equal(a, np.arange(count + k)) for k, a in enumerate((matrix.indices, matrix.indptr)))
        self._first = count if same and (matrix.data == 1).all() else 0

    def map(self, points: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """out (m, 3) = matrix @ points."""
        if self._first:
            np.copyto(out, points[: self._first])
        else:
            _map(*self._rows, points, out)

    def add(self, points: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """out (m, 3) += matrix @ points."""
        _add(*self._rows, points, out)

    def map_rows(self, rows: NDArray[np.int64], points: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """out (k, 3) = rows (k,) of the matrix @ points."""
        _map_rows(*self._rows, rows, points, out)

    def add_back(self, rows: NDArray[np.int64], values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """out (n, 3) += rows (k,) of the matrix, transposed, @ values (k, 3)."""
        _add_back(*self._rows, rows, values, out)

    def between(self, rows: NDArray[np.int64], responses: NDArray, chosen: NDArray[np.int64], out: NDArray) -> None:
        """out (k, k) = rows (k,) of the matrix times the chosen (k,) responses to a load on each, transposed:
        symmetric, as only half of it is computed."""
        _between(*self._rows, rows, responses, chosen, out)


@njit(cache=True, inline="always")
def _row(start, columns, values, points, i):
    x = y = z = 0.0
    for e in range(start[i], start[i + 1]):
        c, v = columns[e], values[e]
        x, y, z = x + v * points[c, 0], y + v * points[c, 1], z + v * points[c, 2]
    return x, y, z


@njit(cache=True, nogil=True)
def _map(start, columns, values, points, out):
    for i in range(len(out)):
        out[i, 0], out[i, 1], out[i, 2] = _row(start, columns, values, points, i)


@njit(cache=True, nogil=True)
def _add(start, columns, values, points, out):
    for i in range(len(out)):
        x, y, z = _row(start, columns, values, points, i)
        out[i, 0] += x
        out[i, 1] += y
        out[i, 2] += z


@njit(cache=True, nogil=True)
def _map_rows(start, columns, values, rows, points, out):
    for i in range(len(rows)):
        out[i, 0], out[i, 1], out[i, 2] = _row(start, columns, values, points, rows[i])


@njit(cache=True, nogil=True)
def _add_back(start, columns, values, rows, points, out):
    for i in range(len(rows)):
        for e in range(start[rows[i]], start[rows[i] + 1]):
            for d in range(3):
                out[columns[e], d] += values[e] * points[i, d]


@njit(cache=True, nogil=True)
def _between(start, columns, values, rows, responses, chosen, out):
    for a in range(len(chosen)):
        response = responses[chosen[a]]
        for b in range(a + 1):
            total = 0.0
            for e in range(start[rows[b]], start[rows[b] + 1]):
                total += values[e] * response[columns[e]]
            out[b, a] = out[a, b] = total


@njit(cache=True, nogil=True)
def take(points, rows, out):
    """out = points[rows] for out (m, 3), rows (m,)."""
    for i in range(len(rows)):
        r = rows[i]
        out[i, 0], out[i, 1], out[i, 2] = points[r, 0], points[r, 1], points[r, 2]


@njit(cache=True, nogil=True)
def put(points, rows, out):
    """out[rows] = points for points (m, 3), rows (m,)."""
    for i in range(len(rows)):
        r = rows[i]
        out[r, 0], out[r, 1], out[r, 2] = points[i, 0], points[i, 1], points[i, 2]
