# SPDX-License-Identifier: GPL-3.0-or-later
"""Export: a simulated take as arrays that others can learn from, and that `import` reads back."""

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ..progress import Job
from .jobs import FileJobOperator
from .simulate import finished_cache_job
from .volume import needs_setup


def export_take_job(scene: Any, path: Path) -> Job[Path]:
    """Writes the finished simulation to `path` (.npz). Raises NephimError."""
    from ..bridge.export import export_job

    yield from finished_cache_job(scene)
    return (yield from export_job(scene, path))


def summary(path: Path) -> str:
    """A summary in one line."""
    return f"Exported {path}: {path.stat().st_size / 1e6:.1f} MB."


class NEPHIM_OT_export_take(FileJobOperator, bpy.types.Operator):
    """Export the simulated take as a file of arrays (npz): surfaces as tracked and as deformed, contacts, bones and settings"""  # noqa: E501

    bl_idname = "nephim.export_take"
    bl_label = "Export Simulated Take"
    bl_options = {"REGISTER"}

    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})  # type: ignore[valid-type]
    check_existing: BoolProperty(default=True, options={"HIDDEN"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def invoke(self, context: bpy.types.Context, event: Any) -> set[str]:
        self.filepath = self.filepath or str(_beside_file())
        return super().invoke(context, event)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        path = Path(bpy.path.abspath(self.filepath)) if self.filepath else _beside_file()
        return export_take_job(context.scene, path.with_suffix(".npz"))

    def summary(self, result: Any) -> str:
        return summary(result)


def _beside_file() -> Path:
    return Path(bpy.data.filepath).with_suffix(".npz")


def menu(self: Any, context: bpy.types.Context) -> None:
    """The entry in File > Export."""
    self.layout.operator(NEPHIM_OT_export_take.bl_idname, text="Simulated Take (NePHIM .npz)")
