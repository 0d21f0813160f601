# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me on one small character of each family of rigs: names and shape, each alone, turned and mirrored."""

import subprocess
import sys

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
generate_rigify = pytest.importorskip("generate_rigify")
rigs = pytest.importorskip("rigs")
scenes = pytest.importorskip("scenes")

from nephim.bridge.recognise import recognise  # noqa: E402
from nephim.bridge.rig_names import is_no_hand, is_no_skin, is_worn, plain_name, read_name  # noqa: E402
from nephim.bridge.roles import roles_of  # noqa: E402
from nephim.bridge.skeleton import Bone, Skeleton, pair_of_hands  # noqa: E402
from nephim.errors import RigError  # noqa: E402

pytestmark = pytest.mark.bpy
PARTS = (("head", "head"), ("left", "hand.L"), ("right", "hand.R"))


def family(kind, **kept):
    joints = rigs.PERSONS[kind]() if kind in rigs.PERSONS and not kept else rigs.person(**kept)
    return rigs.FAMILIES[kind], joints


def assert_parts(found, part, swapped=False):
    wanted = dict(PARTS)
    if swapped:
        wanted["left"], wanted["right"] = wanted["right"], wanted["left"]
    for role, of in wanted.items():
        assert np.array_equal(getattr(found, role).vertices, np.flatnonzero(part == of)), role


def bone_of(found, role):
    bone = getattr(found, f"{role}_bone")
    return None if bone is None else bone[1]


@pytest.mark.parametrize("kind", rigs.FAMILIES)
def test_each_family(kind):
    name, joints = family(kind)
    body, _, part = rigs.build(name, joints)
    found = recognise([body])
    assert_parts(found, part)
    assert bone_of(found, "head") == name("head")
    assert bone_of(found, "jaw") == (name("jaw") if "jaw" in joints else None)


@pytest.mark.parametrize("kind", rigs.FAMILIES)
def test_mittens_are_known_by_their_names(kind):
    name, joints = family(kind, fingers=False)
    body, _, part = rigs.build(name, joints)
    found = recognise([body])
    assert_parts(found, part)
    assert bone_of(found, "head") == name("head")


def test_toes_are_no_fingers_of_a_mitten():
    """Five toes of two bones on each foot: nothing else in this skeleton looks like a pair of hands."""
    joints = rigs.person(fingers=False)
    for side, sign in ((".L", 1), (".R", -1)):
        for toe in range(5):
            joints[f"a{toe}{side}"] = ((sign * (0.08 + 0.02 * toe), -0.1, 0.02), f"foot{side}")
            joints[f"b{toe}{side}"] = ((sign * (0.08 + 0.02 * toe), -0.13, 0.02), f"a{toe}{side}")
    body, _, part = rigs.build(rigs.FAMILIES["mixamo"], joints)
    assert_parts(recognise([body]), part)
    body, _, _ = rigs.build(rigs.nameless(), joints)
    with pytest.raises(RigError, match="No head was found"):
        recognise([body])


@pytest.mark.parametrize("kind", [None, *(kind for kind in rigs.PERSONS if kind != "3ds max biped")])
def test_bones_without_names_are_known_by_their_shape(kind):
    """The collarbones of a Biped hang on its neck, which is then part of the trunk; its case is below."""
    joints = rigs.PERSONS[kind]() if kind else rigs.person()
    name = rigs.nameless()
    body, _, part = rigs.build(name, joints)
    found = recognise([body])
    assert_parts(found, part)
    assert bone_of(found, "head") == name("head")
    assert found.jaw_bone is None  # a jaw that was guessed wrongly would be worse than none


def test_arms_that_hang_on_the_neck_are_no_head():
    joints = rigs.PERSONS["3ds max biped"]()
    body, _, part = rigs.build(rigs.nameless(), joints)
    found = recognise([body])
    assert set(part[found.head.vertices]) == {"head"}
    assert np.array_equal(found.left.vertices, np.flatnonzero(part == "hand.L"))


def test_a_bust_without_names():
    body, _, part = rigs.build(rigs.nameless(), rigs.person(legs=False))
    assert_parts(recognise([body]), part)


def turned(arm, body, angles):
    arm.rotation_euler = angles
    body.parent = arm
    bpy.context.view_layer.update()


@pytest.mark.parametrize("angles", [(np.pi / 2, 0, 0), (0, 0, np.pi), (0.4, -1.1, 2.0), (0, np.pi / 2, 0)])
@pytest.mark.parametrize("name", [rigs.FAMILIES["mixamo"], rigs.nameless()], ids=["named", "nameless"])
def test_turned(name, angles):
    body, arm, part = rigs.build(name)
    turned(arm, body, angles)
    assert_parts(recognise([body]), part)


def test_a_mirrored_armature():
    """Names say whose left it is; without names the mirror image is a person whose hands have changed places."""
    body, arm, part = rigs.build(rigs.FAMILIES["unreal"])
    arm.scale.x = -1
    bpy.context.view_layer.update()
    assert_parts(recognise([body]), part)
    body, arm, part = rigs.build(rigs.nameless())
    arm.scale.x = -1
    bpy.context.view_layer.update()
    assert_parts(recognise([body]), part, swapped=True)


@pytest.mark.parametrize("front", ["toes", "nothing"])
def test_where_front_is_if_the_face_has_no_bones(front):
    joints = rigs.person(jaw=False, eyes=False, legs=front == "toes")
    body, arm, part = rigs.build(rigs.nameless(), joints)
    assert_parts(recognise([body]), part)
    turned(arm, body, (0, 0, np.pi))  # toes point the other way; with none the person is taken to look along -y
    assert_parts(recognise([body]), part, swapped=front == "nothing")


def test_a_pose_with_hanging_arms():
    joints = rigs.person()
    slope = np.array([[0.5, 0, 0.866], [0, 1, 0], [-0.866, 0, 0.5]])
    for joint, (place, hangs) in joints.items():
        if joint[-1] in "LR" and place[2] == 1.47 and not joint.startswith("upperarm"):
            sign = 1 if joint.endswith("L") else -1
            shoulder = np.array((0.16, 0, 1.47))
            down = shoulder + slope @ (np.multiply(place, (sign, 1, 1)) - shoulder)
            joints[joint] = ((sign * down[0], down[1], down[2]), hangs)
    pair = pair_of_hands(
        Skeleton([Bone(b, p, np.array(h), np.array(t)) for b, (h, t, p) in rigs.bones_of(joints).items()])
    )
    assert pair is not None and not pair.on_four_legs


def dog(name=str, **kind):
    joints = rigs.quadruped(**kind)
    scene = scenes.fresh()
    bones = rigs.bones_of(joints, name)
    vertices, faces, weights = solids(bones)
    obj = scenes.mesh_object(scene, "Dog", vertices, faces)
    scenes.bind(obj, scenes.armature(scene, "DogRig", bones), weights)
    return obj


def solids(bones):
    """A small tetrahedron in the middle of each bone, moved by it alone."""
    corners = 0.004 * np.array([(0, 0, 1), (1, 0, -1), (-1, 1, -1), (-1, -1, -1)])
    vertices = np.concatenate([np.add(head, tail) / 2 + corners for head, tail, _ in bones.values()])
    faces = [
        tuple(4 * i + v for v in face)
        for i in range(len(bones))
        for face in ((0, 1, 2), (0, 2, 3), (0, 3, 1), (1, 3, 2))
    ]
    weights = {bone: (np.arange(len(vertices)) // 4 == i).astype(float) for i, bone in enumerate(bones)}
    return vertices, faces, weights


def test_an_animal_has_no_hands():
    with pytest.raises(
        RigError, match=r"'Dog': This is the head .* but no hand was found\. .*'DogRig' stands on four legs"
    ):
        recognise([dog()])


@pytest.mark.parametrize("toes", [0, 1])
def test_an_animal_with_hooves(toes):
    with pytest.raises(RigError, match="no bones from which fingers branch off"):
        recognise([dog(toes=toes)])


def test_an_animal_without_names():
    with pytest.raises(RigError, match=r"No head was found. Looked at 'Dog'\."):
        recognise([dog(rigs.nameless())])


def test_a_face_full_of_bones_has_no_hands():
    """Lids are chains that hang side by side, on the left and on the right."""
    joints = rigs.person(fingers=False)
    for side, sign in ((".L", 1), (".R", -1)):
        joints[f"socket{side}"] = ((sign * 0.02, -0.05, 1.64), "head")
        joints[f"orbit{side}"] = ((sign * 0.03, -0.07, 1.64), f"socket{side}")
        for row in range(3):
            joints[f"lid{row}{side}"] = ((sign * 0.03, -0.08, 1.63 + 0.01 * row), f"orbit{side}")
            joints[f"rim{row}{side}"] = ((sign * 0.04, -0.085, 1.63 + 0.01 * row), f"lid{row}{side}")
    body, _, part = rigs.build(rigs.FAMILIES["unreal"], joints)
    assert_parts(recognise([body]), part)
    del joints["hand.L"], joints["hand.R"]
    bones = [Bone(b, p, np.array(h), np.array(t)) for b, (h, t, p) in rigs.bones_of(joints).items()]
    assert not roles_of(bones).has_hand()


def test_control_bones_in_place_of_those_that_deform():
    """A control called head whose children do not deform, and helpers that lie where the hand is."""
    body, arm, part = rigs.build(rigs.FAMILIES["vrm"])
    bpy.context.view_layer.objects.active = arm
    bpy.ops.object.mode_set(mode="EDIT")
    for name, place in (("head", (0, 0, 1.9)), ("hand_ik.L", (0.68, 0, 1.47)), ("hand.R", (-0.68, 0.3, 1.47))):
        bone = arm.data.edit_bones.new(name)
        bone.head, bone.tail = place, np.add(place, (0, 0, 0.1))
        bone.use_deform = False
    bpy.ops.object.mode_set(mode="OBJECT")
    found = recognise([body])
    assert_parts(found, part)
    assert bone_of(found, "head") == "J_Bip_C_Head"


@pytest.fixture(scope="session")
def rigify_file(tmp_path_factory):
    """A .blend with the rig 'rig' that Rigify, which comes with Blender, has generated from its human metarig."""
    path, script = tmp_path_factory.mktemp("rigify") / "rig.blend", generate_rigify.__file__
    program = bpy.app.binary_path
    command = [program, "-b", "--factory-startup", "--python", script, "--"] if program else [sys.executable, script]
    # Seconds on an idle machine.
    run = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=120)
    if run.returncode == generate_rigify.NO_RIGIFY:
        pytest.skip("this Blender has no Rigify")
    assert run.returncode == 0 and path.exists(), run.stdout + run.stderr
    return path


def test_what_rigify_generates(rigify_file):
    """Every deforming bone of the human rig moves a small solid; Rigify has ORG-, MCH- and control bones in between."""
    bpy.ops.wm.open_mainfile(filepath=str(rigify_file))
    scene, arm = bpy.context.scene, bpy.data.objects["rig"]
    bones = {b.name: (b.head_local, b.tail_local, None) for b in arm.data.bones if b.use_deform}
    vertices, faces, weights = solids(bones)
    body = scenes.mesh_object(scene, "Body", vertices, faces)
    scenes.bind(body, arm, weights)
    found = recognise([body])
    names = np.repeat(list(bones), 4)
    for side, part in (("L", found.left), ("R", found.right)):
        fingers = ("DEF-hand.", "DEF-palm.", "DEF-f_", "DEF-thumb.")
        hand = {bone for bone in bones if bone.startswith(fingers) and f".{side}" in bone}
        assert set(names[part.vertices]) == hand
    trunk = (
        "breast",
        "forearm",
        "foot",
        "hand",
        "palm",
        "f_",
        "pelvis",
        "shin",
        "shoulder",
        "thigh",
        "thumb",
        "toe",
        "upper_arm",
    )
    spine = {"DEF-spine", "DEF-spine.001", "DEF-spine.002", "DEF-spine.003"}
    head = {bone for bone in bones if not bone.removeprefix("DEF-").startswith(trunk)} - spine
    assert {"DEF-spine.004", "DEF-lid.B.L", "DEF-jaw", "DEF-tongue"} <= head
    assert set(names[found.head.vertices]) == head
    assert (bone_of(found, "head"), bone_of(found, "jaw")) == ("DEF-spine.006", "DEF-jaw")


@pytest.mark.parametrize(
    ("name", "part", "side"),
    [
        ("mixamorig1:LeftHand", "hand", "left"), ("DEF-hand.L", "hand", "left"), ("c_head.x", "head", None),
        ("lHand", "hand", "left"), ("handr", "hand", "right"), ("LHand", "hand", "left"), ("左手首", "hand", "left"),
        ("手首.R", "hand", "right"), ("ひだりてくび", "hand", "left"), ("左足首", None, "left"), ("首", "neck", None),
        ("Bip01 L Hand", "hand", "left"), ("ValveBiped.Bip01_Head1", "head", None), ("arm_L0_hand_jnt", "hand", "left"),
        ("head_C0_ctl", "head", None), ("neck_C0_head_jnt", "head", None), ("neck_C0_0_jnt", "neck", None),
        ("FACIAL_C_Jaw", "jaw", None), ("FACIAL_L_JawBulge", None, "left"), ("neckUpper", "neck", None),
        ("index-finger-tip", "finger", None), ("wrist", "hand", None), ("LeftHandIndex1", "finger", "left"),
        ("hand_ik.L", None, "left"), ("headband", None, None), ("forehead", None, None), ("HeadTop_End", None, None),
        ("Necklace", None, None), ("upperJaw", None, None), ("jaw.L", None, "left"), ("handle", None, None),
    ],
)  # fmt: skip
def test_names(name, part, side):
    read = read_name(name)
    assert (read.part, read.side) == (part, side)


def test_names_of_objects_and_of_what_is_something_else():
    assert read_name("Wolf3D_Head", True).part == "head"
    assert read_name("Head_low.001", True).part == "head"
    assert plain_name("DEF-spine.006") == "spine006"
    assert is_no_hand("Bip01 L Foot") and is_no_hand("左足首") and not is_no_hand("hand.L")
    assert is_no_skin("EyeLashes") and not is_no_skin("Face")
    assert is_worn("Wolf3D_Outfit_Top") and not is_worn("That")


def test_the_spine_of_rigify_ends_in_a_head():
    def parts(*chain):
        names = [None, *chain]
        bones = [
            Bone(b, p, np.array([0, 0, i]), np.array([0, 0, i + 1]))
            for i, (p, b) in enumerate(zip(names, chain, strict=False))
        ]
        return roles_of(bones).parts

    assert parts("spine.003", "spine.004") == {}
    assert parts("spine.003", "spine.004", "spine.006").keys() == {"spine.004", "spine.006"}
    assert parts("hips", "hand.L", "thumb.L") == {"hand.L": "left", "thumb.L": "left"}
    assert parts("Chest", "Neck", "Headband").keys() == {"Neck", "Headband"}
    assert parts("hips", "headband") == {}
