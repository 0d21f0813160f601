# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume cut by a plane, as triangles for a picture: skin, tissue, jaw and cranium."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import Delaunay, cKDTree

from ..geometry.solid_angle import winding_number
from ..geometry.topology import unique_edges
from ..geometry.triangle_bvh import TriangleTree
from ..template import CRANIUM, JAW, Template

_SAME = 1e-6  # [m] vertices of volume and bone that are one
_BELOW = 5e-5  # [m] deep enough to be hidden by another cut face, too little to be seen
SKIN = 3  # colour beside TISSUE, JAW and CRANIUM of `template`


@dataclass(frozen=True)
class Cutaway:
    """vertices: (n, 3) [m]; triangles: (m, 3); colour: (m,) TISSUE, JAW or CRANIUM on the cut face, SKIN elsewhere."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    colour: NDArray[np.uint8]


def cut_volume(template: Template, plane_point: ArrayLike, plane_normal: ArrayLike) -> Cutaway:
    """Cuts a template and keeps the side that the normal points away from.

    plane_point: (3,) [m]; plane_normal: (3,). The cut face consists of the polygons in which the plane cuts the
    tetrahedra, facing along the normal; the skin is trimmed exactly at the plane. Bones that reach out of the volume,
    as teeth do in the mouth, are trimmed and filled.
    """
    normal = np.asarray(plane_normal, float) / np.linalg.norm(plane_normal)
    point = np.asarray(plane_point, float)
    skin, skin_triangles = _trimmed(template.skin_vertices, template.skin_triangles, point, normal)
    face, face_triangles, owner = _section(template.vertices, template.tets, point, normal)
    parts = [
        (skin, skin_triangles, np.full(len(skin_triangles), SKIN)),
        (face, face_triangles, template.tet_region[owner]),
    ]
    for region, vertices, triangles in (
        (JAW, template.jaw_vertices, template.jaw_triangles),
        (CRANIUM, template.cranium_vertices, template.cranium_triangles),
    ):
        if _beyond(template, vertices, triangles):
            for part in (_trimmed(vertices, triangles, point, normal), _filled(vertices, triangles, point, normal)):
                parts.append((*part, np.full(len(part[1]), region)))
    starts = np.cumsum([0] + [len(vertices) for vertices, _, _ in parts])
    return Cutaway(
        np.concatenate([vertices for vertices, _, _ in parts]),
        np.concatenate([t + k for (_, t, _), k in zip(parts, starts, strict=False)]).astype(np.int32),
        np.concatenate([colour for _, _, colour in parts]).astype(np.uint8),
    )


def _beyond(template: Template, vertices: NDArray, triangles: NDArray) -> bool:
    """Whether a bone reaches out of the volume, as teeth do in the mouth: then it is no boundary of tetrahedra."""
    if not len(triangles):
        return False
    return bool(cKDTree(template.vertices).query(vertices)[0].max() > _SAME)


def _filled(vertices: NDArray, triangles: NDArray, point: NDArray, normal: NDArray) -> tuple[NDArray, NDArray]:
    """The cut face of a closed surface, just below that of the tetrahedra: it shows where there are none."""
    height = _side(vertices, point, normal)
    edges, _ = unique_edges(triangles)
    cut = edges[(height[edges] < 0).sum(axis=1) == 1]
    if len(cut) < 3:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    outline = _crossing(vertices, height, cut[:, 0], cut[:, 1])
    across = np.linalg.svd(normal[None])[2][1:]
    flat = Delaunay(outline @ across.T).simplices
    inside = winding_number(TriangleTree(vertices, triangles), outline[flat].mean(axis=1)) > 0.5
    flat = flat[inside]
    turned = np.cross(*np.moveaxis(outline[flat[:, 1:]] - outline[flat[:, :1]], 1, 0)) @ normal < 0
    flat[turned] = flat[turned][:, ::-1]
    return outline - _BELOW * normal, flat


def _side(vertices: NDArray, point: NDArray, normal: NDArray) -> NDArray[np.float64]:
    """Distance (n,) above the plane; never exactly zero, so every simplex is cut cleanly or not at all."""
    height = (vertices - point) @ normal
    return np.where(height == 0, np.finfo(float).tiny, height)


def _crossing(vertices: NDArray, height: NDArray, a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Where the edges a-b (k,) cross the plane, (k, 3)."""
    t = (height[a] / (height[a] - height[b]))[:, None]
    return vertices[a] * (1 - t) + vertices[b] * t


def _trimmed(vertices: NDArray, triangles: NDArray, point: NDArray, normal: NDArray) -> tuple[NDArray, NDArray]:
    """The part of a surface below the plane."""
    height = _side(vertices, point, normal)
    below = height[triangles] < 0
    number = below.sum(1)
    new_points, new_triangles, count = [vertices], [triangles[number == 3]], len(vertices)
    for wanted in (1, 2):
        chosen = np.flatnonzero(number == wanted)
        # Rotate the odd corner, alone below or alone above, to the front.
        odd = (below[chosen] == (wanted == 1)).argmax(1)
        a, b, c = (triangles[chosen, (odd + k) % 3] for k in range(3))
        p, q = _crossing(vertices, height, a, b), _crossing(vertices, height, a, c)
        i, j = count + np.arange(len(a)), count + len(a) + np.arange(len(a))
        if wanted == 1:
            new_triangles.append(np.column_stack([a, i, j]))
        else:
            new_triangles += [np.column_stack([i, b, c]), np.column_stack([i, c, j])]
        new_points += [p, q]
        count += 2 * len(a)
    return np.concatenate(new_points), np.concatenate(new_triangles)


def _section(
    vertices: NDArray, tets: NDArray, point: NDArray, normal: NDArray
) -> tuple[NDArray, NDArray, NDArray[np.int64]]:
    """The polygons in which a plane cuts tetrahedra, as triangles, and the tetrahedron of each."""
    height = _side(vertices, point, normal)
    below = height[tets] < 0
    number = below.sum(1)
    points, triangles, owner, count = [], [], [], 0
    for wanted in (1, 3, 2):
        chosen = np.flatnonzero(number == wanted)
        order = np.argsort(below[chosen] != (wanted == 1), axis=1, kind="stable")
        a, b, c, d = np.take_along_axis(tets[chosen], order, axis=1).T
        if wanted == 2:  # two below and two above: a quadrilateral
            order = np.argsort(~below[chosen], axis=1, kind="stable")
            a, b, c, d = np.take_along_axis(tets[chosen], order, axis=1).T
            corners = [_crossing(vertices, height, x, y) for x, y in ((a, c), (a, d), (b, d), (b, c))]
            fans = [(0, 1, 2), (0, 2, 3)]
        else:
            corners = [_crossing(vertices, height, a, x) for x in (b, c, d)]
            fans = [(0, 1, 2)]
        block = np.stack(corners, axis=1)
        facing = np.cross(block[:, 1] - block[:, 0], block[:, 2] - block[:, 0]) @ normal
        block = np.where((facing < 0)[:, None, None], block[:, ::-1], block)
        size = block.shape[1]
        first = count + size * np.arange(len(chosen))
        for fan in fans:
            triangles.append(np.column_stack([first + k for k in fan]))
            owner.append(chosen)
        points.append(block.reshape(-1, 3))
        count += size * len(chosen)
    return np.concatenate(points), np.concatenate(triangles), np.concatenate(owner)
