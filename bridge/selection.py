# SPDX-License-Identifier: GPL-3.0-or-later
"""Selects the vertices that a message refers to."""

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np

from ..errors import RigError


def select_vertices(context: Any, name: str, vertices: Sequence[int]) -> int:
    """Makes the mesh object `name` active, in Edit Mode with exactly these vertices selected; returns how many.

    Raises RigError if the object is gone or has no such vertices.
    """
    obj = context.view_layer.objects.get(name)
    if obj is None or obj.type != "MESH":
        raise RigError("There is no such mesh in this view layer.", object=name, advice="Run the step again.")
    chosen = np.asarray(vertices, np.int64)
    mesh = obj.data
    if not len(chosen) or chosen.max() >= len(mesh.vertices):
        raise RigError("The mesh has changed since.", object=name, advice="Run the step again.")
    if context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    obj.hide_set(False)
    for other in context.view_layer.objects.selected:
        other.select_set(False)
    context.view_layer.objects.active = obj
    obj.select_set(True)
    selected = np.zeros(len(mesh.vertices), bool)
    selected[chosen] = True
    mesh.polygons.foreach_set("select", np.zeros(len(mesh.polygons), bool))
    mesh.edges.foreach_set("select", np.zeros(len(mesh.edges), bool))
    mesh.vertices.foreach_set("select", selected)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_mode(type="VERT")
    return int(selected.sum())
