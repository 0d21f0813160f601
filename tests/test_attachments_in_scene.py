# SPDX-License-Identifier: GPL-3.0-or-later
"""A brow that is an object and one that is part of the head's mesh follow the skin in preview and both bakes."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.attachments import find_attachments  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.plan import read_plan  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.operators import preview, volume  # noqa: E402
from nephim.operators.bake import bake_job  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.operators.simulate import finished_cache_job, simulate_job  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy
PRESSED = 6  # frame in which the left hand is deepest


def strip(height=1.6, lift=0.001):
    """A grid of 16 x 28 mm over the left cheek, where the hand presses, this far off the skin; z is up."""
    head, _ = scenes.head_arrays(32, 24)
    angles, heights = np.linspace(-0.25, 0.05, 9), height + np.linspace(-0.008, 0.008, 5)
    profile = np.linalg.norm(head[:, :2], axis=1)
    order = np.argsort(head[:, 2])
    around = np.interp(heights, head[order, 2], profile[order]) + lift
    points = [(r * np.cos(a), r * np.sin(a), z) for r, z in zip(around, heights, strict=True) for a in angles]
    faces = [(9 * i + j, 9 * i + j + 1, 9 * i + j + 10, 9 * i + j + 9) for i in range(4) for j in range(8)]
    return np.array(points), faces


def build(path):
    """The scene of the tests with a brow 'Brow' of its own and one in the head's mesh, with a material of its own."""
    scene = scenes.build(segments=32, rings=24, keys=False, right=False)
    head, rig = scene.nephim.head, scene.nephim.head_armature
    rig.animation_data_clear()  # the head keeps still, so that the finger meets the middle of the brows
    points, faces = strip()
    brow = scenes.mesh_object(scene, "Brow", points, faces)
    scenes.bind(brow, rig, {"head": np.ones(len(points))})
    brow.shape_key_add(name="Basis")
    raised = brow.shape_key_add(name="raised")
    raised.points.foreach_set("co", (points + [0, 0, 0.002]).astype(np.float32).ravel())
    for frame, value in ((1, 0.0), (10, 1.0)):
        raised.value = value
        raised.keyframe_insert("value", frame=frame)
    scenes.join(head, *strip(lift=0.0015), materials=("Skin", "Hair"))
    scene.nephim.target_edge_mm = 12.0
    scene.frame_set(1)
    save_blend(path)
    return scene


def positions(name, frame=PRESSED):
    bpy.context.scene.frame_set(frame)
    obj = bpy.data.objects[name]
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", values)
    return values.reshape(-1, 3).astype(np.float64)


def listed(scene):
    return {(item.owner.name, item.material): item.carried for item in scene.nephim.attachments}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, registered):
    """A file in which everything is found and simulated; each test opens it anew."""
    path = tmp_path_factory.mktemp("brows") / "face.blend"
    scene = build(path)
    drive(volume.volume_job(scene))
    assert listed(scene) == {("Brow", ""): True, ("Head", "Hair"): True}
    assert volume.carried(scene) == "Carried along with the skin: 'Head:Hair', 'Brow'."
    drive(simulate_job(scene))
    save_blend()
    return path


@pytest.fixture()
def scene(simulated):
    bpy.ops.wm.open_mainfile(filepath=str(simulated))
    return bpy.context.scene


def test_the_piece_in_the_mesh_is_in_the_cache(scene):
    rig = read_plan(scene).rig
    count = len(strip()[0])
    still = SurfaceReader(scene, rig).read(PRESSED).head[-count:]
    moved = np.linalg.norm(PointCache(folder().cache).read(PRESSED)[-count:] - still, axis=1)
    assert 0.007 < moved.max() < 0.015


@pytest.mark.parametrize("to", ["shape-keys", "point-cache"])
def test_both_bakes_carry_the_object_and_clean_it(scene, to):
    before = {frame: positions("Brow", frame) for frame in (1, PRESSED, 10)}
    baked = drive(bake_job(scene, to=to))
    assert "Carried along: 'Brow'." in baked.text
    moved = positions("Brow") - before[PRESSED]
    joined = positions("Head")[-len(strip()[0]) :]
    assert np.linalg.norm(moved, axis=1).max() > 0.005
    # Both brows lie on each other, half a millimetre apart, but for the 1 mm by which the own one is raised.
    apart = np.linalg.norm(positions("Brow") - joined, axis=1)
    assert apart.max() < 0.0035
    np.testing.assert_allclose(positions("Brow", 1), before[1], atol=1e-6)
    brow, keys = bpy.data.objects["Brow"], bpy.data.objects["Brow"].data.shape_keys
    scene.frame_set(PRESSED)
    assert keys.animation_data.action is not None and keys.key_blocks["raised"].value > 0  # the user's own plays on
    bpy.ops.nephim.unbake()
    assert [key.name for key in brow.data.shape_keys.key_blocks] == ["Basis", "raised"]
    assert [m.name for m in brow.modifiers] == ["Armature"]
    for frame, expected in before.items():
        np.testing.assert_allclose(positions("Brow", frame), expected, atol=1e-6)


def test_preview_and_bake_agree_and_the_preview_leaves_nothing(scene):
    names = set(bpy.data.objects.keys())
    drive(preview.preview_job(scene, "physics"))
    for frame in range(1, PRESSED + 1):
        scene.frame_set(frame)
    shown = positions("NePHIM Preview Brow")
    assert bpy.data.objects["Brow"].hide_get()
    preview.switch_off(scene)
    assert set(bpy.data.objects.keys()) == names and not bpy.data.objects["Brow"].hide_get()
    drive(bake_job(scene, to="point-cache"))
    np.testing.assert_allclose(shown, positions("Brow"), atol=2e-6)


def test_what_is_excluded_stays(scene):
    for item in scene.nephim.attachments:
        item.carried = False
    with pytest.raises(Exception, match="imulate again"):
        drive(finished_cache_job(scene))  # the piece in the mesh is part of the simulated head
    rig = read_plan(scene).rig
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        found = find_attachments(scene, rig, reader, surfaces, volume.load_volume(surfaces, read_plan(scene)))
    assert len(found.found) == 2 and found.in_head is None and not found.objects
    assert listed(scene) == {("Brow", ""): False, ("Head", "Hair"): False}


def test_left_out_later_its_bake_goes(scene):
    drive(bake_job(scene, to="shape-keys"))
    assert len(bpy.data.objects["Brow"].data.shape_keys.key_blocks) > 2
    next(item for item in scene.nephim.attachments if item.owner.name == "Brow").carried = False
    drive(bake_job(scene, to="shape-keys"))
    assert len(bpy.data.objects["Brow"].data.shape_keys.key_blocks) == 2


def test_the_command_line_leaves_behind(simulated, tmp_path, capsys):
    path = tmp_path / "face.blend"
    bpy.ops.wm.open_mainfile(filepath=str(simulated))
    save_blend(path)
    roles = ["--head", "Head", "--left", "Left", "--head-bone", "HeadRig:head"]
    assert cli.command(["setup", str(path), *roles, "--leave-behind", "Head:Beard"]) == cli.EXIT_FAILED
    assert "no material 'Beard'" in capsys.readouterr().err
    assert cli.command(["setup", str(path), *roles, "--leave-behind", "Head:Hair"]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_OK
    assert "Carried along with the skin: 'Brow'." in capsys.readouterr().out


def test_eyes_and_what_follows_by_itself_are_not_found(simulated):
    bpy.ops.wm.open_mainfile(filepath=str(simulated))
    scene = bpy.context.scene
    brow = bpy.data.objects["Brow"]
    brow.name = "Eye.L"
    rig = read_plan(scene).rig

    def found():
        with SurfaceReader(scene, rig) as reader:
            surfaces = reader.neutral()
            template = volume.load_volume(surfaces, read_plan(scene))
            return [kind.object_name for kind in find_attachments(scene, rig, reader, surfaces, template).found]

    assert found() == ["Head"]
    brow.name = "Eyelashes.L"
    assert found() == ["Head", "Eyelashes.L"]
    brow.modifiers.new("Follow", "SURFACE_DEFORM").target = scene.nephim.head
    assert found() == ["Head"]
