# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me where head and hands are objects of their own: with a skeleton each, or without any."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
published_rigs = pytest.importorskip("published_rigs")
rigs = pytest.importorskip("rigs")
scenes = pytest.importorskip("scenes")

from nephim.bridge.recognise import recognise  # noqa: E402
from nephim.errors import RigError  # noqa: E402
from nephim.operators.find import found_parts  # noqa: E402
from synthetic_hand import hand_of_cubes  # noqa: E402

pytestmark = pytest.mark.bpy


def names(found):
    return [None if part is None else part.obj.name for part in (found.head, found.left, found.right)]


def only_select(*objects):
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj in objects)
    bpy.context.view_layer.objects.active = objects[0] if objects else None


# Head and body, each with an armature


def own_armature(obj, kept):
    """Gives an object a copy of its armature, with the bones for which `kept(names of the bone and those above)`."""
    arm = obj.modifiers[0].object.copy()
    arm.data, arm.name = arm.data.copy(), f"{obj.name} Rig"
    bpy.context.scene.collection.objects.link(arm)
    obj.modifiers[0].object = arm
    dropped = [b.name for b in arm.data.bones if not kept({b.name, *(above.name for above in b.parent_recursive)})]
    bpy.context.view_layer.objects.active = arm
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in dropped:
        arm.data.edit_bones.remove(arm.data.edit_bones[bone])
    bpy.ops.object.mode_set(mode="OBJECT")


@pytest.fixture(params=["each its own bones", "each all bones"])
def face_and_torso(request):
    """MetaHuman's two meshes, each with an armature; (face, torso, which vertices of the torso are the left hand)."""
    body, part = published_rigs.build(published_rigs.FAMILIES["metahuman"])
    made = rigs.parted(body, part, {"head": "Face", "hand.L": "Torso", "hand.R": "Torso", "rest": "Torso"})
    every = request.param == "each all bones"
    own_armature(made["Face"], lambda line: every or "neck_01" in line)
    own_armature(made["Torso"], lambda line: every or "head" not in line)
    bpy.data.objects.remove(bpy.data.objects["Rig"])
    bpy.context.view_layer.update()
    return made["Face"], made["Torso"], part[part != "head"] == "hand.L"


@pytest.mark.parametrize("selected", ["Face", "Torso", "Face Rig", "Torso Rig", None])
def test_head_and_body_with_armatures_of_their_own(face_and_torso, selected):
    face, torso, left = face_and_torso
    only_select(*([bpy.data.objects[selected]] if selected else []))
    assert bpy.ops.nephim.find() == {"FINISHED"}
    settings = bpy.context.scene.nephim
    assert (settings.head, settings.left, settings.right) == (face, torso, torso)
    assert settings.head_group == ""
    group = torso.vertex_groups[settings.left_group].index
    assert np.array_equal([any(g.group == group for g in v.groups) for v in torso.data.vertices], left)
    assert (settings.head_armature.name, settings.head_bone) == ("Face Rig", "head")
    assert (settings.jaw_armature.name, settings.jaw_bone) == ("Face Rig", "FACIAL_C_Jaw")


def test_what_carries_the_meshes_stands_for_them():
    """glTF and FBX bring an empty above everything; another person in the scene is larger."""
    body, _, _ = rigs.build(rigs.FAMILIES["ready player me"])
    arm, large = bpy.data.objects["Rig"], bpy.data.objects["Rig"].copy()
    bpy.context.scene.collection.objects.link(large)
    vertices, faces = scenes.head_arrays(64, 40)
    other = scenes.mesh_object(bpy.context.scene, "Other", vertices, faces)
    scenes.bind(other, large, {"Head": np.ones(len(vertices))})
    assert recognise([], bpy.context.scene.objects).head.obj == other
    empty = bpy.data.objects.new("AuxScene", None)
    bpy.context.scene.collection.objects.link(empty)
    arm.parent, body.parent = empty, arm
    bpy.context.view_layer.update()
    only_select(empty)
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert bpy.context.scene.nephim.head == body


# Hands without a skeleton


def bare_hands(*places):
    """A head with its armature and hands of cubes that nothing moves and whose names say nothing."""
    scene = scenes.build(left=False, right=False)
    vertices, faces = hand_of_cubes()
    for x in places:
        scenes.mesh_object(scene, "Object", vertices, faces).location = (x, -0.2, 1.5)
    scenes.mesh_object(scene, "Ball", *scenes.head_arrays()).location = (0, 1, 0)
    scenes.mesh_object(scene, "Building", vertices * 30, faces)
    bpy.context.view_layer.update()
    return scene


def test_bare_hands_are_known_by_their_fingers():
    scene = bare_hands(-0.3, 0.4)
    assert names(recognise([bpy.data.objects["Head"]], scene.objects)) == ["Head", "Object.001", "Object"]
    only_select(bpy.data.objects["Head"])
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert found_parts(scene)[1].startswith("Left hand: Object.001 (")


@pytest.mark.parametrize(("place", "expected"), [(0.3, ["Object", None]), (-0.3, [None, "Object"])])
def test_one_bare_hand(place, expected):
    scene = bare_hands(place)
    assert names(recognise(scene.objects)) == ["Head", *expected]


def test_sides_of_bare_hands_follow_the_head():
    """The person looks the other way: told by the bones of the face, or by the head object where there are none."""
    scene = bare_hands(-0.3, 0.4)
    bpy.data.objects["HeadRig"].rotation_euler = bpy.data.objects["Head"].rotation_euler = (0, 0, np.pi)
    bpy.context.view_layer.update()
    assert names(recognise(scene.objects)) == ["Head", "Object", "Object.001"]
    bpy.data.objects.remove(bpy.data.objects["HeadRig"])
    bpy.context.view_layer.update()
    assert names(recognise(scene.objects)) == ["Head", "Object", "Object.001"]


def test_without_hands_the_head_is_named_and_all_that_was_looked_at():
    scene = bare_hands()
    with pytest.raises(RigError) as caught:
        recognise([bpy.data.objects["Head"]], scene.objects)
    message = str(caught.value)
    assert "This is the head (the whole mesh), but no hand was found. Looked at 'Head', then" in message
    assert "'Ball', 'Building'" in message


# Hands tracked by WebXR

WEBXR = [
    "wrist",
    *(f"thumb-{bone}" for bone in ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")),
    *(
        f"{finger}-finger-{bone}"
        for finger in ("index", "middle", "ring", "pinky")
        for bone in ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
    ),
]


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "side by side"])
@pytest.mark.parametrize("named", [True, False], ids=["sides by name", "sides by place"])
def test_tracked_hands(nested, named):
    """The joints of WebXR do not say which hand they are of; in glTF they may stand side by side or hang together."""
    scene = scenes.build(left=False, right=False)
    for side, x in (("left", 0.4), ("right", -0.4)):
        bones, above, fingers = {}, None, []
        for joint in WEBXR:
            finger = joint.split("-")[0]
            if finger not in fingers:
                fingers.append(finger)
                above, along = fingers[0] if joint != "wrist" else None, 0.0
            along += 0.025
            head = np.array((x + 0.02 * len(fingers), 0, 1.4 + along * (joint != "wrist")))
            bones[joint] = (head, head + (0, 0, 0.02), above if nested else None)
            above = joint
        middles = np.array([(head + tail) / 2 for head, tail, _ in bones.values()])
        corners = 0.004 * np.array([(0, 0, 1), (1, 0, -1), (-1, 1, -1), (-1, -1, -1)])
        faces = [4 * i + np.array(f) for i in range(25) for f in ((0, 1, 2), (0, 2, 3), (0, 3, 1), (1, 3, 2))]
        vertices = (middles[:, None] + corners).reshape(-1, 3)
        obj = scenes.mesh_object(scene, f"{side}-mesh" if named else "mesh", vertices, [f.tolist() for f in faces])
        weights = {bone: (np.arange(100) // 4 == i).astype(float) for i, bone in enumerate(bones)}
        scenes.bind(obj, scenes.armature(scene, "Armature", bones), weights)
    expected = ["left-mesh", "right-mesh"] if named else ["mesh", "mesh.001"]
    found = recognise(scene.objects)
    assert names(found) == ["Head", *expected]
    assert found.left.vertices is None and found.right.vertices is None
