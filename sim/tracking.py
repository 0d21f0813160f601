# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigid motion of cranium and jaw, and the tracked skin in the cranium's frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .frame import TrackedFrame
from .geometry import rigid
from .geometry.triangle_bvh import TriangleTree
from .solver.sparse import PointMap
from .template import JAW, Template

_THIN_TISSUE = 0.010  # [m] skin closer to bone than this moves with the bone


@dataclass(frozen=True)
class Pose:
    """cranium: (4, 4) T_C, rest to world; jaw: (4, 4) T_C⁻¹ T_J; skin: (n_skin, 3) displacement in the cranium's
    frame [m]; bone_direction: (n_skin, 3) unit, towards the nearest bone in that frame, turned with the jaw."""

    cranium: NDArray[np.float64]
    jaw: NDArray[np.float64]
    skin: NDArray[np.float64]
    bone_direction: NDArray[np.float64]


class HeadTracking:
    """Transforms the tracked head into the cranium's frame. Bones give T_C and T_J; without them they are fitted to
    thin skin: T_C to the head's own vertices `fitted`."""

    def __init__(self, template: Template):
        self.template = template
        self._refinement = PointMap(template.refinement)
        on_jaw = _over_jaw(template)
        thin = template.outer & ~template.rim & (template.tissue_depth < _THIN_TISSUE)
        cranium_skin, self._jaw_skin = np.flatnonzero(thin & ~on_jaw), np.flatnonzero(thin & on_jaw)
        fitted = cranium_skin[cranium_skin < template.n_head]
        self.fitted = fitted if len(fitted) >= 3 else np.arange(template.n_head)
        self._over_jaw = np.flatnonzero(on_jaw)
        self.has_jaw = bool((template.vertex_region == JAW).any())
        self._last: tuple[NDArray | None, ...] = (None, None, None)
        self._pose: Pose | None = None

    def pose(self, frame: TrackedFrame) -> Pose:
        """The frame's rigid motion and the skin's displacement without it."""
        given = (frame.head, frame.cranium, frame.jaw)
        if self._pose is None or not all(_same(a, b) for a, b in zip(given, self._last, strict=True)):
            self._pose = self._find(frame)
            self._last = tuple(None if values is None else values.copy() for values in given)
        return self._pose

    def _find(self, frame: TrackedFrame) -> Pose:
        template = self.template
        head = frame.head.astype(np.float64)
        cranium = frame.cranium
        if cranium is None:
            cranium = rigid.fit_rigid(template.head_vertices[self.fitted], head[self.fitted])
        head = rigid.apply(rigid.inverse(cranium), head)
        skin = self.refined(head - template.head_vertices)
        if frame.jaw is not None:
            jaw = rigid.inverse(cranium) @ frame.jaw
        elif self.has_jaw and len(self._jaw_skin) >= 3:
            rest = template.skin_vertices[self._jaw_skin]
            jaw = rigid.fit_rigid(rest, rest + skin[self._jaw_skin])
        else:
            jaw = np.eye(4)
        direction = template.bone_direction.copy()
        direction[self._over_jaw] = direction[self._over_jaw] @ jaw[:3, :3].T
        return Pose(cranium, jaw, skin, direction)

    def refined(self, head: NDArray) -> NDArray[np.float64]:
        """The skin (n_skin, 3) of the head's own vertices (n_head, 3)."""
        skin = np.empty((self.template.n_skin, 3))
        self._refinement.map(np.ascontiguousarray(head, np.float64), skin)
        return skin


def _over_jaw(template: Template) -> NDArray[np.bool_]:
    """Which skin (n_skin,) lies closer to the jaw than to the cranium.

    The surfaces of both know best: where the mouth takes the upper teeth's room, the volume's nearest bone is the jaw.
    """
    skin, region = template.skin_vertices, template.vertex_region
    if len(template.jaw_triangles) and len(template.cranium_triangles):
        to_jaw = TriangleTree(template.jaw_vertices, template.jaw_triangles).closest(skin)[0]
        return to_jaw < TriangleTree(template.cranium_vertices, template.cranium_triangles).closest(skin)[0]
    bone = np.flatnonzero(region != 0)
    if not len(bone):
        return np.zeros(len(skin), bool)
    return region[bone[cKDTree(template.vertices[bone]).query(skin)[1]]] == JAW


def _same(a: NDArray | None, b: NDArray | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)
