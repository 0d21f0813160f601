# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who, and every refusal with its message."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.errors import RigError  # noqa: E402
from nephim.sim.geometry.surface import triangle_normals  # noqa: E402
from nephim.sim.geometry.topology import boundary_loops  # noqa: E402

pytestmark = pytest.mark.bpy


def test_whole_objects():
    scene = scenes.build()
    rig = read_rig(scene)
    assert (rig.head.object_name, rig.left.object_name, rig.right.object_name) == ("Head", "Left", "Right")
    assert rig.head_bone == ("HeadRig", "head") and rig.jaw_bone == ("HeadRig", "jaw")
    assert rig.jaw is None and rig.cranium is None and rig.scale == 1.0 and rig.frames == range(1, 11)
    assert len(rig.head.indices) == rig.head.n_vertices == len(bpy.data.objects["Head"].data.vertices)
    assert rig.head.triangles.dtype == rig.head.indices.dtype == np.int32
    assert len(boundary_loops(rig.head.triangles)) == 1 and not boundary_loops(rig.left.triangles)


def test_parts_of_one_body_are_groups():
    scene = scenes.body()
    rig = read_rig(scene)
    whole = rig.head.n_vertices
    parts = [rig.head, rig.left, rig.right]
    assert np.array_equal(np.sort(np.concatenate([p.indices for p in parts])), np.arange(whole))
    assert all(p.triangles.max() == len(p.indices) - 1 and p.n_vertices == whole for p in parts)
    assert len(rig.left.indices) == len(scenes.hand_arrays()[0])


def test_loose_vertices_and_half_faces_are_left_out():
    scene = scenes.build()
    obj = scene.nephim.head
    half = [v.index for v in obj.data.vertices if v.co.z > 1.6]
    obj.vertex_groups.new(name="half").add(half, 1.0, "REPLACE")
    obj.vertex_groups["half"].add([half[0]], 0.5, "REPLACE")  # not above the threshold
    scene.nephim.head_group = "half"
    part = read_rig(scene).head
    assert set(part.indices) < set(half) and half[0] not in part.indices
    assert set(np.unique(part.triangles)) == set(range(len(part.indices)))


def test_mirrored_object_keeps_outward_winding():
    scene = scenes.build()
    hand = scene.nephim.left
    before = read_rig(scene).left
    hand.scale.x = -1
    bpy.context.view_layer.update()
    part = read_rig(scene).left
    for p, flip in ((before, 1), (part, -1)):
        co = np.array([v.co for v in hand.data.vertices]) * [flip, 1, 1]
        volume = np.einsum("ij,ij->", co[p.triangles[:, 0]], triangle_normals(co, p.triangles))
        assert volume > 0


def test_unit_scale():
    scene = scenes.build(unit=100)
    assert read_rig(scene).scale == pytest.approx(0.01)
    scene.unit_settings.system = "NONE"  # Blender then ignores the scale
    assert read_rig(scene).scale == 1.0


def settings_of(scene, **values):
    for name, value in values.items():
        setattr(scene.nephim, name, value)


def empty_group(scene):
    scene.nephim.head.vertex_groups.new(name="empty")
    scene.nephim.head_group = "empty"


def scattered_group(scene):
    scene.nephim.head.vertex_groups.new(name="dots").add([0, 5], 1.0, "REPLACE")
    scene.nephim.head_group = "dots"


def not_in_scene(scene):
    scene.collection.objects.unlink(scene.nephim.right)


def absolute_keys(scene):
    scene.nephim.head.data.shape_keys.use_relative = False


def generative(kind):
    def change(scene):
        scene.nephim.head.modifiers.new("Surprise", kind)
        scene.nephim.head.modifiers.move(1, 0)

    return change


def subdivision_before_rig(scene):
    obj = scene.nephim.head
    obj.modifiers.new("Smoother", "SUBSURF")
    obj.modifiers.move(1, 0)


def edited(scene):
    bpy.context.view_layer.objects.active = scene.nephim.head
    bpy.ops.object.mode_set(mode="EDIT")


def poll_free(scene, name, value):
    setattr(scene.nephim, name, value)


REFUSALS = {
    "no head": (lambda s: settings_of(s, head=None), r"No head is given.*--head"),
    "no hand": (lambda s: settings_of(s, left=None, right=None), r"'Head': No hand is given.*--left"),
    "empty group": (empty_group, r"'Head': The vertex group 'empty' of the head is empty.*Assign"),
    "no such group": (lambda s: settings_of(s, left_group="x"), r"'Left': There is no vertex group 'x'.*palm, finger"),
    "group without face": (scattered_group, r"'Head': The vertex group 'dots' encloses no face"),
    "gone from the scene": (not_in_scene, r"'Right': The right hand is not in the scene"),
    "no mesh": (lambda s: settings_of(s, left=bpy.data.objects["LeftRig"]), r"'LeftRig': .*must be a mesh.*armature"),
    "same part": (lambda s: settings_of(s, left=s.nephim.head), r"'Head'.*share 385 vertices.*of its own"),
    "same hand": (lambda s: settings_of(s, left=s.nephim.right), r"'Right'.*share"),
    "no frames": (lambda s: settings_of(s, use_scene_range=False, frame_start=8, frame_end=3), r"8-3 is empty"),
    "no such bone": (lambda s: settings_of(s, head_bone="skull"), r"'HeadRig': There is no bone 'skull'"),
    "bone without armature": (lambda s: settings_of(s, jaw_armature=None), r"bone 'jaw' has no armature"),
    "armature without bone": (lambda s: settings_of(s, jaw_bone=""), r"'HeadRig': No bone is given for the jaw"),
    "absolute keys": (absolute_keys, r"'Head': Its shape keys are absolute.*Relative"),
    "mirror": (generative("MIRROR"), r"'Head': .*after 'Surprise' \(Mirror\), which changes the number"),
    "decimate": (generative("DECIMATE"), r"'Surprise' \(Decimate\)"),
    "remesh": (generative("REMESH"), r"'Surprise' \(Remesh\)"),
    "solidify": (generative("SOLIDIFY"), r"'Surprise' \(Solidify\).*or apply it"),
    "subdivision first": (
        subdivision_before_rig,
        r"'Armature' \(Armature\) comes after 'Smoother'.*Move 'Smoother' below",
    ),
    "edit mode": (edited, r"'Head': It is being edited.*Leave Edit Mode"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal(case):
    scene = scenes.build()
    change, message = REFUSALS[case]
    change(scene)
    with pytest.raises(RigError, match=message):
        read_rig(scene)


def test_switched_off_modifier_does_not_matter():
    scene = scenes.build()
    generative("MIRROR")(scene)
    scene.nephim.head.modifiers["Surprise"].show_viewport = False
    read_rig(scene)


def test_linked_head(tmp_path):
    scenes.build()
    library = str(tmp_path / "head.blend")
    bpy.data.libraries.write(library, {bpy.data.objects["Head"], bpy.data.objects["Left"]})
    scene = scenes.fresh()
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.objects = ["Head", "Left"]
    for obj in wanted.objects:
        scene.collection.objects.link(obj)
    head, left = wanted.objects
    scene.nephim.head, scene.nephim.left = head, left
    with pytest.raises(RigError, match=r"'Head': The head's object is linked from.*Make it local"):
        read_rig(scene)
