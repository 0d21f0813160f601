# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyed values of our shape keys: a separate action, played by an NLA track, which leaves the user's action alone.

The track sets only the values of our keys and has zeros before its first and after its last frame. Blender plays
it below the user's active action, with or without one.
"""

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...compat import assign_slot, new_fcurves
from ...errors import BakeError
from ..modifiers import BAKED, is_baked_name

_LINEAR = 1  # 'LINEAR' in Blender's list of interpolations, for foreach_set


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


def add_track(obj: Any, names: Sequence[str], first: int, weights: NDArray[np.float64]) -> Any:
    """Keys the shape keys `names` with weights (f, k), one row per frame from `first` on. Returns the NLA track.

    The strip has one extra frame of zeros at each end, see `frames_of`.
    """
    shape_keys = obj.data.shape_keys
    action = bpy.data.actions.new(f"{BAKED} {obj.name}")
    curves, slot = new_fcurves(action, "KEY")
    frames = np.arange(first - 1, first + len(weights) + 1)
    for column, name in enumerate(names):
        values = np.concatenate([[0.0], weights[:, column], [0.0]])
        keep = _needed(values)
        curve = curves.new(_path(name), index=0)
        curve.keyframe_points.add(int(keep.sum()))
        points = np.column_stack([frames[keep], values[keep]]).astype(np.float32)
        curve.keyframe_points.foreach_set("co", points.ravel())
        curve.keyframe_points.foreach_set("interpolation", np.full(len(points), _LINEAR, np.int32))
        curve.update()
    data = shape_keys.animation_data or shape_keys.animation_data_create()
    data.use_nla = True
    track = data.nla_tracks.new()
    track.name = BAKED
    strip = track.strips.new(BAKED, int(frames[0]), action)
    assign_slot(strip, slot)
    strip.action_frame_start, strip.action_frame_end = float(frames[0]), float(frames[-1])
    strip.frame_start, strip.frame_end = float(frames[0]), float(frames[-1])
    strip.blend_type, strip.extrapolation = "REPLACE", "HOLD"  # holds the zeros
    return track


def _needed(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keyframes that linear interpolation needs: all but those between equal values."""
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


def our_tracks(obj: Any) -> list[Any]:
    """The NLA tracks of earlier bakes."""
    keys = obj.data.shape_keys
    data = keys.animation_data if keys else None
    return [track for track in data.nla_tracks if _is_ours(track)] if data else []


def frames_of(track: Any) -> range:
    """The frames for which one of our tracks has weights."""
    if not len(track.strips):
        return range(0)
    return range(round(track.strips[0].frame_start) + 1, round(track.strips[-1].frame_end))


def _is_ours(track: Any) -> bool:
    return is_baked_name(track.name.split(".")[0])
