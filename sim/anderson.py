# SPDX-License-Identifier: GPL-3.0-or-later
"""Anderson acceleration of a fixed-point iteration."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_REGULARISATION = 1e-8
_GROWTH = 2.0  # a residual that grows by more than this restarts the history


@njit(cache=True, fastmath=False)
def _mix(differences, images, residual, image, gram, projected, count, out):
    """out = image - Σ γ_j images_j with γ the least-squares fit of the residual by the differences (all flattened)."""
    for a in range(count):
        projected[a] = np.dot(differences[a], residual)
        for b in range(a + 1):
            gram[a, b] = gram[b, a] = np.dot(differences[a], differences[b])
    trace = 0.0
    for a in range(count):
        trace += gram[a, a]
    for a in range(count):
        gram[a, a] += _REGULARISATION * trace + 1e-300
    gamma = np.linalg.solve(gram[:count, :count], projected[:count])
    out[:] = image
    for a in range(count):
        out -= gamma[a] * images[a]


class Anderson:
    """Mixes the last iterates of u ← G(u) so that it converges in far fewer steps (Anderson 1965; on projective dynamics:
    Peng et al., "Anderson acceleration for geometry optimization and physics simulation", 2018).

    n is the number of unknowns, window the number of differences kept.
    """

    def __init__(self, n: int, window: int = 5):
        self.window = window
        self._differences, self._images = np.zeros((window, n)), np.zeros((window, n))
        self._gram, self._projected = np.zeros((window, window)), np.zeros(window)
        self._residual, self._image = np.zeros(n), np.zeros(n)
        self.next = np.zeros(n)
        self.restart()

    def restart(self) -> None:
        self._count = 0
        self._at = 0
        self._norm = np.inf

    def mix(self, u: NDArray, image: NDArray) -> NDArray[np.float64]:
        """The next iterate after u (n,) was mapped to image = G(u) (n,); the returned array is reused by the next call."""
        residual = image - u
        norm = float(np.dot(residual, residual))
        if norm > _GROWTH**2 * self._norm:
            self.restart()
        if np.isfinite(self._norm):
            slot = self._at % self.window
            np.subtract(residual, self._residual, out=self._differences[slot])
            np.subtract(image, self._image, out=self._images[slot])
            self._at += 1
            self._count = min(self._count + 1, self.window)
        self._residual[:] = residual
        self._image[:] = image
        self._norm = norm
        if self._count == 0:
            self.next[:] = image
        else:
            _mix(
                self._differences, self._images, residual, image, self._gram, self._projected, self._count, self.next
            )
        return self.next
