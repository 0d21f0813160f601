# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements with a displaced corner: the few that a contact activates, found from the vertices rather than by testing
every element."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .elasticity import REST


class Awake:
    """Elements (e, k) over n vertices, or runs of `run` elements that are processed together.

    rest: [m] a smaller displacement leaves a vertex at rest.
    """

    def __init__(self, elements: NDArray, n: int, run: int = 1):
        self.rest = REST
        groups = np.repeat(np.arange(len(elements)) // run, elements.shape[1])
        count = -(-len(elements) // run)
        pairs = np.unique(elements.ravel().astype(np.int64) * count + groups)
        self._start = np.searchsorted(pairs, np.arange(n + 1) * count)
        self._groups = (pairs % count).astype(np.int32)
        self._flags, self._found, self._count = np.zeros(count, np.bool_), np.zeros(count, np.int32), 0
        self.displaced = np.zeros(n, np.bool_)

    def find(self, u: NDArray[np.float64]) -> NDArray[np.int32]:
        """The awake elements or runs, ascending, for the displacements u (n, 3) [m]; sets `displaced`. The array is
        reused by the next call."""
        if _displace(u, self.rest, self.displaced):  # seldom within a frame
            self._count = _find(self.displaced, self._start, self._groups, self._flags, self._found)
        return self._found[: self._count]


@njit(cache=True, nogil=True)
def _displace(u, rest, displaced):
    changed = False
    for v in range(len(u)):
        moved = max(abs(u[v, 0]), abs(u[v, 1]), abs(u[v, 2])) >= rest
        changed |= moved != displaced[v]
        displaced[v] = moved
    return changed


@njit(cache=True, nogil=True)
def _find(displaced, start, groups, flags, found):
    flags[:] = False
    for v in range(len(displaced)):
        if displaced[v]:
            for e in range(start[v], start[v + 1]):
                flags[groups[e]] = True
    count = 0
    for g in range(len(flags)):
        if flags[g]:
            found[count] = g
            count += 1
    return count
