# SPDX-License-Identifier: GPL-3.0-or-later
"""As few shape keys as a tolerance allows: a principal basis of rest-space displacements, fitted to the largest error.

Principal components minimise the mean error, but the largest error counts. Lawson's reweighting (C. L. Lawson 1961)
approaches it: weights of vertices and frames grow where the error is large, and a weighted fit follows. With rows and
columns weighted, the best fit of a given rank is still a singular value decomposition.
"""

import numpy as np
from numpy.typing import NDArray

from ...progress import Job, Progress

_STEP = "Compressing"
_ROUNDS = 6  # of reweighting per rank; more saves less than one key in a hundred
_LARGEST = 2e9  # multiplications of one fit (frames² × coordinates) up to which reweighting takes seconds


def compress(
    displacements: NDArray[np.float32], gain: NDArray[np.float32], tolerance: float
) -> Job[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """A job that finds basis (k, n, 3) and weights (f, k); gain × |displacement − weights · basis| stays ≤ tolerance.

    displacements: (f, n, 3), in any unit. gain: (f, n), factor by which an error grows on its way to the world.
    Every weight is in [-1, 1] and reaches 1 somewhere. k = 0 if everything is within the tolerance of zero.
    """
    frames, vertices, _ = displacements.shape
    if not frames or not vertices or (gain * np.linalg.norm(displacements, axis=2)).max() <= tolerance:
        return np.zeros((0, vertices, 3), np.float32), np.zeros((frames, 0))
    matrix = displacements.reshape(frames, -1).astype(np.float64)
    fit = _Fit(matrix, gain.astype(np.float64))
    too_few, enough = 0, frames
    while enough - too_few > 1:  # the error of a principal basis falls with its rank: bisection
        yield Progress(_STEP, 0.5 * (1 - (enough - too_few) / frames), f"{enough} shape keys or fewer")
        rank = (too_few + enough) // 2
        if fit.error(rank).max() <= tolerance:
            enough = rank
        else:
            too_few = rank
    best = fit.factors(enough) if enough < frames else (np.eye(frames), matrix)
    if frames**2 * matrix.shape[1] <= _LARGEST:
        best = yield from _fewer(fit, best, enough, tolerance)
    return _normalised(*best, vertices)


def _fewer(fit: "_Fit", best: tuple, enough: int, tolerance: float) -> Job[tuple]:
    """Lowers the rank while reweighting keeps the largest error below the tolerance."""
    step = max(1, enough // 8)
    first = step
    while step and enough > 1:
        yield Progress(_STEP, 0.5 + 0.5 * (1 - step / first), f"{enough} shape keys or fewer")
        rank = enough - step
        if rank >= 1 and fit.reweight(rank, tolerance):
            best, enough = fit.factors(rank), rank
        else:
            step //= 2
    return best


class _Fit:
    """Weighted low-rank fits of one matrix (f, 3 n)."""

    def __init__(self, matrix: NDArray[np.float64], gain: NDArray[np.float64]):
        self.matrix, self.gain = matrix, gain
        self.rows = np.ones(len(matrix))
        self.columns = np.ones(gain.shape[1])
        self._decompose()

    def _decompose(self) -> None:
        weighted = self.matrix * np.repeat(self.columns, 3) * self.rows[:, None]
        # Few frames, many coordinates: eigenvectors of the small Gram matrix are the left singular vectors.
        self.left = np.linalg.eigh(weighted @ weighted.T)[1][:, ::-1]

    def factors(self, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (f, rank) and basis (rank, 3 n)."""
        left = self.left[:, :rank]
        return left / self.rows[:, None], (left * self.rows[:, None]).T @ self.matrix

    def error(self, rank: int) -> NDArray[np.float64]:
        """Error of every frame and vertex, multiplied by its gain, shape (f, n)."""
        weights, basis = self.factors(rank)
        difference = (self.matrix - weights @ basis).reshape(*self.gain.shape, 3)
        return self.gain * np.sqrt(np.einsum("fvk,fvk->fv", difference, difference))

    def reweight(self, rank: int, tolerance: float) -> bool:
        """Whether a few rounds bring the largest error of this rank below the tolerance; else nothing changes."""
        before = self.rows, self.columns, self.left
        for _ in range(_ROUNDS):
            error = self.error(rank)
            if error.max() <= tolerance:
                return True
            # The square root of the largest error damps the updates; far below it, weights shrink, but never to 0.
            self.columns = self.columns * np.sqrt(np.maximum(error.max(axis=0) / error.max(), 0.25))
            self.rows = self.rows * np.sqrt(np.maximum(error.max(axis=1) / error.max(), 0.25))
            self.columns /= self.columns.max()
            self.rows /= self.rows.max()
            self._decompose()
        if self.error(rank).max() <= tolerance:
            return True
        self.rows, self.columns, self.left = before
        return False


def _normalised(weights: NDArray, basis: NDArray, vertices: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Weights scaled to a largest value of +1, keys sorted by contribution."""
    peak = weights[np.abs(weights).argmax(axis=0), np.arange(weights.shape[1])]
    weights, basis = weights / peak, basis * peak[:, None]
    order = np.argsort(-np.linalg.norm(weights, axis=0) * np.linalg.norm(basis, axis=1), kind="stable")
    return basis[order].astype(np.float32).reshape(-1, vertices, 3), weights[:, order]
