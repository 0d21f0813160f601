# SPDX-License-Identifier: GPL-3.0-or-later
"""A face capture becomes keys of the head's ARKit shapes and, if asked for, of its rotation, in actions of its own."""

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion
from numpy.typing import NDArray

from ..errors import TrackError
from ..tracks.face_capture import FaceCapture, keys_for
from .own_action import add_keys, check_playable, new_action
from .recognise import armature_of
from .scene_time import frame_rate, stretch

_GAP = 1.5  # usual steps between rows, beyond which frames between them get no key
_SHOWN = 8  # names in a message


def add_capture(scene: Any, capture: FaceCapture, first: int, *, rotate: bool = False) -> list[str]:
    """Keys the head's shapes, and those of the teeth, lashes and the like that move with it, at the scene's frames from
    `first` on; rotate: the head bone, or without one the head object, as well. Returns what was done, to show.

    Actions of the animator's stay as they are (`own_action.new_action`). Raises TrackError before anything changes if
    there is no head with such keys, or if they cannot be keyed.
    """
    head = _head(scene)
    meshes = [(obj, keys_for(key.name for key in obj.data.shape_keys.key_blocks)) for obj in with_head(scene, head)]
    meshes = [(obj, keys) for obj, keys in meshes if keys]
    driven = {obj.name: driven_keys(obj) for obj, _ in meshes}
    for obj, _ in meshes:
        check_playable(obj.data.shape_keys, obj.name)
    turned = _what_turns(scene, head) if rotate else None
    if rotate and capture.rotation is None:
        raise TrackError(
            f"'{capture.name}' records no rotation of the head.",
            object=head.name,
            advice="Import it without the rotation; switch 'Stream Head Rotation' on in the app for the next take.",
        )
    if turned:
        check_playable(turned[0], turned[0].name)
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
    if turned and capture.rotation is not None:
        said.append(_turn(scene, capture, turned, frames, times))
    return [*said, f"{capture.name}: plays in frames {first}-{last}, at {1 / capture.step:.4g} rows per second"]


def _described(capture: FaceCapture, names: list[str], keyed: set[str], driven: set[str]) -> str:
    text = f"{capture.name}: {len(keyed)} of {len(capture.names)} expressions keyed on {', '.join(names[:_SHOWN])}"
    missing = [name for name in capture.names if name not in keyed | driven]
    for what, which in (("no key for", missing), ("left to the drivers of the rig:", sorted(driven))):
        if which:
            more = f" and {len(which) - _SHOWN} more" if len(which) > _SHOWN else ""
            text += f"; {what} {', '.join(which[:_SHOWN])}{more}"
    return text


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


def _what_turns(scene: Any, head: Any) -> tuple[Any, Any]:
    """(object, pose bone) of the head bone, or (head, None)."""
    settings = scene.nephim
    rig = settings.head_armature
    bone = rig.pose.bones.get(settings.head_bone) if rig is not None and rig.pose else None
    return (rig, bone) if bone is not None else (head, None)


def _turn(scene: Any, capture: FaceCapture, turned: tuple[Any, Any], frames: NDArray, times: NDArray) -> str:
    obj, bone = turned
    what = bone or obj
    curves = new_action(scene, obj, f"{capture.name} {obj.name}", "OBJECT")
    prefix = f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"].' if bone else ""
    channel, rows = channels(what, _rotations(capture, obj, bone, times))
    for index, column in enumerate(np.array(rows).T):
        add_keys(curves, prefix + channel, index, frames * stretch(scene), column)
    return f"{capture.name}: rotation of the head, relative to its first frame, keyed on {what.name}"


def _rotations(capture: FaceCapture, obj: Any, bone: Any, times: NDArray) -> Iterator[Matrix]:
    """Rotations of the head since the first row, in the space of the bone, or on top of the object's own."""
    assert capture.rotation is not None
    seen = np.isfinite(capture.rotation).all(1)
    angles = np.unwrap(capture.rotation[seen], axis=0)
    yaw, pitch, roll = (np.interp(times, capture.times[seen], column) for column in angles.T)
    # The space that the channels are in: the bone's rest, or the object's parent.
    space = obj.matrix_world @ (bone.bone.matrix_local if bone else obj.matrix_basis.inverted_safe())
    own = space.to_quaternion().to_matrix()
    basis = Matrix.Identity(3) if bone else obj.matrix_basis.to_quaternion().to_matrix()
    start = None
    for k in range(len(times)):
        # z is up, -y the front, +x the person's left: to their right, down, and to the right.
        now = Matrix.Rotation(-yaw[k], 3, "Z") @ Matrix.Rotation(pitch[k], 3, "X") @ Matrix.Rotation(-roll[k], 3, "Y")
        start = start or now.inverted()
        turn = now @ start
        yield own.inverted() @ turn @ own @ basis


def channels(what: Any, rotations: Iterator[Matrix]) -> tuple[str, list[Any]]:
    """The channel that this rotation mode uses, and its values without jumps."""
    mode = what.rotation_mode
    rows: list[Any] = []
    for rotation in rotations:
        if mode == "QUATERNION":
            value: Quaternion | Euler = rotation.to_quaternion()
            if rows:
                value.make_compatible(rows[-1])
        elif mode == "AXIS_ANGLE":
            axis, angle = rotation.to_quaternion().to_axis_angle()
            rows.append((angle, *axis))
            continue
        else:
            value = rotation.to_euler(mode, rows[-1]) if rows else rotation.to_euler(mode)
        rows.append(value)
    name = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
    return name, [tuple(row) for row in rows]
