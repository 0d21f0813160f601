# SPDX-License-Identifier: GPL-3.0-or-later
"""The NePHIM tab of the 3D viewport's sidebar: the running job and the last error; the steps are sub-panels."""

import textwrap
from typing import Any

import bpy

from ..errors import SizeError
from ..operators import jobs, problems

_LETTER = 7.0  # average width of a character in the interface [pixels at scale 1]
_FEWEST = 20  # letters of a line, however narrow the sidebar
_NAMES, _INDENT = 0.42, 0.08  # shares of the width: names beside their values, and what stands before those below
_MARGIN = 45.0  # of a box with an icon, in the same unit


class Tab:
    """Where all panels of the add-on appear."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "NePHIM"


class Step(Tab):
    """A step of the workflow: a sub-panel in two columns."""

    bl_parent_id = "NEPHIM_PT_sidebar"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout  # type: ignore[attr-defined]
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.enabled = jobs.running is None
        self.step(context, layout, context.scene.nephim)

    def step(self, context: bpy.types.Context, layout: Any, settings: Any) -> None:
        raise NotImplementedError


class NEPHIM_PT_sidebar(Tab, bpy.types.Panel):
    """Hands that really touch faces, in the order of the workflow"""

    bl_label = "NePHIM"
    bl_idname = "NEPHIM_PT_sidebar"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if jobs.running is not None:
            _draw_running(layout, jobs.running)
        elif problems.last is not None:
            _draw_problem(context, layout, problems.last)
        if context.scene.nephim.head is None and jobs.running is None:
            layout.operator("nephim.add_demo", icon="USER")


def _draw_running(layout: Any, job: jobs.Running) -> None:
    box = layout.box()
    percent = f"{100 * job.progress.done:.0f} %"
    box.progress(factor=job.progress.done, text=f"{percent}, {job.left} left" if job.left else percent)
    detail = f", {job.progress.detail}" if job.progress.detail else ""
    box.label(text=f"{job.label}: {job.progress.step}{detail}")
    box.operator("nephim.cancel", icon="CANCEL")


def _draw_problem(context: bpy.types.Context, layout: Any, problem: Any) -> None:
    box = layout.box()
    paragraph(context, box, str(problem), icon="ERROR")
    row = box.row()
    if isinstance(problem, SizeError):
        row.operator("nephim.fit_size", icon="FULLSCREEN_EXIT")
    if problem.vertices:
        row.operator("nephim.select_problem", icon="VERTEXSEL")
    row.operator("nephim.dismiss_problem", icon="X")


def paragraph(context: bpy.types.Context, layout: Any, text: str, icon: str = "NONE", share: float = 1.0) -> None:
    """Text wrapped to the width of the sidebar, or to a share of it."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(wrapped(context, text, share)):
        column.label(text=line, icon="NONE" if number and icon == "NONE" else (icon if not number else "BLANK1"))


def wrapped(context: bpy.types.Context, text: str, share: float = 1.0) -> list[str]:
    """The lines of a paragraph."""
    scale = context.preferences.system.ui_scale
    letters = int((share * context.region.width / scale - _MARGIN) / _LETTER)
    return textwrap.wrap(text, max(_FEWEST, letters))


def entry(context: bpy.types.Context, layout: Any, name: str, value: str) -> None:
    """A line of a table: the name, and the value beside it where both fit in one line, else below."""
    if len(wrapped(context, f"{name}  {value}")) == 1:
        split = layout.split(factor=_NAMES)
        split.label(text=name)
        split.label(text=value)
    else:
        layout.label(text=name)
        below = layout.split(factor=_INDENT)
        below.label()
        paragraph(context, below, value, share=1.0 - _INDENT)
