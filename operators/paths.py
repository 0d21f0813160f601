# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the folder FILE.nephim beside FILE.blend. All raise CacheError if the .blend was never saved."""

from pathlib import Path

import bpy

from ..bridge.cache.point_cache import folder_beside


def volume_path() -> Path:
    return folder_beside(bpy.data.filepath) / "volume.npz"


def cache_path() -> Path:
    return folder_beside(bpy.data.filepath) / "simulation.pc2"


def report_path() -> Path:
    return folder_beside(bpy.data.filepath) / "report.json"


def plot_path() -> Path:
    return folder_beside(bpy.data.filepath) / "report.png"
