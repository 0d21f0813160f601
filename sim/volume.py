# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumetric template of a character, built from the surfaces of head, jaw and cranium."""

import hashlib
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, identity
from scipy.spatial import cKDTree

from ..errors import SurfaceError, VolumeError
from ..progress import Job, Progress
from .closing import cap_holes
from .distance import TriangleTree
from .landmarks import Landmarks, estimate_axes, find_landmarks
from .refine import Refinement, refine
from .regions import openness, rim, skin_stiffness, visible
from .skull import place_skull
from .solid_angle import winding_number
from .surface import Surface, triangle_normals, vertex_normals
from .template import CRANIUM, JAW, TISSUE, Template
from .tetrahedra import tetrahedralize

_LEAST, _MOST = 500, 300_000  # vertices of a head
_NO_BONE = 1.0  # tissue depth where there is no bone at all [m]
_COARSE = 2.0  # edges behind, below and inside the face, in target lengths
_INTERIOR = 2.5  # tissue edges deep inside, in target lengths


@dataclass(frozen=True)
class VolumeSettings:
    """target_edge: wished edge length on face and ears [m]; time_limit: for TetGen [s]."""

    target_edge: float = 0.004
    time_limit: float = 120.0


def build_template(
    head: Surface,
    jaw: Surface | None,
    cranium: Surface | None,
    *,
    settings: VolumeSettings | None = None,
    groups: dict[str, NDArray] | None = None,
    head_axes: tuple[ArrayLike, ArrayLike] | None = None,
) -> Job[Template]:
    """Builds the template from a head at its neutral frame, in world space [m].

    jaw, cranium: the artists' own closed surfaces inside the head, or None: placed by tissue thickness. groups: weights
    (n_head,) that repaint stiffness (see `regions.skin_stiffness`). head_axes: (up, front), or None: guessed.
    Raises SurfaceError for vertices that are not finite, VolumeError where no volume can be built.
    """
    settings = settings or VolumeSettings()
    check_head(head)
    notes: list[str] = []
    yield Progress("volume", 0.0, "landmarks")
    up, front = head_axes if head_axes is not None else estimate_axes(head.vertices, head.triangles)
    landmarks = find_landmarks(head.vertices, head.triangles, up, front, head.name)
    share = openness(head.vertices, head.triangles)
    yield Progress("volume", 0.1, "refining the skin")
    target = target_edges(head, visible(share, head.triangles), landmarks, settings.target_edge)
    refinement = refine(head.vertices, head.triangles, target)
    skin = refinement.matrix @ head.vertices
    triangles = refinement.triangles
    outer = visible(refinement.linear @ share, triangles)
    yield Progress("volume", 0.3, "closing the skin")
    closed, caps, loops = cap_holes(skin, triangles, _COARSE * settings.target_edge)
    notes += [f"Closed an opening of {len(loop)} edges." for loop in loops]
    yield Progress("volume", 0.4, "placing the skull")
    outer_triangle = np.concatenate([outer[triangles].all(1), np.zeros(len(caps), bool)])
    skull = place_skull(closed, np.concatenate([triangles, caps]), outer_triangle, landmarks)
    bones = [
        (skull.jaw_vertices, skull.jaw_triangles),
        (skull.cranium_vertices, skull.cranium_triangles),
    ]
    notes.append("Jaw and cranium were placed by tissue thickness.")
    yield Progress("volume", 0.6, "tetrahedra")
    surfaces, parts = [closed], [np.concatenate([triangles, caps])]
    for v, t in bones:
        parts.append(t + sum(len(s) for s in surfaces))
        surfaces.append(v)
    first = closed[triangles[0]]
    inward = triangle_normals(closed, triangles[:1])[0]
    seed = first.mean(0) - 1e-4 * inward / np.linalg.norm(inward)
    edge = _INTERIOR * settings.target_edge
    points, tets = yield from tetrahedralize(
        np.concatenate(surfaces),
        np.concatenate(parts),
        time_limit=settings.time_limit,
        tissue_point=seed,
        tissue_volume=edge**3 / (6 * np.sqrt(2)),
    )
    yield Progress("volume", 0.95, "regions")
    return _assemble(head, refinement, skin, outer, points, tets, bones, landmarks, groups, settings, notes)


def check_head(head: Surface) -> None:
    """Raises SurfaceError or VolumeError for a head that cannot be used at all."""
    bad = np.flatnonzero(~np.isfinite(head.vertices).all(1))
    if len(bad):
        raise SurfaceError(
            "positions are not finite numbers.",
            object=head.name,
            vertices=bad.tolist(),
            advice="Look for broken drivers, modifiers or shape keys on these vertices.",
        )
    if len(head.vertices) < _LEAST or len(head.triangles) < _LEAST:
        raise VolumeError(
            f"the head has only {len(head.vertices)} vertices, too coarse for a volume.",
            object=head.name,
            advice=f"Use a head mesh of at least {_LEAST} vertices; subdivide this one.",
        )
    if len(head.vertices) > _MOST:
        raise VolumeError(
            f"the head has {len(head.vertices)} vertices, more than {_MOST}.",
            object=head.name,
            advice="Decimate it, switch a subdivision modifier off, or pick the face as a vertex group.",
        )


def target_edges(head: Surface, outer: NDArray, landmarks: Landmarks, edge: float) -> NDArray[np.float64]:
    """Wished edge lengths (n_head,) [m]: `edge` on face and ears, growing to twice that behind, below and inside."""
    local, p, k = landmarks.frame.into(head.vertices), landmarks.points, landmarks.scale
    ear = 0.5 * (p["ear_left"][2] + p["ear_right"][2])
    behind = (ear - 0.02 * k - local[:, 2]) / (0.03 * k)
    below = (p["menton"][1] - 0.005 * k - local[:, 1]) / (0.025 * k)
    above = (local[:, 1] - p["sellion"][1] - 0.055 * k) / (0.03 * k)
    grown = np.clip(np.maximum(np.maximum(behind, below), above), 0, 1)
    return edge * np.where(outer, 1 + (_COARSE - 1) * grown, _COARSE)


def _assemble(
    head: Surface,
    refinement: Refinement,
    skin: NDArray,
    outer: NDArray,
    points: NDArray,
    tets: NDArray,
    bones: list[tuple[NDArray, NDArray]],
    landmarks: Landmarks,
    groups: dict[str, NDArray] | None,
    settings: VolumeSettings,
    notes: list[str],
) -> Template:
    n_skin = len(skin)
    tet_region = np.full(len(tets), TISSUE, np.uint8)
    vertex_region = np.full(len(points), TISSUE, np.uint8)
    centres = points[tets].mean(1)
    for region, (v, t) in zip((JAW, CRANIUM), bones, strict=True):
        if len(t):
            inside = winding_number(TriangleTree(v, t), centres) > 0.5
            tet_region[inside] = region
            vertex_region[tets[inside]] = region
    depth, direction = _bone(skin, refinement.triangles, bones)
    painted = {k: refinement.linear @ np.asarray(w, float) for k, w in (groups or {}).items()}
    stiffness = skin_stiffness(landmarks.frame.into(skin), depth, landmarks, painted)
    nearest = cKDTree(skin).query(centres)[1]
    embedding = csr_matrix(identity(n_skin, format="csr"))
    embedding.resize((n_skin, len(points)))
    (jaw_vertices, jaw_triangles), (cranium_vertices, cranium_triangles) = bones
    return Template(
        head_vertices=head.vertices,
        refinement=refinement.matrix,
        skin_vertices=skin,
        skin_triangles=refinement.triangles,
        vertices=points,
        tets=tets,
        tet_region=tet_region,
        vertex_region=vertex_region,
        embedding=embedding,
        rim=rim(skin, refinement.triangles, landmarks.frame.rotation[1]),
        outer=outer,
        tissue_depth=depth,
        bone_direction=direction,
        tet_stiffness=stiffness[nearest],
        jaw_vertices=jaw_vertices,
        jaw_triangles=jaw_triangles,
        cranium_vertices=cranium_vertices,
        cranium_triangles=cranium_triangles,
        conforming=True,
        notes=notes,
        fingerprint=fingerprint(head, settings),
    )


def _bone(skin: NDArray, triangles: NDArray, bones: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    """Distance (n,) [m] and unit direction (n, 3) from the skin to the nearest bone."""
    depth, direction = np.full(len(skin), _NO_BONE), -vertex_normals(skin, triangles)
    for v, t in bones:
        if not len(t):
            continue
        tree = TriangleTree(v, t)
        distance, triangle, barycentric, _ = tree.closest(skin)
        closer = distance < depth
        depth[closer] = distance[closer]
        towards = tree.points_at(triangle, barycentric) - skin
        direction[closer] = (towards / np.maximum(distance, 1e-9)[:, None])[closer]
    return depth, direction


def fingerprint(head: Surface, settings: VolumeSettings) -> str:
    """Changes when the head or the settings change."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(head.vertices, np.float32).tobytes())
    digest.update(np.ascontiguousarray(head.triangles, np.int32).tobytes())
    digest.update(repr(astuple(settings)).encode())
    return digest.hexdigest()
