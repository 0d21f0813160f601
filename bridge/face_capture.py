# SPDX-License-Identifier: GPL-3.0-or-later
"""A face capture becomes keys of the head's ARKit shapes, its eyes and, if asked for, its rotation, in actions of its
own."""

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError
from ..tracks.face_capture import FaceCapture, keys_for
from .captured_turns import eye_turns, head_turn, key_turns
from .own_action import add_keys, check_playable, new_action
from .recognise import armature_of
from .scene_time import frame_rate, stretch

_GAP = 1.5  # usual steps between rows, beyond which frames between them get no key
_RELAXED = 0.25  # weights of a face at rest are below this
_SHOWN = 8  # names in a message


def add_capture(scene: Any, capture: FaceCapture, first: int, *, rotate: bool = False) -> list[str]:
    """Keys the head's shapes, and those of the teeth, lashes and the like that move with it, at the scene's frames from
    `first` on, and its eye bones; rotate: the head bone, or without one the head object, as well. Returns what was
    done, to show.

    Actions of the animator's stay as they are (`own_action.new_action`). Raises TrackError before anything changes if
    there is no head with such keys, or if they cannot be keyed.
    """
    head = _head(scene)
    meshes = [(obj, keys_for(key.name for key in obj.data.shape_keys.key_blocks)) for obj in with_head(scene, head)]
    meshes = [(obj, keys) for obj, keys in meshes if keys]
    driven = {obj.name: driven_keys(obj) for obj, _ in meshes}
    for obj, _ in meshes:
        check_playable(obj.data.shape_keys, obj.name)
    turns = [head_turn(scene, head, capture)] if rotate and capture.rotation is not None else []
    if rotate and capture.rotation is None:
        raise TrackError(
            f"'{capture.name}' records no rotation of the head.",
            object=head.name,
            advice="Import it without the rotation; switch 'Stream Head Rotation' on in the app for the next take.",
        )
    eyes, about_eyes = eye_turns(scene, head, capture, [obj for obj, _ in meshes])
    turns += eyes
    for turn in turns:
        check_playable(turn.owner, turn.owner.name)
    frames, times = _frames(scene, capture, first)
    keyed: set[str] = set()
    for obj, keys in meshes:
        curves = new_action(scene, obj.data.shape_keys, f"{capture.name} {obj.name}", "KEY")
        for column, expression in enumerate(capture.names):
            values = _at(capture, capture.weights[:, column], times)
            for name in keys.get(expression, ()):
                if name not in driven[obj.name]:
                    path = f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'
                    add_keys(curves, path, 0, frames * stretch(scene), values)
                    keyed.add(expression)
    last = int(frames[-1])
    scene.frame_end = max(scene.frame_end, last)
    said = [f"{capture.name}: {note}" for note in capture.notes]
    left = {expression for obj, keys in meshes for expression, of in keys.items() if driven[obj.name].intersection(of)}
    said.append(_described(capture, [obj.name for obj, _ in meshes], keyed, left - keyed))
    said += [f"{capture.name}: {text}" for text in [*key_turns(scene, capture, turns, frames, times), *about_eyes]]
    if scene.nephim.head is head:
        said += _about_neutral(scene, capture, frames, times)
    return [*said, f"{capture.name}: plays in frames {first}-{last}, at {1 / capture.step:.4g} rows per second"]


def _described(capture: FaceCapture, names: list[str], keyed: set[str], driven: set[str]) -> str:
    text = f"{capture.name}: {len(keyed)} of {len(capture.names)} expressions keyed on {', '.join(names[:_SHOWN])}"
    missing = [name for name in capture.names if name not in keyed | driven]
    for what, which in (("no key for", missing), ("left to the drivers of the rig:", sorted(driven))):
        if which:
            more = f" and {len(which) - _SHOWN} more" if len(which) > _SHOWN else ""
            text += f"; {what} {', '.join(which[:_SHOWN])}{more}"
    return text


def _about_neutral(scene: Any, capture: FaceCapture, frames: NDArray, times: NDArray) -> list[str]:
    """What to say if the capture moves the face in the neutral frame; outside its frames its ends are held."""
    neutral = scene.nephim.neutral_frame
    weights = np.stack([_at(capture, column, times) for column in capture.weights.T], 1)
    shown = weights[np.abs(frames - neutral).argmin()]
    if np.abs(shown).max() < _RELAXED:
        return []
    most, best = int(np.abs(shown).argmax()), int(frames[np.abs(weights).sum(1).argmin()])
    text = f"{capture.names[most]} is {shown[most]:.2f} in the neutral frame {neutral}"
    return [f"{capture.name}: {text}; the face is most relaxed in frame {best}, if no hand is near then"]


def _head(scene: Any) -> Any:
    """The chosen head, else the active object or that with most of ARKit's keys. Raises TrackError."""
    candidates = [scene.nephim.head] if scene.nephim.head is not None else [
        *([bpy.context.view_layer.objects.active] if bpy.context.view_layer.objects.active else []), *scene.objects
    ]  # fmt: skip
    counts = {obj: len(keys_for(key.name for key in obj.data.shape_keys.key_blocks)) for obj in candidates
              if obj.type == "MESH" and obj.data.shape_keys}  # fmt: skip
    best = max(counts, key=lambda obj: counts[obj], default=None)
    if best is None or not counts[best]:
        raise TrackError(
            "no shape keys are named after ARKit's expressions, such as jawOpen or eyeBlinkLeft.",
            object=candidates[0].name if candidates else None,
            advice="Name them so, or choose the head that has them."
            if candidates
            else "Name the character's file (--onto FILE.blend).",
        )
    return best


def with_head(scene: Any, head: Any) -> list[Any]:
    """The head, and the meshes with shape keys that share its rig or hang on it."""
    rig = armature_of(head) or head.parent
    return [head] + [
        obj for obj in scene.objects
        if obj is not head and obj.type == "MESH" and obj.data.shape_keys and obj.data is not head.data
        and (obj.parent is head or (rig is not None and rig in (armature_of(obj), obj.parent)))
    ]  # fmt: skip


def driven_keys(obj: Any) -> set[str]:
    """Names of its keys whose value a driver sets."""
    keys = obj.data.shape_keys
    paths = {driver.data_path for driver in keys.animation_data.drivers} if keys.animation_data else set()
    return {k.name for k in keys.key_blocks if f'key_blocks["{bpy.utils.escape_identifier(k.name)}"].value' in paths}


def _frames(scene: Any, capture: FaceCapture, first: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scene's frames to key, without those in gaps, and where they are in the take [s]."""
    rate = frame_rate(scene)
    seen = capture.times[np.isfinite(capture.weights).all(1)]
    frames = np.arange(first, first + int(np.floor(capture.times[-1] * rate + 1e-6)) + 1, dtype=np.float64)
    times = (frames - first) / rate
    after = np.searchsorted(seen, times - 1e-6).clip(1, max(len(seen) - 1, 1))
    if len(seen) > 1:
        wide = seen[after] - seen[after - 1] > _GAP * max(capture.step, 1 / rate)
        inside = wide & (times > seen[after - 1] + 1e-6) & (times < seen[after] - 1e-6)
        inside[[0, -1]] = False
        frames, times = frames[~inside], times[~inside]
    return frames, times


def _at(capture: FaceCapture, values: NDArray, times: NDArray) -> NDArray[np.float64]:
    known = np.isfinite(values)
    return np.interp(times, capture.times[known], values[known])
