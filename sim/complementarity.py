# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact forces with dry friction, by projected Gauss-Seidel on the condensed compliance."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact import interpolate
from .system import ElasticSystem

# Give of a hand's contact as a share of the skin's own: contacts that bone contradicts then end at a finite force, and
# a press of 10 mm ends 0.2 mm short, less than the gap. Bone has none but what keeps two contacts on one spot from
# fighting.
HAND_GIVE, BONE_GIVE = 0.02, 1e-3
_SWEEPS = 20
_SETTLED = 1e-6  # [m] largest displacement by a force's change at which the sweeps end


@njit(cache=True)
def solve_contacts(compliance, gap, normals, friction, give, held, force, sweeps, tolerance):
    """Solves for the contact forces in place.

    compliance: (m, m) response of contact a to a force on contact b [m/N] (the same for x, y, z); gap: (m, 3) offset
    of each contact point from its target with the present forces [m], updated; normals: (m, 3); friction: (m,); give:
    (m,) as a share of the diagonal; force: (m, 3) [N], warm start and result. A contact pushes only (force · normal
    >= 0) and holds tangentially while |tangential| <= friction * normal (Coulomb's cone; the projection is that of
    the proximal form, e.g. Jean, "The non-smooth contact dynamics method", 1999).
    """
    m = force.shape[0]
    for _ in range(sweeps):
        largest = 0.0
        for a in range(m):
            soft = give[a] * compliance[a, a]
            scale = 1.0 / (compliance[a, a] + soft)
            rx = force[a, 0] - (gap[a, 0] + soft * force[a, 0]) * scale
            ry = force[a, 1] - (gap[a, 1] + soft * force[a, 1]) * scale
            rz = force[a, 2] - (gap[a, 2] + soft * force[a, 2]) * scale
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
                gap[b, 0] += c * dx
                gap[b, 1] += c * dy
                gap[b, 2] += c * dz
        if largest < tolerance:
            break


def _mean(values: NDArray, rows: NDArray[np.int64], weights: NDArray) -> NDArray[np.float64]:
    """Σ_j weights[:, j] values[rows[:, j]] for values (k, l), rows and weights (m, 3), (m, l)."""
    result = weights[:, :1] * values[rows[:, 0]]
    for j in (1, 2):
        some = np.flatnonzero(weights[:, j])  # most contacts are of one vertex
        result[some] += weights[some, j, None] * values[rows[some, j]]
    return result


class ContactProblem:
    """The contacts of one substep, condensed to the compliance between them.

    skin, weights: (m, 3) each contact's point on the skin; normals, targets: (m, 3); tracked: (n_skin, 3) the
    undisturbed skin; friction: (m,); give: (m,) as a share of the diagonal; force: (m, 3) warm start, and after
    `solve` the result [N].
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
    ):
        self.normals, self.friction, self.give, self.held = normals, friction, give, held
        self.force = np.ascontiguousarray(force)
        self._system = system
        used, place = np.unique(skin, return_inverse=True)
        place = place.reshape(skin.shape)
        self._rows = _mean(np.eye(len(used)), place, weights)
        self._slots = system.respond(used)
        # Contacts and the free vertices they lie on, as the few columns of a matrix that are not zero.
        embedding = system.free_embedding[used]
        self._free = np.unique(embedding.indices)
        self._points = _mean(embedding[:, self._free].toarray(), place, weights)
        self._compliance = np.ascontiguousarray(_mean(_mean(system.compliance(used), place, weights).T, place, weights))
        self._offset = interpolate(tracked, skin, weights) - targets

    def load(self, out: NDArray[np.float64]) -> None:
        """Adds the present forces to the free vertices, out (n_free, 3) [N]."""
        out[self._free] += self._points.T @ self.force

    def pushed(self) -> NDArray[np.int64]:
        """Free vertices on which contacts push, (k,)."""
        return self._free[(self._points[self.force.any(axis=1)] > 0).any(axis=0)]

    def correct(self, x: NDArray[np.float64]) -> None:
        """Renews the forces for the free displacement x (n_free, 3) found with the present ones, and adds to x what it
        changes by, where that is not little."""
        gap = self._offset + self._points @ x[self._free]
        before = self.force.copy()
        solve_contacts(
            self._compliance, gap, self.normals, self.friction, self.give, self.held, self.force, _SWEEPS, _SETTLED
        )
        self._system.add_responses(self._slots, self._rows.T @ (self.force - before), x)
