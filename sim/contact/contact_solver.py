# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact forces with dry friction, by projected Gauss-Seidel on the condensed compliance."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..solver.pressure import PressureCells
from ..solver.system import ElasticSystem
from .contacts import interpolate

# Sweeps at least, and at most, and the work between, in pairs of contacts: a millisecond or two. Skin held between two
# fingers needs some three hundred sweeps over its two hundred contacts, and is half a millimetre off after twenty.
_LEAST_SWEEPS, _MOST_SWEEPS, _WORK = 20, 400, 16_000_000


def sweeps(count: int) -> int:
    """The most passes over so many contacts."""
    return min(max(_WORK // max(count, 1) ** 2, _LEAST_SWEEPS), _MOST_SWEEPS)


@njit(cache=True, nogil=True)
def solve_contacts(compliance, gap, normals, friction, give, held, force, sweeps, tolerance):
    """Solves for the contact forces in place.

    compliance: (m, m) response of contact a to a force on contact b [m/N] (the same for x, y, z); gap: (m, 3) offset
    of each contact point from its target with the present forces [m], updated; normals: (m, 3); friction: (m,); give:
    (m,) as a share of the diagonal; force: (m, 3) [N], warm start and result. A contact pushes only (force · normal
    >= 0) and holds tangentially while |tangential| <= friction * normal (Coulomb's cone; the projection is that of
    the proximal form, e.g. Jean, "The non-smooth contact dynamics method", 1999).
    """
    m = force.shape[0]
    open_x, open_y, open_z = gap[:, 0].copy(), gap[:, 1].copy(), gap[:, 2].copy()  # apart, for vector instructions
    for _ in range(sweeps):
        largest = 0.0
        for a in range(m):
            soft = give[a] * compliance[a, a]
            scale = 1.0 / (compliance[a, a] + soft)
            rx = force[a, 0] - (open_x[a] + soft * force[a, 0]) * scale
            ry = force[a, 1] - (open_y[a] + soft * force[a, 1]) * scale
            rz = force[a, 2] - (open_z[a] + soft * force[a, 2]) * scale
            nx, ny, nz = normals[a, 0], normals[a, 1], normals[a, 2]
            rn = rx * nx + ry * ny + rz * nz
            if not held[a] and rn <= 0.0:
                rx = ry = rz = 0.0
            elif not held[a]:
                tx, ty, tz = rx - rn * nx, ry - rn * ny, rz - rn * nz
                t = np.sqrt(tx * tx + ty * ty + tz * tz)
                limit = friction[a] * rn
                if t > limit:
                    s = limit / t
                    tx, ty, tz = tx * s, ty * s, tz * s
                rx, ry, rz = rn * nx + tx, rn * ny + ty, rn * nz + tz
            dx, dy, dz = rx - force[a, 0], ry - force[a, 1], rz - force[a, 2]
            step = max(abs(dx), abs(dy), abs(dz))
            if step == 0.0:
                continue
            largest = max(largest, step * compliance[a, a])
            force[a, 0], force[a, 1], force[a, 2] = rx, ry, rz
            for b in range(m):
                c = compliance[a, b]
                open_x[b] += c * dx
                open_y[b] += c * dy
                open_z[b] += c * dz
        if largest < tolerance:
            break
    gap[:, 0], gap[:, 1], gap[:, 2] = open_x, open_y, open_z


@njit(cache=True, nogil=True)
def _mean(values, rows, weights):
    """Σ_j weights[:, j] values[rows[:, j]] for values (k, l), rows and weights (m, 3), (m, l)."""
    result = np.zeros((len(rows), values.shape[1]))
    for a in range(len(rows)):
        for j in range(3):
            weight, row = weights[a, j], rows[a, j]
            if weight != 0.0:  # most contacts are of one vertex
                for c in range(values.shape[1]):
                    result[a, c] += weight * values[row, c]
    return result


@njit(cache=True, nogil=True)
def _condensed(compliance, rows, weights):
    """Σ_ij weights[a, i] weights[b, j] compliance[rows[a, i], rows[b, j]] for a symmetric compliance (k, k), rows and
    weights (m, 3), (m, m)."""
    result = np.empty((len(rows), len(rows)))
    half = np.empty(len(compliance))
    for a in range(len(rows)):
        half[:] = 0.0
        for i in range(3):
            if weights[a, i] != 0.0:
                for c in range(len(half)):
                    half[c] += weights[a, i] * compliance[rows[a, i], c]
        for b in range(a + 1):
            total = 0.0
            for j in range(3):
                if weights[b, j] != 0.0:
                    total += weights[b, j] * half[rows[b, j]]
            result[a, b] = result[b, a] = total
    return result


@njit(cache=True, nogil=True)
def _share(values, rows, weights, out):
    """Shares values (m, 3) out to rows (m, 3) of out (k, 3) by weights (m, 3)."""
    out[:] = 0.0
    for a in range(len(rows)):
        for j in range(3):
            for i in range(3):
                out[rows[a, j], i] += weights[a, j] * values[a, i]


class ContactProblem:
    """The contacts of one substep, condensed to the compliance between them.

    skin, weights: (m, 3) each contact's point on the skin; normals, targets: (m, 3); tracked: (n_skin, 3) the
    undisturbed skin; friction: (m,); give: (m,) as a share of the diagonal; force: (m, 3) warm start, and after
    `correct` the result [N]; settled: [m] largest displacement by a force's change at which they are found.
    """

    def __init__(
        self,
        system: ElasticSystem,
        skin: NDArray[np.int64],
        weights: NDArray,
        normals: NDArray,
        targets: NDArray,
        tracked: NDArray,
        friction: NDArray,
        give: NDArray,
        held: NDArray,
        force: NDArray,
        settled: float,
        cells: PressureCells | None = None,
    ):
        self.normals, self.friction, self.give, self.held = normals, friction, give, held
        self.force = np.ascontiguousarray(force)
        self._system, self._settled = system, settled
        used, place = np.unique(skin, return_inverse=True)
        place = place.reshape(skin.shape)
        self._used, self._place, self._weights = used, place, np.ascontiguousarray(weights)
        self._slots = system.respond(used)
        self._skin = np.zeros((len(used), 3))  # of the skin vertices used
        self._compliance = _condensed(system.compliance(used), place, self._weights)
        self._offset = interpolate(tracked, skin, weights) - targets
        self._cells = cells
        if cells is not None:
            moves = cells.moves(self._slots)
            count = moves.shape[2]
            moves = _mean(moves.reshape(len(moves), 3 * count), place, weights)
            self._moves = moves.reshape(3 * len(skin), count)

    def load(self, out: NDArray[np.float64]) -> None:
        """Adds the present forces to the free vertices, out (n_free, 3) [N]."""
        _share(self.force, self._place, self._weights, self._skin)
        self._system.skin_rows.add_back(self._used, self._skin, out)

    def pushed(self) -> NDArray[np.int64]:
        """Free vertices on which contacts push, (k,)."""
        pushing = self.force.any(axis=1)
        skin = np.unique(self._place[pushing][self._weights[pushing] > 0])
        return np.unique(self._system.free_embedding[self._used[skin]].indices)

    def correct(self, x: NDArray[np.float64], theta: float = 0.0) -> None:
        """Renews the forces for the free displacement x (n_free, 3) found with the present ones, and adds to x what it
        changes by, where that is not little."""
        self._system.skin_rows.map_rows(self._used, x, self._skin)
        gap = self._offset + _mean(self._skin, self._place, self._weights)
        before = self.force.copy()
        if self._cells is None:
            self._solve(gap)
        else:
            self._solve_with_cells(self._cells, gap, x, theta)
        _share(self.force - before, self._place, self._weights, self._skin)
        self._system.add_responses(self._slots, self._skin, x)

    def _solve(self, gap: NDArray[np.float64]) -> None:
        most = sweeps(len(self.force))
        solve_contacts(
            self._compliance, gap, self.normals, self.friction, self.give, self.held, self.force, most, self._settled
        )

    def _solve_with_cells(self, cells: PressureCells, gap: NDArray[np.float64], x: NDArray, theta: float) -> None:
        """First the cells, given the present forces, then the contacts, given that."""
        change = cells.solve(cells.missing(x, theta), theta)
        gap += (self._moves @ change).reshape(-1, 3)
        self._solve(gap)
        cells.add(change, x)
