# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes, teeth, gums and tongue: rigid, moist things under lids and lips, which skin is kept off: the character's own,
whose vertices come with each frame, and the teeth of a registered skull, which move with cranium and jaw.

An artist's lid may lie in the eye where nothing touches it. Skin is therefore kept from going deeper than it is
tracked, never pushed out: without contact nothing changes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import TrackedFrame
from ..geometry import rigid
from ..geometry.surface import Surface, triangle_normals
from ..geometry.topology import boundary_loops
from ..geometry.triangle_bvh import TriangleTree, bounds, inside_box
from ..hands import check_vertices
from ..settings import PhysicsSettings
from ..template import Teeth
from ..tracking import Pose
from ..tuning import Tuning

_ROUNDS = 3  # of moving skin out: between two teeth it may come from one to the other
_ON_SURFACE = 1e-7  # [m] from which on the way to the closest point has a direction


@dataclass(frozen=True)
class Nearby:
    """Skin near obstacles. skin: (k,) ascending; point, normal: (k, 3) closest on an obstacle, and unit from there
    outwards; height: (k,) above it [m], negative inside; least: (k,) height that is kept."""

    skin: NDArray[np.int64]
    point: NDArray[np.float64]
    normal: NDArray[np.float64]
    height: NDArray[np.float64]
    least: NDArray[np.float64]

    def select(self, which: NDArray[np.bool_]) -> "Nearby":
        return Nearby(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


class Obstacles:
    """Surfaces that skin does not enter any deeper than it is tracked.

    own: the character's, in any pose, faces outwards; teeth: of its skull; one may be None. outer, movable:
    (n_skin,) skin that a hand can reach, and that can move. Over an obstacle, outer skin keeps what is left of its
    tissue at the compression limit (a share of its tracked height), as over bone.
    """

    def __init__(
        self,
        own: Surface | None,
        outer: NDArray[np.bool_],
        movable: NDArray[np.bool_],
        settings: PhysicsSettings,
        tuning: Tuning,
        teeth: Teeth | None = None,
    ):
        gap, contact = settings.gap, tuning.contact
        self._outer, self._movable, self._limit = outer, movable, settings.compression_limit
        self._reach, self._search = contact.over_obstacle * gap, contact.search * gap
        self._deepest, self._moved = contact.in_obstacle * gap, tuning.step.converged * gap
        self._own = 0 if own is None else len(own.vertices)
        self._teeth = teeth
        self._jaw, self._at_jaw = np.zeros((4, 4)), np.zeros((0, 3))  # where the teeth were last
        self._placed = np.zeros((0, 3))
        parts = [(part.vertices, part.triangles) for part in (own, teeth) if part is not None]
        vertices = np.concatenate([np.asarray(v, np.float64) for v, _ in parts])
        triangles = np.concatenate([t + first for (_, t), first in zip(parts, (0, self._own), strict=False)])
        self._tree = TriangleTree(vertices, triangles.astype(np.int32))
        self._counts = np.ones(len(triangles), bool)  # the bone around the teeth stops nothing by itself
        if teeth is not None:
            self._counts[len(triangles) - len(teeth.crowns) :] = teeth.crowns
        # Triangles that were nearest to the skin, deformed and tracked: where the next search begins.
        self._nearest = np.full((2, len(outer)), -1, np.int32)
        # Of tracked skin, as long as it and the obstacles keep still: whether it is known, and if so height and normal.
        self._still: tuple[NDArray, NDArray] | None = None
        self._known = np.zeros(len(outer), bool)
        self._before, self._was = np.zeros(len(outer)), np.zeros((len(outer), 3))
        self._border = np.zeros(len(vertices), bool)
        for loop in boundary_loops(self._tree.triangles):
            self._border[loop] = True

    def placed(self, frame: TrackedFrame, pose: Pose) -> NDArray[np.float64]:
        """Their vertices in a frame, (k, 3) in the cranium's frame [m]; none if the frame lacks the character's own.
        Where nothing moved, the same array as for the frame before.

        Raises SurfaceError as `Hands.read` does.
        """
        parts = []
        if self._own:
            if frame.obstacles is None:
                return np.zeros((0, 3))
            own = check_vertices("eyes and teeth", frame.obstacles, self._own, frame.frame).astype(np.float64)
            parts.append(rigid.apply(rigid.inverse(pose.cranium), own))
        if self._teeth is not None:
            if not np.array_equal(pose.jaw, self._jaw):
                teeth, on_jaw = self._teeth.vertices, self._teeth.on_jaw[:, None]
                self._jaw, self._at_jaw = pose.jaw, np.where(on_jaw, rigid.apply(pose.jaw, teeth), teeth)
            parts.append(self._at_jaw)
        placed = np.concatenate(parts)
        if not np.array_equal(placed, self._placed):
            self._placed = placed
        return self._placed

    def near(self, vertices: NDArray, tracked: NDArray, skin: NDArray, touched: NDArray[np.int64]) -> Nearby | None:
        """The displaced skin, and that around the vertices `touched`, which lies over obstacles; None if there is none.

        vertices: (k, 3) of the obstacles; tracked, skin: (n_skin, 3) undisturbed and deformed. One space, metres.
        """
        awake = np.abs(skin - tracked).max(axis=1) > self._moved
        if len(touched):
            low, high = bounds(skin[touched].reshape(-1, 3))
            awake[inside_box(skin, low - self._search, high + self._search)] = True
        near = self._find(vertices, tracked, skin, np.flatnonzero(awake & self._movable))
        return near if len(near.skin) else None

    def kept_off(
        self, vertices: NDArray, tracked: NDArray, skin: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The skin with those of its `rows` (k,) that would lie in an obstacle moved straight out; arguments as for
        `near`."""
        result = skin.astype(np.float64)
        for _ in range(_ROUNDS):
            near = self._find(vertices, tracked, result, rows)
            result[near.skin] += np.maximum(near.least - near.height, 0.0)[:, None] * near.normal
        return result.astype(np.float32)

    def depths(self, vertices: NDArray, tracked: NDArray, skin: NDArray) -> tuple[float, float]:
        """How deep [m] undisturbed skin lies in an obstacle at most, and how much deeper than tracked, or than the
        surface, deformed skin; arguments as for `near`."""
        near = self._find(vertices, tracked, skin, np.arange(len(skin)))
        allowed = np.minimum(near.least, 0.0)
        return float(np.max(-allowed, initial=0.0)), float(np.max(allowed - near.height, initial=0.0))

    def stopped(self, vertices: NDArray, tracked: NDArray, skin: NDArray) -> NDArray[np.bool_]:
        """Skin (n_skin,) that has been pushed as far as an obstacle lets it; arguments as for `near`."""
        moved = np.flatnonzero(np.abs(skin - tracked).max(axis=1) > self._moved)
        near = self._find(vertices, tracked, skin, moved)
        stopped = np.zeros(len(skin), bool)
        stopped[near.skin[near.height - near.least < self._moved]] = True
        return stopped

    def _find(self, vertices: NDArray, tracked: NDArray, skin: NDArray, rows: NDArray[np.int64]) -> Nearby:
        if vertices is not self._tree.vertices:
            self._tree.refit(vertices)
        low, high = bounds(vertices)
        rows = rows[inside_box(skin[rows], low - self._reach, high + self._reach)]
        before = self._tracked_height(vertices, tracked, rows)
        moved = np.linalg.norm(skin[rows] - tracked[rows], axis=1)
        near = (before > -self._deepest) & (np.abs(before) - moved < self._reach)
        rows, before = rows[near], before[near]
        height, point, normal, found = self._over(skin, rows, self._reach, self._nearest[0])
        # On the other side of a thin one, outwards is further away.
        found &= np.einsum("kd,kd->k", self._was[rows], normal) > 0
        share = np.where(self._outer[rows], 1.0 - self._limit, 0.0)
        least = np.where(before > 0, share * before, before)
        return Nearby(rows, point, normal, height, least).select(found)

    def _tracked_height(self, vertices: NDArray, tracked: NDArray, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Height (k,) [m] of the given rows of the tracked skin (n_skin, 3), infinite where there is none; leaves its
        normals in `_was`. Searched for once, as long as both arrays are the same objects."""
        if self._still is None or self._still[0] is not vertices or self._still[1] is not tracked:
            self._still = vertices, tracked
            self._known[:] = False
        new = rows[~self._known[rows]]
        height, _, normal, found = self._over(tracked, new, self._search, self._nearest[1])
        self._known[new], self._before[new], self._was[new] = True, np.where(found, height, np.inf), normal
        return self._before[rows]

    def _over(
        self, skin: NDArray, rows: NDArray[np.int64], reach: float, nearest: NDArray[np.int32]
    ) -> tuple[NDArray, NDArray, NDArray, NDArray[np.bool_]]:
        """Height (k,) [m] of the given rows (k,) of the skin (n_skin, 3) over the obstacles, the closest points and
        unit normals there (k, 3), and which (k,) lie within reach over a surface rather than beside its opening.

        nearest: (n_skin,) triangles to search from, renewed.
        """
        points = skin[rows]
        distance, triangle, barycentric, sign = self._tree.closest(points, reach, nearest[rows])
        nearest[rows] = triangle
        found = (triangle >= 0) & self._counts[triangle]
        corners = self._tree.triangles[np.maximum(triangle, 0)]
        on_edge = barycentric == 0
        found &= ~(on_edge.any(axis=1) & (self._border[corners] | on_edge).all(axis=1))
        closest = np.einsum("kc,kcd->kd", barycentric, self._tree.vertices[corners])
        height = np.where(found, sign * distance, np.inf)
        normal = sign[:, None] * (points - closest)
        on_surface = distance < _ON_SURFACE
        normal[on_surface] = triangle_normals(self._tree.vertices, corners[on_surface])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return height, closest, normal, found
