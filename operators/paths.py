# SPDX-License-Identifier: GPL-3.0-or-later
"""Where results lie: the folder FILE.nephim beside FILE.blend."""

from pathlib import Path

import bpy

from ..errors import RigError


def data_folder() -> Path:
    """The folder of the open .blend's results; it need not exist yet. Raises RigError if the .blend was never saved."""
    if not bpy.data.filepath:
        raise RigError(
            "The .blend was never saved, so there is no place beside it for the volume and the simulation.",
            advice="Save the file first.",
        )
    return Path(bpy.data.filepath).with_suffix(".nephim")


def volume_path() -> Path:
    return data_folder() / "volume.npz"


def cache_path() -> Path:
    return data_folder() / "simulation.pc2"


def report_path() -> Path:
    return data_folder() / "report.json"
