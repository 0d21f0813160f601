# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures: the strongest contacts, tracked and simulated side by side, as one sheet."""

from pathlib import Path
from typing import Any

import bpy

from ..bridge.cache.open_file import folder
from ..progress import Job
from .jobs import JobOperator
from .show import open_picture
from .simulate import finished_cache_job
from .volume import needs_setup


def pictures_job(scene: Any) -> Job[Path]:
    """Writes `FILE.nephim/contact-sheet.png` and returns its path. Raises NephimError."""
    from ..pictures.contact_sheet import contact_sheet_job

    yield from finished_cache_job(scene)
    path = folder(scene).sheet
    yield from contact_sheet_job(scene, path)
    return path


class NEPHIM_OT_pictures(JobOperator, bpy.types.Operator):
    """Draw the strongest contacts, as animated and as simulated, with displacements in mm, on one sheet and open it"""

    bl_idname = "nephim.pictures"
    bl_label = "Picture Sheet"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return pictures_job(context.scene)

    def summary(self, result: Any) -> str:
        return f"Drawn: {result}"

    def finished(self, context: bpy.types.Context, result: Any) -> None:
        open_picture(result)
