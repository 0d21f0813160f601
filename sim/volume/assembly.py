# SPDX-License-Identifier: GPL-3.0-or-later
"""Assembles the pieces of a volume into a template: regions, depths, stiffness, embedding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity
from scipy.spatial import cKDTree

from ..geometry.solid_angle import inside_by_solid_angle
from ..geometry.surface import Surface, vertex_normals
from ..geometry.triangle_bvh import TriangleTree
from ..template import CRANIUM, JAW, TISSUE, Template
from .envelope import embed
from .landmarks import Landmarks
from .regions import STIFFNESS, rim, skin_regions
from .skull import Skull, tissue_thickness

_NO_BONE = 1.0  # tissue depth if there is no bone at all [m]
_MOUTH = 0.040  # radius around the middle of the lips within which teeth lie behind them [m]


@dataclass(frozen=True)
class Skin:
    """The simulation surface while the volume is built.

    vertices: (n_skin, 3) [m] repaired; triangles: (m, 3); main: (m,) which of them bound the volume; the others are
    separate parts such as eyes; matrix, linear: (n_skin, n_head), see `refine.Refinement`; outer: (n_skin,); welded_to:
    (n_skin,) the vertex that represents each one after welding.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    main: NDArray[np.bool_]
    matrix: csr_matrix
    linear: csr_matrix
    outer: NDArray[np.bool_]
    welded_to: NDArray[np.int64]


def assemble(
    head: Surface,
    skin: Skin,
    points: NDArray,
    tets: NDArray,
    skull: Skull,
    whole: Skull,
    landmarks: Landmarks,
    groups: dict[str, NDArray] | None,
    *,
    conforming: bool,
) -> Template:
    """The template from tetrahedra.

    points: (n, 3) [m]; if `conforming`, its first rows are the skin's vertices. tets: (t, 4). groups: see
    `regions.skin_regions`, weights (n_head,). skull: the bones of the volume; whole: with what lies outside of it,
    as teeth in the mouth do.
    """
    count = len(skin.vertices)
    tet_region = np.full(len(tets), TISSUE, np.uint8)
    vertex_region = np.full(len(points), TISSUE, np.uint8)
    centres = points[tets].mean(1)
    for region, (v, t) in zip((JAW, CRANIUM), skull.bones, strict=True):
        if len(t):
            bony = inside_by_solid_angle(TriangleTree(v, t), centres)
            tet_region[bony] = region
            vertex_region[tets[bony]] = region

    used = np.zeros(count, bool)
    used[skin.triangles[skin.main]] = True
    held = rim(skin.vertices, skin.triangles[skin.main], landmarks.frame.rotation[1])
    represented = ~used & used[skin.welded_to]  # the other side of a welded seam
    held[represented] = held[skin.welded_to[represented]]
    depth, direction = _to_bone(skin, whole.bones, landmarks, with_teeth=whole is not skull)
    painted = {name: skin.linear @ np.asarray(weight, float) for name, weight in (groups or {}).items()}
    regions = skin_regions(landmarks.frame.into(skin.vertices), depth, landmarks, painted)
    nearest = np.flatnonzero(used)[cKDTree(skin.vertices[used]).query(centres)[1]]
    return Template(
        head_vertices=head.vertices,
        refinement=skin.matrix,
        skin_vertices=skin.vertices,
        skin_triangles=skin.triangles,
        vertices=points,
        tets=tets.astype(np.int32),
        tet_region=tet_region,
        vertex_region=vertex_region,
        embedding=_embedding(skin, used, points, tets, tet_region, conforming=conforming),
        rim=held,
        outer=skin.outer & used,
        tissue_depth=depth,
        bone_direction=direction,
        tet_stiffness=(regions @ STIFFNESS)[nearest],
        jaw_vertices=whole.jaw_vertices,
        jaw_triangles=whole.jaw_triangles,
        cranium_vertices=whole.cranium_vertices,
        cranium_triangles=whole.cranium_triangles,
        conforming=conforming and not represented.any(),
        linear=skin.linear,
        axes=landmarks.frame.rotation[1:],
        skin_region=regions.astype(np.float32),
    )


def _embedding(
    skin: Skin, used: NDArray, points: NDArray, tets: NDArray, tet_region: NDArray, *, conforming: bool
) -> csr_matrix:
    """Rows (n_skin, n) with which the skin follows the volume's vertices."""
    count = len(skin.vertices)
    if conforming:
        rows = np.arange(count)
        welded_to = np.where(used[skin.welded_to], skin.welded_to, rows)
        return csr_matrix((np.ones(count), (rows, welded_to)), shape=(count, len(points)))
    whole = np.zeros(count, bool)
    whole[used | used[skin.welded_to]] = True
    soft = embed(skin.vertices[whole], points, tets[tet_region == TISSUE])
    # Eyes, teeth and single vertices move with bone, if there is any.
    hard = tets[tet_region != TISSUE] if (tet_region != TISSUE).any() else tets
    stiff = embed(skin.vertices[~whole], points, hard)
    place = identity(count, format="csr")
    return (place[:, np.flatnonzero(whole)] @ soft + place[:, np.flatnonzero(~whole)] @ stiff).tocsr()


def _to_bone(
    skin: Skin, bones: list[tuple[NDArray, NDArray]], landmarks: Landmarks, *, with_teeth: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance (n_skin,) [m] and unit direction (n_skin, 3) from the skin to the nearest bone.

    In front of the mouth the teeth count, which are not part of the volume: unless the bones come `with_teeth`, their
    distance is the tissue thickness from the table, or the lip's own thickness if that is larger.
    """
    depth, direction = np.full(len(skin.vertices), _NO_BONE), -vertex_normals(skin.vertices, skin.triangles)
    for v, t in bones:
        if not len(t):
            continue
        tree = TriangleTree(v, t)
        distance, triangle, barycentric, _ = tree.closest(skin.vertices)
        closer = distance < depth
        depth[closer] = distance[closer]
        towards = tree.points_at(triangle, barycentric) - skin.vertices
        direction[closer] = (towards / np.maximum(distance, 1e-9)[:, None])[closer]

    if with_teeth:
        return depth, direction
    main = skin.triangles[skin.main]
    visible = skin.outer[main].all(1)
    local = landmarks.frame.into(skin.vertices)
    p, k = landmarks.points, landmarks.scale
    lips = skin.outer & (np.linalg.norm(local - p["stomion"], axis=1) < _MOUTH * k)
    lips &= local[:, 1] < p["subnasale"][1]
    if lips.any() and (~visible).any() and visible.any():
        inner = TriangleTree(local, main[~visible])
        distance, triangle, barycentric, _ = inner.closest(local[lips], _MOUTH * k)
        table = tissue_thickness(landmarks, TriangleTree(local, main[visible]))(local[lips])
        teeth = np.maximum(distance, table)
        closer = np.flatnonzero(lips)[teeth < depth[lips]]
        depth[closer] = teeth[teeth < depth[lips]]
        direction[closer] = -vertex_normals(skin.vertices, main)[closer]
    return depth, direction
