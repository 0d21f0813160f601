# SPDX-License-Identifier: GPL-3.0-or-later
"""Several characters in a scene: adding and removing them, and choosing the one that the buttons work on."""

from typing import Any

import bpy

from ..bridge import characters
from ..bridge.cache.open_file import folder
from . import jobs, preview, problems


def chosen(scene: Any) -> None:
    """Another character of the list was clicked: the sidebar shows it, and a preview of the last one ends."""
    cast = scene.nephim_cast
    if cast.active == cast.shown or not len(cast.characters):
        return
    if jobs.running is not None or not 0 <= cast.active < len(cast.characters):
        cast.active = cast.shown
        return
    preview.switch_off(scene)
    problems.forget()
    characters.show(scene, cast.active)


def choose(scene: Any, name: str, *, may_add: bool = False) -> None:
    """Chooses a character by its name, see `bridge.characters.choose`; a preview of the last one ends. Raises
    RigError."""
    if name != characters.active_label(scene):
        preview.switch_off(scene)
        characters.choose(scene, name, may_add=may_add)


class NEPHIM_OT_add_character(bpy.types.Operator):
    """Add a further character to this scene, with settings, simulation and bake of its own; all bakes play together"""

    bl_idname = "nephim.add_character"
    bl_label = "Another Character"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return jobs.has_head(cls, context, "Set up the present character first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        preview.switch_off(context.scene)
        problems.forget()
        characters.add(context.scene)
        self.report({"INFO"}, "Select the other character and press Find for Me")
        return {"FINISHED"}


class NEPHIM_OT_remove_character(bpy.types.Operator):
    """Take the active character off the list; what is baked into it stays, and so does its simulation on disk"""

    bl_idname = "nephim.remove_character"
    bl_label = "Remove from List"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not jobs.is_free(cls):
            return False
        if len(context.scene.nephim_cast.characters) < 2:
            cls.poll_message_set("There is only one character")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        preview.switch_off(context.scene)
        problems.forget()
        kept = ""
        if bpy.data.filepath and folder(context.scene).volume.exists():
            kept = f"; its volume and simulation stay in {folder(context.scene).path}"
        name = characters.remove(context.scene)
        self.report({"INFO"}, f"'{name}' is off the list{kept}")
        return {"FINISHED"}
