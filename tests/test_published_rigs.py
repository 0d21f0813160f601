# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me on the skeletons of well-known rigs, with their published names and hierarchies."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
published_rigs = pytest.importorskip("published_rigs")
rigs = pytest.importorskip("rigs")
scenes = pytest.importorskip("scenes")

from nephim.bridge.recognise import recognise  # noqa: E402
from nephim.demo import makehuman  # noqa: E402
from nephim.demo.assets import read_file  # noqa: E402
from nephim.demo.character import load_character  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.mark.parametrize("kind", published_rigs.FAMILIES)
def test_head_hands_and_bones_are_found(kind):
    family = published_rigs.FAMILIES[kind]
    body, part = published_rigs.build(family)
    found = recognise([body])
    for role, of in (("head", "head"), ("left", "hand.L"), ("right", "hand.R")):
        assert np.array_equal(getattr(found, role).vertices, np.flatnonzero(part == of)), role
    assert found.head_bone[1] == family.head
    assert (found.jaw_bone[1] if found.jaw_bone else None) == family.jaw


# Family, the objects of head, hands and the rest as exporters name them, and what else they put around the head.
OBJECTS = {
    "ready player me": (
        ("Wolf3D_Head", "Wolf3D_Body", "Wolf3D_Outfit_Bottom"),
        ("EyeLeft", "EyeRight", "Wolf3D_Teeth", "Wolf3D_Hair", "Wolf3D_Glasses", "Wolf3D_Headwear", "Wolf3D_Beard"),
    ),
    "vroid": (("Face", "Body", "Body"), ("Hair001", "Hairs", "Face_EyeHighlight")),
    "character creator": (
        ("CC_Base_Body", "CC_Base_Body", "CC_Base_Body"),
        ("CC_Base_Eye", "CC_Base_EyeOcclusion", "CC_Base_TearLine", "CC_Base_Teeth", "CC_Base_Tongue", "Real_Hair"),
    ),
    "daz genesis 8": (
        ("Genesis8Female.Shape", "Genesis8Female.Shape", "Genesis8Female.Shape"),
        ("Genesis 8 Female Eyelashes.Shape", "Toulouse Hair.Shape", "Genesis8FemaleTear.Shape"),
    ),
    "metahuman": (
        ("head_lod0_mesh", "body_lod0_mesh", "body_lod0_mesh"),
        ("teeth_lod0_mesh", "saliva_lod0_mesh", "eyeLeft_lod0_mesh", "eyeshell_lod0_mesh", "eyelashes_lod0_mesh",
         "eyeEdge_lod0_mesh", "cartilage_lod0_mesh"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_around_the_head_are_passed_over(kind):
    """Each of them is larger than the head."""
    (head, hands, rest), around = OBJECTS[kind]
    body, part = published_rigs.build(published_rigs.FAMILIES[kind])
    arm = body.modifiers[0].object
    made = rigs.parted(body, part, {"head": head, "hand.L": hands, "hand.R": hands, "rest": rest})
    vertices, faces = scenes.head_arrays(64, 40)
    for name in around:
        obj = scenes.mesh_object(bpy.context.scene, name, vertices, faces)
        scenes.bind(obj, arm, {published_rigs.FAMILIES[kind].head: np.ones(len(vertices))})
    found = recognise(bpy.context.scene.objects)
    assert (found.head.obj, found.left.obj, found.right.obj) == (made[head], made[hands], made[hands])


def test_the_body_that_mpfb_makes(demo_assets):
    """MakeHuman's whole mesh, with the helpers that MPFB masks, on its standard rig with the weights that belong to it:
    the parts are those that the demo character was cut from."""
    base = makehuman.parse_base(read_file(demo_assets, "base.obj"))
    bones = makehuman.parse_rig(read_file(demo_assets, "rig.json"), base, base.vertices)
    scene = scenes.fresh()
    body = scenes.mesh_object(scene, "Human", base.vertices, base.quads.tolist())
    arm = scenes.armature(scene, "Human.rig", {bone: (b.head, b.tail, b.parent) for bone, b in parents_first(bones)})
    for bone, (indices, weights) in makehuman.parse_weights(read_file(demo_assets, "weights.json")).items():
        group = body.vertex_groups.new(name=bone)
        for vertex, weight in zip(indices.tolist(), weights.tolist(), strict=True):
            group.add([vertex], weight, "REPLACE")
    body.modifiers.new("Armature", "ARMATURE").object = arm
    found = recognise([body])
    demo = load_character(demo_assets)
    skin = np.unique(base.quads[base.groups == "body"])
    for part, expected in ((found.head, demo.head), (found.left, demo.hands["L"]), (found.right, demo.hands["R"])):
        mine = np.intersect1d(part.vertices, skin)
        both = len(np.intersect1d(mine, expected.source))
        # The demo's hands go on for 4 cm of the forearm.
        assert both > 0.9 * max(len(mine), len(expected.source))
    assert (found.head_bone[1], found.jaw_bone[1]) == ("head", "jaw")


def parents_first(bones):
    done = {None: None}
    while len(done) <= len(bones):
        done |= {name: bone for name, bone in bones.items() if name not in done and bone.parent in done}
    return list(done.items())[1:]
