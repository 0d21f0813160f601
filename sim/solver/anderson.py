# SPDX-License-Identifier: GPL-3.0-or-later
"""Anderson acceleration of a fixed-point iteration."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_REGULARISATION = 1e-8
_BLOCK = 2048  # numbers processed at a time, so that they stay in the cache
_GROWTH = 2.0  # a residual that grows by more than this restarts the history


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dots(rows, count, vector, out):
    """out[a] = rows[a] · vector for the first `count` rows, in one pass over memory."""
    out[:count] = 0.0
    for first in range(0, vector.shape[0], _BLOCK):
        last = min(first + _BLOCK, vector.shape[0])
        for a in range(count):
            total = 0.0
            for i in range(first, last):
                total += rows[a, i] * vector[i]
            out[a] += total


@njit(cache=True, nogil=True)
def _combine(image, rows, count, gamma, out):
    """out = image - Σ γ_a rows_a."""
    for first in range(0, image.shape[0], _BLOCK):
        last = min(first + _BLOCK, image.shape[0])
        out[first:last] = image[first:last]
        for a in range(count):
            g = gamma[a]
            for i in range(first, last):
                out[i] -= g * rows[a, i]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _renew(u, image, residual, last_image, difference, image_difference):
    """Stores residual and image as the last ones and their changes in the given rows; returns the squared
    norm of the residual."""
    norm = 0.0
    for i in range(u.shape[0]):
        r = image[i] - u[i]
        norm += r * r
        difference[i] = r - residual[i]
        image_difference[i] = image[i] - last_image[i]
        residual[i] = r
        last_image[i] = image[i]
    return norm


class Anderson:
    """Mixes the latest iterates of u ← G(u), which then converges in far fewer steps (Anderson 1965; for projective
    dynamics: Peng et al., "Anderson acceleration for geometry optimization and physics simulation", 2018).

    n is the number of unknowns, window the number of differences kept.
    """

    def __init__(self, n: int, window: int = 5):
        self.window = window
        # The corrections may be imprecise: half the memory is half the time.
        self._differences, self._images = np.zeros((window, n), np.float32), np.zeros((window, n), np.float32)
        self._gram, self._projected = np.zeros((window, window)), np.zeros(window)
        self._residual, self._image = np.zeros(n), np.zeros(n)
        self.restart()

    def restart(self) -> None:
        self._count = 0
        self._at = 0
        self._norm = np.inf

    def mix(self, u: NDArray, image: NDArray) -> None:
        """Replaces u (n,), which was mapped to image = G(u) (n,), by the next iterate."""
        slot = self._at % self.window
        known = np.isfinite(self._norm)  # is there a last residual?
        norm = _renew(u, image, self._residual, self._image, self._differences[slot], self._images[slot])
        if norm > _GROWTH**2 * self._norm:
            self.restart()
        elif known:
            self._at += 1
            self._count = min(self._count + 1, self.window)
            _dots(self._differences, self._count, self._differences[slot], self._projected)
            self._gram[slot, : self._count] = self._gram[: self._count, slot] = self._projected[: self._count]
        self._norm = norm
        if self._count == 0:
            u[:] = image
            return
        count = self._count
        _dots(self._differences, count, self._residual, self._projected)
        gram = self._gram[:count, :count].copy()
        diagonal = np.einsum("ii->i", gram)  # a view
        diagonal += _REGULARISATION * diagonal.sum() + 1e-300
        gamma = np.linalg.solve(gram, self._projected[:count])
        _combine(image, self._images, count, gamma, u)
