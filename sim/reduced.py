# SPDX-License-Identifier: GPL-3.0-or-later
"""The physics within the time of a preview: few substeps per frame, few iterations, and less searching.

Where one frame's time goes, it is not the tissue: a coarser volume saves little, and loses the shape of a touch.
Contacts, their memory, the volume and the skin are those of the physics.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact.contact_solver import ContactProblem
from .contact.contacts import Contacts
from .contact.push_out import push_out
from .frame import SimulatedFrame, TrackedFrame
from .geometry.clearance import Clearance
from .geometry.topology import unique_edges
from .geometry.triangle_bvh import TriangleTree
from .physics import Physics
from .settings import PhysicsSettings
from .template import Template
from .tuning import DEFAULT, Tuning

# Per frame, and per substep. The first iteration responds with the constant matrix, which is too stiff; the fourth
# still takes a sixth off the error for a tenth more time; four more gain next to nothing.
SUBSTEPS, ITERATIONS = 8, 4
# [m] largest move of a hand at the skin within a substep. Few frames need more than one; in those in which a hand
# arrives or strokes, skin that a longer step jumps over is trapped behind the hand for as long as it stays.
_STEP = 0.003
# Times what a contact may ask for in a substep, and skin move: of the physics, whose substeps are half as long. At
# three times as much, flesh that keeps its volume diverges under a hand that comes fast and far too deep.
_LONGER = 2.0
_STILLER = 20.0  # times what tissue moves that the global step leaves in place: 0.01 mm
# [m] Skin inside a hand is no farther from a vertex of it that is inside the head, or than most of its edges are long.
_FINGER, _MOST_EDGES = 0.008, 95
_CELL = 0.0025  # [m] of the grid that such skin is found with: finer takes longer to fill, coarser finds too much
_REST = 3e-5  # [m] tissue that moves less is left at rest: the error of a frame is ten times as large
_SWEEPS = 8  # that open inverted tetrahedra: what is left goes on in the next frame
# Share of the largest value that is left out of a response, and of what `ElasticSystem` adds of it: what a hundred
# contacts leave out at the same distance is a step in the skin.
_LITTLE, _SAMPLES = 0.005, 9


class ReducedPhysics(Physics):
    """`Physics` with less work per frame; the same arguments and errors. substeps: the most per frame; iterations: in
    each of them."""

    def __init__(
        self,
        template: Template,
        settings: PhysicsSettings,
        *,
        tuning: Tuning = DEFAULT,
        substeps: int = SUBSTEPS,
        iterations: int = ITERATIONS,
        **others: Any,
    ):
        few = replace(
            settings,
            step_length=_STEP,
            max_substeps=substeps,
            iterations=iterations,
            final_iterations=iterations,
        )
        step = replace(
            tuning.step,
            target=_LONGER * tuning.step.target,
            longest=_LONGER * tuning.step.longest,
            still=_STILLER * tuning.step.still,
        )
        super().__init__(template, few, tuning=replace(tuning, step=step), **others)
        self.undisturbed.untangles = False
        self._local.rest_below(_REST)
        self._local.sweeps, self._local.free_rounds = _SWEEPS, 0
        self._touched = _Touched(self)
        self._solved = Contacts.none()  # the contacts of the last substep, before it was solved
        self.contact.find_skin_with(self._touched)
        some = np.flatnonzero(self._yielding)
        some = some[np.linspace(0, len(some) - 1, min(_SAMPLES, len(some))).astype(np.int64)]
        self.system.little = _LITTLE
        slots = self.system.respond(some)
        self.system.negligible = _LITTLE * float(np.median(self.system.known_responses[slots].max(axis=1, initial=0.0)))

    def step(self, frame: TrackedFrame, between: Sequence[TrackedFrame] = ()) -> SimulatedFrame:
        """As `Physics.step`; the skin that is shown is taken out of hands where the few iterations left it in them."""
        self._solved = Contacts.none()
        result = super().step(frame, between)
        if len(self._solved) == 0:
            return result
        started = time.perf_counter()
        skin = self._skin_tree.vertices + self._skin_u
        bone = self._bone_under(self._solved)
        tuning = self.tuning.contact
        moved = push_out(
            self.system, self.contact, self._solved, skin, self._touched.nearest, bone, tuning.hand_give,
            tuning.settled * self.settings.gap,
        )  # fmt: skip
        if moved is not None:
            turned = moved @ self.tracking.pose(frame).cranium[:3, :3].T
            result = replace(result, skin=result.skin + turned.astype(np.float32))
        result.statistics["ms"] += 1000 * (time.perf_counter() - started)
        return result

    def _contact_problem(self, *given: Any) -> ContactProblem:
        self._solved = self.contact.contacts
        return super()._contact_problem(*given)


class _Touched(Clearance):
    """Finds the skin at and in hands around those parts of the hands that are in the head."""

    def __init__(self, physics: ReducedPhysics):
        self._physics, self.nearest = physics, np.full(physics.template.n_skin, -1, np.int32)
        hands = physics.hands
        ends = hands.vertices[unique_edges(hands.triangles)[0]]
        lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        self._finger = max(_FINGER, float(np.percentile(lengths, _MOST_EDGES)))

    def forget(self) -> None:
        self.nearest[:] = -1

    def near(self, tree: TriangleTree, points: NDArray, reach: NDArray[np.float64] | float) -> tuple:
        """As `Clearance.near`."""
        physics = self._physics
        inside = physics._clearance.near(physics._skin_tree, tree.vertices, reach)[0]
        asked = _around(points, tree.vertices[inside], physics._yielding, self._finger)
        distance, triangle, barycentric, sign = tree.closest(points[asked], self._finger, self.nearest[asked])
        self.nearest[asked] = triangle
        found = np.isfinite(distance) & ((sign < 0) | (distance < reach))
        return asked[found], distance[found], triangle[found], barycentric[found], sign[found]


@njit(cache=True, nogil=True)
def _around(points, centres, wanted, finger):
    """Rows of the wanted (n,) points (n, 3) within about `finger` [m] of one of the centres (k, 3)."""
    if len(centres) == 0:
        return np.zeros(0, np.int64)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for k in range(len(centres)):
        for d in range(3):
            low[d], high[d] = min(low[d], centres[k, d] - finger), max(high[d], centres[k, d] + finger)
    size = np.empty(3, np.int64)
    for d in range(3):
        size[d] = int((high[d] - low[d]) / _CELL) + 1
    cells = np.zeros((size[0], size[1], size[2]), np.bool_)
    reach = int(np.ceil(finger / _CELL))
    at = np.empty(3, np.int64)
    for k in range(len(centres)):
        for d in range(3):
            at[d] = int((centres[k, d] - low[d]) / _CELL)
        for x in range(max(at[0] - reach, 0), min(at[0] + reach + 1, size[0])):
            for y in range(max(at[1] - reach, 0), min(at[1] + reach + 1, size[1])):
                for z in range(max(at[2] - reach, 0), min(at[2] + reach + 1, size[2])):
                    if (x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2 <= reach**2:
                        cells[x, y, z] = True
    rows, count = np.empty(len(points), np.int64), 0
    for i in range(len(points)):
        if not wanted[i]:
            continue
        inside = True
        for d in range(3):
            inside &= low[d] < points[i, d] < high[d]
        if inside:
            for d in range(3):
                at[d] = int((points[i, d] - low[d]) / _CELL)
            if cells[at[0], at[1], at[2]]:
                rows[count] = i
                count += 1
    return rows[:count].copy()
