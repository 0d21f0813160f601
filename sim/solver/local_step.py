# SPDX-License-Identifier: GPL-3.0-or-later
"""The local step of one head: what tetrahedra and skin triangles ask for at a displacement.

Only elements that are displaced at all are worked on; the others are at rest and ask for nothing. Element data are in
single precision, so that more of them fit the caches; sums and displacements are in double.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ... import threads
from ..settings import PhysicsSettings
from .active_set import Awake
from .membrane import triangle_forces
from .system import ElasticSystem
from .tet_blocks import (
    LANES,
    add_parts,
    make_blocks,
    pose,
    restart,
    tet_forces,
    volume_ratios,
)
from .untangle import LEAST_RATIO, SWEEPS, untangle

# Where contact holds skin so firmly that tetrahedra stay inverted, as under a hand far too deep, all vertices that may
# move do so alike, at most this often: a hand 50 mm in a nose leaves nothing after two.
_FREE_ROUNDS = 3


class LocalStep:
    """Projections of all elements of a system, against the undisturbed volume that `pose` was given."""

    def __init__(self, system: ElasticSystem, settings: PhysicsSettings):
        self.system, self.settings = system, settings
        n, t, n_skin = len(system.template.vertices), len(system.tets), system.template.n_skin
        self._tets = np.ascontiguousarray(system.tets, np.int64)  # a little faster to follow than shorter ones
        self._triangles = np.ascontiguousarray(system.triangles, np.int32)
        self._blocks = make_blocks(system.gradients, system.v_str, system.v_vol)
        self._volume = np.full((n, 3), np.nan)
        self._stale = np.ones(len(self._blocks), np.bool_)  # blocks that `_volume` is not yet the reference of
        self.ratios = np.ones(t, np.float32)  # det F / det F_tra as `untangle` left it
        self._awake, self._skin_awake = Awake(self._tets, n, LANES), Awake(self._triangles, n_skin)
        self._parts, self._used = threads.count(), False  # whether the blocks have a warm start
        self._sums, self._skin_sums = np.zeros((self._parts, n, 3)), np.zeros((self._parts, n_skin, 3))
        self._skin, self._skin_sum = np.arange(n_skin), np.zeros((n_skin, 3))
        self.sweeps, self.free_rounds = SWEEPS, _FREE_ROUNDS  # most that `untangle` does

    def restart(self) -> None:
        """Forgets the rotations and volumes found so far."""
        if self._used:
            restart(self._blocks)
        self._used = False

    def rest_below(self, length: float) -> None:
        """Leaves tetrahedra and triangles whose corners are displaced by less than `length` [m] at rest."""
        self._awake.rest = self._skin_awake.rest = length

    def pose(self, volume: NDArray) -> None:
        """Takes the undisturbed volume (n, 3), as displacement from rest [m], as elastic reference F_tra."""
        if not np.array_equal(volume, self._volume):
            self._volume[:] = volume
            self._stale[:] = True  # only where something is displaced, F_tra will be needed

    def right_hand_side(self, u: NDArray, tracked: NDArray, skin_u: NDArray, out: NDArray) -> None:
        """Sums what all elements ask for at the displacement u (n, 3) into the free vertices, out (n_free, 3) [N].

        tracked: (n_skin, 3) undisturbed skin, skin_u: (n_skin, 3) its displacement [m].
        """
        system, self._used = self.system, True
        tolerance = np.float32(self.settings.volume_tolerance)
        awake, skin_awake = self._awake.find(u), self._skin_awake.find(skin_u)
        threads.run(
            _element_forces, self._parts, u, self._awake.displaced, awake, self._tets, self._volume, self._stale,
            self._blocks, tolerance, self._sums, tracked, skin_u, skin_awake, self._triangles, system.skin_gradients,
            system.w_skin, self._skin_sums,
        )  # fmt: skip
        add_parts(self._sums, system.free, out)
        add_parts(self._skin_sums, self._skin, self._skin_sum)
        system.from_skin.add(self._skin_sum, out)

    def untangle(self, u: NDArray, mobility: NDArray) -> bool:
        """Opens inverted tetrahedra by moving u (n, 3) where mobility (n,) allows; whether anything was moved.

        Leaves in `ratios` det F / det F_tra (t,); 1 where the tracked motion itself flattened a tetrahedron.
        """
        self._find_ratios(u)
        if self.ratios.min() >= LEAST_RATIO:
            return False
        for _ in range(1 + self.free_rounds):
            inverted = untangle(
                u, self._tets, self.system.gradients, self._volume, self._stale, self._blocks, self.ratios, mobility,
                self.system.tet_start, self.system.tet_corners, self.sweeps,
            )  # fmt: skip
            self._find_ratios(u)
            if not inverted:
                break
            mobility = (mobility > 0).astype(np.float64)
        return True

    def _find_ratios(self, u: NDArray) -> None:
        self.ratios[:] = 1.0
        awake = self._awake.find(u)
        threads.run(
            _ratios, self._parts, u, self._awake.displaced, awake, self._tets, self._volume, self._stale, self._blocks,
            self.ratios,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _element_forces(
    part, parts, u, displaced, awake, tets, volume, stale, blocks, tolerance, sums, p, skin_u, skin_awake, triangles,
    gradients, weights, skin_sums,
):  # fmt: skip
    pose(part, parts, volume, tets, awake, stale, blocks)
    tet_forces(part, parts, u, displaced, awake, tets, blocks, tolerance, sums)
    triangle_forces(part, parts, p, skin_u, skin_awake, triangles, gradients, weights, skin_sums)


@njit(cache=True, nogil=True)
def _ratios(part, parts, u, displaced, awake, tets, volume, stale, blocks, ratios):
    pose(part, parts, volume, tets, awake, stale, blocks)
    volume_ratios(part, parts, u, displaced, awake, tets, blocks, ratios)
