# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of a face capture: of the head, and of its eyes, as keys of bones or objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion
from numpy.typing import NDArray

from ..tracks.face_capture import FaceCapture, keys_for
from .own_action import add_keys, new_action
from .recognise import armature_of
from .rig_names import LEFT, RIGHT, eye_side
from .scene_time import stretch


@dataclass(frozen=True)
class Turn:
    """owner: the object whose action gets the keys; bone: its pose bone, or None for the object itself. angles: (f, 3)
    yaw to the person's right, pitch downwards and roll to the right [rad], NaN where nothing was seen. relative: to the
    first row, or to straight on."""

    owner: Any
    bone: Any
    angles: NDArray[np.float64]
    relative: bool
    what: str

    @property
    def name(self) -> str:
        return str((self.bone or self.owner).name)


def head_turn(scene: Any, head: Any, capture: FaceCapture) -> Turn:
    """Of the head bone, or without one of the head object."""
    assert capture.rotation is not None
    settings = scene.nephim
    rig = settings.head_armature
    bone = rig.pose.bones.get(settings.head_bone) if rig is not None and rig.pose else None
    owner = rig if bone is not None else head
    return Turn(owner, bone, capture.rotation, True, "rotation of the head, relative to its first frame,")


def eye_turns(scene: Any, head: Any, capture: FaceCapture, keyed: Sequence[Any]) -> tuple[list[Turn], list[str]]:
    """Of the eye bones of the head's rig, else of empties called after eyes that hang on it; and what to say where
    there are none. Eyes with shape keys of their own turn by these. keyed: the meshes whose keys the capture drives."""
    if capture.eyes is None:
        return [], []
    if any(obj is not head and eye_side(obj.name) and _looks(obj) for obj in keyed):
        return [], ["the eyes turn by shape keys of their own"]
    rig = armature_of(head) or scene.nephim.head_armature
    bones = [(rig, bone) for bone in _eye_bones(rig)] if rig is not None else []
    empties = [(obj, None) for obj in scene.objects if obj.type == "EMPTY" and _hangs_on(obj, rig or head)]
    found: dict[str, tuple[Any, Any]] = {}
    for owner, bone in [*bones, *empties]:
        side = eye_side((bone or owner).name)
        if side:
            found.setdefault(side, (owner, bone))
    if not found:
        return [], ["angles of the eyes are left out: no bone or empty of the head is called an eye (eye.L, eye.R)"]
    turns, said = [], []
    for number, side in enumerate((LEFT, RIGHT)):
        if side not in found:
            said.append(f"no bone or empty is called the {side} eye: its angles are left out")
            continue
        owner, bone = found[side]
        if any(not constraint.mute for constraint in (bone or owner).constraints):
            said.append(f"the {side} eye '{(bone or owner).name}' follows a constraint: left alone")
            continue
        angles = np.column_stack([capture.eyes[:, number], 0 * capture.eyes[:, number, 0]])
        turns.append(Turn(owner, bone, angles, False, f"rotation of the {side} eye"))
    return turns, said


def _looks(obj: Any) -> bool:
    keys = keys_for(key.name for key in obj.data.shape_keys.key_blocks)
    return any(name.startswith("eyeLook") for name in keys)


def _eye_bones(rig: Any) -> list[Any]:
    """Free ones first, then those nearest the root: a control before the bones that it moves."""
    bones = [bone for bone in rig.pose.bones if eye_side(bone.name)]
    return sorted(bones, key=lambda bone: (len(bone.constraints) > 0, len(bone.parent_recursive)))


def _hangs_on(obj: Any, root: Any) -> bool:
    while obj is not None and obj is not root:
        obj = obj.parent
    return obj is root


def key_turns(
    scene: Any, capture: FaceCapture, turns: Sequence[Turn], frames: NDArray, times: NDArray
) -> Iterator[str]:
    """Keys them, all those of an object in one action; says each."""
    actions: dict[Any, Any] = {}
    for turn in turns:
        if turn.owner not in actions:
            actions[turn.owner] = new_action(scene, turn.owner, f"{capture.name} {turn.owner.name}", "OBJECT")
        prefix = f'pose.bones["{bpy.utils.escape_identifier(turn.bone.name)}"].' if turn.bone else ""
        channel, rows = channels(turn.bone or turn.owner, _rotations(capture, turn, times))
        for index, column in enumerate(np.array(rows).T):
            add_keys(actions[turn.owner], prefix + channel, index, frames * stretch(scene), column)
        yield f"{turn.what} keyed on {turn.name}"


def _rotations(capture: FaceCapture, turn: Turn, times: NDArray) -> Iterator[Matrix]:
    """In the space of the bone, or on top of the object's own."""
    seen = np.isfinite(turn.angles).all(1)
    angles = np.unwrap(turn.angles[seen], axis=0)
    yaw, pitch, roll = (np.interp(times, capture.times[seen], column) for column in angles.T)
    obj, bone = turn.owner, turn.bone
    # The space that the channels are in: the bone's rest, or the object's parent.
    space = obj.matrix_world @ (bone.bone.matrix_local if bone else obj.matrix_basis.inverted_safe())
    own = space.to_quaternion().to_matrix()
    basis = Matrix.Identity(3) if bone else obj.matrix_basis.to_quaternion().to_matrix()
    start = None if turn.relative else Matrix.Identity(3)
    for k in range(len(times)):
        # z is up, -y the front, +x the person's left: to their right, down, and to the right.
        now = Matrix.Rotation(-yaw[k], 3, "Z") @ Matrix.Rotation(pitch[k], 3, "X") @ Matrix.Rotation(-roll[k], 3, "Y")
        start = start or now.inverted()
        yield own.inverted() @ (now @ start) @ own @ basis


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
