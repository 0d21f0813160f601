# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests need inside Blender's window, run there once: the add-on, and questions about the sidebar."""

import time

import bpy
import nephim

nephim.register()
bpy.context.preferences.view.show_splash = False
bpy.context.preferences.system.use_region_overlap = False  # drawing the sidebar would draw the viewport as well


def view():
    """The largest 3D viewport."""
    areas = [area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D"]
    return max(areas, key=lambda area: area.width * area.height)


def sidebar():
    view().spaces.active.show_region_ui = True
    return next(region for region in view().regions if region.type == "UI")


def place():
    region = sidebar()
    return [region.x, region.y, region.width, region.height, region.active_panel_category]


def hovered():
    """The Python command of the button under the mouse, '' where there is none."""
    window = bpy.context.window_manager.windows[0]
    window_manager = bpy.context.window_manager
    with bpy.context.temp_override(window=window, area=view(), region=sidebar()):
        if not bpy.ops.ui.copy_python_command_button.poll():
            return ""
        window_manager.clipboard = ""
        bpy.ops.ui.copy_python_command_button()
    return window_manager.clipboard


def file_button():
    """Where the button is that ends the file window; None without such a window."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if area.type == "FILE_BROWSER" and region.type == "EXECUTE":
                    # It is the last one of the row.
                    return [window.x + region.x + 0.88 * region.width, window.y + region.y + region.height / 2]
    return None


def tidy():
    """For pictures of a face: lines of lamps, grid and parents would cross it."""
    overlay = view().spaces.active.overlay
    for name in ("extras", "relationship_lines", "floor", "axis_x", "axis_y", "cursor"):
        setattr(overlay, f"show_{name}", False)


def redraw_seconds(frames):
    """What drawing the whole window takes at each of the frames [s], after the scene has been evaluated there."""
    window, seconds = bpy.context.window_manager.windows[0], []
    region = next(region for region in view().regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, screen=window.screen, area=view(), region=region):
        for frame in frames:
            bpy.context.scene.frame_set(frame)
            started = time.perf_counter()
            bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
            seconds.append(time.perf_counter() - started)
    return seconds


def redraw():
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            area.tag_redraw()
