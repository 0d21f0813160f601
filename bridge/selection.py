# SPDX-License-Identifier: GPL-3.0-or-later
"""Selects objects, and the vertices that a message or a role refers to."""

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
import numpy as np

from ..errors import RigError


def select_vertices(context: Any, name: str, vertices: Sequence[int]) -> int:
    """Makes the mesh object `name` active, in Edit Mode with exactly these vertices selected; returns how many.

    Raises RigError if the object is gone or has no such vertices.
    """
    return select_parts(context, {name: vertices})


def select_parts(context: Any, parts: Mapping[str, Sequence[int]]) -> int:
    """Edit Mode on all these mesh objects, the first one active, with exactly these vertices selected; how many.

    Raises RigError, before anything is changed, if an object is gone, cannot be edited or has no such vertices.
    """
    chosen = {name: np.asarray(vertices, np.int64) for name, vertices in parts.items()}
    objects = {}
    for name, vertices in chosen.items():
        objects[name] = obj = context.view_layer.objects.get(name)
        if obj is None or obj.type != "MESH":
            raise RigError("There is no such mesh in this view layer.", object=name, advice="Run the step again.")
        if not len(vertices) or vertices.max() >= len(obj.data.vertices):
            raise RigError("The mesh has changed since.", object=name, advice="Run the step again.")
        if obj.data.library is not None:
            raise RigError(
                "Its mesh is linked from another file, so it cannot be shown in Edit Mode.",
                object=name,
                advice="Look at the vertex groups instead, or open the file that it is linked from.",
            )
    select_objects(context, list(objects.values()))
    for name, obj in objects.items():
        mesh = obj.data
        selected = np.zeros(len(mesh.vertices), bool)
        selected[chosen[name]] = True
        mesh.polygons.foreach_set("select", np.zeros(len(mesh.polygons), bool))
        mesh.edges.foreach_set("select", np.zeros(len(mesh.edges), bool))
        mesh.vertices.foreach_set("select", selected)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_mode(type="VERT")
    return sum(len(np.unique(vertices)) for vertices in chosen.values())


def select_objects(context: Any, objects: Sequence[Any]) -> None:
    """Object Mode, with exactly these objects of the view layer visible and selected, and the first one active."""
    if context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in list(context.view_layer.objects.selected):
        other.select_set(False)
    for obj in objects:
        obj.hide_set(False)
        obj.select_set(True)
    if objects:
        context.view_layer.objects.active = objects[0]
