# SPDX-License-Identifier: GPL-3.0-or-later
"""Places on the neutral face: where hands may touch, how deep they may go, and how the skin there has moved."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..sim.geometry.surface import vertex_normals
from ..sim.geometry.topology import fan_caps
from ..sim.geometry.triangle_bvh import TriangleTree
from ..sim.template import Template

_SMOOTH = 0.015  # [m] hands follow the shape of the face, not every bump: a finger's breadth
_RIM_DISTANCE = 0.025  # [m] hands keep off the cut of the neck, whose skin is held
_LIFT = 0.012  # [m] paths are projected from this far outside, so that they do not fall into the lips' gap
_DEEP = 0.05  # [m] depths are looked for so far
# Share of the tissue's depth that a hand may go into, and what it may always [m].
_YIELD, _ALWAYS = 0.5, 5e-4
# Hands touch the face more often than scalp, ears and neck: how much likelier a place of the front half is.
_FACE_WEIGHT = 7.0


@dataclass(frozen=True)
class Place:
    """point (3,) [m] on the neutral skin, smooth outward normal (3,), the nearest skin vertex."""

    point: NDArray[np.float64]
    normal: NDArray[np.float64]
    vertex: int


class SkinMap:
    """The neutral skin of a template as a surface to place hands on."""

    def __init__(self, template: Template):
        self.template = template
        vertices, triangles = template.skin_vertices, template.skin_triangles
        outer = template.outer[triangles].all(axis=1)
        self._tree = TriangleTree(vertices, triangles[outer])
        self._closed = TriangleTree(vertices, np.concatenate([triangles, fan_caps(triangles)]))
        self._normals = vertex_normals(vertices, triangles)
        self._outer = np.flatnonzero(template.outer)
        self._points = cKDTree(vertices[self._outer])
        self.middle = vertices[template.outer].mean(axis=0)
        self.candidates, self._weight = self._reachable()

    def _reachable(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Skin vertices that a gesture may aim at, and their probabilities: even over the area, more in the face."""
        template = self.template
        rim = np.flatnonzero(template.rim)
        clear = np.ones(template.n_skin, bool)
        if len(rim):
            clear = cKDTree(template.skin_vertices[rim]).query(template.skin_vertices)[0] > _RIM_DISTANCE
        chosen = np.flatnonzero(template.outer & ~template.rim & clear)
        # Vertices lie closer where the mesh is finer: each counts by the room it has.
        room = self._points.query(template.skin_vertices[chosen], k=7)[0][:, 1:].mean(axis=1) ** 2
        front = np.clip(-self._normals[chosen, 1], 0.0, 1.0) * (template.skin_vertices[chosen, 1] < self.middle[1])
        weight = room * (1.0 + (_FACE_WEIGHT - 1.0) * front)
        return chosen, weight / weight.sum()

    def draw(self, generator: np.random.Generator) -> Place:
        """A place to touch, by chance."""
        return self.at(self.template.skin_vertices[generator.choice(self.candidates, p=self._weight)])

    def at(self, near: NDArray) -> Place:
        """The place on the outer skin nearest to a point (3,) [m]."""
        _, triangle, corners, _ = self._tree.closest(near)
        point = self._tree.points_at(triangle, corners)[0]
        vertex = int(self._outer[self._points.query(point)[1]])
        around = self._outer[self._points.query_ball_point(point, _SMOOTH)]
        facing = self._normals[around] @ self._normals[vertex] > 0
        around = around[facing]
        weight = np.maximum(0.0, 1 - np.linalg.norm(self.template.skin_vertices[around] - point, axis=1) / _SMOOTH)
        normal = weight @ self._normals[around] + 1e-6 * self._normals[vertex]
        return Place(point, normal / np.linalg.norm(normal), vertex)

    def walk(self, start: Place, offset: NDArray) -> Place:
        """The place reached from `start` by an offset (3,) [m] in its tangent plane."""
        return self.at(start.point + offset + _LIFT * start.normal)

    def allowed_depth(self, place: Place) -> float:
        """How deep [m] a hand may go there: tissue yields by a share of its depth."""
        return _ALWAYS + _YIELD * float(self.template.tissue_depth[place.vertex])

    def deepest(self, hand: NDArray) -> float:
        """How deep [m] the deepest vertex of a hand (n, 3), in the neutral head's space, lies in the head."""
        distance, _, _, sign = self._closed.closest(hand, _DEEP)
        return float(np.max(distance, where=(sign < 0) & np.isfinite(distance), initial=0.0))
