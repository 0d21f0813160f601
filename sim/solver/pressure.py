# SPDX-License-Identifier: GPL-3.0-or-later
"""Pressure cells: clusters of tissue that keep their volume as a whole.

Flesh is nearly incompressible. Weights on single tetrahedra lock or converge slowly, so the volume of whole cells is
kept by a pressure in each, one more unknown of the condensed problem of the contacts: where V_c(x) is the volume of a
cell, x = A⁻¹ (b + Gᵀ p) with G = ∂V/∂x, and p follows from S Δp = V_tra - V - give p, S = G A⁻¹ Gᵀ + give.

S, and what a cell's pressure moves, are computed for the rest shape on first use, as for contacts; the loads Gᵀ p and
volumes are those of the present shape. The pressure is bounded: one that is large against the stiffness in A makes the
turning of G destabilise the iteration.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import lu_factor, lu_solve
from scipy.sparse import coo_matrix, csr_matrix

from ..settings import PhysicsSettings
from .system import ElasticSystem

_BULK = 100.0  # times w_str: flesh yields by 1 % at the pressure of a firm press, 3.4 kPa
_MOST = 0.2  # of the stiffness in A: the largest pressure, at which the iteration is stable even in a pinched fold
_LARGEST_STEP = 0.02  # of a cell's volume is the most that one iteration corrects: the limit of the linearisation
_LITTLE = 0.02  # of its largest value: below this, what a pressure moves is negligible, see `ElasticSystem`
_WAKE = 5e-5  # [m] a cell whose vertices move less, and without pressure, is left alone
_FEWEST = 20  # tetrahedra in a cell: smaller cells would lock as single tetrahedra do
_FAINT = 1.0  # [Pa] pressure that counts as none


def pressure_cells(system: ElasticSystem, settings: PhysicsSettings) -> "PressureCells | None":
    """The cells of a system, None where the settings want none."""
    if settings.cell_volume <= 0:
        return None
    return PressureCells(system, settings.cell_volume, settings.w_str, settings.w_vol)


class PressureCells:
    """Cells of about `size` [m³] over the tissue of a system; the state is the pressure in each, (c,) [Pa].

    w_str, w_vol: [Pa] as in the settings. label: (t,) the cell of each tetrahedron of the system; bulk: [Pa].
    """

    def __init__(self, system: ElasticSystem, size: float, w_str: float, w_vol: float):
        self._system = system
        self._tets = np.ascontiguousarray(system.tets, np.int64)
        volumes = np.cumsum(system.volumes)  # neighbours in space are neighbours in memory, so a cell is a run
        count = max(1, min(round(volumes[-1] / size), len(volumes) // _FEWEST))
        place = (volumes - system.volumes / 2) / volumes[-1]  # of a tetrahedron's middle, from 0 to 1
        self.label = label = np.minimum((place * count).astype(np.int64), count - 1)
        self._start = np.searchsorted(label, np.arange(count + 1))
        self._rest = system.template.vertices
        n, n_free = len(self._rest), len(system.free)
        self._place = np.full(n, -1, np.int64)
        self._place[system.free] = np.arange(n_free)
        self._gradients = self._rest_gradients(n_free)

        self.bulk = _BULK * w_str
        self._give_of_bulk = system.volumes.sum() / count / self.bulk
        self._most = _MOST * (w_str + w_vol)
        self.pressure = np.zeros(count)
        self._volume = np.full((n, 3), np.nan)
        self._base, self._shape = np.zeros((2, n, 3))
        self._volumes, self._target = np.zeros(count), np.zeros(count)
        self._active = np.zeros(0, np.int64)
        self._known = np.zeros(count, bool)
        self._coupling = np.zeros((count, count))  # S without give, of known cells
        self._factor: tuple[NDArray, float, tuple[NDArray, NDArray]] | None = None
        # What a pressure moves: those free vertices, and how far [m/Pa]; of a known cell from its first to its last.
        self._near, self._near_values = np.zeros(0, np.int32), np.zeros((0, 3), np.float32)
        self._first, self._last = np.zeros((2, count), np.int64)
        self._of_contacts = np.zeros((0, 3, count), np.float32)

    def reset(self) -> None:
        """Takes the pressure from every cell."""
        self.pressure[:] = 0.0
        self._active = self._active[:0]

    def begin(self, volume: NDArray, u: NDArray) -> None:
        """Before a substep: takes the undisturbed volume (n, 3), as displacement from rest [m], whose volumes are kept,
        and finds the cells to work on: those that the displacement u (n, 3) [m] reaches, and those under pressure."""
        if not np.array_equal(volume, self._volume):
            self._volume[:] = volume
            np.add(self._rest, volume, out=self._base)
            _add_volumes(self._base, self._tets, self._start, np.arange(len(self._target)), self._target)
        active = _reached(u, self._tets, self._start, _WAKE) | (np.abs(self.pressure) > _FAINT)
        self.pressure[~active] = 0.0
        self._active = np.flatnonzero(active)
        self._respond(self._active[~self._known[self._active]])

    def load(self, u: NDArray, out: NDArray) -> None:
        """Adds the loads Gᵀ p at the displacement u (n, 3) to the free vertices, out (n_free, 3) [N]."""
        if len(self._active):
            np.add(self._base, u, out=self._shape)
            _add_loads(self._shape, self._tets, self._start, self._active, self.pressure, self._place, out)

    def missing(self, x: NDArray, theta: float) -> NDArray[np.float64]:
        """Volume (a,) [m³] that the active cells lack at the free displacement x (n_free, 3) [m]."""
        active, system = self._active, self._system
        np.copyto(self._shape, self._base)
        self._shape[system.free] += x
        _add_volumes(self._shape, self._tets, self._start, active, self._volumes)
        target = self._target[active]
        most = _LARGEST_STEP * np.abs(target)
        lack = target - self._volumes[active] - self._give(theta) * self.pressure[active]
        return np.clip(lack, -most, most)

    def solve(self, lack: NDArray, theta: float) -> NDArray[np.float64]:
        """The change of pressure (a,) [Pa] that makes up for `lack` (a,) [m³]."""
        active, give = self._active, self._give(theta)
        if len(active) == 0:
            return lack
        if self._factor is None or self._factor[1] != give or not np.array_equal(self._factor[0], active):
            matrix = self._coupling[np.ix_(active, active)] + give * np.eye(len(active))
            self._factor = active, give, lu_factor(matrix, overwrite_a=True, check_finite=False)
        return lu_solve(self._factor[2], lack, check_finite=False)

    def moves(self, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the pressure of active cells moves (k, 3, a) [m/Pa] the skin vertices in these slots of the system."""
        known, responses = len(self._of_contacts), self._system.known_responses
        if known < len(responses):
            new = np.stack([np.asarray(g @ responses[known:].T, np.float32).T for g in self._gradients], axis=1)
            self._of_contacts = np.concatenate([self._of_contacts, new])
        return self._of_contacts[slots][:, :, self._active].astype(np.float64)

    def add(self, change: NDArray, x: NDArray) -> None:
        """Adds a change of pressure (a,) [Pa], as far as its bound allows, and to x (n_free, 3) what it moves, where
        that is not little."""
        before = self.pressure[self._active]
        self.pressure[self._active] = np.clip(before + change, -self._most, self._most)
        change = self.pressure[self._active] - before
        _add_near(self._first, self._last, self._near, self._near_values, self._active, change, x)

    def _give(self, theta: float) -> float:
        """[m³/Pa]. Loads are those on the share 1 - θ of the right-hand side."""
        return self._give_of_bulk / (1.0 - theta)

    def _rest_gradients(self, n_free: int) -> list[csr_matrix]:
        """∂V/∂x of each cell at rest, a matrix (c, n_free) [m²] for each axis."""
        count = len(self._start) - 1
        cell = np.repeat(np.arange(count), np.diff(self._start))
        corners = self._rest[self._tets]
        result: list[list[NDArray]] = [[], [], []]
        rows, columns = [], []
        for corner, (i, j, k) in enumerate(((1, 3, 2), (0, 2, 3), (0, 3, 1), (0, 1, 2))):
            face = np.cross(corners[:, j] - corners[:, i], corners[:, k] - corners[:, i]) / 6
            place = self._place[self._tets[:, corner]]
            free = place >= 0
            rows.append(cell[free])
            columns.append(place[free])
            for axis in range(3):
                result[axis].append(face[free, axis])
        at = np.concatenate(rows), np.concatenate(columns)
        return [coo_matrix((np.concatenate(r), at), (count, n_free)).tocsr() for r in result]

    def _respond(self, cells: NDArray[np.int64]) -> None:
        """Computes what the pressure in these cells moves."""
        if len(cells) == 0:
            return
        x, rows, values = np.empty((len(self._system.free), 3)), [self._near], [self._near_values]
        for cell in cells.tolist():
            b = np.column_stack([g[cell].toarray().ravel() for g in self._gradients])
            self._system.factor.solve(b, x)
            row = sum(g @ x[:, axis] for axis, g in enumerate(self._gradients))
            self._coupling[cell] = self._coupling[:, cell] = row
            size = np.abs(x).max(axis=1)
            near = np.flatnonzero(size > _LITTLE * size.max())
            self._first[cell], self._last[cell] = (end := sum(map(len, rows))), end + len(near)
            rows.append(near.astype(np.int32))
            values.append(x[near].astype(np.float32))
            self._known[cell] = True
        self._near, self._near_values = np.concatenate(rows), np.concatenate(values)


@njit(cache=True, nogil=True)
def _reached(u, tets, start, least):
    result = np.zeros(len(start) - 1, np.bool_)
    for c in range(len(start) - 1):
        for t in range(start[c], start[c + 1]):
            for k in range(4):
                v = tets[t, k]
                if max(abs(u[v, 0]), abs(u[v, 1]), abs(u[v, 2])) > least:
                    result[c] = True
            if result[c]:
                break
    return result


@njit(cache=True, nogil=True)
def _add_volumes(y, tets, start, cells, out):
    """Volumes of the given cells of the shape y (n, 3), into out (c,)."""
    for c in cells:
        total = 0.0
        for t in range(start[c], start[c + 1]):
            a, b, d, e = tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3]
            ux, uy, uz = y[b, 0] - y[a, 0], y[b, 1] - y[a, 1], y[b, 2] - y[a, 2]
            vx, vy, vz = y[d, 0] - y[a, 0], y[d, 1] - y[a, 1], y[d, 2] - y[a, 2]
            wx, wy, wz = y[e, 0] - y[a, 0], y[e, 1] - y[a, 1], y[e, 2] - y[a, 2]
            total += wx * (uy * vz - uz * vy) + wy * (uz * vx - ux * vz) + wz * (ux * vy - uy * vx)
        out[c] = total / 6


@njit(cache=True, nogil=True)
def _add_face(y, i, j, k, q, v, out):
    ux, uy, uz = y[j, 0] - y[i, 0], y[j, 1] - y[i, 1], y[j, 2] - y[i, 2]
    vx, vy, vz = y[k, 0] - y[i, 0], y[k, 1] - y[i, 1], y[k, 2] - y[i, 2]
    out[v, 0] += q * (uy * vz - uz * vy)
    out[v, 1] += q * (uz * vx - ux * vz)
    out[v, 2] += q * (ux * vy - uy * vx)


@njit(cache=True, nogil=True)
def _add_loads(y, tets, start, cells, pressure, place, out):
    for c in cells:
        q = pressure[c] / 6
        if q == 0.0:
            continue
        for t in range(start[c], start[c + 1]):
            a, b, d, e = tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3]
            if place[a] >= 0:
                _add_face(y, b, e, d, q, place[a], out)
            if place[b] >= 0:
                _add_face(y, a, d, e, q, place[b], out)
            if place[d] >= 0:
                _add_face(y, a, e, b, q, place[d], out)
            if place[e] >= 0:
                _add_face(y, a, b, d, q, place[e], out)


@njit(cache=True, nogil=True)
def _add_near(first, last, near, values, cells, steps, out):
    """Adds to out what these steps of the cells' pressures move."""
    for a in range(len(cells)):
        for e in range(first[cells[a]], last[cells[a]]):
            for i in range(3):
                out[near[e], i] += steps[a] * values[e, i]
