# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me: recognises the selected character and fills in head, hands and bones."""

import bpy

from ..bridge.recognise import recognise, write_group
from ..bridge.rig import Rig, read_rig
from ..errors import NephimError
from . import problems
from .jobs import is_free
from .setup import summary


def find(scene: bpy.types.Scene, objects: list[bpy.types.Object]) -> Rig:
    """Recognises a character among the objects and writes its roles into `scene.nephim`. Raises RigError."""
    found, settings = recognise(objects), scene.nephim
    for role in ("head", "left", "right"):
        part = getattr(found, role)
        setattr(settings, role, None if part is None else part.obj)
        setattr(settings, f"{role}_group", "" if part is None else write_group(part, role))
    for role, bone in (("head", found.head_bone), ("jaw", found.jaw_bone)):
        setattr(settings, f"{role}_armature", bone[0] if bone else None)
        setattr(settings, f"{role}_bone", bone[1] if bone else "")
    settings.neutral_frame = scene.frame_start
    return read_rig(scene)


class NEPHIM_OT_find(bpy.types.Operator):
    """Recognise the selected character (MakeHuman, Rigify, Mixamo, ARKit expressions, single body …) and fill in head, hands and bones; with nothing selected, search all visible objects"""  # noqa: E501

    bl_idname = "nephim.find"
    bl_label = "Find for Me"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_free(cls):
            return False
        if context.mode != "OBJECT":
            cls.poll_message_set("Leave Edit, Pose or Sculpt Mode")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = list(context.selected_objects)
        # A selected armature stands for the meshes it deforms.
        rigs = {obj for obj in chosen if obj.type == "ARMATURE"}
        if rigs:
            chosen += [obj for obj in context.visible_objects if obj.parent in rigs and obj not in chosen]
        if not any(obj.type == "MESH" for obj in chosen):
            chosen = list(context.visible_objects)
        try:
            rig = find(context.scene, chosen)
        except NephimError as error:
            problems.remember(error)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        problems.forget()
        self.report({"INFO"}, f"Found {summary(rig)}")
        return {"FINISHED"}
