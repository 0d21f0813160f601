# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdivide Coarse Skin: makes the head's mesh finer where it is too coarse for a fingertip."""

from typing import Any

import bpy

from ..bridge.rig import read_rig, scene_object
from ..bridge.subdivide import subdivide_region
from ..bridge.surfaces import SurfaceReader
from ..errors import NephimError, RigError
from . import problems
from .jobs import has_head
from .looked_at import look


def subdivide_coarse(scene: Any) -> int:
    """Halves the edges of the head's mesh where it is too coarse for a fingertip; returns how many vertices are new.

    Raises NephimError.
    """
    rig = read_rig(scene)
    with SurfaceReader(scene, rig) as reader:
        seen = look(scene, rig, reader.neutral())
    if seen is None:
        raise RigError("No face was found on it.", object=rig.head.object_name, advice="Press Check Setup.")
    if not len(seen.coarse):
        raise RigError("The mesh is fine enough for a fingertip.", object=rig.head.object_name)
    return subdivide_region(scene_object(rig.head.object_name), rig.head.indices[seen.coarse])


class NEPHIM_OT_subdivide_region(bpy.types.Operator):
    """Halve the edges of the head's mesh where it is too coarse for a fingertip; weights and shape keys are kept"""

    bl_idname = "nephim.subdivide_region"
    bl_label = "Subdivide Coarse Skin"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_head(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            added = subdivide_coarse(context.scene)
        except NephimError as error:
            return problems.refuse(self, error)
        problems.forget()
        self.report({"INFO"}, f"{added} vertices are new. Check the setup, then build the volume again.")
        return {"FINISHED"}
