# SPDX-License-Identifier: GPL-3.0-or-later
"""The last error, kept for the sidebar: what is wrong, and the vertices concerned."""

from typing import Any

import bpy

from ..bridge.selection import select_vertices
from ..errors import NephimError, RigError

last: NephimError | None = None


def remember(error: NephimError) -> None:
    global last
    last = error


def refuse(operator: Any, error: NephimError) -> set[str]:
    """Remembers and reports the error; what `execute` of the operator returns."""
    remember(error)
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


def forget() -> None:
    global last
    last = None


class NEPHIM_OT_select_problem(bpy.types.Operator):
    """Select the vertices named in the message, in Edit Mode"""

    bl_idname = "nephim.select_problem"
    bl_label = "Select Vertices"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if last is None or not last.vertices or last.object is None:
            cls.poll_message_set("The message names no vertices")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if last is None or last.object is None:
            return {"CANCELLED"}
        # Surfaces that are vertex groups are named OBJECT:GROUP.
        name = last.object if last.object in context.scene.objects else last.object.rsplit(":", 1)[0]
        try:
            count = select_vertices(context, name, last.vertices)
        except RigError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Selected {count} vertices of '{name}'")
        return {"FINISHED"}


class NEPHIM_OT_dismiss_problem(bpy.types.Operator):
    """Dismiss the message"""

    bl_idname = "nephim.dismiss_problem"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        forget()
        return {"FINISHED"}
