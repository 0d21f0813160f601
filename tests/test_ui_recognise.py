# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me: the names that common rigs use, single bodies, separate objects, and what it says when nothing fits."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
rigs = pytest.importorskip("rigs")
scenes = pytest.importorskip("scenes")

from nephim.bridge.recognise import recognise  # noqa: E402
from nephim.errors import RigError  # noqa: E402
from nephim.operators.find import found_parts  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def body():
    """A person of one mesh 'Body' with Unreal's names, selected; (scene, body, armature, part of each vertex)."""
    obj, arm, part = rigs.build(rigs.FAMILIES["unreal"])
    for each in bpy.context.selected_objects:
        each.select_set(False)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    return bpy.context.scene, obj, arm, part


def members(obj, group):
    index = obj.vertex_groups[group].index
    return [v.index for v in obj.data.vertices if any(g.group == index for g in v.groups)]


def test_a_single_body(body):
    scene, obj, arm, part = body
    assert bpy.ops.nephim.find() == {"FINISHED"}
    settings = scene.nephim
    assert settings.head == settings.left == settings.right == obj
    for role, of in (("head", "head"), ("left", "hand.L"), ("right", "hand.R")):
        assert np.array_equal(members(obj, getattr(settings, f"{role}_group")), np.flatnonzero(part == of)), role
    assert settings.head_armature == settings.jaw_armature == arm
    assert (settings.head_bone, settings.jaw_bone) == ("head", "jaw")
    count = len(obj.vertex_groups)
    assert bpy.ops.nephim.find() == {"FINISHED"}  # once more finds the same and adds nothing
    assert len(obj.vertex_groups) == count


def test_a_selected_armature_stands_for_what_it_moves(body):
    scene, obj, arm, _ = body
    obj.select_set(False)
    arm.select_set(True)
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert scene.nephim.head == obj


def test_what_was_found_is_shown(body):
    scene, obj, _, part = body
    assert found_parts(scene) == []
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert bpy.context.view_layer.objects.active == obj
    assert obj.vertex_groups.active.name == "NePHIM Head"
    assert found_parts(scene) == [
        f"Head: Body ({(part == 'head').sum()} vertices, group NePHIM Head)",
        f"Left hand: Body ({(part == 'hand.L').sum()} vertices, group NePHIM Hand.L)",
        f"Right hand: Body ({(part == 'hand.R').sum()} vertices, group NePHIM Hand.R)",
        "Head bone: head of Rig",
        "Jaw bone: jaw of Rig",
    ]
    assert bpy.ops.nephim.show_parts() == {"FINISHED"}
    assert bpy.context.mode == "EDIT_MESH"
    assert bpy.ops.nephim.show_parts() == {"FINISHED"}  # from Edit Mode as well
    bpy.ops.object.mode_set(mode="OBJECT")
    selected = [v.index for v in obj.data.vertices if v.select]
    assert np.array_equal(selected, np.flatnonzero(part != "rest"))
    scene.nephim.jaw_bone = "neck_01"  # what somebody chose is not what was found
    assert found_parts(scene) == []


def test_several_objects_are_shown_together():
    scene = scenes.build()
    names = ["Head", "Left", "Right"]
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert sorted(obj.name for obj in bpy.context.selected_objects) == names
    assert bpy.context.view_layer.objects.active.name == "Head"
    assert "Left hand: Left (122 vertices, the whole mesh)" in found_parts(scene)
    assert bpy.ops.nephim.show_parts() == {"FINISHED"}
    assert all(bpy.data.objects[name].mode == "EDIT" for name in names)
    bpy.ops.object.mode_set(mode="OBJECT")
    # The head is open at the neck, but every vertex has a face.
    assert all(v.select for name in names for v in bpy.data.objects[name].data.vertices)


def test_show_needs_a_head():
    scenes.fresh()
    assert not bpy.ops.nephim.show_parts.poll()


def parted(body, names):
    """By part, the objects that the body's mesh was cut into."""
    _, obj, _, of = body
    made = rigs.parted(obj, of, names)
    return {part: made[name] for part, name in names.items()}


NAMES = {"head": "A", "hand.L": "B", "hand.R": "C", "rest": "D"}


def test_parts_that_are_objects_of_one_armature(body):
    made = parted(body, NAMES)
    found = recognise(made.values())
    assert (found.head.obj, found.left.obj, found.right.obj) == (made["head"], made["hand.L"], made["hand.R"])
    assert found.head.vertices is None


def test_what_the_selection_lacks_is_sought_in_the_scene(body):
    made = parted(body, NAMES)
    for obj in bpy.context.selected_objects:
        obj.select_set(False)
    made["rest"].select_set(True)  # no head, no hand
    assert bpy.ops.nephim.find() == {"FINISHED"}
    settings = bpy.context.scene.nephim
    assert (settings.head, settings.left, settings.right) == (made["head"], made["hand.L"], made["hand.R"])


def test_a_neck_alone_is_no_head(body):
    """The body of a character whose head is an object of its own ends in a neck; it was taken for the head."""
    scene = body[0]
    made = parted(body, NAMES)
    stump = made["rest"]
    stump.vertex_groups.remove(stump.vertex_groups["neck_01"])
    stump.vertex_groups["spine_05"].name = "neck_01"  # as if the trunk were a neck
    found = recognise([stump], scene.objects)
    assert found.head.obj == made["head"]


def test_hands_of_somebody_else_do_not_replace_ones_own():
    """Two people in a scene: the hands come from the selected one, though the other's are larger."""
    scene = scenes.build()
    large = scenes.mesh_object(scene, "Hand.L", *scenes.hand_arrays(segments=40, rings=40))
    for obj in scene.objects:
        obj.select_set(obj.name in ("Head", "Left", "Right"))
    assert bpy.ops.nephim.find() == {"FINISHED"}
    assert scene.nephim.left.name == "Left"
    assert large.name in scene.objects


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


@pytest.mark.parametrize(("left_out", "says"), [("Head", "No head"), ("hands", "no hand")])
def test_what_is_missing_is_said(left_out, says):
    scene = scenes.build()
    objects = [obj for obj in scene.objects if (obj.name.startswith("Head")) != (left_out == "Head")]
    with pytest.raises(RigError, match=says):
        recognise(objects)


def test_it_is_said_what_was_looked_at():
    scene = scenes.build(left=False, right=False)
    for name in ("Table", "Chair"):
        scenes.mesh_object(scene, name, *scenes.hand_arrays())
    with pytest.raises(RigError) as caught:
        recognise([bpy.data.objects["Head"]], scene.objects)
    message = str(caught.value)
    assert message.startswith("'Head': This is the head (the whole mesh), but no hand was found.")
    assert "Looked at 'Head', then at what else is visible: 'Table', 'Chair'." in message
    assert "'HeadRig' has no bones from which fingers branch off, and none called hand or wrist." in message
    with pytest.raises(RigError, match="There is no visible mesh"):
        recognise([])


def test_hands_without_a_rig_and_without_a_side():
    """Two objects called hand: which is which is told by where they are."""
    scene = scenes.build(left=False, right=False)
    for name, x in (("Hand", -0.4), ("Hand.001", 0.4)):
        scenes.mesh_object(scene, name, *scenes.hand_arrays()).location = (x, 0, 1.4)
    bpy.context.view_layer.update()
    found = recognise(scene.objects)
    assert (found.left.obj.name, found.right.obj.name) == ("Hand.001", "Hand")


WEBXR = {
    "wrist": ((0, 0, 0), (0, 0, 0.03), None),
    **{
        f"{finger}-{bone}": (
            (0.02 * row, 0, 0.03 * (number + 1)),
            (0.02 * row, 0, 0.03 * (number + 2)),
            f"{finger}-{bones[number - 1]}" if number else "wrist",
        )
        for row, finger in enumerate(("index-finger", "middle-finger", "ring-finger", "pinky-finger"))
        for bones in [("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")]
        for number, bone in enumerate(bones)
    },
}


@pytest.mark.parametrize("named", [True, False])
def test_hands_with_skeletons_of_their_own(named):
    """The hands of WebXR do not say in their bones which they are; bones without names do not even say what."""
    scene = scenes.build(left=False, right=False)
    for side in ("left", "right"):
        vertices, faces = scenes.hand_arrays()
        bones = {
            (bone if named else f"Bone.{i:03d}"): (
                head,
                tail,
                parent if named or parent is None else bone_number(parent),
            )
            for i, (bone, (head, tail, parent)) in enumerate(WEBXR.items())
        }
        obj = scenes.mesh_object(scene, f"{side} thing", vertices, faces)
        scenes.bind(obj, scenes.armature(scene, f"Rig {side}", bones), {next(iter(bones)): np.ones(len(vertices))})
    found = recognise(scene.objects)
    assert (found.left.obj.name, found.right.obj.name) == ("left thing", "right thing")
    assert found.head_bone[1] == "head"


def bone_number(name):
    return f"Bone.{list(WEBXR).index(name):03d}"


def test_objects_that_hang_on_bones():
    """Hands that follow a bone as whole objects, without weights."""
    scene = scenes.build(left=False, right=False)
    arm = scenes.armature(
        scene, "Arms", {"hand_l": ((1, 0, 1), (1, 0, 1.1), None), "hand_r": ((-1, 0, 1), (-1, 0, 1.1), None)}
    )
    for name, bone in (("Thing", "hand_l"), ("Other", "hand_r")):
        obj = scenes.mesh_object(scene, name, *scenes.hand_arrays())
        obj.parent, obj.parent_type, obj.parent_bone = arm, "BONE", bone
    found = recognise(scene.objects)
    assert (found.left.obj.name, found.right.obj.name) == ("Thing", "Other")


def test_clothes_stand_for_skin_only_where_there_is_none(body):
    made = parted(body, {"head": "Head", "hand.L": "Glove.L", "hand.R": "Skin.R", "rest": "Outfit"})
    vertices, faces = scenes.head_arrays(64, 40)
    hat = scenes.mesh_object(bpy.context.scene, "Hat", vertices, faces)
    scenes.bind(hat, bpy.data.objects["Rig"], {"head": np.ones(len(vertices))})
    found = recognise([*made.values(), hat])
    assert (found.head.obj.name, found.left.obj.name, found.right.obj.name) == ("Head", "Glove.L", "Skin.R")
