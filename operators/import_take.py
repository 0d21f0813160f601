# SPDX-License-Identifier: GPL-3.0-or-later
"""Import: captured surfaces over time become head and hand objects, checked and set up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from ..bridge.face_capture import add_capture
from ..bridge.scene_time import playback_rate
from ..bridge.takes import added_take, read_scene_file
from ..choices import AUTO, POINT_CACHE, SHAPE_KEYS, TRACK_ROLES, UNITS, UP_AXES
from ..errors import NephimError
from ..progress import Job, Progress, aside
from ..tracks.checks import Take, check_take
from ..tracks.face_capture import FaceCapture, read_face_capture
from ..tracks.meshes import MESHES
from ..tracks.read import FACE_CAPTURES, KINDS, SCENES, Models, read_models, read_take, with_roles
from ..tracks.smoothing import smoothed, smoothed_capture, with_jitter
from ..tracks.track import HEAD, LEFT, RIGHT, Track
from . import setup
from .jobs import FilesJobOperator, is_free


def import_job(
    scene: Any,
    paths: Sequence[Path],
    blend: Path,
    *,
    frame_rate: float | None = None,
    units: str | None = None,
    up: str | None = None,
    roles: Sequence[str] = (),
    models: Sequence[Path] = (),
    smooth: float | None = None,
    rotate_head: bool = False,
) -> Job[list[str]]:
    """Reads and checks takes, then adds them to the scene with their point caches beside `blend`; returns what was
    found and changed, to show.

    frame_rate [1/s], units ('mm', 'cm', 'm') and up ('y', 'z') override what is found. roles: one for each surface.
    models: meshes or body models that the takes belong to. smooth: cut-off [1/s] of a low-pass filter. rotate_head:
    face captures turn the head as well. Raises NephimError before anything is added or written.
    """
    tracks: list[Track] = []
    captures: list[FaceCapture] = []
    known = yield from aside(_models_job(models))
    for number, path in enumerate(paths):
        yield Progress("Reading", number / len(paths), path.name)
        if path.suffix.lower() in SCENES and path.is_file():
            tracks += yield from read_scene_file(scene, path, frame_rate)
        elif path.suffix.lower() == FACE_CAPTURES:
            captures.append((yield from aside(_capture_job(path, frame_rate, smooth))))
        else:
            tracks += yield from aside(_read_job(path, known))
    take = (
        (yield from aside(_check_job(tracks, frame_rate, units, up, roles, smooth))) if tracks or not captures else None
    )
    yield Progress("Building the scene", 0.0)
    # From here to the end in one go: Esc must not leave a half of it.
    said = list(known.said)
    for capture in captures:
        said += add_capture(scene, capture, scene.frame_start, rotate=rotate_head)
    if take is not None:
        said += [*take.said, _added(scene, take, blend)]
    return said


def _added(scene: Any, take: Take, blend: Path) -> str:
    """Adds the take and chooses head and hands, or leaves nothing behind; one sentence."""
    with added_take(scene, take, blend) as added:
        return _set_up(scene, take, added)


def _capture_job(path: Path, frame_rate: float | None, smooth: float | None) -> Job[FaceCapture]:
    yield Progress("Reading", 0.0, path.name)
    capture = read_face_capture(path, frame_rate)
    return smoothed_capture(capture, smooth) if smooth else capture


def _models_job(paths: Sequence[Path]) -> Job[Models]:
    yield Progress("Reading models", 0.0)
    return read_models(paths)


def _read_job(path: Path, models: Models) -> Job[list[Track]]:
    yield Progress("Reading", 0.0, path.name)
    return read_take(path, models)


def _check_job(
    tracks: Sequence[Track],
    frame_rate: float | None,
    units: str | None,
    up: str | None,
    roles: Sequence[str],
    smooth: float | None,
) -> Job[Take]:
    yield Progress("Checking", 0.0)
    take = check_take(with_roles(tracks, roles), frame_rate=frame_rate, units=units, up=up)
    yield Progress("Checking", 0.5)
    return smoothed(take, smooth) if smooth else with_jitter(take)


def _set_up(scene: Any, take: Take, added: Sequence[Any]) -> str:
    """Chooses head and hands, those that were chosen before where the take has none; one sentence."""
    settings = scene.nephim
    names = {
        role: f"{obj.name}:{role}" if track.parts else obj.name
        for track, obj in zip(take.tracks, added, strict=True)
        for role in (track.parts or [track.role])
    }
    text = f"Imported {take.n_frames} frames at {take.frame_rate:g} per second"
    if HEAD in names and (LEFT in names or RIGHT in names):
        neutral = scene.frame_start + round(take.neutral * playback_rate(scene) / take.frame_rate)
        left, right = names.get(LEFT), names.get(RIGHT)
        found = setup.setup(scene, head=names[HEAD], left=left, right=right, neutral_frame=neutral)
        return f"{text}. {setup.summary(found)}"
    chosen = [name for role in (HEAD, LEFT, RIGHT) for name in (role, f"{role}_group")]
    before = {name: getattr(settings, name) for name in chosen}
    for role, obj in zip((track.role for track in take.tracks), added, strict=True):
        if role:
            setattr(settings, role, obj)
            setattr(settings, f"{role}_group", "")
    if settings.head is not None and (settings.left is not None or settings.right is not None):
        try:
            return f"{text}. {setup.summary(setup.checked_rig(scene))}"
        except NephimError:
            for name, value in before.items():
                setattr(settings, name, value)
            raise
    missing = "a hand" if settings.head is not None else "the head"
    return f"{text}: {', '.join(names.values())}. Import {missing} as well to simulate."


def bake_target(scene: Any) -> str:
    """Where a bake has an effect: shape keys have none below a Mesh Cache."""
    head = scene.nephim.head
    played = head is not None and any(modifier.type == "MESH_CACHE" for modifier in head.modifiers)
    return POINT_CACHE if played else SHAPE_KEYS


def summary(said: Sequence[str]) -> str:
    """Everything that was found and changed, a line each, the sentence on the result last."""
    return "\n".join(said)


class NEPHIM_OT_import_take(FilesJobOperator, bpy.types.Operator):
    """Import captured surfaces over time as head and hands that play a point cache; unit, axes, winding and gaps are checked first"""  # noqa: E501

    bl_idname = "nephim.import_take"
    bl_label = "Import Captured Face and Hands"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(default=";".join(f"*{kind}" for kind in (*KINDS, *MESHES)), options={"HIDDEN"})  # type: ignore[valid-type]
    role: EnumProperty(name="Surface", description="What the file shows", items=TRACK_ROLES)  # type: ignore[valid-type]
    units: EnumProperty(name="Unit", description="Unit of the positions in the file", items=UNITS)  # type: ignore[valid-type]
    up: EnumProperty(name="Up", description="Axis of the file that points up", items=UP_AXES)  # type: ignore[valid-type]
    frame_rate: FloatProperty(name="Frame Rate", description="Of the take; 0: as the file says", min=0)  # type: ignore[valid-type]
    rotate_head: BoolProperty(name="Turn Head", description="A face capture turns the head bone, or the head, as well")  # type: ignore[valid-type]
    smooth: FloatProperty(name="Smooth", description="Cut-off in Hz of a filter without delay; 0: none", min=0)  # type: ignore[valid-type]
    model: StringProperty(name="Model", description="Body model, or mesh with the faces", subtype="FILE_PATH")  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_free(cls):
            return False
        if not bpy.data.filepath:
            cls.poll_message_set("Save the file first: the take's point caches are kept beside it")
            return False
        return True

    def job(self, context: bpy.types.Context) -> Job[list[str]]:
        paths = list(dict.fromkeys(path.parent if path.suffix.lower() in MESHES else path for path in self.paths()))
        return import_job(
            context.scene,
            paths,
            Path(bpy.data.filepath),
            frame_rate=self.frame_rate or None,
            units=None if self.units == AUTO else self.units,
            up=None if self.up == AUTO else self.up,
            roles=[] if self.role == AUTO else [self.role],
            models=[Path(bpy.path.abspath(self.model))] if self.model else [],
            smooth=self.smooth or None,
            rotate_head=self.rotate_head,
        )

    def summary(self, result: list[str]) -> str:
        return summary(result)


def menu(self: Any, context: bpy.types.Context) -> None:
    """The entry in File > Import."""
    self.layout.operator(NEPHIM_OT_import_take.bl_idname, text="Captured Face and Hands (NePHIM)")
