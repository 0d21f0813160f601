# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured surfaces as objects that play a point cache, and surfaces over time in files that Blender itself reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError, TrackError
from ..files import atomic_write
from ..progress import Job, Progress
from ..tracks.alembic import check_alembic
from ..tracks.checks import Take
from ..tracks.track import HEAD, LEFT, RIGHT, Faces, Track, role_of
from .cache.point_cache import HEADER, MAGIC
from .meshes import mesh_positions, new_mesh, to_world, world_matrix
from .rig import unit_scale
from .scene_time import playback_rate
from .surfaces import view_layer_of

MODIFIER = "Take"
CAPTURED = "nephim_captured"  # on heads: the object that plays the surface as it was captured
CONTACT = "contact"  # vertex attribute
JITTER = "nephim_jitter"  # on objects: jitter [m] of the capture; cut-off [1/s] and jitter [m] after it, if filtered
_NAMES = {HEAD: "Head", LEFT: "Left Hand", RIGHT: "Right Hand", "": "Body"}


def point_cache_path(blend: Path, name: str) -> Path:
    """OUT.left-hand.pc2 beside OUT.blend, for the object 'Left Hand'."""
    return blend.with_name(f"{blend.stem}.{bpy.path.clean_name(name).lower().replace('_', '-')}.pc2")


def write_point_cache(path: Path, vertices: NDArray[np.float32], first: int = 1) -> None:
    """Writes (f, n, 3) as PC2, whole or not at all. Raises CacheError."""
    with atomic_write(path, f"{path} could not be written", "Free disk space or make the folder writable.") as stream:
        stream.write(HEADER.pack(MAGIC, 1, vertices.shape[1], first, 1.0, len(vertices)))
        stream.write(np.ascontiguousarray(vertices, "<f4").data)


@contextmanager
def added_take(scene: Any, take: Take, blend: Path) -> Iterator[list[Any]]:
    """Adds an object for each track, which plays its point cache beside `blend` from the scene's first frame on; if
    what follows in the `with` fails, they are removed again.

    An empty scene starts at frame 1 and gets the take's frame rate; in others the take plays in its own time at the
    scene's rate. Raises CacheError if a point cache cannot be written.
    """
    before = (scene.frame_start, scene.frame_end, scene.render.fps, scene.render.fps_base)
    if not scene.objects:
        scene.render.fps = max(1, round(take.frame_rate))
        scene.render.fps_base = scene.render.fps / take.frame_rate
        scene.frame_start = scene.frame_end = 1
    rate = playback_rate(scene)
    last = scene.frame_start + round((take.n_frames - 1) * rate / take.frame_rate)
    scene.frame_end = max(last, scene.frame_end)
    added: list[Any] = []
    markers, aside, done = set(scene.timeline_markers), dict[Path, Path](), False
    try:
        fitted = [_add_object(scene, track, take, blend, take.frame_rate / rate, added, aside) for track in take.tracks]
        layer = view_layer_of(scene)
        layer.update()  # knows the new objects only then
        for obj in added:
            if obj.name.startswith("Captured "):
                obj.hide_set(True, view_layer=layer)  # to compare with, not in the way
        yield fitted
        done = True
        for before_it in aside.values():
            before_it.unlink(missing_ok=True)
    finally:
        if not done:
            for marker in set(scene.timeline_markers) - markers:
                scene.timeline_markers.remove(marker)
            _remove(added)
            for path, before_it in aside.items():
                before_it.replace(path)
            scene.frame_start, scene.frame_end, scene.render.fps, scene.render.fps_base = before


def _remove(added: list[Any]) -> None:
    """Objects with all that they have, and the point caches that they play."""
    for obj in added:
        for modifier in obj.modifiers:
            if modifier.type == "MESH_CACHE":
                Path(bpy.path.abspath(modifier.filepath)).unlink(missing_ok=True)
    actions = [obj.animation_data.action for obj in added if obj.animation_data and obj.animation_data.action]
    bpy.data.batch_remove([*actions, *(obj.data for obj in added), *added])


def _add_object(
    scene: Any,
    track: Track,
    take: Take,
    blend: Path,
    frame_scale: float,
    added: list[Any],
    aside: dict[Path, Path],
) -> Any:
    """The object of a track; `added` gets it and all that comes with it, from the moment on in which they exist."""
    if track.landmarks:
        from .landmark_hands import add_hand  # scipy loads on first use, so that enabling the add-on stays fast

        obj = add_hand(scene, _NAMES[track.role], track.vertices, frame_scale, added)
        obj[JITTER] = [track.jitter, *(track.smoothed or ())]
        return obj
    assert track.faces is not None
    scale = np.float32(1 / unit_scale(scene))
    mesh = new_mesh(_NAMES[track.role], track.vertices[take.neutral] * scale, track.faces)
    obj = bpy.data.objects.new(_NAMES[track.role], mesh)
    scene.collection.objects.link(obj)
    added.append(obj)
    for role, inside in track.parts.items():
        obj.vertex_groups.new(name=role).add(np.flatnonzero(inside).tolist(), 1.0, "REPLACE")
    obj[JITTER] = [track.jitter, *(track.smoothed or ())]
    if track.touched is not None:
        _mark_contacts(scene, obj, track.touched, frame_scale)
    _play(scene, obj, track.vertices * scale, _free_path(blend, obj.name, aside), frame_scale)
    if track.captured is not None:
        other = bpy.data.objects.new(f"Captured {obj.name}", mesh.copy())
        scene.collection.objects.link(other)
        added.append(other)
        _play(scene, other, track.captured * scale, _free_path(blend, other.name, aside), frame_scale)
        other.hide_render = True
        obj[CAPTURED] = other
    return obj


def _free_path(blend: Path, name: str, aside: dict[Path, Path]) -> Path:
    """Where to write the cache of an object: no file that another object plays. One of an import that this one replaces
    is put aside, to come back if this one fails. Raises CacheError."""
    played = {
        Path(bpy.path.abspath(modifier.filepath))
        for obj in bpy.data.objects
        for modifier in obj.modifiers
        if modifier.type == "MESH_CACHE"
    }
    free = path = point_cache_path(blend, name)
    number = 2
    while free in played:
        free, number = path.with_suffix(f".{number}.pc2"), number + 1
    if free.is_file():
        try:
            aside[free] = free.replace(free.with_suffix(".pc2.before"))
        except OSError as error:
            raise CacheError(
                f"{free} could not be replaced: {error.strerror or error}.", advice="Make the folder writable."
            ) from error
    return free


def _play(scene: Any, obj: Any, vertices: NDArray[np.float32], path: Path, frame_scale: float) -> None:
    write_point_cache(path, vertices)
    modifier = obj.modifiers.new(MODIFIER, "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = str(path)
    modifier.deform_mode, modifier.interpolation = "OVERWRITE", "LINEAR"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"  # Blender's own axes: no rotation
    modifier.play_mode, modifier.time_mode = "SCENE", "FRAME"
    # Frame f of the scene plays sample f × scale - start of the file.
    modifier.frame_start, modifier.frame_scale = scene.frame_start * frame_scale, frame_scale
    relative_paths(Path(bpy.data.filepath))


def _mark_contacts(scene: Any, obj: Any, touched: NDArray[np.bool_], frame_scale: float) -> None:
    """A vertex attribute with the share of frames that are labelled as contact; markers where the head's begins and
    ends."""
    attribute = obj.data.attributes.new(CONTACT, "FLOAT", "POINT")
    attribute.data.foreach_set("value", touched.mean(0).astype(np.float32))
    if obj.name.startswith(_NAMES[HEAD]):
        any_of = np.concatenate([[False], touched.any(1), [False]])
        for sample in np.flatnonzero(np.diff(any_of.astype(int))):
            name = "Contact" if any_of[sample + 1] else "Release"
            scene.timeline_markers.new(name, frame=scene.frame_start + round(sample / frame_scale))


def captured_jitter(obj: Any) -> dict[str, float] | None:
    """Jitter of the capture that an object plays, before and after the filter, and its cut-off; None without one."""
    found = obj.get(JITTER)
    if found is None or len(found) not in (1, 3):
        return None
    values = [float(value) for value in found]
    if len(values) == 1:
        return {"before_mm": 1000 * values[0]}
    return {"before_mm": 1000 * values[0], "cut_off_hz": values[1], "after_mm": 1000 * values[2]}


def relative_paths(blend: Path) -> None:
    """Point caches of takes beside the saved file `blend` are named relative to it, so that they move with it."""
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            if modifier.type == "MESH_CACHE" and modifier.name == MODIFIER:
                path = Path(bpy.path.abspath(modifier.filepath))
                if path.parent == blend.parent:
                    modifier.filepath = f"//{path.name}"


def read_scene_file(scene: Any, path: Path, frame_rate: float | None) -> Job[list[Track]]:
    """Surfaces over time in an Alembic or USD file, read by Blender's importers and sampled at every frame.

    The scene is left as it was, also if the job is closed. frame_rate: at which to sample; default: the scene's. Raises
    TrackError.
    """
    if path.suffix.lower() == ".abc":
        check_alembic(path)
    render = scene.render
    before = (scene.frame_start, scene.frame_end, render.fps, render.fps_base, scene.frame_current)
    known, layer = set(bpy.data.user_map()), view_layer_of(scene)
    active, selected = layer.objects.active, [obj for obj in layer.objects if obj.select_get(view_layer=layer)]
    if frame_rate:
        render.fps = max(1, round(frame_rate))
        render.fps_base = render.fps / frame_rate
    try:
        if path.suffix.lower() == ".abc":
            bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False, set_frame_range=True)
        else:
            bpy.ops.wm.usd_import(filepath=str(path), set_frame_range=True)
        meshes = [obj for obj in bpy.data.objects if obj not in known and obj.type == "MESH"]
        if len(meshes) > 1:  # eyes, teeth and props beside those that say what they are
            meshes = [obj for obj in meshes if role_of(obj.name)] or meshes
        if not meshes:
            raise TrackError(f"{path}: it holds no meshes.", advice="Export the meshes, not only cameras and bones.")
        return (yield from _sampled(scene, meshes, path.name))
    except RuntimeError as error:
        reason = " ".join(str(error).split()).removeprefix("Error: ").rstrip(".")
        raise TrackError(f"{path}: Blender cannot read it ({reason}).", advice="Check that it is whole.") from error
    finally:
        bpy.data.batch_remove(set(bpy.data.user_map()) - known)
        for obj in selected:
            obj.select_set(True, view_layer=layer)
        layer.objects.active = active
        scene.frame_start, scene.frame_end, render.fps, render.fps_base = before[:4]
        scene.frame_set(before[4])


def _sampled(scene: Any, meshes: list[Any], name: str) -> Job[list[Track]]:
    frames = range(scene.frame_start, scene.frame_end + 1)
    moving: dict[Any, list[NDArray[np.float32]]] = {obj: [] for obj in meshes}
    for frame in frames:
        yield Progress("Reading", (frame - frames[0]) / len(frames), f"{name}, frame {frame}")
        scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        for obj, sampled in moving.items():
            evaluated = obj.evaluated_get(depsgraph)
            positions = to_world(mesh_positions(evaluated.data), world_matrix(evaluated, 1.0), np.float32)
            if sampled and positions.shape != sampled[0].shape:
                raise TrackError(
                    f"it has {len(positions)} vertices, and {len(sampled[0])} in frame {frames[0]}.",
                    object=obj.name,
                    frame=frame,
                    advice="A take needs one topology: track with a template, or wrap the scans first.",
                )
            sampled.append(positions)
    rate = scene.render.fps / scene.render.fps_base
    # Blender's importers turn to its own axes.
    return [
        Track(obj.name, np.stack(sampled), _faces(obj), role_of(obj.name), rate, None, "+z")
        for obj, sampled in moving.items()
    ]


def _faces(obj: Any) -> Faces:
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    corners, sizes = np.empty(len(mesh.loops), np.int32), np.empty(len(mesh.polygons), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    mesh.polygons.foreach_get("loop_total", sizes)
    return Faces(corners, sizes)
