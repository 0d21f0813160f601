# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of teeth of a registered skull that stand in the mouth, behind the lips, and whether a character has its own
there."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..geometry.isosurface import smooth_surface
from ..geometry.solid_angle import inside_by_solid_angle
from ..geometry.surface import Surface
from ..geometry.triangle_bvh import TriangleTree
from ..template import Teeth
from .skull import Skull
from .template_head import TemplateHead, load_template_head

_CROWN = 0.010  # [m] around the edge of a row: crowns, and a little of the gums, which lips lie on as well
_LEVEL = 0.009  # [m] points of an edge that are further above or below its middle lie on bone behind the row
_AROUND = 0.020  # [m] of bone around the teeth that is kept: as far as `sim/contact/obstacles.py` searches
_SMOOTHING = 3  # steps: lips glide over teeth; skin of 4 mm edges would jump between the grooves
# Share of a row that must stand in the mouth. On heads with a mouth bag nearly all of it does; without one, or where
# the bag ends at the lips, teeth are bone of the volume, which stops the skin anyway.
_IN_MOUTH = 0.5
# Own pieces as near as this [m] to this share of both rows are teeth. The demo's teeth are to all of them, its tongue
# to half.
_OWN, _OWN_SHARE = 0.006, 0.75


def teeth_in_mouth(whole: Skull, own: tuple[bool, bool], closed: TriangleTree) -> Teeth | None:
    """The rows of a registered skull that stand in the mouth, None without any.

    own: whether jaw and cranium are the artist's, of which nobody knows the teeth; closed: the whole skin with its
    mouth bag, closed.
    """
    template, count = load_template_head(), 0
    parts: list[tuple[NDArray, ...]] = []
    for jaw, (bone, faces), artist in zip((True, False), whole.bones, own, strict=True):
        if artist:
            continue
        row = row_faces(template, jaw=jaw)
        teeth = bone[np.unique(faces[row])]
        if inside_by_solid_angle(closed, teeth).mean() > 1 - _IN_MOUTH:
            continue
        near = (cKDTree(teeth).query(bone, distance_upper_bound=_AROUND)[0] < _AROUND)[faces].any(axis=1)
        used, corners = np.unique(faces[near], return_inverse=True)
        corners = corners.reshape(-1, 3)
        even = smooth_surface(bone[used], corners, _SMOOTHING)
        parts.append((even, corners + count, row[near], np.full(len(used), jaw)))
        count += len(used)
    if not parts:
        return None
    vertices, triangles, crowns, on_jaw = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Teeth(vertices, triangles.astype(np.int32), crowns, on_jaw)


def row_faces(template: TemplateHead, *, jaw: bool) -> NDArray[np.bool_]:
    """Which faces (m,) of the template's jaw, or else of its cranium, are teeth."""
    edge = template.lower_teeth if jaw else template.upper_teeth
    vertices = template.jaw_vertices if jaw else template.cranium_vertices
    triangles = template.jaw_triangles if jaw else template.cranium_triangles
    edge = edge[np.abs(edge[:, 1] - np.median(edge[:, 1])) < _LEVEL]
    near = cKDTree(edge).query(vertices)[0] < _CROWN
    return np.asarray(near[triangles].all(axis=1))


def are_teeth(pieces: Iterable[Surface], teeth: Teeth) -> bool:
    """Whether a character's own pieces behind the skin, at the neutral frame, lie where the skull's teeth stand."""
    places = teeth.vertices[np.unique(teeth.triangles[teeth.crowns])]
    distance = np.full(len(places), np.inf)
    for piece in pieces:
        distance = np.minimum(distance, TriangleTree(piece.vertices, piece.triangles).closest(places)[0])
    return bool((distance < _OWN).mean() > _OWN_SHARE)
