# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyed values of our shape keys: a separate action, played by an NLA track, which leaves the user's action alone.

The track sets only the values of our keys and holds its first and its last ones. Blender plays it below the user's
active action, with or without one.
"""

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...compat import assign_slot, new_fcurves, strip_fcurves
from ...errors import BakeError
from ..modifiers import BAKED, is_baked_name
from ..scene_time import stretch

_LINEAR = 1  # 'LINEAR' in Blender's list of interpolations, for foreach_set
_FRAMES = "nephim_frames"  # on our actions: first frame of the bake, and one past its last
_PUT_ASIDE = "nephim_action"  # on shape keys: settings of the user's action, see `_neutralise_action`
_NEUTRAL = {"action_blend_type": "REPLACE", "action_influence": 1.0, "action_extrapolation": "HOLD"}


def check_nla(obj: Any) -> None:
    """Raises BakeError if the NLA of the object's shape keys would not play a new track."""
    data = obj.data.shape_keys.animation_data if obj.data.shape_keys else None
    if data is None:
        return
    if data.use_tweak_mode:
        raise BakeError("An NLA strip of its shape keys is being edited.", object=obj.name, advice="Leave tweak mode.")
    if any(track.is_solo for track in data.nla_tracks if not _is_ours(track)):
        raise BakeError(
            "An NLA track of its shape keys is soloed.",
            object=obj.name,
            advice="Switch its star off in the NLA editor.",
        )
    if not data.use_nla and len(data.nla_tracks):
        raise BakeError(
            "The NLA of its shape keys is switched off.", object=obj.name, advice="Switch it on in the NLA editor."
        )


def add_track(
    scene: Any,
    obj: Any,
    names: Sequence[str],
    first: int,
    weights: NDArray[np.float64],
    others: Sequence[Any] = (),
    fade: int = 0,
) -> Any:
    """Keys the shape keys `names` with weights (f, k), one row per frame from `first` on. Returns the NLA track.

    The first and the last row hold outside their frames, so that a contact there neither pops nor ramps in motion blur;
    with `fade` they go to zero within so many frames. Towards `others`, tracks that play other frames, they go to zero
    in any case; see `make_room` for the other side.
    """
    shape_keys = obj.data.shape_keys
    _neutralise_action(obj)
    action = bpy.data.actions.new(f"{BAKED} {obj.name}")
    baked = range(first, first + len(weights))
    action[_FRAMES] = [baked.start, baked.stop]
    curves, slot = new_fcurves(action, "KEY")
    frames = [float(frame) for frame in baked]
    played = [frames_of(track) for track in others]
    before = max((frames.stop - 1 for frames in played if frames.stop <= baked.start), default=None)
    after = min((frames.start for frames in played if frames.start >= baked.stop), default=None)
    if fade:
        before = max(baked.start - fade, before if before is not None else baked.start - fade)
        after = min(baked.stop - 1 + fade, after if after is not None else baked.stop - 1 + fade)
    zero = np.zeros((1, len(names)))
    if before is not None:
        frames, weights = [float(before), *frames], np.concatenate([zero, weights])
    if after is not None:
        frames, weights = [*frames, float(after)], np.concatenate([weights, zero])
    times = np.array(frames) * stretch(scene)  # F-curves and strips live in the time of the animation
    for column, name in enumerate(names):
        values = weights[:, column]
        keep = _needed(values)
        curve = curves.new(_path(name), index=0)
        curve.keyframe_points.add(int(keep.sum()))
        points = np.column_stack([times[keep], values[keep]]).astype(np.float32)
        curve.keyframe_points.foreach_set("co", points.ravel())
        curve.keyframe_points.foreach_set("interpolation", np.full(len(points), _LINEAR, np.int32))
        curve.update()
    data = shape_keys.animation_data or shape_keys.animation_data_create()
    data.use_nla = True
    track = data.nla_tracks.new()
    track.name = BAKED
    strip = track.strips.new(BAKED, int(times[0]), action)
    assign_slot(strip, slot)
    _span(strip, times[0], times[-1])
    strip.blend_type, strip.extrapolation = "REPLACE", "HOLD"
    return track


def make_room(scene: Any, tracks: Sequence[Any], frames: range) -> None:
    """Lets our tracks that play other frames fade to zero towards `frames`: one bake fades into the other."""
    per_frame = stretch(scene)
    for track in tracks:
        played = frames_of(track)
        if played.stop <= frames.start:
            edge, zero = (played.stop - 1) * per_frame, frames.start * per_frame
        elif frames.stop <= played.start:
            edge, zero = played.start * per_frame, (frames.stop - 1) * per_frame
        else:
            continue
        for strip in track.strips:
            for curve in strip_fcurves(strip):
                _fade(curve, edge, zero)
            _span(strip, min(strip.frame_start, zero), max(strip.frame_end, zero))


def _fade(curve: Any, edge: float, zero: float) -> None:
    """A keyframe of 0 at `zero`, outside the baked frames that end at `edge`, unless there is one nearer."""
    tiny = 1e-3  # of a frame; keyframes are stored in single precision
    side = 1.0 if zero > edge else -1.0
    beyond = [point.co.x for point in curve.keyframe_points if side * (point.co.x - edge) > tiny]
    if any(side * (time - zero) <= tiny for time in beyond):
        return
    for number in reversed(range(len(curve.keyframe_points))):
        if side * (curve.keyframe_points[number].co.x - edge) > tiny:
            curve.keyframe_points.remove(curve.keyframe_points[number], fast=True)
    if curve.evaluate(edge) != 0:
        curve.keyframe_points.insert(edge, curve.evaluate(edge), options={"FAST"}).interpolation = "LINEAR"
    curve.keyframe_points.insert(zero, 0.0, options={"FAST"}).interpolation = "LINEAR"
    curve.update()


def _span(strip: Any, start: float, end: float) -> None:
    """Lets a strip play this part of its action where it lies; a strip cannot be shorter than a frame."""
    start, end = float(start), float(max(end, start + 1.0))
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start, strip.frame_end = start, end


def _neutralise_action(obj: Any) -> None:
    """Keeps the user's action as it plays now.

    Blend type, influence and extrapolation of an active action count only beside NLA strips: without any the action
    plays as it is. Our strip must not bring such forgotten settings to life, so they are put aside until it goes.
    """
    keys = obj.data.shape_keys
    data = keys.animation_data
    if data is None or data.action is None or any(len(t.strips) and not t.mute for t in data.nla_tracks):
        return
    if any(getattr(data, name) != value for name, value in _NEUTRAL.items()):
        keys[_PUT_ASIDE] = {name: getattr(data, name) for name in _NEUTRAL}
        for name, value in _NEUTRAL.items():
            setattr(data, name, value)


def _restore_action(keys: Any) -> None:
    kept = keys.get(_PUT_ASIDE)
    if kept is None:
        return
    for name in _NEUTRAL:
        setattr(keys.animation_data, name, kept[name])
    del keys[_PUT_ASIDE]


def _needed(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keyframes that linear interpolation needs: all but those between equal values; always the first and the last."""
    keep = np.ones(len(values), bool)
    keep[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return keep


def _path(name: str) -> str:
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def remove_track(obj: Any, track: Any) -> None:
    """Removes one of our tracks with its actions."""
    data = obj.data.shape_keys.animation_data
    actions = [strip.action for strip in track.strips if strip.action is not None]
    data.nla_tracks.remove(track)
    for action in actions:
        if action.users == 0:
            bpy.data.actions.remove(action)
    if not our_tracks(obj):
        _restore_action(obj.data.shape_keys)


def our_tracks(obj: Any) -> list[Any]:
    """The NLA tracks of earlier bakes."""
    keys = obj.data.shape_keys
    data = keys.animation_data if keys else None
    return [track for track in data.nla_tracks if _is_ours(track)] if data else []


def frames_of(track: Any) -> range:
    """The frames of the scene for which one of our tracks was baked."""
    if not len(track.strips):
        return range(0)
    strip = track.strips[0]
    baked = strip.action.get(_FRAMES) if strip.action is not None else None
    if baked is not None:
        return range(*baked)
    return range(round(strip.frame_start) + 1, round(strip.frame_end))  # 0.1: one frame of zeros at each end


def _is_ours(track: Any) -> bool:
    return is_baked_name(track.name.split(".")[0])
