# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin that was let go unfolds before it returns: what is narrow first, as in a membrane."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..geometry.topology import corner_lists, unique_edges
from ..settings import PhysicsSettings
from ..template import Template
from .system import ElasticSystem

# [m] What is left of a wrinkle after the relaxation time, beside what is left of a wide dent: 1/e if its wavelength is
# 2π times this, 19 mm. With less, lumps stand on a pulled cheek for some frames; the dent of a palm hardly notices.
_WIDTH = 0.003
_STABLE = 0.5  # of the way to the mean of its neighbours, at most, is a pass: beyond 1 a vertex could oscillate
_MOST = 30  # passes: a finer skin, or one that is back within a frame, unfolds a little less


class Unfolding:
    """How tissue relaxes while nothing touches: all of it fades, and the displacement of the skin diffuses along the
    skin, ∂u/∂t = (ℓ² / τ) Δu. A volume whose skin is not made of its own vertices is too coarse for wrinkles."""

    def __init__(self, system: ElasticSystem, template: Template, settings: PhysicsSettings):
        self._to_skin, self._moves = system.to_skin, np.isin(np.arange(template.n_skin), system.free)
        edges = unique_edges(template.skin_triangles)[0]
        way = template.skin_vertices[edges[:, 0]] - template.skin_vertices[edges[:, 1]]
        length = float(np.linalg.norm(way, axis=1).mean())
        self._start, ends_at = corner_lists(edges, template.n_skin)
        self._neighbours = edges.ravel()[ends_at ^ 1]  # the other end of each edge
        # A vertex that moves all the way to the mean of its neighbours diffuses by a quarter of their distance squared.
        self._rate = 4.0 * (_WIDTH / length) ** 2 / max(settings.relaxation_time, 1e-9)  # [1/s]
        self._next = np.zeros((template.n_skin if template.conforming else 0, 3))

    def relax(self, u: NDArray[np.float64], skin_u: NDArray[np.float64], fade: float, duration: float) -> None:
        """Leaves the share `fade` of the displacements u (n, 3) and skin_u (n_skin, 3) [m], and unfolds the skin for a
        duration [s]."""
        u *= fade
        whole = self._rate * duration
        passes = min(int(np.ceil(whole / _STABLE)), _MOST)
        _smooth(u, self._next, self._start, self._neighbours, self._moves, passes, min(whole / passes, _STABLE))
        self._to_skin.map(u, skin_u)


@njit(cache=True, nogil=True)
def _smooth(u, new, start, neighbours, moves, passes, share):
    n = len(new)
    for _ in range(passes):
        for v in range(n):
            first, end = start[v], start[v + 1]
            for d in range(3):
                new[v, d] = u[v, d]
                if moves[v] and end > first:
                    total = 0.0
                    for k in range(first, end):
                        total += u[neighbours[k], d]
                    new[v, d] += share * (total / (end - first) - u[v, d])
        u[:n] = new
