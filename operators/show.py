# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a picture file in an Image Editor in a window of its own."""

from pathlib import Path

import bpy


def open_picture(path: Path) -> None:
    """Opens the picture; where a window shows it already, it is read again there."""
    image = bpy.data.images.load(str(path), check_existing=True)
    image.reload()
    shown = [
        area
        for window in bpy.context.window_manager.windows
        for area in window.screen.areas
        if area.type == "IMAGE_EDITOR" and area.spaces.active.image == image
    ]
    for area in shown:
        area.tag_redraw()
    if shown:
        return
    bpy.ops.wm.window_new()
    window = bpy.context.window_manager.windows[-1]
    area = window.screen.areas[0]
    area.type = "IMAGE_EDITOR"
    area.spaces.active.image = image
    area.spaces.active.show_region_ui = area.spaces.active.show_region_toolbar = False
