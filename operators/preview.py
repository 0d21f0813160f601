# SPDX-License-Identifier: GPL-3.0-or-later
"""Preview: the result in the viewport while the animation plays; `handlers.py` calls it at every frame."""

import traceback
from dataclasses import replace
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty

from ..bridge import display
from ..bridge.attachments import find_attachments
from ..bridge.cache.moved import sides_of
from ..bridge.cache.open_file import folder
from ..bridge.modifiers import is_tracked
from ..bridge.obstacles import Obstacles, find_obstacles, refined_objects
from ..bridge.plan import Plan, read_plan
from ..bridge.preview import Preview
from ..bridge.scene_time import playback_rate
from ..bridge.surfaces import SurfaceReader, view_layer_of
from ..choices import NETWORK, PHYSICS, REDUCED, SURFACE, VOLUMETRIC, YIELDING
from ..errors import NephimError
from ..progress import Job, Progress
from .jobs import JobOperator, redraw_sidebars
from .modes import start_job
from .preview_choice import Automatic, Choice, first_job
from .volume import load_volume, needs_setup, volume_job

_REDRAWN = 12  # the sidebar is redrawn at multiples of this frame number

AUTO = "auto"
LABELS = {
    "off": "Off",
    AUTO: "Automatic",
    PHYSICS: "Physics",
    REDUCED: "Reduced",
    NETWORK: "Network",
    SURFACE: "Surface",
}

_previews: dict[int, Preview] = {}  # by the scene's session uid
_messages: dict[int, str] = {}  # why a preview switched itself off
_automatic: dict[int, Automatic] = {}  # of those that choose what they run, by the same
_rendering = False


def message(scene: Any) -> str:
    return _messages.get(scene.session_uid, "")


def preview_of(scene: Any) -> Preview | None:
    """The preview running in a scene."""
    return _previews.get(scene.session_uid)


def figures(scene: Any) -> list[str]:
    """Timings of the preview for the sidebar."""
    preview = preview_of(scene)
    if preview is None or not preview.times["all"]:
        return []
    ms = preview.milliseconds()
    return [
        f"{_short(ms['all'])} ms per frame",
        f"read {_short(ms['read'])}, {preview.mode} {_short(ms['step'])}, write {_short(ms['write'])}",
    ]


def chosen_because(scene: Any) -> str:
    """Which method an automatic preview runs, and why; empty for others."""
    automatic = _automatic.get(scene.session_uid)
    return automatic.choice.why(LABELS) if automatic is not None and preview_of(scene) is not None else ""


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.1f}"


def preview_job(scene: Any, mode: str) -> Job[str]:
    """Switches the preview to a mode of `LABELS`; builds the volume if there is none. Raises NephimError."""
    switch_off(scene)
    if mode == "off":
        return "The preview is off."
    read_plan(scene)  # raises for what cannot be previewed, before anything is built
    if not folder(scene).volume.exists():
        yield from volume_job(scene)
    preview = yield from _prepare_job(scene, mode)
    settings = scene.nephim
    settings.preview = mode
    _previews[scene.session_uid] = preview
    display.show(scene, view_layer_of(scene), _objects(scene, preview), preview.copied)
    refresh(scene)
    return f"The preview shows {LABELS[preview.mode].lower()}: play the animation."


def _end(scene_uid: int) -> Preview | None:
    """Forgets a scene's preview; returns it."""
    automatic = _automatic.pop(scene_uid, None)
    if automatic is not None:
        automatic.close()
    return _previews.pop(scene_uid, None)


def _prepare_job(scene: Any, mode: str) -> Job[Preview]:
    plan = read_plan(scene)
    rig = plan.rig
    yield Progress("preview", 0.0, "reading the neutral frame")
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        template = load_volume(surfaces, plan)
        attachments = find_attachments(scene, rig, reader, surfaces, template)
        may_yield = mode in (AUTO, *YIELDING)
        knows_obstacles = mode in (AUTO, *VOLUMETRIC)
        obstacles = find_obstacles(scene, rig, reader, surfaces, template) if knows_obstacles else Obstacles()
        reader.read(rig.neutral_frame)  # the bones' neutral pose as well

    def make(chosen: str) -> Job[Any]:
        return start_job(replace(plan.method, mode=chosen), template, surfaces, obstacles)

    if mode == AUTO:
        automatic = Automatic(Choice(_candidates(plan), playback_rate(scene)), make)
        simulation = yield from first_job(automatic.choice, make, template, surfaces)
        mode = automatic.choice.mode
        _automatic[scene.session_uid] = automatic
    else:
        simulation = yield from make(mode)
    attached = {one.object_name for one in attachments.objects}
    refined = refined_objects(scene, view_layer_of(scene), obstacles.parts, attached)
    hands = sides_of(rig) if plan.method.yielding_hands and may_yield else ()
    return Preview(scene, rig, simulation, template, reader, attachments, refined, mode, hands)


def _candidates(plan: Plan) -> list[str]:
    """What an automatic preview chooses among: networks are for the character alone that they were trained on."""
    return [*VOLUMETRIC, *([NETWORK] if plan.folder.weights.is_file() else [])]


def switch_off(scene: Any) -> None:
    """Restores the scene to its state before the preview."""
    _end(scene.session_uid)
    _messages.pop(scene.session_uid, None)
    display.hide(scene)
    if scene.nephim.preview != "off":
        scene.nephim.preview = "off"


def refresh(scene: Any) -> None:
    """Shows the current frame again."""
    if scene.session_uid in _previews:
        scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)


def frame_changed(scene: Any, depsgraph: Any) -> None:
    """Called by Blender after every change of the frame. Never raises: a preview that fails switches itself off."""
    preview = _previews.get(scene.session_uid)
    if preview is None or _rendering or is_tracked() or depsgraph.mode == "RENDER" or scene.nephim.preview == "off":
        return
    try:
        preview.update(scene, depsgraph)
        automatic = _automatic.get(scene.session_uid)
        if automatic is not None:
            automatic.consider(preview, playback_rate(scene))
        if scene.frame_current % _REDRAWN == 0 and not bpy.app.background:
            redraw_sidebars(bpy.context)  # its timings; Blender does not redraw the sidebar during playback
    except NephimError as error:
        _fail(scene, str(error))
    except Exception as error:  # noqa: BLE001 - playback must go on whatever happens; the error is shown and logged once
        traceback.print_exc()
        _fail(scene, f"The preview failed ({type(error).__name__}: {error}). The console has the details.")


def _fail(scene: Any, text: str) -> None:
    uid = scene.session_uid
    _end(uid)
    print(f"NePHIM: the preview of '{scene.name}' switched itself off. {text}")

    def end() -> None:
        for found in bpy.data.scenes:
            if found.session_uid == uid:
                switch_off(found)
                _messages[uid] = text
        redraw_sidebars(bpy.context)

    _messages[uid] = text
    later(end)


def later(function: Any) -> None:
    """Calls outside Blender's handlers, where anything may be changed; immediately where timers never run."""
    if bpy.app.background:
        function()
    else:
        bpy.app.timers.register(function, first_interval=0.0)


def resume() -> None:
    """After loading or undo: restarts the previews stored in the file, ends the others and drops histories."""
    for scene in bpy.data.scenes:
        wanted = scene.nephim.preview
        preview = _previews.get(scene.session_uid)
        if wanted == "off":
            _end(scene.session_uid)
        elif preview is not None:
            preview.restart()
            refresh(scene)
        else:
            try:
                for _ in preview_job(scene, wanted):
                    pass
            except NephimError as error:
                switch_off(scene)
                _messages[scene.session_uid] = str(error)
    redraw_sidebars(bpy.context)


def colour_changed(scene: Any) -> None:
    """The user chose other colours: repaints the current frame and lets viewports in solid shading show them."""
    if scene.nephim.preview_object is None:
        return
    display.colour_by(scene, scene.nephim.preview_colour)
    coloured = scene.nephim.preview_colour != "none"
    for area in (area for window in bpy.context.window_manager.windows for area in window.screen.areas):
        if area.type == "VIEW_3D" and area.spaces.active.shading.type == "SOLID":
            area.spaces.active.shading.color_type = "VERTEX" if coloured else "MATERIAL"
    refresh(scene)


def settings_changed(scene: Any) -> None:
    """The tissue has changed: restarts the preview with it."""
    if _end(scene.session_uid) is not None:
        later(resume)


def forget_all() -> None:
    """Another file is loaded: drops all previews of the last one."""
    for uid in list(_previews):
        _end(uid)
    _messages.clear()


def set_rendering(rendering: bool) -> None:
    """A render shows only what was baked: pauses previews while it runs."""
    global _rendering
    if rendering == _rendering:
        return
    _rendering = rendering
    for scene in bpy.data.scenes:
        display.mute_results(scene, not rendering)


def put_away() -> None:
    """Before the file is written: keeps previews out of it."""
    for scene in bpy.data.scenes:
        if scene.nephim.preview != "off":
            display.hide(scene)


def take_out() -> None:
    """After the file was written: restores the previews."""
    for scene in bpy.data.scenes:
        preview = _previews.get(scene.session_uid)
        if preview is not None:
            display.show(scene, view_layer_of(scene), _objects(scene, preview), preview.copied)
            refresh(scene)


def end_all() -> None:
    """The add-on is being disabled: restores every scene."""
    for scene in bpy.data.scenes:
        if scene.nephim.preview != "off":
            switch_off(scene)
    forget_all()


def _objects(scene: Any, preview: Preview) -> list[Any]:
    """Head, hands and obstacles, but for visible objects that are shown as copies."""
    settings, layer = scene.nephim, view_layer_of(scene)
    copied = [scene.objects.get(one.object_name) for one in preview.copied]
    obstacles = [scene.objects.get(part.object_name) for part in preview.reader.obstacles]
    others = [obj for obj in (settings.left, settings.right, *obstacles) if obj is not None]
    apart = [obj for obj in others if obj not in copied or not obj.visible_get(view_layer=layer)]
    return list(dict.fromkeys([settings.head, *apart]))


class NEPHIM_OT_preview(JobOperator, bpy.types.Operator):
    """Show the result in the viewport while the animation plays; builds the volume first if there is none"""

    bl_idname = "nephim.preview"
    bl_label = "Live Preview"
    bl_options = {"REGISTER", "UNDO"}

    mode: EnumProperty(  # type: ignore[valid-type]
        name="Mode",
        items=[
            ("off", "Off", "The head as it is animated"),
            (
                AUTO,
                "Automatic",
                "The physics where it keeps up with playback, else the reduced physics, else the "
                "character's own network if there is one",
            ),
            ("physics", "Physics", "The volumetric simulation; slower than real time where hands touch"),
            ("reduced", "Reduced Physics", "The physics with less work per frame: any character, without training"),
            ("network", "Network", "The trained network, in real time"),
            ("surface", "Surface Only", "The skin alone, as a baseline for comparison"),
        ],
        default=AUTO,
    )
    play: BoolProperty(name="Play", description="Start playback in the window", default=True)  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return preview_job(context.scene, self.mode)

    def summary(self, result: Any) -> str:
        return result

    def finished(self, context: bpy.types.Context, result: Any) -> None:
        if self.play and self.mode != "off" and not context.screen.is_animation_playing:
            bpy.ops.screen.animation_play()
