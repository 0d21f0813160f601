# SPDX-License-Identifier: GPL-3.0-or-later
"""Nested dissection: an elimination order with little fill-in for a matrix that couples neighbours in space (George,
"Nested dissection of a regular finite element mesh", 1973)."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

_LEAF = 64  # this many unknowns or fewer are eliminated at once
_CUTS = (0.4, 0.5, 0.6)  # positions along an axis at which cuts are tried
WIDEST = 512  # and never more
_BRANCH_DEPTH = 2  # number of times the whole is halved into branches for the threads


@dataclass(frozen=True)
class Dissection:
    """parts: the unknowns eliminated together, in order of elimination; branches: (first, end) ranges of parts that
    are independent of each other. The parts after the last branch, the trunk, separate them."""

    parts: list[NDArray[np.int64]]
    branches: list[tuple[int, int]]

    @property
    def order(self) -> NDArray[np.int64]:
        return np.concatenate(self.parts)


def dissect(matrix: csr_matrix, positions: NDArray) -> Dissection:
    """Recursively halves the unknowns of a symmetric matrix (n, n) with positions (n, 3) by separators: those
    that couple the halves, eliminated after both."""
    side = np.zeros(len(positions), np.int8)
    parts: list[NDArray] = []
    trunk: list[NDArray] = []
    branches: list[tuple[int, int]] = []

    def eliminate(unknowns: NDArray) -> None:
        halves = _halves(unknowns, matrix, positions, side) if len(unknowns) > _LEAF else None
        if halves is None:
            parts.extend(_bites(unknowns))
            return
        for half in halves[:2]:
            if len(half):
                eliminate(half)
        if len(halves[2]):
            parts.extend(_bites(halves[2]))

    def branch(unknowns: NDArray, depth: int) -> None:
        halves = _halves(unknowns, matrix, positions, side) if depth and len(unknowns) > _LEAF else None
        if halves is None:
            first = len(parts)
            eliminate(unknowns)
            branches.append((first, len(parts)))
            return
        for half in halves[:2]:
            if len(half):
                branch(half, depth - 1)
        if len(halves[2]):
            trunk.extend(_bites(halves[2]))

    branch(np.arange(len(positions)), _BRANCH_DEPTH)
    # Threads take runs of branches: neighbours, which carry loads together, go to different threads.
    return Dissection(parts + trunk, branches[::2] + branches[1::2])


def _bites(unknowns: NDArray) -> list[NDArray]:
    return np.array_split(unknowns, max(1, -(-len(unknowns) // WIDEST)))


def _halves(
    unknowns: NDArray, matrix: csr_matrix, positions: NDArray, side: NDArray[np.int8]
) -> tuple[NDArray, NDArray, NDArray] | None:
    """Two halves and the smallest separator found; None if the unknowns cannot be separated. `side` must be 0
    everywhere and is left so."""
    centred = positions[unknowns] - positions[unknowns].mean(axis=0)
    best = None
    for axis in np.linalg.eigh(centred.T @ centred)[1].T:
        along = centred @ axis
        for cut in np.quantile(along, _CUTS):
            high = along > cut
            if not high.any():
                continue
            side[unknowns] = 1 + high
            for half in (1, 2):
                separating = _coupled(unknowns, matrix.indptr, matrix.indices, side, half)
                if best is None or separating.sum() < best[1].sum():
                    best = high.copy(), separating
    side[unknowns] = 0
    if best is None:
        return None
    high, separating = best
    return unknowns[~high & ~separating], unknowns[high & ~separating], unknowns[separating]


@njit(cache=True, nogil=True)
def _coupled(unknowns, start, columns, side, half):
    """Which of the unknowns (k,) of one half are coupled to the other."""
    result = np.zeros(len(unknowns), np.bool_)
    for k in range(len(unknowns)):
        i = unknowns[k]
        if side[i] == half:
            for e in range(start[i], start[i + 1]):
                result[k] |= side[columns[e]] == 3 - half
    return result
