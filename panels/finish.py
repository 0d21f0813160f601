# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake, report and comparison."""

from typing import Any

import bpy

from ..bridge.bake.shown import all_obstacles
from ..bridge.pose_correction import figures
from ..operators.modes import why_no_network
from ..operators.report import rows
from ..operators.state import report_state
from .sidebar import Step, entry, paragraph


class NEPHIM_PT_bake(Step, bpy.types.Panel):
    """Bakes the simulation into the character"""

    bl_label = "Bake"
    bl_idname = "NEPHIM_PT_bake"
    bl_options = set()

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        layout.prop(settings, "tolerance_mm")
        layout.prop(settings, "bake_existing")
        layout.prop(settings, "bake_fade")
        column = layout.column(align=True)
        keys = column.operator("nephim.bake", text="To Shape Keys", icon="SHAPEKEY_DATA")
        keys.to, keys.existing = "shape-keys", settings.bake_existing
        column.operator("nephim.bake", text="To Point Cache", icon="FILE_CACHE").to = "point-cache"
        column.operator("nephim.unbake", icon="TRASH")
        if settings.bake_keys:
            layout.label(text=f"{settings.bake_keys} keys, error at most {settings.bake_error_max_mm:.3f} mm")
        if settings.head is not None and settings.head.type == "MESH":
            objects = (settings.head, settings.left, settings.right)
            for text in all_obstacles(obj for obj in objects if obj is not None and obj.type == "MESH"):
                paragraph(context, layout, text, icon="ERROR")


class NEPHIM_PT_report(Step, bpy.types.Panel):
    """How good the result is, in numbers"""

    bl_label = "Report"
    bl_idname = "NEPHIM_PT_report"
    bl_options = set()

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        row = layout.row(align=True)
        row.operator("nephim.report", text="Measure", icon="VIEWZOOM")
        row.operator("nephim.plot", icon="GRAPH")
        row.operator("nephim.pictures", text="Pictures", icon="IMAGE_DATA")
        row = layout.row(align=True)
        row.operator("nephim.correct_pose", icon="VIEW_PAN")
        row.operator("nephim.remove_pose_correction", text="", icon="TRASH")
        for side, of in figures(settings).items():
            layout.label(text=f"{side.title()} hand shifted by up to {of['shift_max_mm']:.1f} mm")
        report = report_state()
        if report is None:
            return
        table = layout.column(align=True)
        for name, value in rows(report):
            entry(context, table, name, value)


class NEPHIM_PT_compare(Step, bpy.types.Panel):
    """Tracked, surface only, physics, reduced physics and network side by side"""

    bl_label = "Compare"
    bl_idname = "NEPHIM_PT_compare"

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        missing = why_no_network()
        if missing:
            paragraph(context, layout, f"Without the network: {missing}", icon="INFO")
        column = layout.column(align=True)
        column.operator("nephim.compare", text="Film and Sheet", icon="RENDER_ANIMATION")
        column.operator("nephim.study", text="Blind Study", icon="HIDE_ON")
        column.operator("nephim.evaluate_study", icon="COMMUNITY")
        layout.operator("nephim.export_take", text="Export Take", icon="EXPORT")


CLASSES = (NEPHIM_PT_bake, NEPHIM_PT_report, NEPHIM_PT_compare)
