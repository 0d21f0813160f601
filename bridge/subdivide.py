# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdivides a region of a rigged mesh: weights, shape keys and UVs are interpolated, the shape stays as it is."""

from typing import Any

import bmesh
import numpy as np
from numpy.typing import NDArray

from ..errors import RigError
from .modifiers import BAKED, OVERWRITING, is_baked_name


def subdivide_region(obj: Any, vertices: NDArray[np.integer]) -> int:
    """Halves all edges of the faces at these vertices (k,) of a mesh object; returns how many vertices are new.

    Raises RigError, before anything is changed, if the mesh cannot be edited or something depends on its vertices.
    """
    _check(obj)
    chosen = set(vertices.tolist())
    edit = bmesh.new()
    try:
        edit.from_mesh(obj.data)
        before = len(edit.verts)
        faces = [face for face in edit.faces if any(vertex.index in chosen for vertex in face.verts)]
        edges = list({edge for face in faces for edge in face.edges})
        bmesh.ops.subdivide_edges(edit, edges=edges, cuts=1, use_grid_fill=True)
        added = len(edit.verts) - before
        edit.to_mesh(obj.data)
    finally:
        edit.free()
    obj.data.update()
    return added


def _check(obj: Any) -> None:
    if any(data.library is not None or data.override_library is not None for data in (obj, obj.data)):
        raise RigError(
            "Its mesh is linked from another file or overrides it.",
            object=obj.name,
            advice="Open the file that it comes from and subdivide it there.",
        )
    if obj.mode == "EDIT":
        raise RigError("It is being edited.", object=obj.name, advice="Leave Edit Mode.")
    if obj.data.users - (1 if obj.data.use_fake_user else 0) > 1:
        raise RigError(
            f"Its mesh '{obj.data.name}' is shared by several objects.",
            object=obj.name,
            advice="Make it single user first (Object > Relations > Make Single User > Object & Data).",
        )
    keys = obj.data.shape_keys.key_blocks if obj.data.shape_keys is not None else ()
    if BAKED in obj.modifiers or any(is_baked_name(key.name) for key in keys):
        raise RigError("A bake belongs to its present vertices.", object=obj.name, advice="Use 'Remove Bake' first.")
    for modifier in obj.modifiers:
        bound = getattr(modifier, "is_bound", False) or getattr(modifier, "is_bind", False)
        if bound or modifier.type == "MULTIRES" or modifier.type in OVERWRITING:
            raise RigError(
                f"Its modifier '{modifier.name}' belongs to its present vertices.",
                object=obj.name,
                advice="Unbind it, or remove it first and set it up again afterwards.",
            )
