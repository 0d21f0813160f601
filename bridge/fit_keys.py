# SPDX-License-Identifier: GPL-3.0-or-later
"""A fitted motion as ordinary keys, in actions of its own above the animator's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..compat import fcurves, strip_fcurves
from .captured_turns import channels
from .face_capture import driven_keys, with_head
from .fit_rig import Chain
from .own_action import add_keys, check_playable, new_action
from .scene_time import frame_rate, stretch

if TYPE_CHECKING:
    from ..fit.fit import Fitted

_SAME = 1e-6  # by which a channel at rest may differ
_TURNS = ("rotation_quaternion", "rotation_euler", "rotation_axis_angle")


def check_keys(scene: Any, chain: Chain) -> None:
    """Raises TrackError if an action of its own could not be added, or would not play, on the rig or the head."""
    for armature in dict.fromkeys(chain.armatures):
        check_playable(armature, armature.name)
    if chain.rig.keys:
        for obj in _keyed_meshes(scene, chain):
            check_playable(obj.data.shape_keys, obj.name)


def key_motion(scene: Any, chain: Chain, fitted: "Fitted", name: str, rate: float, first: int) -> list[str]:
    """Keys the fitted motion, `rate` frames a second, from the scene's frame `first` on; returns what was done.

    Frames in which a part was not seen get no key. Bones between the fitted ones, and those above them, are keyed once,
    at rest, as the fit took them. Call `check_keys` first.
    """
    frames = first + np.arange(len(fitted.motion.turns)) * frame_rate(scene) / rate
    valid = _valid(chain, fitted)
    located = set(chain.rig.located.values())
    for armature in dict.fromkeys(chain.armatures):
        mine = [bone for bone in valid if chain.armatures[bone] == armature]
        if not mine:
            continue
        before = _animated(armature)
        curves = new_action(scene, armature, f"{name} {armature.name}", "OBJECT")
        for bone in _with_those_above(chain, mine):
            posed = armature.pose.bones[chain.rig.bones.names[bone]]
            seen = valid.get(bone)
            if seen is None:
                seen, turns, places = np.ones(1, bool), np.eye(3)[None], np.zeros((1, 3))
            else:
                turns = fitted.motion.turns[seen, bone]
                places = fitted.motion.places[seen, bone] / chain.scale[bone]
            at = (frames[: len(seen)][seen] if len(seen) > 1 else frames[:1]) * stretch(scene)
            _turn(curves, posed, at, turns)
            if bone in located:
                _move(curves, posed, "location", at, places)
            elif _differs(posed, "location", 0.0, before):
                _move(curves, posed, "location", at[:1], np.zeros((1, 3)))
            if _differs(posed, "scale", 1.0, before):
                _move(curves, posed, "scale", at[:1], np.ones((1, 3)))
    if "face" in fitted.parts:
        _express(scene, chain, fitted, name, frames)
    last = int(np.ceil(frames[-1]))
    scene.frame_end = max(scene.frame_end, last)
    return [f"Keyed in frames {first}-{last}, in actions of their own; yours go on below them in the NLA"]


def _valid(chain: Chain, fitted: "Fitted") -> dict[int, NDArray[np.bool_]]:
    """Of each bone to key, the frames (f,)."""
    rig = chain.rig
    found: dict[int, NDArray[np.bool_]] = {}
    if "face" in fitted.parts:
        bones = (*rig.neck, rig.head, rig.jaw, rig.located.get("head"))
        found |= {bone: fitted.parts["face"].valid for bone in bones if bone is not None}
    for side, hand in rig.hands.items():
        if side in fitted.parts:
            fingers = [bone for finger in hand.fingers for bone in finger or ()]
            bones = (*rig.arms[side], hand.wrist, rig.located.get(side), *fingers)
            found |= {bone: fitted.parts[side].valid for bone in bones if bone is not None}
    return {bone: valid for bone, valid in found.items() if valid.any()}


def _with_those_above(chain: Chain, bones: Iterable[int]) -> list[int]:
    return sorted({above for bone in bones for above in chain.rig.bones.line(bone)})


def _animated(armature: Any) -> set[str]:
    """Paths of all channels that its actions animate."""
    data = armature.animation_data
    if data is None:
        return set()
    curves = [*fcurves(data), *(c for t in data.nla_tracks for s in t.strips if s.action for c in strip_fcurves(s))]
    return {curve.data_path for curve in curves}


def _differs(posed: Any, channel: str, rest: float, animated: set[str]) -> bool:
    """Whether a channel is not at rest, or may not stay there."""
    return posed.path_from_id(channel) in animated or any(abs(v - rest) > _SAME for v in getattr(posed, channel))


def _turn(curves: Any, posed: Any, frames: NDArray, turns: NDArray) -> None:
    channel, rows = channels(posed, (Matrix(turn.tolist()) for turn in turns))
    _move(curves, posed, channel, frames, np.array(rows))


def _move(curves: Any, posed: Any, channel: str, frames: NDArray, values: NDArray) -> None:
    for index, column in enumerate(values.T):
        add_keys(curves, posed.path_from_id(channel), index, frames, column)


def _keyed_meshes(scene: Any, chain: Chain) -> list[Any]:
    """The head and what moves with it, if it has any of the expressions."""
    wanted = set(chain.rig.keys)
    return [obj for obj in with_head(scene, chain.head)
            if obj.data.shape_keys and wanted.intersection(b.name for b in obj.data.shape_keys.key_blocks)]  # fmt: skip


def _express(scene: Any, chain: Chain, fitted: "Fitted", name: str, frames: NDArray) -> None:
    from ..fit.head import solved_keys

    valid = fitted.parts["face"].valid
    solved = solved_keys(chain.rig)
    if not len(solved) or not valid.any():
        return
    for obj in _keyed_meshes(scene, chain):
        driven, blocks = driven_keys(obj), obj.data.shape_keys.key_blocks
        curves = new_action(scene, obj.data.shape_keys, f"{name} {obj.name}", "KEY")
        for expression in solved:
            own = chain.rig.keys[expression]
            if own in blocks and own not in driven:
                path = f'key_blocks["{bpy.utils.escape_identifier(own)}"].value'
                add_keys(curves, path, 0, frames[valid] * stretch(scene), fitted.motion.expressions[valid, expression])
