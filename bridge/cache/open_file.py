# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the file that is open in Blender; the names in it are those of `folder.py`, which knows no Blender."""

from typing import Any

import bpy

from .folder import Folder, folder_beside


def folder(scene: Any = None) -> Folder:
    """The folder of the character that is chosen in a scene, by default the present one: FILE.nephim for the first, a
    folder in it for others. Raises CacheError if the file has never been saved."""
    whole = folder_beside(bpy.data.filepath)
    cast = (scene or bpy.context.scene).nephim_cast
    part = cast.characters[cast.shown].folder if len(cast.characters) else ""
    return Folder(whole.path / part) if part else whole
