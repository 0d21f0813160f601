# SPDX-License-Identifier: GPL-3.0-or-later
"""Two arrows in the viewport: where the face and the top of the head were found to be."""

from typing import Any

import bpy
import numpy as np

from ..bridge.direction import arrows

NAMES = ("Front", "Up")
_COLOURS = ((1.0, 0.55, 0.1, 1.0), (0.35, 0.65, 1.0, 1.0))
_TIP, _SLIM = 0.2, 0.4  # length of an arrow's tip relative to the arrow, and its half breadth relative to its length
_LINE, _LETTERS = 3.0, 14.0  # pixels at scale 1

_handles: list[Any] = []


def shown(context: bpy.types.Context) -> Any:
    """The arrows (2, 2, 3) to draw; None for none: switched off, overlays off, the head hidden, or playing."""
    settings, head = context.scene.nephim, context.scene.nephim.head
    space = context.space_data
    if not settings.show_facing or head is None or (space is not None and not space.overlay.show_overlays):
        return None
    if context.screen is not None and context.screen.is_animation_playing:
        return None
    if settings.preview == "off" and not head.visible_get(view_layer=context.view_layer):
        return None
    return arrows(settings)


def strokes(ends: Any) -> Any:
    """Points (k, 3), two a stroke, that draw an arrow (2, 3)."""
    start, end = np.asarray(ends)
    along = end - start
    across = np.cross(along, np.eye(3)[int(np.argmin(np.abs(along)))])
    across *= np.linalg.norm(along) / max(float(np.linalg.norm(across)), 1e-12)
    points = [start, end]
    for side in (across, np.cross(along, across) / max(float(np.linalg.norm(along)), 1e-12)):
        for sign in (-1, 1):
            points += [end, end - _TIP * (along + sign * _SLIM * side)]
    return np.array(points)


def _draw_arrows() -> None:
    ends = shown(bpy.context)
    if ends is None:
        return
    import gpu
    from gpu_extras.batch import batch_for_shader

    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale
    gpu.state.depth_test_set("NONE")  # seen through the head
    for one, colour in zip(ends, _COLOURS, strict=True):
        batch = batch_for_shader(shader, "LINES", {"pos": strokes(one).astype(np.float32)})
        shader.bind()
        shader.uniform_float("viewportSize", (region.width, region.height))
        shader.uniform_float("lineWidth", _LINE * scale)
        shader.uniform_float("color", colour)
        batch.draw(shader)


def _draw_names() -> None:
    ends = shown(bpy.context)
    if ends is None:
        return
    import blf
    from bpy_extras.view3d_utils import location_3d_to_region_2d
    from mathutils import Vector

    scale = bpy.context.preferences.system.ui_scale
    for (_, end), name, colour in zip(ends, NAMES, _COLOURS, strict=True):
        at = location_3d_to_region_2d(bpy.context.region, bpy.context.region_data, Vector(end))
        if at is not None:
            blf.size(0, _LETTERS * scale)
            blf.color(0, *colour)
            blf.position(0, at.x + 0.5 * _LETTERS * scale, at.y, 0)
            blf.draw(0, name)


def register() -> None:
    view = bpy.types.SpaceView3D
    _handles.append(view.draw_handler_add(_draw_arrows, (), "WINDOW", "POST_VIEW"))
    _handles.append(view.draw_handler_add(_draw_names, (), "WINDOW", "POST_PIXEL"))


def unregister() -> None:
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
