# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own preset menu for simulation and bake; users' presets are stored in Blender's preset folder."""

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

_FOLDER = "nephim"


class NEPHIM_MT_presets(bpy.types.Menu):
    """Presets of the simulation"""

    bl_label = "NePHIM Presets"
    preset_subdir = _FOLDER
    preset_operator = "script.execute_preset"
    draw = bpy.types.Menu.draw_preset


class NEPHIM_PT_presets(PresetPanel, bpy.types.Panel):
    """Presets of the simulation"""

    bl_label = "NePHIM Presets"
    preset_subdir = _FOLDER
    preset_operator = "script.execute_preset"
    preset_add_operator = "nephim.add_preset"


class NEPHIM_OT_add_preset(AddPresetBase, bpy.types.Operator):
    """Save mode, tissue, interaction, edge length and tolerance as a preset, or remove one"""

    bl_idname = "nephim.add_preset"
    bl_label = "Add NePHIM Preset"
    preset_menu = "NEPHIM_MT_presets"
    preset_subdir = _FOLDER
    preset_defines = ("settings = bpy.context.scene.nephim",)
    preset_values = (
        "settings.mode",
        "settings.tissue",
        "settings.interaction",
        "settings.target_edge_mm",
        "settings.tolerance_mm",
    )


CLASSES = (NEPHIM_MT_presets, NEPHIM_PT_presets, NEPHIM_OT_add_preset)
