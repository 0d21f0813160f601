# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate, network, preview."""

from typing import Any

import bpy

from ..choices import YIELDING, frame_range
from ..operators import jobs, preview
from ..operators.background_training import training
from ..operators.modes import why_no_network
from ..operators.state import cache_state, has_torch, network_name
from .presets import NEPHIM_PT_presets
from .sidebar import Step, paragraph

_NO_TORCH = (
    "Training needs PyTorch, which Blender does not include: install it into Blender's Python, or train on the command "
    "line (docs/network.md). Everything else works without it."
)
_STATES = {
    "missing": ("Nothing simulated yet", "BLANK1"),
    "partial": ("Partial", "TEMP"),
    "stale": ("Stale", "ERROR"),
    "valid": ("Valid", "CHECKMARK"),
}


class NEPHIM_PT_simulate(Step, bpy.types.Panel):
    """Runs every frame through the physics, into a cache on disk"""

    bl_label = "Simulate"
    bl_idname = "NEPHIM_PT_simulate"
    bl_options = set()

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        self.layout.enabled = jobs.running is None
        NEPHIM_PT_presets.draw_panel_header(self.layout)

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        layout.prop(settings, "use_scene_range")
        if not settings.use_scene_range:
            frames = layout.column(align=True)
            frames.prop(settings, "frame_start")
            frames.prop(settings, "frame_end")
        layout.prop(settings, "mode")
        layout.prop(settings, "tissue")
        layout.prop(settings, "interaction")
        row = layout.row()
        row.active = settings.mode in YIELDING
        row.prop(settings, "yielding_hands")
        status = cache_state(context.scene)
        text, icon = _STATES[status.state]
        total = len(frame_range(context.scene))
        if status.state != "missing":
            text = f"{text}: {status.done} of {total} frames"
        layout.label(text=text, icon=icon)
        if status.state == "stale":
            paragraph(context, layout, status.reason)
        row = layout.row(align=True)
        row.operator("nephim.simulate", text="Resume" if status.state == "partial" and status.done else "Simulate",
                     icon="PHYSICS")  # fmt: skip
        row.operator("nephim.clear", text="", icon="TRASH")


class NEPHIM_PT_network(Step, bpy.types.Panel):
    """A small network that reproduces the physics in real time"""

    bl_label = "Network"
    bl_idname = "NEPHIM_PT_network"

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        missing = why_no_network()
        if missing:
            paragraph(context, layout, missing, icon="INFO")
        else:
            layout.label(text=network_name(), icon="CHECKMARK")
        if not has_torch():
            paragraph(context, layout, _NO_TORCH, icon="INFO")
        present = training()
        if present is not None and present.runs:
            layout.progress(factor=present.done, text=f"{100 * present.done:.0f} %")
        if present is not None:
            paragraph(context, layout, present.text)
        row = layout.row(align=True)
        # Training continues from the existing network; adapting it to another person takes minutes.
        row.operator("nephim.start_training", text="Train" if missing else "Adapt", icon="MODIFIER")
        row.operator("nephim.stop_training", text="", icon="CANCEL")
        row = layout.row(align=True)
        row.operator("nephim.load_network", text="Load", icon="FILEBROWSER")
        row.operator("nephim.evaluate", text="Evaluate", icon="VIEWZOOM")


class NEPHIM_PT_preview(Step, bpy.types.Panel):
    """The result while the animation plays"""

    bl_label = "Live Preview"
    bl_idname = "NEPHIM_PT_preview"
    bl_options = set()

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        grid = layout.grid_flow(columns=3, row_major=True, even_columns=True, align=True)  # six in a row are cut off
        for mode, text in preview.LABELS.items():
            cell = grid.row(align=True)
            cell.enabled = mode != "network" or not why_no_network()
            cell.operator("nephim.preview", text=text, depress=settings.preview == mode).mode = mode
        layout.prop(settings, "preview_colour")
        if settings.preview_colour == "displacement":
            layout.prop(settings, "preview_scale_mm")
        message = preview.message(context.scene)
        if message:
            paragraph(context, layout, message, icon="ERROR")
        because = preview.chosen_because(context.scene)
        if because:
            paragraph(context, layout, because)
        for line in preview.figures(context.scene):
            layout.label(text=line)


CLASSES = (NEPHIM_PT_simulate, NEPHIM_PT_network, NEPHIM_PT_preview)
