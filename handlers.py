# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender calls on its own: frame changes, undo, loading, saving, rendering. All persistent, all thin."""

from typing import Any

import bpy
from bpy.app.handlers import persistent

from .errors import RigError
from .migration import VERSION, migrate
from .operators import background_training, moved, preview

_name_before = ""  # of the file that is being saved


def _all_settings() -> list[Any]:
    """Those of all characters of the file's own scenes."""
    scenes = [scene for scene in bpy.data.scenes if scene.library is None]
    others = [character.settings for scene in scenes for character in scene.nephim_cast.characters]
    return [*(scene.nephim for scene in scenes), *others]


def _migrate_scenes() -> None:
    """Settings of older versions become those of this one; where a newer one has written them, that is said."""
    for note in {migrate(settings) for settings in _all_settings()} - {""}:
        moved.say(RigError(note))


@persistent
def _frame_changed(scene: Any, depsgraph: Any) -> None:
    preview.frame_changed(scene, depsgraph)


@persistent
def _undone(*_: Any) -> None:
    preview.later(preview.resume)


@persistent
def _before_load(*_: Any) -> None:
    preview.forget_all()


@persistent
def _loaded(*_: Any) -> None:
    preview.forget_all()
    _migrate_scenes()
    moved.say(moved.missing_caches(bpy.data.scenes))
    if not bpy.app.background:  # a render farm needs no preview
        preview.later(preview.resume)
        background_training.begin_watching()


@persistent
def _before_save(*_: Any) -> None:
    global _name_before
    _name_before = bpy.data.filepath
    for settings in _all_settings():
        if settings.version == 0:  # made since
            settings.version = VERSION
    preview.put_away()


@persistent
def _saved(*_: Any) -> None:
    moved.say(moved.saved_elsewhere(_name_before, bpy.data.filepath))
    preview.take_out()


@persistent
def _render_begins(*_: Any) -> None:
    preview.set_rendering(True)


@persistent
def _render_ended(*_: Any) -> None:
    preview.set_rendering(False)


_HANDLERS = {
    "frame_change_post": _frame_changed,
    "undo_post": _undone,
    "redo_post": _undone,
    "load_pre": _before_load,
    "load_post": _loaded,
    "save_pre": _before_save,
    "save_post": _saved,
    "save_post_fail": _saved,
    "render_init": _render_begins,
    "render_complete": _render_ended,
    "render_cancel": _render_ended,
}


def register() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
    if bpy.app.timers.is_registered(preview.resume):
        bpy.app.timers.unregister(preview.resume)
    background_training.end_watching()
    preview.end_all()
