# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes before simulating: choosing head and hands, and building the volume of the head."""

from collections.abc import Iterable
from typing import Any

import bpy

from ..bridge.characters import label
from ..choices import REGIONS, REGISTERED
from ..operators import fit
from ..operators.find import found_parts
from ..operators.looked_at import notes
from ..operators.state import volume_state
from .sidebar import Step, paragraph

_ROLES = (("head", "head_group"), ("left", "left_group"), ("right", "right_group"))
_BONES = (("head_armature", "head_bone", "Head Bone"), ("jaw_armature", "jaw_bone", "Jaw Bone"))


class NEPHIM_UL_characters(bpy.types.UIList):
    """The characters of a scene"""

    def draw_item(
        self, context: Any, layout: Any, data: Any, item: Any, icon: Any, active_data: Any, active: Any, index: int = 0
    ) -> None:
        layout.prop(item, "name", text="", emboss=False, icon="USER", placeholder=label(context.scene, index))


def draw_notes(context: bpy.types.Context, layout: Any, lines: Iterable[str]) -> None:
    """Notes on a head, each with the button that it speaks of."""
    for note in lines:
        paragraph(context, layout, note, icon="INFO")
        if "'Subdivide Coarse Skin'" in note:
            layout.operator("nephim.subdivide_region", icon="MOD_SUBSURF")


def _draw_cast(context: bpy.types.Context, layout: Any) -> None:
    """The list of characters, once there are several."""
    cast = context.scene.nephim_cast
    if not len(cast.characters):
        if context.scene.nephim.head is not None:
            layout.operator("nephim.add_character", icon="ADD")
        return
    row = layout.row()
    row.template_list("NEPHIM_UL_characters", "", cast, "characters", cast, "active", rows=2)
    buttons = row.column(align=True)
    buttons.operator("nephim.add_character", text="", icon="ADD")
    buttons.operator("nephim.remove_character", text="", icon="REMOVE")


class NEPHIM_PT_character(Step, bpy.types.Panel):
    """Choice of head and hands"""

    bl_label = "Character"
    bl_idname = "NEPHIM_PT_character"
    bl_options = set()

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        _draw_cast(context, layout)
        row = layout.row(align=True)
        row.operator("nephim.find", icon="VIEWZOOM")
        row.operator("nephim.import_take", text="Import", icon="IMPORT")
        found = found_parts(context.scene)
        if found:
            box = layout.box()
            for line in found:
                paragraph(context, box, line)
            box.operator("nephim.show_parts", icon="RESTRICT_SELECT_OFF")
        for role, group in _ROLES:
            part = layout.column(align=True)
            part.prop(settings, role)
            obj = getattr(settings, role)
            if obj is not None and obj.vertex_groups:
                part.prop_search(settings, group, obj, "vertex_groups", text="Part")
        row = layout.row(align=True)
        row.prop(settings, "neutral_frame")
        row.operator("nephim.neutral_here", text="", icon="TIME")
        row = layout.row(align=True)
        row.operator("nephim.setup", icon="CHECKMARK")
        row.prop(settings, "show_facing", text="", icon="EMPTY_ARROWS")
        draw_notes(context, layout, notes(context.scene))


class NEPHIM_PT_axes(Step, bpy.types.Panel):
    """The unit of the head, and where its top and its face are, if detection is not good enough"""

    bl_label = "Size and Direction"
    bl_idname = "NEPHIM_PT_axes"
    bl_parent_id = "NEPHIM_PT_character"

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        row = layout.row(align=True)
        row.prop(settings, "unit_scale")
        row.operator("nephim.fit_size", text="", icon="FULLSCREEN_EXIT")
        column = layout.column(align=True)
        column.prop(settings, "up_axis")
        column.prop(settings, "front_axis")


class NEPHIM_PT_bones(Step, bpy.types.Panel):
    """The bones that carry head and jaw, and the character's own skull, if it has one"""

    bl_label = "Bones and Skull"
    bl_idname = "NEPHIM_PT_bones"
    bl_parent_id = "NEPHIM_PT_character"

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        for armature, bone, text in _BONES:
            column = layout.column(align=True)
            column.prop(settings, armature, text=text)
            if getattr(settings, armature) is not None:
                column.prop_search(settings, bone, getattr(settings, armature).data, "bones", text=" ")
        layout.prop(settings, "cranium", text="Own Skull")
        layout.prop(settings, "jaw", text="Own Jaw")
        layout.prop(settings, "skull_model")
        layout.prop(settings, "skull")
        row = layout.row()
        row.active = settings.skull == REGISTERED
        row.prop(settings, "skull_teeth")


class NEPHIM_PT_stiffness(Step, bpy.types.Panel):
    """Where tissue is as stiff as lips, scalp or cartilage, if detection is not good enough"""

    bl_label = "Stiffness"
    bl_idname = "NEPHIM_PT_stiffness"
    bl_parent_id = "NEPHIM_PT_character"

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        if settings.head is None:
            return
        for region in REGIONS:
            layout.prop_search(settings, f"{region}_group", settings.head, "vertex_groups")


class NEPHIM_PT_fit(Step, bpy.types.Panel):
    """Landmarks of hands and face, such as MediaPipe's, become keys on the character's bones and expressions"""

    bl_label = "Fit"
    bl_idname = "NEPHIM_PT_fit"

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        layout.operator("nephim.fit", icon="ARMATURE_DATA")
        for line in fit.last:
            paragraph(context, layout, line)


class NEPHIM_PT_volume(Step, bpy.types.Panel):
    """Skin, soft tissue, jaw and cranium as one volume"""

    bl_label = "Volume"
    bl_idname = "NEPHIM_PT_volume"
    bl_options = set()

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        state = volume_state()
        layout.prop(settings, "target_edge_mm")
        row = layout.row(align=True)
        row.operator("nephim.volume", text="Build Again" if state.exists else "Build Volume", icon="MESH_ICOSPHERE")
        row.operator("nephim.cutaway", text="", icon="MOD_BOOLEAN")
        layout.label(
            text=state.facts[0] if state.exists else "Not built yet", icon="CHECKMARK" if state.exists else "NONE"
        )


class NEPHIM_PT_volume_facts(Step, bpy.types.Panel):
    """How fine the volume is, and what was closed, repaired or guessed to build it"""

    bl_label = "Quality"
    bl_idname = "NEPHIM_PT_volume_facts"
    bl_parent_id = "NEPHIM_PT_volume"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return volume_state().exists

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        state = volume_state()
        facts = layout.column(align=True)
        for line in state.facts[1:]:
            facts.label(text=line)
        draw_notes(context, layout, state.notes)


class _Pieces(Step):
    """What was found near the skin when the volume was built, each with its check box."""

    bl_parent_id = "NEPHIM_PT_volume"
    listed, tick, heading = "", "", ""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return len(getattr(context.scene.nephim, cls.listed)) > 0

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        layout.use_property_split = False
        layout.label(text=self.heading)
        column = layout.column(align=True)
        for item in getattr(settings, self.listed):
            if item.owner is not None:
                column.prop(item, self.tick, text=piece_text(item))


class NEPHIM_PT_attachments(_Pieces, bpy.types.Panel):
    """Lashes, brows, piercings and the like: what was found on the skin when the volume was built"""

    bl_label = "On the Skin"
    bl_idname = "NEPHIM_PT_attachments"
    listed, tick, heading = "attachments", "carried", "Carried along with the skin:"


class NEPHIM_PT_obstacles(_Pieces, bpy.types.Panel):
    """Eyes, teeth, gums and tongue: what was found behind lids and lips when the volume was built"""

    bl_label = "Behind the Skin"
    bl_idname = "NEPHIM_PT_obstacles"
    listed, tick, heading = "obstacles", "kept_off", "Lids and lips are kept off:"


def piece_text(item: Any) -> str:
    """Pieces on or behind the skin, in a line: 'Lashes (2 pieces)'."""
    name = f"{item.owner.name}: {item.material}" if item.material else item.owner.name
    count = f"{item.pieces} pieces" if item.pieces > 1 else f"{item.vertices} vertices"
    return f"{name} ({count})" if item.pieces else name


CLASSES = (
    NEPHIM_UL_characters,
    NEPHIM_PT_character,
    NEPHIM_PT_axes,
    NEPHIM_PT_bones,
    NEPHIM_PT_stiffness,
    NEPHIM_PT_fit,
    NEPHIM_PT_volume,
    NEPHIM_PT_volume_facts,
    NEPHIM_PT_attachments,
    NEPHIM_PT_obstacles,
)
