# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a picture file in an Image Editor in its own window."""

from functools import partial
from pathlib import Path

import bpy

_DRAWN = 0.2  # [s] until a new window has been drawn


def open_picture(path: Path) -> None:
    """Opens the picture; a window that already shows it reloads it."""
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
    bpy.app.timers.register(partial(_fit, image.name), first_interval=_DRAWN)


def _fit(name: str) -> None:
    """Fits the picture to its window, whose size is known once it has been drawn."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            image = area.spaces.active.image if area.type == "IMAGE_EDITOR" else None
            if image is not None and image.name == name:
                region = next(region for region in area.regions if region.type == "WINDOW")
                with bpy.context.temp_override(window=window, area=area, region=region):
                    bpy.ops.image.view_all(fit_view=True)
