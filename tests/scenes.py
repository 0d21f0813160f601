# SPDX-License-Identifier: GPL-3.0-or-later
"""Small rigged scenes for tests: a ball of a head with an open neck, and one or two capsule hands, all animated."""

import shutil
from dataclasses import replace

import bpy
import nephim.properties
import numpy as np
from mathutils import Matrix
from nephim import cli
from nephim.operators.save import save_blend

FRAMES = (1, 10)


def fresh():
    """An empty file with the add-on's properties; returns its scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if not hasattr(bpy.types.Scene, "nephim"):
        nephim.properties.register()
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = FRAMES
    return scene


def tube(rings, segments, radius, close_start, close_end):
    """A tube along z from ring radii [(z, radius)], as (vertices, faces): quads, with fans where closed."""
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    vertices = [(r * radius * np.cos(a), r * radius * np.sin(a), z) for z, r in rings for a in angle]
    faces = [
        (
            i * segments + j,
            i * segments + (j + 1) % segments,
            (i + 1) * segments + (j + 1) % segments,
            (i + 1) * segments + j,
        )
        for i in range(len(rings) - 1)
        for j in range(segments)
    ]
    if close_start:
        vertices.append((0, 0, rings[0][0] - 0.3 * radius))
        faces += [((j + 1) % segments, j, len(vertices) - 1) for j in range(segments)]
    if close_end:
        vertices.append((0, 0, rings[-1][0] + 0.3 * radius))
        last = (len(rings) - 1) * segments
        faces += [(last + j, last + (j + 1) % segments, len(vertices) - 1) for j in range(segments)]
    return np.array(vertices), faces


def mesh_object(scene, name, vertices, faces):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(vertices).tolist(), [], faces)
    obj = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(obj)
    return obj


def head_arrays(segments=24, rings=16, radius=0.1):
    """A ball without its bottom cap, centre at z = 1.6 m."""
    polar = np.linspace(0.82 * np.pi, 0.06 * np.pi, rings)
    profile = [(1.6 + radius * 1.2 * np.cos(p), np.sin(p)) for p in polar]
    return tube(profile, segments, radius, close_start=False, close_end=True)


def hand_arrays(segments=10, rings=12, radius=0.009, length=0.12):
    """A capsule along z, its tip at the end."""
    profile = [(z, 1.0) for z in np.linspace(0, length, rings)]
    return tube(profile, segments, radius, close_start=True, close_end=True)


def armature(scene, name, bones, unit=1.0):
    """bones: {name: (head, tail, parent or None)}."""
    data = bpy.data.armatures.new(name)
    obj = bpy.data.objects.new(name, data)
    scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    for bone, (head, tail, parent) in bones.items():
        edit = data.edit_bones.new(bone)
        edit.head, edit.tail = np.multiply(head, unit), np.multiply(tail, unit)
        if parent:
            edit.parent = data.edit_bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in obj.pose.bones:
        bone.rotation_mode = "XYZ"
    return obj


def bind(obj, arm, weights):
    """weights: {bone: (n,)}; adds the armature modifier."""
    for bone, values in weights.items():
        group = obj.vertex_groups.new(name=bone)
        for vertex, value in enumerate(values):
            if value > 0:
                group.add([vertex], float(value), "REPLACE")
    modifier = obj.modifiers.new("Armature", "ARMATURE")
    modifier.object = arm
    return modifier


def join(obj, points, faces, materials=()):
    """Adds a loose piece to a mesh object, on the bone 'head'; materials: names of two, the second is the piece's."""
    mesh, start = obj.data, len(obj.data.vertices)
    positions = np.empty(3 * start, np.float32)
    mesh.vertices.foreach_get("co", positions)
    whole = np.concatenate([positions.reshape(-1, 3), points])
    weights = {g.name: np.zeros(len(whole)) for g in obj.vertex_groups}
    for v in mesh.vertices:
        for g in v.groups:
            weights[obj.vertex_groups[g.group].name][v.index] = g.weight
    weights["head"][start:] = 1.0
    old = [tuple(p.vertices) for p in mesh.polygons]
    new = bpy.data.meshes.new(mesh.name)
    new.from_pydata(whole.tolist(), [], [*old, *(tuple(start + int(v) for v in face) for face in faces)])
    for name in materials:
        new.materials.append(bpy.data.materials.new(name))
    if materials:
        for polygon in list(new.polygons)[len(old) :]:
            polygon.material_index = 1
    obj.vertex_groups.clear()
    obj.data = new
    for name, values in weights.items():
        group = obj.vertex_groups.new(name=name)
        for vertex in np.flatnonzero(values):
            group.add([int(vertex)], float(values[vertex]), "REPLACE")


def turn(arm, bone, values, axis=0):
    """Keys a bone's Euler rotation: {frame: radians}."""
    pose = arm.pose.bones[bone]
    for frame, value in values.items():
        pose.rotation_euler[axis] = value
        pose.keyframe_insert("rotation_euler", index=axis, frame=frame)


def head(scene, *, unit=1.0, keys=True, preserve_volume=False, segments=24, rings=16):
    """Head 'Head' with armature 'HeadRig' (neck, head, jaw), shape keys 'smile' and 'open', all animated."""
    vertices, faces = head_arrays(segments, rings)
    obj = mesh_object(scene, "Head", vertices * unit, faces)
    arm = armature(
        scene,
        "HeadRig",
        {
            "neck": ((0, 0, 1.4), (0, 0, 1.52), None),
            "head": ((0, 0, 1.52), (0, 0, 1.75), "neck"),
            "jaw": ((0, -0.02, 1.56), (0, -0.1, 1.53), "head"),
        },
        unit,
    )
    up = np.clip((vertices[:, 2] - 1.5) / 0.06, 0, 1)
    jaw = np.clip((1.57 - vertices[:, 2]) / 0.04, 0, 1) * np.clip(-vertices[:, 1] / 0.05, 0, 1) * up
    bind(obj, arm, {"neck": 1 - up, "head": up - jaw, "jaw": jaw}).use_deform_preserve_volume = preserve_volume
    turn(arm, "head", {1: 0.0, 10: 0.5}, axis=1)
    turn(arm, "neck", {1: 0.0, 10: -0.3}, axis=0)
    turn(arm, "jaw", {1: 0.0, 5: 0.3, 10: 0.1}, axis=0)
    if keys:
        obj.shape_key_add(name="Basis")
        rng = np.random.default_rng(1)
        for name, frames in (("smile", {1: 0.0, 10: 1.0}), ("open", {3: 0.0, 7: 0.8})):
            key = obj.shape_key_add(name=name)
            moved = vertices + 0.01 * np.cos(20 * vertices @ rng.random((3, 3)))
            key.points.foreach_set("co", (moved * unit).astype(np.float32).ravel())
            for frame, value in frames.items():
                key.value = value
                key.keyframe_insert("value", frame=frame)
    return obj, arm


def hand(scene, name, side, *, unit=1.0):
    """Capsule 'name' that comes from `side` (+1: the character's left, +x) and presses 12 mm into the cheek."""
    vertices, faces = hand_arrays()
    obj = mesh_object(scene, name, vertices * unit, faces)
    arm = armature(
        scene,
        f"{name}Rig",
        {"palm": ((0, 0, 0), (0, 0, 0.06), None), "finger": ((0, 0, 0.06), (0, 0, 0.12), "palm")},
        unit,
    )
    bend = np.clip((vertices[:, 2] - 0.05) / 0.02, 0, 1)
    bind(obj, arm, {"palm": 1 - bend, "finger": bend})
    obj.parent = arm
    turn(arm, "finger", {1: 0.0, 10: 0.2})
    towards = Matrix.Rotation(-side * np.pi / 2, 4, "Y")  # its z axis along -side x
    for frame, gap in ((1, 0.06), (6, -0.012), (10, 0.02)):
        tip = 0.12 + 0.3 * 0.009
        place = Matrix.Translation(((side * (0.1 + gap + tip)) * unit, -0.01 * unit, 1.6 * unit)) @ towards
        arm.location, arm.rotation_euler = place.to_translation(), place.to_euler()
        arm.keyframe_insert("location", frame=frame)
    return obj, arm


def build(
    *,
    unit=1.0,
    left=True,
    right=True,
    keys=True,
    preserve_volume=False,
    object_scale=(1, 1, 1),
    parent=False,
    subdivision=False,
    bones=True,
    segments=24,
    rings=16,
):
    """A whole scene, ready for `read_rig`. unit: Blender units per metre (100: a scene in centimetres)."""
    scene = fresh()
    scene.unit_settings.scale_length = 1 / unit
    obj, arm = head(scene, unit=unit, keys=keys, preserve_volume=preserve_volume, segments=segments, rings=rings)
    obj.scale = object_scale
    settings = scene.nephim
    settings.head = obj
    if left:
        settings.left = hand(scene, "Left", 1, unit=unit)[0]
    if right:
        settings.right = hand(scene, "Right", -1, unit=unit)[0]
    if bones:
        settings.head_armature = settings.jaw_armature = arm
        settings.head_bone, settings.jaw_bone = "head", "jaw"
    if subdivision:
        obj.modifiers.new("Subdivision", "SUBSURF").levels = 1
    if parent:
        empty = bpy.data.objects.new("Root", None)
        scene.collection.objects.link(empty)
        for frame, angle in ((1, 0.0), (10, 0.7)):
            empty.rotation_euler = (0.1, angle, -angle)
            empty.location = (0.1 * unit * angle, 0, 0)
            empty.keyframe_insert("rotation_euler", frame=frame)
            empty.keyframe_insert("location", frame=frame)
        for child in [o for o in scene.objects if o.parent is None and o is not empty]:
            child.parent = empty
    scene.frame_set(1)
    return scene


def saved_set_up(folder):
    """A scene set up by the command line and saved in `folder`; returns the .blend's path. Its volume takes a second or
    two."""
    scene = build(segments=32, rings=24)
    scene.nephim.target_edge_mm = 12.0
    path = save_blend(folder / "face.blend")
    roles = ["--head", "Head", "--left", "Left", "--head-bone", "HeadRig:head"]
    assert cli.command(["setup", str(path), *roles]) == cli.EXIT_OK
    return path


def with_volume(folder):
    """`saved_set_up` with its volume, open; returns the .blend's path. folder: pytest's `tmp_path`.

    Built once in a run, in the folder that holds all temporary ones.
    """
    kept = folder.parent / "scene-with-volume"
    if not kept.exists():
        kept.mkdir()
        assert cli.command(["volume", str(saved_set_up(kept))]) == cli.EXIT_OK
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    bpy.ops.wm.open_mainfile(filepath=str(folder / "face.blend"))
    return folder / "face.blend"


def positions(obj):
    """The mesh's own vertices (n, 3), object space."""
    values = np.empty(3 * len(obj.data.vertices), np.float32)
    obj.data.attributes["position"].data.foreach_get("vector", values)
    return values.reshape(-1, 3)


def evaluated(obj, frame):
    """The same of the evaluated mesh at a frame, to which the scene goes."""
    bpy.context.scene.frame_set(frame)
    return positions(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()))


def body():
    """Head and both hands as vertex groups of one mesh 'Body' with one armature of head and finger bones."""
    scene = fresh()
    parts, start, groups = [], 0, {}
    all_faces = []
    placements = {
        "face": (head_arrays(), np.zeros(3)),
        "hand.L": (hand_arrays(), np.array([0.15, 0, 1.0])),
        "hand.R": (hand_arrays(), np.array([-0.15, 0, 1.0])),
    }
    for name, ((vertices, faces), offset) in placements.items():
        parts.append(vertices + offset)
        all_faces += [tuple(v + start for v in face) for face in faces]
        groups[name] = np.arange(start, start + len(vertices))
        start += len(vertices)
    obj = mesh_object(scene, "Body", np.concatenate(parts), all_faces)
    for name, indices in groups.items():
        obj.vertex_groups.new(name=name).add(indices.tolist(), 1.0, "REPLACE")
    arm = armature(
        scene,
        "BodyRig",
        {"head": ((0, 0, 1.5), (0, 0, 1.7), None), "arm": ((0, 0, 0.9), (0, 0, 1.0), None)},
    )
    of_head = np.zeros(start)
    of_head[groups["face"]] = 1
    bind(obj, arm, {"head": of_head, "arm": 1 - of_head})
    turn(arm, "head", {1: 0.0, 10: 0.5}, axis=1)
    turn(arm, "arm", {1: 0.0, 10: 0.2})
    settings = scene.nephim
    settings.head = settings.left = settings.right = obj
    settings.head_group, settings.left_group, settings.right_group = "face", "hand.L", "hand.R"
    settings.head_armature, settings.head_bone = arm, "head"
    scene.frame_set(1)
    return scene


def dent(rig, tracked, frame, depth=0.015):
    """A stand-in for the simulation: a smooth moving dent of the tracked head, nothing in the first and last frame.

    Returns (n_head, 3) float32 world positions [m].
    """
    phase = (frame - FRAMES[0]) / (FRAMES[1] - FRAMES[0])
    skin = tracked.head.astype(np.float64)
    centre = skin.mean(axis=0)
    pole = skin[len(skin) // 3 + int(40 * phase)]
    near = np.exp(-(np.linalg.norm(skin - pole, axis=1) ** 2) / 0.03**2)
    near[near < 0.01] = 0
    inwards = (centre - pole) / np.linalg.norm(centre - pole) + [0, 0, 0.3]
    return (skin + depth * np.sin(np.pi * phase) * near[:, None] * inwards).astype(np.float32)


def simulate(scene, path, job=dent, rig=None):
    """Writes a point cache of `job(rig, tracked, frame)`; returns (rig, PointCache)."""
    from nephim.bridge.cache.manifest import motion_fingerprint, settings_fingerprint, topology_fingerprint
    from nephim.bridge.cache.moved import moved_objects
    from nephim.bridge.cache.point_cache import PointCache, PointCacheWriter
    from nephim.bridge.rig import read_rig
    from nephim.bridge.surfaces import SurfaceReader

    rig = rig or read_rig(scene)
    moved = moved_objects(rig, ())[0]
    with (
        SurfaceReader(scene, rig) as reader,
        PointCacheWriter(
            path,
            object_name=rig.head.object_name,
            n_vertices=rig.head.n_vertices,
            frames=rig.frames,
            topology=topology_fingerprint(rig),
            settings=settings_fingerprint({}),
        ) as writer,
    ):
        for frame in rig.frames:
            tracked = reader.read(frame)
            skin = job(rig, tracked, frame)
            positions = moved.positions(reader.head, tracked, replace(tracked, head=skin))
            writer.write(frame, positions, motion_fingerprint(tracked))
    return rig, PointCache(path)
