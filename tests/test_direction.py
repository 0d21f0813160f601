# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of the setup: arrows that show where face and top are, and notes on meshes too coarse for a finger."""

import io

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
import scenes  # noqa: E402
from nephim.bridge import direction  # noqa: E402
from nephim.operators import looked_at, setup  # noqa: E402
from nephim.panels import overlay  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.coarse import coarse_vertices  # noqa: E402
from nephim.sim.geometry.surface import Surface  # noqa: E402
from nephim.sim.volume import build, look  # noqa: E402
from synthetic_head import synthetic_head  # noqa: E402

pytestmark = pytest.mark.bpy
UP, FRONT = np.array([0.0, 0, 1]), np.array([0.0, -1, 0])


def face_scene(spacing=0.009, back_to_front=False):
    """A head with a face, without bones, turned by an object's animation, and a hand."""
    scene = scenes.build(right=False)
    surface = synthetic_head(spacing)
    turned = surface.vertices * ([-1, -1, 1] if back_to_front else 1)
    obj = scenes.mesh_object(scene, "Face", turned, surface.triangles.tolist())
    for frame, angle in ((1, 0.0), (10, 1.0)):
        obj.rotation_euler.z = angle
        obj.keyframe_insert("rotation_euler", frame=frame)
    settings = scene.nephim
    settings.head, settings.left = obj, bpy.data.objects["Left"]
    settings.left.parent.location = (0.5, 0, 0)
    settings.head_armature = settings.jaw_armature = None
    settings.head_bone = settings.jaw_bone = ""
    scene.frame_set(1)
    return scene


def towards(scene) -> list[np.ndarray]:
    """Unit vectors of the two arrows."""
    ends = direction.arrows(scene.nephim)
    return [(b - a) / np.linalg.norm(b - a) for a, b in ends]


def test_the_arrows_point_out_of_face_and_top_and_follow_the_head():
    scene = face_scene()
    assert direction.arrows(scene.nephim) is None and overlay.shown(bpy.context) is None
    assert bpy.ops.nephim.setup() == {"FINISHED"}
    front, up = towards(scene)
    assert front @ FRONT > 0.99 and up @ UP > 0.99
    vertices = np.array([v.co for v in scene.nephim.head.data.vertices])
    (start, end), (crown, _) = overlay.shown(bpy.context)
    assert start @ FRONT == pytest.approx((vertices @ FRONT).max(), abs=1e-6)  # they begin at the skin
    assert crown[2] == pytest.approx(vertices[:, 2].max(), abs=1e-6)
    assert 0.05 < np.linalg.norm(end - start) < 0.2
    scene.frame_set(10)
    front, up = towards(scene)
    assert front @ [np.sin(1.0), -np.cos(1.0), 0] > 0.99 and up @ UP > 0.99
    scene.nephim.show_facing = False
    assert overlay.shown(bpy.context) is None


def test_they_are_kept_with_the_file(tmp_path):
    scene = face_scene()
    setup.checked_rig(scene)
    ends = direction.arrows(scene.nephim)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "face.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "face.blend"))
    assert direction.arrows(bpy.context.scene.nephim) == pytest.approx(ends, abs=1e-6)


def test_a_face_taken_for_the_back_of_the_head_is_seen_and_set_by_hand():
    scene = face_scene(back_to_front=True)
    scene.nephim.front_axis = "-Y"  # wrong, by hand
    setup.checked_rig(scene)
    scene.frame_set(7)  # wherever the animation stands
    seen = direction.arrows(scene.nephim)
    scene.nephim.front_axis = "Y"
    scene.frame_set(1)
    front, up = towards(scene)
    assert front @ -FRONT > 0.99 and up @ UP > 0.99
    assert np.abs(direction.arrows(scene.nephim) - seen).max() > 0.1


def test_a_head_bone_carries_them(registered):
    scene = scenes.build(segments=32, rings=24)
    setup.checked_rig(scene)
    assert scene.nephim.facing.carrier.name == "HeadRig" and scene.nephim.facing.bone == "head"
    before = towards(scene)[1]
    scene.frame_set(10)
    assert towards(scene)[1] @ before < 0.96
    bpy.data.objects.remove(bpy.data.objects["HeadRig"])
    assert direction.arrows(scene.nephim) is None


def test_strokes_have_a_tip():
    points = overlay.strokes([[0, 0, 0], [0, 0, 2.0]])
    assert points.shape == (10, 3) and points[:2].tolist() == [[0, 0, 0], [0, 0, 2.0]]
    assert np.linalg.norm(points[3::2, :2], axis=1) == pytest.approx(0.16) and (points[3::2, 2] < 2).all()


def test_the_check_finds_what_the_volume_finds():
    head = synthetic_head(0.014)
    seen = look.look_at(head, None, 0.005)
    template = drive(build.build_template(head, None, None, settings=build.VolumeSettings(0.005)), io.StringIO())
    vertices, longest = coarse_vertices(template)
    assert len(vertices) and np.array_equal(seen.coarse, vertices)
    assert seen.longest == pytest.approx(longest, rel=1e-3)
    assert [note for note in template.notes if "too coarse" in note] == seen.notes()
    assert look.look_at(Surface(head.vertices[:400], head.triangles[:0], "few"), None, 0.005) is None


def test_coarse_skin_is_said_and_subdivided_before_there_is_a_volume():
    scene = face_scene(0.014)
    assert bpy.ops.nephim.setup() == {"FINISHED"}
    (note,) = looked_at.notes(scene)
    assert "too coarse for a fingertip at" in note and "mm" in note and "'Subdivide Coarse Skin'" in note
    count = len(scene.nephim.head.data.vertices)
    assert bpy.ops.nephim.subdivide_region() == {"FINISHED"}
    assert len(scene.nephim.head.data.vertices) > count
    assert looked_at.notes(scene) == []  # of another mesh
    assert bpy.ops.nephim.setup() == {"FINISHED"}
