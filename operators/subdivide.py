# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdivide Coarse Skin: makes the head's mesh finer where it is too coarse for a fingertip."""

from typing import Any

import bpy

from ..bridge.cache.open_file import folder
from ..bridge.rig import read_rig, scene_object
from ..bridge.subdivide import subdivide_region
from ..errors import NephimError, RigError
from . import problems
from .volume import needs_setup


def subdivide_coarse(scene: Any) -> int:
    """Halves the edges of the head's mesh where the volume found it too coarse; returns how many vertices are new.

    Raises NephimError.
    """
    from ..sim.coarse import coarse_vertices
    from ..sim.template import Template

    rig = read_rig(scene)
    template = Template.load(folder(scene).volume)
    if template.n_head != len(rig.head.indices):
        raise RigError(
            "The mesh has changed since its volume was built.",
            object=rig.head.object_name,
            advice="Build the volume again: its notes say whether the mesh is still too coarse.",
        )
    coarse, _ = coarse_vertices(template)
    if not len(coarse):
        raise RigError("The mesh is fine enough for a fingertip.", object=rig.head.object_name)
    return subdivide_region(scene_object(rig.head.object_name), rig.head.indices[coarse])


class NEPHIM_OT_subdivide_region(bpy.types.Operator):
    """Halve the edges of the head's mesh where it is too coarse for a fingertip; weights and shape keys are kept"""

    bl_idname = "nephim.subdivide_region"
    bl_label = "Subdivide Coarse Skin"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            added = subdivide_coarse(context.scene)
        except NephimError as error:
            problems.remember(error)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        problems.forget()
        self.report({"INFO"}, f"{added} vertices are new. Build the volume again.")
        return {"FINISHED"}
