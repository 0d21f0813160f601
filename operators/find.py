# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me: recognises the selected character, fills in head, hands and bones, and shows what it has found."""

from typing import Any

import bpy
import numpy as np

from ..bridge.recognise import armature_of, recognise, write_group
from ..bridge.rig import Rig, read_rig
from ..bridge.selection import select_objects, select_parts
from ..errors import NephimError
from . import problems
from .jobs import has_head, is_free
from .looked_at import notes
from .setup import checked_rig, summary

_LABELS = (("head", "Head"), ("left", "Left hand"), ("right", "Right hand"))
# What was found in each scene, in words, and the settings that these words are about.
_found: dict[str, tuple[tuple[str, ...], list[str]]] = {}


def find(scene: Any, objects: list[Any], others: list[Any] | None = None) -> Rig:
    """Recognises a character and writes its roles into `scene.nephim`. Raises RigError.

    others: where the parts are sought that `objects` have not.
    """
    found, settings = recognise(objects, others or ()), scene.nephim
    for role, _ in _LABELS:
        part = getattr(found, role)
        setattr(settings, role, None if part is None else part.obj)
        setattr(settings, f"{role}_group", "" if part is None else write_group(part, role))
    for role, bone in (("head", found.head_bone), ("jaw", found.jaw_bone)):
        setattr(settings, f"{role}_armature", bone[0] if bone else None)
        setattr(settings, f"{role}_bone", bone[1] if bone else "")
    settings.neutral_frame = scene.frame_start
    rig = read_rig(scene)
    _found[scene.name] = (_decided(settings), _in_words(rig))
    return checked_rig(scene)


def found_parts(scene: Any) -> list[str]:
    """What *Find for Me* has found, a line for each part; empty once head, hands or bones were chosen otherwise."""
    decided, lines = _found.get(scene.name, ((), []))
    return lines if decided == _decided(scene.nephim) else []


def _decided(settings: Any) -> tuple[str, ...]:
    """The settings that *Find for Me* fills in, as text: no reference to Blender's data is kept."""
    objects = ("head", "left", "right", "head_armature", "jaw_armature")
    names = ("head_group", "left_group", "right_group", "head_bone", "jaw_bone")
    chosen = [getattr(settings, name) for name in objects]
    return (
        *(
            "" if obj is None else f"{obj.name}:{len(obj.data.vertices) if obj.type == 'MESH' else ''}"
            for obj in chosen
        ),
        *(getattr(settings, name) for name in names),
    )


def _in_words(rig: Rig) -> list[str]:
    lines = []
    for role, label in _LABELS:
        part = getattr(rig, role)
        if part is None:
            lines.append(f"{label}: none")
        else:
            group = f", group {part.group}" if part.group else ", the whole mesh"
            lines.append(f"{label}: {part.object_name} ({len(part.indices):,} vertices{group})")
    for label, bone in (("Head bone", rig.head_bone), ("Jaw bone", rig.jaw_bone)):
        lines.append(f"{label}: " + (f"{bone[1]} of {bone[0]}" if bone else "none, will be fitted to the surface"))
    return lines


def _belongs_to(mesh: Any, objects: list[Any]) -> bool:
    """Whether the mesh, or the armature that deforms it, is among these objects or hangs on one of them."""
    above = {mesh, armature_of(mesh)} - {None}
    while above:
        if not above.isdisjoint(objects):
            return True
        above = {obj.parent for obj in above} - {None}
    return False


def highlight(context: bpy.types.Context) -> None:
    """Selects the objects of head and hands, the head's active, each with its part as the active vertex group."""
    settings = context.scene.nephim
    objects: list[Any] = []
    # The head comes last, because one body may be all three.
    for role in ("right", "left", "head"):
        obj, group = getattr(settings, role), getattr(settings, f"{role}_group")
        if obj is None:
            continue
        if group and group in obj.vertex_groups:
            obj.vertex_groups.active_index = obj.vertex_groups[group].index
        if obj.name in context.view_layer.objects:
            objects.insert(0, obj)
    select_objects(context, list(dict.fromkeys(objects)))


class NEPHIM_OT_find(bpy.types.Operator):
    """Recognise the selected character by the shape of its skeleton and the names of its bones, and fill in head, hands and bones; what the selection lacks is sought among all visible objects. What was found is then selected"""  # noqa: E501

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
        visible = list(context.visible_objects)
        chosen = list(context.selected_objects)
        # A selected armature stands for the meshes it deforms, as does whatever carries the meshes or the armature.
        chosen += [obj for obj in visible if obj.type == "MESH" and obj not in chosen and _belongs_to(obj, chosen)]
        try:
            rig = find(context.scene, chosen, visible)
        except NephimError as error:
            return problems.refuse(self, error)
        problems.forget()
        highlight(context)
        self.report({"INFO"}, f"Found {summary(rig, notes(context.scene))}")
        return {"FINISHED"}


class NEPHIM_OT_show_parts(bpy.types.Operator):
    """Show head and hands in Edit Mode, with their vertices selected"""

    bl_idname = "nephim.show_parts"
    bl_label = "Show"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not has_head(cls, context, "Choose a head first"):
            return False
        if context.mode not in ("OBJECT", "EDIT_MESH"):
            cls.poll_message_set("Leave Pose, Paint or Sculpt Mode")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        try:
            rig = read_rig(context.scene)
            parts: dict[str, Any] = {}
            for part in rig.moving:
                parts[part.object_name] = np.union1d(parts.get(part.object_name, []), part.indices)
            count = select_parts(context, parts)
        except NephimError as error:
            return problems.refuse(self, error)
        self.report({"INFO"}, f"Selected {count:,} vertices of {' and '.join(repr(name) for name in parts)}")
        return {"FINISHED"}
