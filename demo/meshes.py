# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender objects from the demo character's arrays: meshes, armatures, vertex groups, shape keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from .character import Skeleton

_LEAST_WEIGHT = 1e-4  # smaller weights move a vertex by less than a micrometre at these lengths
TINT = "Tint"  # the colour attribute that the skin's material reads


def add_mesh(name: str, vertices: NDArray, faces: NDArray, uv: NDArray | None = None) -> Any:
    """A smooth mesh object in the scene's collection. vertices: (n, 3) [m]; faces: (m, k); uv: (m, k, 2)."""
    mesh = bpy.data.meshes.new(name)
    count, corners = faces.shape
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", np.asarray(vertices, np.float32).ravel())
    mesh.loops.add(count * corners)
    mesh.loops.foreach_set("vertex_index", np.asarray(faces, np.int32).ravel())
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, count * corners, corners, dtype=np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(count, bool))
    if uv is not None:
        mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", np.asarray(uv, np.float32).ravel())
    mesh.update(calc_edges=True)
    mesh.validate()
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def add_tint(obj: Any, colours: NDArray) -> None:
    """Vertex colours (n, 3), linear."""
    attribute = obj.data.color_attributes.new(TINT, "FLOAT_COLOR", "POINT")
    rgba = np.ones((len(colours), 4), np.float32)
    rgba[:, :3] = colours
    attribute.data.foreach_set("color", rgba.ravel())


def add_groups(obj: Any, names: Sequence[str], weights: NDArray) -> None:
    """Vertex groups from weights (n, len(names))."""
    for name, column in zip(names, weights.T, strict=True):
        group = obj.vertex_groups.new(name=name)
        for index in np.flatnonzero(column > _LEAST_WEIGHT).tolist():
            group.add([index], float(column[index]), "REPLACE")


def add_shape_keys(obj: Any, keys: Mapping[str, NDArray]) -> None:
    """Relative shape keys from displacements (n, 3) [m]."""
    rest = np.empty(3 * len(obj.data.vertices), np.float32)
    obj.data.vertices.foreach_get("co", rest)
    obj.shape_key_add(name="Basis", from_mix=False)
    for name, delta in keys.items():
        key = obj.shape_key_add(name=name, from_mix=False)
        key.value = 0.0  # newer Blenders begin with 1
        key.data.foreach_set("co", rest + delta.astype(np.float32).ravel())


def add_armature(name: str, skeletons: Sequence[Skeleton]) -> Any:
    """An armature object with the bones of all skeletons; rest frames as in `Skeleton.matrices`."""
    obj = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    for skeleton in skeletons:
        made: list[Any] = []
        for bone_name, parent, frame, length in zip(
            skeleton.names, skeleton.parents, skeleton.matrices, skeleton.lengths, strict=True
        ):
            bone = obj.data.edit_bones.new(bone_name)
            bone.head = Vector(frame[:3, 3])
            bone.tail = Vector(frame[:3, 3] + length * frame[:3, 1])
            bone.align_roll(Vector(frame[:3, 2]))
            bone.parent = made[parent] if parent >= 0 else None
            made.append(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.show_in_front = True
    for bone in obj.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return obj


def bind(obj: Any, armature: Any) -> None:
    """Lets the armature deform the object by its vertex groups."""
    obj.parent = armature
    modifier = obj.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
