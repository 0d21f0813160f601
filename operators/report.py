# SPDX-License-Identifier: GPL-3.0-or-later
"""Report: how good the simulation and the bake are, in numbers."""

from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ..bridge.cache.open_file import folder
from ..errors import CacheError
from ..progress import Job
from . import state
from .jobs import JobOperator, is_free
from .show import open_picture
from .simulate import finished_cache_job
from .volume import needs_setup


def report_to_job(scene: Any, path: Path) -> Job[dict]:
    """Measures and writes `path` as JSON; returns what was written. Raises NephimError."""
    from ..bridge.report import report_job

    yield from finished_cache_job(scene)
    return (yield from report_job(scene, path))


def rows(report: dict) -> list[tuple[str, str]]:
    """The key figures: name and value."""
    before, after = report["penetration_mm"]["before"], report["penetration_mm"]["after"]
    hands, together = report.get("hand_displacement_max_mm"), report.get("hands_mm")
    volume, ms = report["volume_ratio"], report["ms_per_frame"]
    baked, shown = report.get("bake_error_mm"), report.get("shown_error_mm")
    return [
        ("mode", report["mode"]),
        ("frames", f"{report['frames']}"),
        ("skin, volume", f"{report['skin_vertices']} vertices, {report['tets']} tetrahedra"),
        ("penetration before", _depth(before)),
        ("penetration after", _depth(after)),
        ("  where bone permits", _depth(after["avoidable"])),
        ("  where bone stops it", _depth(after["bone_limited"])),
        *([] if not together else [("hands in each other", _together(together))]),
        *((f"{side} hand's pose", _corrected(of)) for side, of in report.get("pose_correction", {}).items()),
        ("skin in eyes and teeth", _in_obstacles(report)),
        *([] if hands is None else [("hands moved by up to", f"{hands:.2f} mm")]),
        ("volume ratio", f"{volume['p1']:.2f} … {volume['p99']:.2f} (1 % … 99 %), {report['inverted_tets']} inverted"),
        ("rest error", f"{report['rest_error_mm']:.4f} mm without contact"),
        ("bake error", "not baked" if baked is None else f"{baked:.3f} mm"),
        ("shown in the scene", "nothing baked" if shown is None else f"{shown:.3f} mm from the simulation"),
        ("time per frame", f"{ms['p50']:.0f} ms (p95 {ms['p95']:.0f} ms)"),
        *((f"jitter of '{name}'", _jitter(of)) for name, of in report.get("jitter", {}).items()),
    ]


def _depth(of: dict) -> str:
    return f"p95 {of['p95']:.2f} mm, max {of['max']:.2f} mm"


def _together(of: dict) -> str:
    """Of the hands, before and after they yielded."""
    if not of["before"]["samples"]:
        return "nowhere"
    return f"max {of['before']['max']:.2f} mm before, {_depth(of['after'])} after"


def _corrected(of: dict) -> str:
    """Of a hand."""
    return f"corrected by up to {of['shift_max_mm']:.1f} mm, {of['too_deep_mm']:.1f} mm too deep"


def _jitter(of: dict) -> str:
    """Of a capture, before and after the filter."""
    if "after_mm" not in of:
        return f"{of['before_mm']:.2f} mm, not smoothed"
    return f"{of['before_mm']:.2f} mm captured, {of['after_mm']:.2f} mm smoothed at {of['cut_off_hz']:g} Hz"


def _in_obstacles(report: dict) -> str:
    depth = report.get("obstacles")
    return "none found" if depth is None else f"{depth['added_mm']:.2f} mm deeper than animated"


def table(report: dict) -> str:
    """The same, one per line."""
    width = max(len(name) for name, _ in rows(report))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows(report))


class NEPHIM_OT_report(JobOperator, bpy.types.Operator):
    """Measure penetration, volume, rest and bake error"""

    bl_idname = "nephim.report"
    bl_label = "Report"
    bl_options = {"REGISTER"}

    json: StringProperty(name="File", subtype="FILE_PATH", description="Empty: beside the .blend")  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return report_to_job(context.scene, Path(bpy.path.abspath(self.json)) if self.json else folder().report)

    def summary(self, result: Any) -> str:
        before, after = (result["penetration_mm"][when]["max"] for when in ("before", "after"))
        return f"Measured {result['frames']} frames: deepest penetration {before:.1f} mm before, {after:.1f} mm after"


class NEPHIM_OT_plot(bpy.types.Operator):
    """Draw the report frame by frame (penetration before and after, volume, time) and open the picture"""

    bl_idname = "nephim.plot"
    bl_label = "Plot"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_free(cls):
            return False
        if state.report_state() is None:
            cls.poll_message_set("Measure first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..pictures.plot import plot_report

        report = state.report_state()
        assert report is not None  # see poll
        try:
            path = plot_report(report, folder().plot)
        except CacheError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not bpy.app.background:
            open_picture(path)
        self.report({"INFO"}, f"Drawn: {path}")
        return {"FINISHED"}
