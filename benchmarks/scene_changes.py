# SPDX-License-Identifier: GPL-3.0-or-later
"""What artists do to a character in Blender: changes of the scene that `person.add_person` makes."""

from typing import Any

import bmesh
import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from .person import DEPTHS, HAND, HAND_RIG, HEAD, RIG, TRUTH

_BODY = "body"


def root(matrix: Matrix) -> Any:
    """Everything hangs on an empty with this matrix; returns a change."""

    def change(scene: Any) -> None:
        empty = bpy.data.objects.new("Root", None)
        scene.collection.objects.link(empty)
        for obj in list(scene.objects):
            if obj.parent is None and obj is not empty:
                obj.parent = empty
        empty.matrix_world = matrix

    return change


def rigs_in_centimetres(scene: Any) -> None:
    """As FBX leaves characters: the armatures are scaled by 0.01 and turned, their meshes are in centimetres, y up."""
    for name in (RIG, HAND_RIG):
        rig = scene.objects[name]
        rig.scale = (0.01, 0.01, 0.01)
        rig.rotation_euler = (np.pi / 2, 0.0, 0.0)


def masked_helper(scene: Any) -> None:
    """The last half of the head's vertices is helper geometry that a mask hides, as on every body that MPFB makes."""
    head = scene.objects[HEAD]
    count = len(head.data.vertices) // 2
    head.vertex_groups.new(name=_BODY).add(list(range(count)), 1.0, "REPLACE")
    head.modifiers.new("Hide helpers", "MASK").vertex_group = _BODY


def masked_neck(scene: Any) -> None:
    """Subdivision after the rig, then a mask that hides the neck, as clothes do."""
    head = scene.objects[HEAD]
    low = [v.index for v in head.data.vertices if v.co.z < 0.02]
    head.vertex_groups.new(name="under the collar").add(low, 1.0, "REPLACE")
    head.modifiers.new("Subdivision", "SUBSURF").levels = 1
    hide = head.modifiers.new("Collar", "MASK")
    hide.vertex_group, hide.invert_vertex_group = "under the collar", True


def outlined(scene: Any) -> None:
    """A shell around head and hand that draws their outline."""
    for name in (HEAD, HAND):
        shell = scene.objects[name].modifiers.new("Outline", "SOLIDIFY")
        shell.thickness, shell.offset, shell.use_flip_normals = 0.002, 1.0, True


def smoothed(repeats: int) -> Any:
    """A corrective smooth after the armature; returns a change."""

    def change(scene: Any) -> None:
        smooth = scene.objects[HEAD].modifiers.new("Corrective Smooth", "CORRECTIVE_SMOOTH")
        smooth.iterations, smooth.use_only_smooth = repeats, False

    return change


def mirrored_before_the_rig(scene: Any) -> None:
    """Half a head whose other half a modifier makes, before the armature."""
    head = scene.objects[HEAD]
    mesh = bmesh.new()
    mesh.from_mesh(head.data)
    geometry = [*mesh.verts, *mesh.edges, *mesh.faces]
    bmesh.ops.bisect_plane(mesh, geom=geometry, plane_co=(0, 0, 0), plane_no=(-1, 0, 0), clear_outer=True)
    mesh.to_mesh(head.data)
    mesh.free()
    mirror = head.modifiers.new("Mirror", "MIRROR")
    mirror.use_mirror_merge = True
    head.modifiers.move(len(head.modifiers) - 1, 0)


def mirror_applied(scene: Any) -> None:
    """Applied, as the refusal advises; the copied attribute is mirrored as the vertices are."""
    mesh = scene.objects[HEAD].data
    _apply(scene.objects[HEAD], "Mirror")
    places, truth = (np.empty(3 * len(mesh.vertices), np.float32) for _ in range(2))
    mesh.vertices.foreach_get("co", places)
    mesh.attributes[TRUTH].data.foreach_get("vector", truth)
    truth[::3] = np.copysign(truth[::3], places[::3])
    mesh.attributes[TRUTH].data.foreach_set("vector", truth)


def decimated(ratio: float) -> Any:
    """A head of fewer faces; returns a change."""

    def change(scene: Any) -> None:
        head = scene.objects[HEAD]
        head.modifiers.new("Decimate", "DECIMATE").ratio = ratio
        head.modifiers.move(len(head.modifiers) - 1, 0)
        _apply(head, "Decimate")

    return change


def hand_without_rig(scene: Any) -> None:
    """The hand is an object of its own that is moved as a whole. For a person `with_stiff_hand`."""
    hand, rig = scene.objects[HAND], scene.objects[HAND_RIG]
    hand.modifiers.clear()
    hand.vertex_groups.clear()
    frames = range(scene.frame_start, scene.frame_end + 1)
    places: list[NDArray] = []
    for frame in frames:
        scene.frame_set(frame)
        places.append(np.array(rig.matrix_world @ rig.pose.bones[0].matrix))
    hand.parent = None
    bpy.data.objects.remove(rig)
    hand.rotation_mode = "QUATERNION"
    for frame, place in zip(frames, places, strict=True):
        location, turn, _ = Matrix(place).decompose()
        hand.location, hand.rotation_quaternion = location, turn
        hand.keyframe_insert("location", frame=frame)
        hand.keyframe_insert("rotation_quaternion", frame=frame)
    scene.frame_set(scene.frame_start)


def negative_frames(first: int, neutral: int) -> Any:
    """Frames that a scene's range cannot hold: the motion starts at `first`; returns a change."""

    def change(scene: Any) -> None:
        settings = scene.nephim
        settings.use_scene_range, settings.neutral_frame = False, neutral
        settings.frame_start, settings.frame_end = first, first + len(DEPTHS) - 1

    return change


def size_fitted(_scene: Any) -> None:
    """The button that sets the add-on's own unit scale."""
    bpy.ops.nephim.fit_size()


def _apply(obj: Any, modifier: str) -> None:
    with bpy.context.temp_override(object=obj, active_object=obj):
        bpy.ops.object.modifier_apply(modifier=modifier)
