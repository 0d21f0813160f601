# SPDX-License-Identifier: GPL-3.0-or-later
"""An action of our own that plays above the animator's, whose own is left as it is: it moves to an NLA strip below."""

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..compat import new_fcurves
from ..errors import TrackError

_MARK = "nephim_take"  # on actions that an import has made
_LINEAR = 1  # 'LINEAR' in Blender's list of interpolations, for foreach_set
_WIDER = 1000  # frames: strips reach beyond the scene's range by this, so that cycles and slopes go on there


def check_playable(owner: Any, name: str) -> None:
    """Raises TrackError if an action of the ID `owner` of the object `name` could not be added or would not play."""
    if owner.library is not None and owner.override_library is None:
        raise TrackError("it is linked from another file.", object=name, advice="Make it local or an override.")
    data = owner.animation_data
    if data is None:
        return
    if data.use_tweak_mode:
        raise TrackError("an NLA strip of it is being edited.", object=name, advice="Leave tweak mode.")
    if any(track.is_solo for track in data.nla_tracks):
        raise TrackError("one of its NLA tracks is soloed.", object=name, advice="Switch its star off.")
    if not data.use_nla:
        raise TrackError("its NLA is switched off.", object=name, advice="Switch it on in the NLA editor.")


def new_action(scene: Any, owner: Any, name: str, id_type: str) -> Any:
    """The empty F-curves of a new active action of `owner`, an ID of `id_type` ('KEY', 'OBJECT').

    The action that was active goes on below it in an NLA strip and keeps every channel that the new one has not; one of
    an earlier import is kept in the file with a fake user instead. Call `check_playable` first.
    """
    data = owner.animation_data or owner.animation_data_create()
    if data.action is not None:
        if data.action.get(_MARK):
            data.action.use_fake_user = True
        else:
            _push_down(scene, data)
    action = bpy.data.actions.new(name)
    action[_MARK] = True
    curves, slot = new_fcurves(action, id_type)
    data.action = action
    if slot is not None:
        data.action_slot = slot
    data.action_blend_type, data.action_extrapolation, data.action_influence = "REPLACE", "HOLD", 1.0
    return curves


def add_keys(curves: Any, path: str, index: int, frames: NDArray, values: NDArray) -> None:
    """An F-curve of linear keys, without those that repeat their neighbours."""
    keep = np.ones(len(values), bool)
    keep[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    curve = curves.new(path, index=index)
    curve.keyframe_points.add(int(keep.sum()))
    points = np.column_stack([frames[keep], values[keep]]).astype(np.float32)
    curve.keyframe_points.foreach_set("co", points.ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(points), _LINEAR, np.int32))
    curve.update()


def _push_down(scene: Any, data: Any) -> None:
    """As Blender's own Push Down, but over all frames, so that what the curves do outside their keys stays."""
    action, slot = data.action, getattr(data, "action_slot", None)
    # Blend type and influence of an action count only beside strips.
    played = any(len(track.strips) and not track.mute for track in data.nla_tracks)
    blend, influence = (data.action_blend_type, data.action_influence) if played else ("REPLACE", 1.0)
    extrapolation = data.action_extrapolation if played else "HOLD"
    first, last = action.frame_range
    start = float(min(first, scene.frame_start) - _WIDER)
    end = float(max(last, scene.frame_end) + _WIDER)
    data.action = None
    track = data.nla_tracks.new()
    track.name = action.name
    strip = track.strips.new(action.name, int(start), action)
    if slot is not None:
        strip.action_slot = slot
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start, strip.frame_end = start, end
    strip.blend_type, strip.influence, strip.extrapolation = blend, influence, extrapolation
