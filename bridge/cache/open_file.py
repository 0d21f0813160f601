# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the file that is open in Blender; the names in it are those of `folder.py`, which knows no Blender."""

import bpy

from .folder import Folder, folder_beside


def folder() -> Folder:
    """The folder of the open file. Raises CacheError if it has never been saved."""
    return folder_beside(bpy.data.filepath)
