# SPDX-License-Identifier: GPL-3.0-or-later
"""The NePHIM tab of the 3D viewport's sidebar."""

import bpy

_ROLES = (("head", "head_group"), ("left", "left_group"), ("right", "right_group"))
_BONES = (("head_armature", "head_bone", "Head bone"), ("jaw_armature", "jaw_bone", "Jaw bone"))


class NEPHIM_PT_sidebar(bpy.types.Panel):
    """Roles, then the steps of the work in their order"""

    bl_label = "NePHIM"
    bl_idname = "NEPHIM_PT_sidebar"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "NePHIM"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.nephim
        layout.use_property_split = True
        layout.use_property_decorate = False
        roles = layout.column()
        for role, group in _ROLES:
            roles.prop(settings, role)
            obj = getattr(settings, role)
            if obj is not None and obj.vertex_groups:
                roles.prop_search(settings, group, obj, "vertex_groups")
        roles.prop(settings, "jaw")
        roles.prop(settings, "cranium")
        for armature, bone, text in _BONES:
            roles.prop(settings, armature, text=text)
            if getattr(settings, armature) is not None:
                roles.prop_search(settings, bone, getattr(settings, armature).data, "bones", text=" ")
        roles.prop(settings, "neutral_frame")
        layout.operator("nephim.setup")
        volume = layout.column()
        volume.prop(settings, "target_edge_mm")
        volume.operator("nephim.volume")
        simulate = layout.column()
        simulate.prop(settings, "use_scene_range")
        if not settings.use_scene_range:
            simulate.prop(settings, "frame_start")
            simulate.prop(settings, "frame_end")
        simulate.prop(settings, "mode")
        simulate.prop(settings, "tissue")
        simulate.prop(settings, "interaction")
        simulate.operator("nephim.simulate")
        bake = layout.column()
        bake.prop(settings, "tolerance_mm")
        bake.operator("nephim.bake", text="Bake to Shape Keys").to = "shape-keys"
        bake.operator("nephim.bake", text="Bake to Point Cache").to = "point-cache"
        layout.operator("nephim.report")
