# SPDX-License-Identifier: GPL-3.0-or-later
"""The local step of one head: what tetrahedra and skin triangles ask for at a displacement.

Only elements that are displaced at all are worked on; the others are at rest and ask for nothing. Element data are in
single precision, so that more of them fit the caches; sums and displacements are in double.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from .elasticity import LEAST_DETERMINANT, add_parts, deformation_gradients, find_displaced, tet_forces, volume_ratios
from .membrane import triangle_forces
from .settings import PhysicsSettings
from .system import ElasticSystem
from .untangle import LEAST_RATIO, untangle


class LocalStep:
    """Projections of all elements of a system, against the undisturbed volume that `pose` was given."""

    def __init__(self, system: ElasticSystem, settings: PhysicsSettings):
        self.system, self.settings = system, settings
        n, t, n_skin = len(system.template.vertices), len(system.tets), system.template.n_skin
        self._tets = np.ascontiguousarray(system.tets, np.int32)
        self._triangles = np.ascontiguousarray(system.triangles, np.int32)
        self._gradients = system.gradients.astype(np.float32)
        self._v_str, self._v_vol = system.v_str.astype(np.float32), system.v_vol.astype(np.float32)
        self._volume = np.full((n, 3), np.nan)
        self._f_tra, self._det = np.zeros((t, 3, 3), np.float32), np.ones(t, np.float32)
        self._quaternions, self._multipliers = np.zeros((t, 4), np.float32), np.zeros(t, np.float32)
        self._ratios = np.ones(t, np.float32)
        self._displaced, self._skin_displaced = np.zeros(n, np.bool_), np.zeros(n_skin, np.bool_)
        parts = numba.get_num_threads()
        self._sums, self._skin_sums = np.zeros((parts, n, 3)), np.zeros((parts, n_skin, 3))
        self.restart()

    def restart(self) -> None:
        """Forgets the rotations and volumes found so far."""
        self._quaternions[:] = (1.0, 0.0, 0.0, 0.0)
        self._multipliers[:] = 0.0

    def pose(self, volume: NDArray) -> None:
        """Takes the undisturbed volume (n, 3), as displacement from rest [m], as elastic reference F_tra."""
        if not np.array_equal(volume, self._volume):
            self._volume[:] = volume
            deformation_gradients(volume, self._tets, self.system.gradients, self._f_tra, self._det)

    def right_hand_side(self, u: NDArray, tracked: NDArray, skin_u: NDArray, out: NDArray) -> None:
        """Sums what all elements ask for at the displacement u (n, 3) into the free vertices, out (n_free, 3) [N].

        tracked: (n_skin, 3) undisturbed skin, skin_u: (n_skin, 3) its displacement [m].
        """
        system = self.system
        find_displaced(u, self._displaced)
        tet_forces(
            u, self._displaced, self._tets, self._gradients, self._f_tra, self._det, self._v_str, self._v_vol,
            self.settings.volume_tolerance, self._quaternions, self._multipliers, self._sums,
        )  # fmt: skip
        find_displaced(skin_u, self._skin_displaced)
        triangle_forces(
            tracked, skin_u, self._skin_displaced, self._triangles, system.skin_gradients, system.w_skin,
            self._skin_sums,
        )  # fmt: skip
        add_parts(self._sums, system.free, out)
        out += system.free_spreading @ sum(self._skin_sums)

    def volume_ratios(self, u: NDArray) -> NDArray[np.float32]:
        """det F / det F_tra (t,) at the displacement u (n, 3); 1 where the tracked motion itself flattened a
        tetrahedron. The array is reused by the next call."""
        find_displaced(u, self._displaced)
        volume_ratios(u, self._displaced, self._tets, self._gradients, self._f_tra, self._det, self._ratios)
        return self._ratios

    def untangle(self, u: NDArray, mobility: NDArray) -> bool:
        """Opens inverted tetrahedra by moving u (n, 3) where mobility (n,) allows; whether anything was moved."""
        ratios = self.volume_ratios(u)
        if ratios.min() >= LEAST_RATIO:
            return False
        untangle(
            u, self._tets, self.system.gradients, self._f_tra, self._det, ratios, mobility,
            self.system.tet_start, self.system.tet_corners,
        )  # fmt: skip
        return True

    def flattened(self) -> int:
        """How many tetrahedra the tracked motion itself flattened."""
        return int((self._det <= LEAST_DETERMINANT).sum())
