# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes a point cache to shape keys that, after the armature and the user's own keys, give the simulated surface."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...choices import REPLACE
from ...errors import BakeError, RigError
from ...progress import Job, Progress
from ..cache.point_cache import PointCache
from ..modifiers import BAKED, OVERWRITING, SMOOTHING, is_baked_name, tracked_state
from ..rig import Rig, scene_object
from ..surfaces import evaluated_object, view_layer_of
from .compression import compress
from .kept_motion import check_kept, motion_job
from .keyframes import add_track, check_nla, frames_of, make_room, our_tracks, remove_track
from .skinning import PROBE, RestDisplacement, probing, rest_displacement

_ADDED_BASIS = "nephim_added_basis"  # marks basis keys that we added
# Displacements below this fraction of the tolerance are not baked: frames without contact get weights of exactly zero.
_NOTHING = 0.02
# The rest of the tolerance is for float32 and for what `_NOTHING` left out.
_SHARE = 0.95
# Blender's limit of a key's range is ±10; users expect ±1 of a slider.
_SLIDER = 1.0


@dataclass(frozen=True)
class BakeResult:
    """keys: names of the shape keys. error_max_mm, error_rms_mm: measured by evaluating all frames, in the world.

    worst_frame: the frame with the largest error. notes: to show.
    """

    keys: list[str]
    error_max_mm: float
    error_rms_mm: float
    frames: int
    worst_frame: int
    notes: list[str] = field(default_factory=list)


def bake_shape_keys(
    scene: Any,
    rig: Rig,
    cache: PointCache,
    *,
    tolerance: float = 1e-4,
    per_frame: bool = False,
    existing: str = REPLACE,
    fade: int = 0,
) -> Job[BakeResult]:
    """A job that bakes the finished frames of `cache`; closing it restores the scene.

    tolerance: largest distance in the world [m]. per_frame: one key per frame, without compression. existing:
    'replace' removes all earlier bakes; 'add' keeps them and bakes a further set of keys. Sets for other frames play
    together; of sets for the same frames only the new one plays, the keys of the earlier ones are muted. fade: frames
    in which a contact in the first or the last frame goes outside the bake; 0 holds it.
    The result also goes to `scene.nephim` and to the cache's manifest. Raises BakeError, CacheError, RigError.
    """
    obj = scene_object(rig.head.object_name)
    _check(obj, rig, cache)
    old_keys, old_tracks = _our_keys(obj), our_tracks(obj)
    active = obj.active_shape_key_index
    set_name = _set_name(1 if existing == REPLACE else _last_set(old_keys) + 1)
    muted: list[str] = []
    new_keys: list[str] = []
    track = None
    finished = False
    try:
        if obj.data.shape_keys is None:
            basis_key = obj.shape_key_add(name="Basis", from_mix=False)
            basis_key.id_data[_ADDED_BASIS] = True
        motion = yield from motion_job(scene, rig, cache)
        moved = yield from _rest_displacements(scene, rig, obj, cache, tolerance)
        vertices, basis, weights = yield from _keys_for(moved, tolerance, per_frame)
        yield Progress("Compressing", 1.0, f"{len(basis)} shape keys")
        for number, displacement in enumerate(basis):
            new_keys.append(_add_key(obj, _key_name(set_name, number), vertices, displacement))
        if new_keys:
            others = old_tracks if existing != REPLACE else []
            track = add_track(scene, obj, new_keys, cache.frames.start, weights, others, fade)
        largest, rms, worst = yield from _measure(scene, rig, obj, cache, new_keys)
        if largest > tolerance:
            _check_after_keys(obj, largest, worst)
        check_kept(motion, (yield from motion_job(scene, rig, cache)))
        finished = True
    finally:
        if finished:
            if existing == REPLACE:
                _remove(obj, old_keys, old_tracks)
            else:
                muted = _mute_sets_of(obj, cache.frames, old_tracks)
                make_room(scene, old_tracks, cache.frames)
            new_keys = _rename(obj, new_keys, track, set_name)
        else:
            _remove(obj, new_keys, [track] if track is not None else [])
        _clear_if_only_ours(obj)
        obj.active_shape_key_index = min(active, _last_index(obj))
    notes = []
    if largest > tolerance:
        notes.append(
            f"The bake differs by up to {largest * 1e3:.3f} mm (frame {worst}), because something after the shape keys "
            "flattens or freezes the skin there."
        )
    if muted:
        notes.append(f"Muted earlier bakes of the same frames: {', '.join(muted)}.")
    if obj.show_only_shape_key:
        notes.append(f"'{obj.name}' shows only a pinned shape key: unpin it to see the bake.")
    result = BakeResult(new_keys, largest * 1e3, rms * 1e3, len(cache.frames), worst, notes)
    settings = scene.nephim
    settings.bake_keys = len(new_keys)
    settings.bake_error_max_mm, settings.bake_error_rms_mm = result.error_max_mm, result.error_rms_mm
    cache.save_results(
        shape_keys=len(new_keys), bake_error_max_mm=result.error_max_mm, bake_error_rms_mm=result.error_rms_mm
    )
    return result


def remove_shape_keys(obj: Any) -> int:
    """Removes all earlier bakes: keys, NLA tracks and actions. Returns the number of keys removed."""
    keys = _our_keys(obj)
    active = obj.active_shape_key_index
    _remove(obj, keys, our_tracks(obj))
    _clear_if_only_ours(obj)
    obj.active_shape_key_index = min(active, _last_index(obj))
    return len(keys)


def check_can_bake(obj: Any, rig: Rig, cache: PointCache) -> None:
    """Raises BakeError if the cache belongs to another mesh or the object cannot be written."""
    if obj.mode == "EDIT":
        raise BakeError("It is being edited.", object=obj.name, advice="Leave Edit Mode.")
    if obj.library is not None:
        raise BakeError(
            f"It is linked from {obj.library.filepath}.",
            object=obj.name,
            advice="Make it local, or make a library override of it (Object > Library Override > Make).",
        )
    if not len(cache.frames):
        raise BakeError("Nothing has been simulated yet.", object=obj.name, advice="Simulate first.")
    if cache.n_vertices != len(obj.data.vertices) or cache.n_vertices != rig.head.n_vertices:
        raise BakeError(
            f"It has {len(obj.data.vertices)} vertices, the simulation {cache.n_vertices}.",
            object=obj.name,
            advice="Simulate again.",
        )


def _check(obj: Any, rig: Rig, cache: PointCache) -> None:
    check_can_bake(obj, rig, cache)
    if any(data.library is not None or data.override_library is not None for data in (obj, obj.data)):
        raise BakeError(
            "It is linked from another file or overrides it, and Blender adds no shape keys to such meshes.",
            object=obj.name,
            advice="Bake to a point cache, or make it local first (Object > Relations > Make Local > Selected Objects "
            "and Data).",
        )
    if obj.data.users - (1 if obj.data.use_fake_user else 0) > 1:
        raise BakeError(
            f"Its mesh '{obj.data.name}' is shared by several objects, which would all show the result.",
            object=obj.name,
            advice="Make it single user first (Object > Relations > Make Single User > Object & Data).",
        )
    keys = obj.data.shape_keys
    if keys is not None and not keys.use_relative:
        raise RigError("Its shape keys are absolute.", object=obj.name, advice="Switch 'Relative' on.")
    if keys is not None and (keys.library is not None or keys.override_library is not None):
        raise BakeError("Its shape keys are linked.", object=obj.name, advice="Make the mesh local first.")
    check_nla(obj)


def _check_after_keys(obj: Any, error: float, frame: int) -> None:
    """Raises BakeError if the error is that of modifiers that smooth, or write over, what shape keys do."""

    def of(kinds: set[str]) -> str:
        shown = [m for m in obj.modifiers if m.type in kinds and m.show_viewport and m.name != BAKED]
        return " and ".join(f"'{m.name}'" for m in shown)

    other = "Use 'To Point Cache' (bake --to point-cache), which plays after it"
    missed = f"Shape keys miss the simulation by {1e3 * error:.2f} mm, because its modifier"
    if of(OVERWRITING):
        raise BakeError(
            f"{missed} {of(OVERWRITING)} puts every vertex where its file says, whatever shape keys do.",
            object=obj.name,
            frame=frame,
            advice=f"{other}.",
        )
    if of(SMOOTHING):
        raise BakeError(
            f"{missed} {of(SMOOTHING)} smooths away what they do.",
            object=obj.name,
            frame=frame,
            advice=f"{other}; or lower its repeats, simulate and bake again.",
        )


def _rest_displacements(
    scene: Any, rig: Rig, obj: Any, cache: PointCache, tolerance: float
) -> Job[list[RestDisplacement]]:
    view_layer = view_layer_of(scene)
    moved = []
    with tracked_state(scene, view_layer, [obj]), probing(obj, view_layer, rig.scale) as probe:
        for done, frame in enumerate(cache.frames):
            yield Progress("Taking back through the rig", done / len(cache.frames), f"frame {frame}")
            scene.frame_set(frame)
            moved.append(rest_displacement(probe, cache.read(frame), frame, _NOTHING * tolerance))
    yield Progress("Taking back through the rig", 1.0)
    return moved


def _keys_for(
    moved: list[RestDisplacement], tolerance: float, per_frame: bool
) -> Job[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]]:
    """Moved vertices (n,), basis (k, n, 3) and weights (frames, k); rows of frames without displacement are zero."""
    rows = [row for row, m in enumerate(moved) if len(m.vertices)]
    vertices = np.unique(np.concatenate([m.vertices for m in moved]))
    dense = np.zeros((len(rows), len(vertices), 3), np.float32)
    gain = np.zeros((len(rows), len(vertices)), np.float32)
    for position, row in enumerate(rows):
        at = np.searchsorted(vertices, moved[row].vertices)
        dense[position, at] = moved[row].displacement
        gain[position] = moved[row].gain.max(initial=0.0)  # also for vertices that must not move
        gain[position, at] = moved[row].gain
    if per_frame:
        basis, some = dense, np.eye(len(rows))
    else:
        residual = max((m.residual for m in moved), default=0.0)
        basis, some = yield from compress(dense, gain, max(_SHARE * tolerance - min(residual, 0.5 * tolerance), 0.0))
    weights = np.zeros((len(moved), len(basis)))
    weights[rows] = some
    return vertices, basis, weights


def _add_key(obj: Any, name: str, vertices: NDArray[np.int64], displacement: NDArray[np.float32]) -> str:
    reference = obj.data.shape_keys.reference_key
    positions = np.empty(3 * len(obj.data.vertices), np.float32)
    reference.points.foreach_get("co", positions)
    positions = positions.reshape(-1, 3)
    positions[vertices] += displacement
    key = obj.shape_key_add(name=name, from_mix=False)
    key.relative_key = reference
    key.slider_min, key.slider_max = -_SLIDER, _SLIDER
    key.value = 0.0
    key.points.foreach_set("co", positions.ravel())
    return str(key.name)


def _set_name(number: int) -> str:
    """Name of a set of keys and of its NLA track: the first is 'NePHIM', then 'NePHIM 2' …"""
    return BAKED if number == 1 else f"{BAKED} {number}"


def _key_name(set_name: str, number: int) -> str:
    """'NePHIM 001', 'NePHIM 2 001' …"""
    return f"{set_name} {number + 1:03d}"


def _last_set(keys: list[str]) -> int:
    """The highest set number among the names of our keys; 0 if there is none."""
    found = (re.match(rf"{BAKED} (?:(\d+) )?\d", name) for name in keys)
    return max((int(match[1] or 1) for match in found if match is not None), default=0)


def _mute_sets_of(obj: Any, frames: range, tracks: list[Any]) -> list[str]:
    """Mutes the keys of the tracks that play in any of `frames`; returns the names of their sets."""
    muted = []
    for track in tracks:
        played = frames_of(track)
        if played.start >= frames.stop or frames.start >= played.stop:
            continue
        keys = [
            key for key in obj.data.shape_keys.key_blocks if re.fullmatch(rf"{re.escape(track.name)} \d+", key.name)
        ]
        if any(not key.mute for key in keys):
            muted.append(f"'{track.name}'")
        for key in keys:
            key.mute = True
    return muted


def _measure(scene: Any, rig: Rig, obj: Any, cache: PointCache, names: list[str]) -> Job[tuple[float, float, int]]:
    """Largest and RMS distance [m] of evaluated from simulated vertices over all frames, and the worst frame."""
    view_layer = view_layer_of(scene)
    largest, worst, squares = 0.0, cache.frames.start, 0.0
    with tracked_state(scene, view_layer, [obj], shown=names):
        for done, frame in enumerate(cache.frames):
            yield Progress("Measuring the bake", done / len(cache.frames), f"frame {frame}")
            scene.frame_set(frame)
            state = evaluated_object(obj, view_layer.depsgraph, rig.scale, cache.n_vertices, frame)
            difference = (state.positions.astype(np.float64) - cache.read(frame)) @ state.matrix[:3, :3].T
            square = np.einsum("vi,vi->v", difference, difference)
            squares += float(square.mean())
            if np.sqrt(square.max()) > largest:
                largest, worst = float(np.sqrt(square.max())), frame
    yield Progress("Measuring the bake", 1.0)
    return largest, float(np.sqrt(squares / len(cache.frames))), worst


def _our_keys(obj: Any) -> list[str]:
    keys = obj.data.shape_keys
    return [key.name for key in keys.key_blocks if is_baked_name(key.name) and key.name != PROBE] if keys else []


def _remove(obj: Any, names: list[str], tracks: list[Any]) -> None:
    for track in tracks:
        remove_track(obj, track)
    for name in names:
        obj.shape_key_remove(obj.data.shape_keys.key_blocks[name])


def _rename(obj: Any, names: list[str], track: Any, set_name: str) -> list[str]:
    """Gives the keys their final names once a replaced bake is gone; Blender updates the F-curves' paths too."""
    blocks = obj.data.shape_keys.key_blocks
    for number, name in enumerate(names):
        blocks[name].name = _key_name(set_name, number)
    if track is not None:
        track.name = set_name
    return [_key_name(set_name, number) for number in range(len(names))]


def _clear_if_only_ours(obj: Any) -> None:
    """Removes the basis key if only we needed it."""
    keys = obj.data.shape_keys
    if keys is not None and len(keys.key_blocks) == 1 and keys.get(_ADDED_BASIS):
        obj.shape_key_clear()


def _last_index(obj: Any) -> int:
    keys = obj.data.shape_keys
    return len(keys.key_blocks) - 1 if keys else 0
