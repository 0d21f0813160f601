# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of a hand as an armature that follows them, and a skin on it."""

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..tracks.hand_skeleton import BONES_OF_A_FINGER, HEADS, NAMES, HandSkeleton, hand_skeleton, skin
from ..tracks.track import Faces
from .meshes import matrix_array, new_mesh
from .own_action import add_keys, new_action
from .rig import unit_scale
from .scene_time import stretch
from .surfaces import view_layer_of

RESIDUAL = "nephim_residual"  # on hands: RMS distance [m] of the joints from the landmarks


def add_hand(scene: Any, name: str, points: NDArray, frame_scale: float, added: list[Any]) -> Any:
    """The skin of a hand from landmarks (f, 21, 3) [m], z up, on an armature of 20 bones, and one that carries them,
    keyed from the scene's first frame on; both objects are appended to `added`.

    frame_scale: samples per frame of the scene.
    """
    skeleton, scale = hand_skeleton(points), 1 / unit_scale(scene)
    side = ".L" if "Left" in name else ".R"
    rig = bpy.data.objects.new(f"{name} Rig", bpy.data.armatures.new(f"{name} Rig"))
    scene.collection.objects.link(rig)
    added.append(rig)
    rig.show_in_front = True
    _add_bones(scene, rig, skeleton, side, scale)
    frames = scene.frame_start + np.arange(len(points)) / frame_scale
    _key(scene, rig, skeleton, side, scale, frames * stretch(scene))

    vertices, triangles, weights = skin(skeleton)
    obj = bpy.data.objects.new(name, new_mesh(name, vertices * scale, Faces.of(triangles)))
    scene.collection.objects.link(obj)
    added.append(obj)
    for bone, column in zip(NAMES, weights.T, strict=True):
        group = obj.vertex_groups.new(name=bone + side)
        for vertex in np.flatnonzero(column):
            group.add([int(vertex)], float(column[vertex]), "REPLACE")
    obj.parent = rig
    obj.modifiers.new("Armature", "ARMATURE").object = rig
    obj[RESIDUAL] = skeleton.residual
    return obj


def _add_bones(scene: Any, rig: Any, skeleton: HandSkeleton, side: str, scale: float) -> None:
    layer = view_layer_of(scene)
    layer.update()
    active = layer.objects.active
    if active is not None and active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones, rest = rig.data.edit_bones, skeleton.rest * scale
    hand = bones.new(f"hand{side}")
    hand.head, hand.tail = rest[0], 0.6 * rest[0] + 0.4 * rest[9]  # short, so as not to hide those of the palm
    hand.use_deform = False
    for bone, (name, head) in enumerate(zip(NAMES, HEADS, strict=True)):
        made = bones.new(name + side)
        made.head, made.tail = rest[head], rest[bone + 1]
        if np.linalg.norm(rest[bone + 1] - rest[head]) < 1e-5 * scale:  # Blender drops bones without length
            made.tail = rest[head] + [0, 0, 1e-3 * scale]
        first = bone % BONES_OF_A_FINGER == 0
        made.parent, made.use_connect = hand if first else bones[NAMES[bone - 1] + side], not first
    bpy.ops.object.mode_set(mode="OBJECT")
    layer.objects.active = active


def _key(scene: Any, rig: Any, skeleton: HandSkeleton, side: str, scale: float, frames: NDArray) -> None:
    curves = new_action(scene, rig, rig.name, "OBJECT")
    rests = {bone.name: matrix_array(bone.matrix_local)[:3, :3] for bone in rig.data.bones}
    carrier = f"hand{side}"
    moved = (skeleton.wrist - skeleton.rest[0]) * scale @ rests[carrier]  # in the bone's own axes
    for axis in range(3):
        add_keys(curves, f'pose.bones["{carrier}"].location', axis, frames, moved[:, axis])
    turns = {carrier: (np.broadcast_to(np.eye(3), skeleton.palm.shape), skeleton.palm)}
    for bone, name in enumerate(NAMES):
        parent = skeleton.turns[:, bone - 1] if bone % BONES_OF_A_FINGER else skeleton.palm
        turns[name + side] = parent, skeleton.turns[:, bone]
    for name, (parent, turn) in turns.items():
        own = rests[name].T @ parent.swapaxes(1, 2) @ turn @ rests[name]
        for axis, column in enumerate(_quaternions(own).T):
            add_keys(curves, f'pose.bones["{name}"].rotation_quaternion', axis, frames, column)


def _quaternions(matrices: NDArray) -> NDArray[np.float64]:
    """(f, 4), w first, of rotations (f, 3, 3), without jumps."""
    from scipy.spatial.transform import Rotation

    found = Rotation.from_matrix(matrices).as_quat()[:, [3, 0, 1, 2]]
    jumps = (found[1:] * found[:-1]).sum(1) < 0
    found[1:][np.logical_xor.accumulate(jumps)] *= -1
    if found[0, 0] < 0:
        found = -found
    return found
