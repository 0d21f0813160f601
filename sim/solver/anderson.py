# SPDX-License-Identifier: GPL-3.0-or-later
"""Anderson acceleration of a fixed-point iteration."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_REGULARISATION = 1e-8
_BLOCK = 1024  # numbers processed at a time, so that they stay in the cache
_GROWTH = 2.0  # a residual that grows by more than this restarts the history


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dots(rows, count, vectors, active, out):
    """out[k, a] = rows[a] · vectors[k] for the first `count` rows, in one pass over memory."""
    out[:] = 0.0
    one, other = vectors
    for block in range(len(active)):
        if not active[block]:
            continue
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, len(one))
        for a in range(count):
            x = y = 0.0
            for i in range(first, last):
                x += rows[a, i] * one[i]
                y += rows[a, i] * other[i]
            out[0, a] += x
            out[1, a] += y


@njit(cache=True, nogil=True)
def _combine(image, rows, count, gamma, active, out):
    """out = image - Σ γ_a rows_a."""
    for block in range(len(active)):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, len(image))
        out[first:last] = image[first:last]
        for a in range(count if active[block] else 0):
            g = gamma[a]
            for i in range(first, last):
                out[i] -= g * rows[a, i]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _renew(u, image, residual, last_image, difference, image_difference, active):
    """Stores residual and image as the last ones and their changes in the given rows, and marks the blocks where there
    are any; returns the squared norm of the residual."""
    norm = 0.0
    for block in range(len(active)):
        changed = np.float32(0)
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, len(u))):
            r = image[i] - u[i]
            norm += r * r
            difference[i] = r - residual[i]
            image_difference[i] = image[i] - last_image[i]
            changed = max(changed, abs(difference[i]), abs(image_difference[i]))
            residual[i] = r
            last_image[i] = image[i]
        active[block] |= changed > 0
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
        self._gram, self._projected = np.zeros((window, window)), np.zeros((2, window))
        self._residual, self._image = np.zeros(n), np.zeros(n)
        self._active = np.zeros(-(-n // _BLOCK), np.bool_)  # of what is kept; most of a face is at rest
        self.restart()

    def restart(self) -> None:
        self._at = 0
        self._norm = np.inf
        self._active[:] = False

    def mix(self, u: NDArray, image: NDArray) -> None:
        """Replaces u (n,), which was mapped to image = G(u) (n,), by the next iterate."""
        slot = self._at % self.window
        difference, active = self._differences[slot], self._active
        norm = _renew(u, image, self._residual, self._image, difference, self._images[slot], active)
        if np.isinf(self._norm) or norm > _GROWTH**2 * self._norm:  # there is no last residual, or none to go on from
            self.restart()
            self._norm = norm
            u[:] = image
            return
        self._norm = norm
        self._at += 1
        count = min(self._at, self.window)
        _dots(self._differences, count, (difference, self._residual), active, self._projected)
        self._gram[slot, :count] = self._gram[:count, slot] = self._projected[0, :count]
        gram = self._gram[:count, :count].copy()
        diagonal = np.einsum("ii->i", gram)  # a view
        diagonal += _REGULARISATION * diagonal.sum() + 1e-300
        gamma = np.linalg.solve(gram, self._projected[1, :count])
        _combine(image, self._images, count, gamma, active, u)
