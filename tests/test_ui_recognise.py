# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me: the names that common rigs use, single bodies, separate objects, and what it says when nothing fits."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.recognise import plain_name, recognise, roles_of_bones  # noqa: E402
from nephim.errors import RigError  # noqa: E402

pytestmark = pytest.mark.bpy

# (head, jaw or None, left hand, left finger, right hand, between head and trunk), of each kind of rig.
RIGS = {
    "makehuman": ("head", "jaw", "wrist.L", "finger2-1.L", "wrist.R"),
    "rigify": ("DEF-spine.006", "DEF-jaw", "DEF-hand.L", "DEF-f_index.01.L", "DEF-hand.R"),
    "mixamo": ("mixamorig:Head", None, "mixamorig:LeftHand", "mixamorig:LeftHandIndex1", "mixamorig:RightHand"),
    "unreal": ("head", None, "hand_l", "index_01_l", "hand_r"),
    "vrm": ("J_Bip_C_Head", None, "J_Bip_L_Hand", "J_Bip_L_Index1", "J_Bip_R_Hand"),
    "cc": ("CC_Base_Head", "CC_Base_JawRoot", "CC_Base_L_Hand", "CC_Base_L_Index1", "CC_Base_R_Hand"),
}


def body_of(kind):
    """One mesh of a head and two hands, with an armature and weights as this kind of rig has them."""
    head, jaw, left, finger, right = RIGS[kind]
    scene = scenes.fresh()
    parts, faces, names, start = [], [], [], 0
    for place, name, (vertices, part) in (
        ((0, 0, 0), head, scenes.head_arrays()),
        ((0.3, 0, 1.0), left, scenes.hand_arrays()),
        ((-0.3, 0, 1.0), right, scenes.hand_arrays()),
        ((0, 0, 0.6), "trunk", scenes.hand_arrays()),
    ):
        parts.append(vertices + place)
        faces += [tuple(v + start for v in face) for face in part]
        names += [name] * len(vertices)
        start += len(vertices)
    obj = scenes.mesh_object(scene, "Body", np.concatenate(parts), faces)
    bones = {
        "trunk": ((0, 0, 0.5), (0, 0, 1.4), None),
        head: ((0, 0, 1.5), (0, 0, 1.7), "trunk"),
        left: ((0.3, 0, 1.0), (0.3, 0, 1.05), "trunk"),
        finger: ((0.3, 0, 1.05), (0.3, 0, 1.1), left),
        right: ((-0.3, 0, 1.0), (-0.3, 0, 1.05), "trunk"),
    }
    if jaw:
        bones[jaw] = ((0, -0.05, 1.5), (0, -0.1, 1.5), head)
    names = np.array(names)
    vertices = np.concatenate(parts)
    weights = {bone: (names == bone).astype(float) for bone in bones}
    tip = (names == left) & (vertices[:, 2] > 1.06)
    weights[left][tip], weights[finger][tip] = 0.0, 1.0
    if jaw:
        chin = (names == head) & (vertices[:, 2] < 1.53)
        weights[head][chin], weights[jaw][chin] = 0.3, 0.7
    arm = scenes.armature(scene, "Bones", bones)
    scenes.bind(obj, arm, weights)
    return scene, obj, names


@pytest.mark.parametrize("kind", RIGS)
def test_a_single_body_of_each_kind(kind):
    scene, obj, names = body_of(kind)
    head, jaw, left, _, right = RIGS[kind]
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    assert bpy.ops.nephim.find() == {"FINISHED"}
    settings = scene.nephim
    assert settings.head == settings.left == settings.right == obj
    for role, bone in (("head", head), ("left", left), ("right", right)):
        group = obj.vertex_groups[getattr(settings, f"{role}_group")]
        members = [v.index for v in obj.data.vertices if any(g.group == group.index for g in v.groups)]
        assert np.array_equal(members, np.flatnonzero(names == bone)), role
    assert settings.head_armature.name == "Bones"
    assert settings.head_bone == head
    assert settings.jaw_bone == (jaw or "")
    count = len(obj.vertex_groups)
    assert bpy.ops.nephim.find() == {"FINISHED"}  # once more finds the same and adds nothing
    assert len(obj.vertex_groups) == count


def test_objects_of_their_own():
    scene = scenes.build()
    settings = scene.nephim
    for name, new in (("Left", "Hand.L"), ("Right", "hand_R")):
        bpy.data.objects[name].name = new
    settings.head = settings.left = settings.right = settings.head_armature = None
    settings.head_bone = settings.jaw_bone = ""
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert (settings.head.name, settings.left.name, settings.right.name) == ("Head", "Hand.L", "hand_R")
    assert (settings.head_group, settings.left_group) == ("", "")
    assert (settings.head_bone, settings.jaw_bone) == ("head", "jaw")


def test_a_face_with_arkit_expressions():
    scene = scenes.fresh()
    face = scenes.mesh_object(scene, "Avatar", *scenes.head_arrays())
    face.shape_key_add(name="Basis")
    for name in (
        "jawOpen",
        "eyeBlink_L",
        "mouthSmileLeft",
        "mouthSmileRight",
        "mouthPucker",
        "browInnerUp",
        "cheekPuff",
    ):
        face.shape_key_add(name=name)
    scenes.mesh_object(scene, "LeftHand", *scenes.hand_arrays())
    found = recognise(scene.objects)
    assert found.head.obj == face
    assert found.left.obj.name == "LeftHand"
    assert found.right is None
    assert found.head_bone is None


def test_eyes_and_teeth_are_no_heads():
    scene = scenes.build()
    rig = bpy.data.objects["HeadRig"]
    vertices, faces = scenes.head_arrays(segments=64, rings=40)
    eyes = scenes.mesh_object(scene, "Eyes", vertices, faces)
    scenes.bind(eyes, rig, {"head": np.ones(len(vertices))})
    bpy.data.objects["Left"].name = "hand.L"
    assert recognise(scene.objects).head.obj.name == "Head"


@pytest.mark.parametrize(("left_out", "says"), [("Head", "No head"), ("hands", "No hand")])
def test_what_is_missing_is_said(left_out, says):
    scene = scenes.build()
    objects = [obj for obj in scene.objects if (obj.name.startswith("Head")) != (left_out == "Head")]
    with pytest.raises(RigError, match=says):
        recognise(objects)


def test_names():
    assert plain_name("mixamorig:LeftHand") == "lefthand"
    assert plain_name("mixamorig1:LeftHand") == "lefthand"
    assert plain_name("DEF-hand.L") == "handl"
    assert roles_of_bones({"hips": None, "hand.L": "hips", "thumb.L": "hand.L", "headband": "hips"}) == {
        "hand.L": "left",
        "thumb.L": "left",
    }
    assert roles_of_bones({"Chest": None, "Neck": "Chest", "Necklace": "Chest"}) == {"Neck": "head"}
    assert roles_of_bones({"spine.004": None}) == {}
    assert roles_of_bones({"spine.004": None, "spine.006": "spine.004"}).keys() == {"spine.004", "spine.006"}
