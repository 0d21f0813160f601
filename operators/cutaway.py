# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut-away: the volume cut open beside the head, to show what the physics simulates."""

import bpy
from bpy.props import EnumProperty

from ..bridge.cache.open_file import folder
from ..bridge.rig import unit_scale
from ..errors import NephimError
from . import problems
from .volume import needs_setup


class NEPHIM_OT_cutaway(bpy.types.Operator):
    """Show the volume cut open beside the head: skin, soft tissue (red), jaw (blue) and cranium; press again to remove it"""  # noqa: E501

    bl_idname = "nephim.cutaway"
    bl_label = "Cut-Away"
    bl_options = {"REGISTER", "UNDO"}

    plane: EnumProperty(  # type: ignore[valid-type]
        name="Plane",
        items=[
            ("coronal", "Coronal", "Through both cheeks"),
            ("sagittal", "Sagittal", "Through the middle of the face"),
            ("transverse", "Transverse", "Through the jaw"),
        ],
        default="coronal",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not needs_setup(cls, context):
            return False
        if not folder().volume.exists():
            cls.poll_message_set("Build the volume first")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        from ..bridge.cut_object import remove_cutaway  # scipy and numba load on first use

        return {"FINISHED"} if remove_cutaway() else self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..bridge.cut_object import add_cutaway
        from ..sim.template import Template

        try:
            template = Template.load(folder().volume)
        except NephimError as error:
            return problems.refuse(self, error)
        add_cutaway(context.scene, template, self.plane, unit_scale(context.scene))
        return {"FINISHED"}
