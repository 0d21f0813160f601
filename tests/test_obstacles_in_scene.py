# SPDX-License-Identifier: GPL-3.0-or-later
"""An eyeball of its own and teeth in the head's mesh: found, listed, and skin pressed by a finger stays off them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import scenes  # noqa: E402
from nephim import cli  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.obstacles import find_obstacles  # noqa: E402
from nephim.bridge.plan import read_plan  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.errors import CacheError  # noqa: E402
from nephim.operators import preview, volume  # noqa: E402
from nephim.operators.report import report_to_job  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.operators.simulate import finished_cache_job, simulate_job  # noqa: E402
from nephim.operators.state import cache_state  # noqa: E402
from nephim.progress import Progress, drive  # noqa: E402
from nephim.sim.template import Teeth, Template  # noqa: E402
from volumes import icosphere  # noqa: E402

pytestmark = pytest.mark.bpy
PRESSED = 6  # frame in which both hands are deepest
EYE = 0.012
LEFT, RIGHT = 1, -1


def ball(side):
    """An eyeball with its outermost point 2 mm below the cheek that a hand presses."""
    vertices, triangles = icosphere(EYE, 3)
    head, _ = scenes.head_arrays(32, 24)
    return vertices + [side * (_radius(head) - 0.002 - EYE), -0.01, 1.6], triangles


def _radius(head):
    """Of the head at the height of the hands."""
    return float(np.linalg.norm(head[np.abs(head[:, 2] - 1.6).argmin(), :2]))


def block(side):
    """A closed row of teeth, 24 mm wide, in the same depth: a box of many faces."""
    n = 9
    corner = np.linspace(-1, 1, n)
    grid = np.stack(np.meshgrid(corner, corner, corner, indexing="ij"), -1).reshape(-1, 3)
    number = np.arange(n**3).reshape(n, n, n)
    faces = []
    for axis in range(3):
        for end, turn in ((0, 1), (n - 1, -1)):
            face = np.take(number, end, axis)[:, ::turn] if axis != 1 else np.take(number, end, axis)[:, ::-turn]
            quads = [face[:-1, :-1], face[:-1, 1:], face[1:, 1:], face[1:, :-1]]
            faces += np.stack([q.ravel() for q in quads], 1).tolist()
    used, local = np.unique(np.array(faces), return_inverse=True)
    head, _ = scenes.head_arrays(32, 24)
    centre = [side * (_radius(head) - 0.003 - 0.004), -0.01, 1.6]
    return grid[used] * [0.004, 0.012, 0.008] + centre, local.reshape(-1, 4)


def build(path):
    scene = scenes.build(segments=64, rings=48, keys=False)
    head, rig = scene.nephim.head, scene.nephim.head_armature
    rig.animation_data_clear()
    vertices, triangles = ball(LEFT)
    eye = scenes.mesh_object(scene, "Eye.L", vertices, triangles.tolist())
    scenes.bind(eye, rig, {"head": np.ones(len(vertices))})
    eye.modifiers.new("Subdivision", "SUBSURF").levels = 1
    scenes.join(head, *block(RIGHT))
    scene.nephim.target_edge_mm = 6.0
    scene.frame_set(1)
    save_blend(path)
    return scene


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, registered):
    """A file in which both are found and simulated, and the report about it."""
    path = tmp_path_factory.mktemp("eyes") / "face.blend"
    scene = build(path)
    drive(volume.volume_job(scene))
    assert {(i.owner.name, i.material) for i in scene.nephim.obstacles} == {("Eye.L", ""), ("Head", "")}
    assert volume.carried(scene) == "Skin is kept off 'Head', 'Eye.L'."
    drive(simulate_job(scene))
    save_blend()
    return path


@pytest.fixture()
def scene(simulated):
    bpy.ops.wm.open_mainfile(filepath=str(simulated))
    return bpy.context.scene


def stored():
    return Template.load(folder().volume)


def report(scene):
    return drive(report_to_job(scene, Path(bpy.data.filepath).with_suffix(".json")))["obstacles"]


def test_the_sidebar_knows_that_the_simulation_is_valid_until_a_box_is_unticked(scene):
    assert cache_state(scene).state == "valid"
    scene.nephim.obstacles[0].kept_off = False
    assert cache_state(scene).state == "stale"
    scene.nephim.obstacles[0].kept_off = True
    assert cache_state(scene).state == "valid"


def test_skin_goes_no_deeper_into_them(scene, tmp_path):
    kept_off = report(scene)
    for item in scene.nephim.obstacles:
        item.kept_off = False
    with pytest.raises(CacheError, match="eyes and teeth"):
        drive(finished_cache_job(scene))
    save_blend(tmp_path / "face.blend")
    drive(volume.volume_job(scene))
    drive(simulate_job(scene))
    for item in scene.nephim.obstacles:  # to measure them
        item.kept_off = True
    from nephim.bridge.report import report_job

    through = drive(report_job(scene, tmp_path / "report.json"))["obstacles"]
    assert through["added_mm"] > 3
    assert kept_off["added_mm"] < 0.3
    assert kept_off["undisturbed_mm"] == through["undisturbed_mm"] == 0


def test_what_is_found_is_read_with_its_own_motion(scene):
    rig = read_plan(scene).rig
    eye = bpy.data.objects["Eye.L"]
    with SurfaceReader(scene, rig) as reader:
        found = find_obstacles(scene, rig, reader, reader.neutral(), stored())
        assert [part.object_name for part in found.parts] == ["Head", "Eye.L"]
        still = reader.read(2).obstacles
        eye.location.x = 0.001
        moved = reader.read(2).obstacles
    count = len(found.parts[0].indices)
    assert len(still) == count + len(eye.data.vertices)
    np.testing.assert_allclose(moved[:count], still[:count], atol=1e-7)
    np.testing.assert_allclose(
        moved[count:] - still[count:], np.tile([0.001, 0, 0], (len(still) - count, 1)), atol=1e-6
    )


def teeth_at(place):
    """A row of a skull's teeth as a block, around a place."""
    vertices, quads = block(RIGHT)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    vertices = vertices - vertices.mean(axis=0) + place
    return Teeth(vertices, triangles, np.ones(len(triangles), bool), np.zeros(len(vertices), bool))


def test_teeth_of_the_skull_stand_in_for_those_that_a_character_lacks(scene):
    rig = read_plan(scene).rig
    free, taken = teeth_at([0.0, 0.07, 1.6]), teeth_at(block(RIGHT)[0].mean(axis=0))

    def found(teeth):
        with SurfaceReader(scene, rig) as reader:
            return find_obstacles(scene, rig, reader, reader.neutral(), replace(stored(), teeth=teeth))

    prints = [found(None).fingerprint()]
    assert found(free).teeth is free
    prints.append(found(free).fingerprint())
    assert found(taken).teeth is None and found(taken).fingerprint() == prints[0] != prints[1]
    for item in scene.nephim.obstacles:  # what may pass through its own teeth is not to be stopped by others
        item.kept_off = False
    assert found(taken).teeth is None
    scene.nephim.skull_teeth = False
    assert found(free).teeth is None
    assert cache_state(scene).state == "stale"


def test_building_the_volume_tells_of_the_skulls_teeth_where_they_are_used(scene, tmp_path, monkeypatch):
    path = folder().volume
    save_blend(tmp_path / "face.blend")
    free, taken = teeth_at([0.0, 0.07, 1.6]), teeth_at(block(RIGHT)[0].mean(axis=0))

    def tells(teeth):
        def built(*_, **__):
            yield Progress("volume", 1.0)
            return replace(Template.load(path), teeth=teeth)

        monkeypatch.setattr("nephim.sim.volume.build.build_template", built)
        return "teeth of the registered skull" in volume.summary(drive(volume.volume_job(scene)))

    assert [tells(teeth) for teeth in (free, taken, None)] == [True, False, False]
    scene.nephim.skull_teeth = False
    assert not tells(free)


def test_skin_is_simulated_and_measured_off_the_teeth_of_the_skull(scene):
    volume_path, objects = folder().volume, [item.owner for item in scene.nephim.obstacles if item.owner.name != "Head"]
    for eye in objects:
        bpy.data.objects.remove(eye)
    for item in scene.nephim.obstacles:
        item.kept_off = False
    teeth = teeth_at(block(LEFT)[0].mean(axis=0))
    replace(stored(), teeth=teeth).save(volume_path)
    drive(simulate_job(scene))
    assert report(scene)["added_mm"] < 0.3
    replace(stored(), teeth=None).save(volume_path)
    with pytest.raises(CacheError, match="Simulate again"):
        drive(finished_cache_job(scene))


def test_the_preview_shows_a_refined_eye_and_leaves_nothing(scene):
    names = set(bpy.data.objects.keys())
    drive(preview.preview_job(scene, "physics"))
    for frame in range(1, PRESSED + 1):
        scene.frame_set(frame)
    assert not preview.message(scene)
    eye = bpy.data.objects["NePHIM Preview Eye.L"]
    shown = eye.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    assert len(shown.vertices) > len(bpy.data.objects["Eye.L"].data.vertices)
    preview.switch_off(scene)
    assert set(bpy.data.objects.keys()) == names and not bpy.data.objects["Eye.L"].hide_get()
    assert bpy.data.objects["Eye.L"].modifiers["Subdivision"].show_viewport


def test_names_decide_what_is_none(scene):
    eye = bpy.data.objects["Eye.L"]
    rig = read_plan(scene).rig

    def found():
        with SurfaceReader(scene, rig) as reader:
            return [kind.object_name for kind in find_obstacles(scene, rig, reader, reader.neutral(), stored()).found]

    eye.name = eye.data.name = "Thing"
    assert found() == ["Head", "Thing"]  # a ball of an eye's size, whatever it is called
    eye.name = "Earring"
    assert found() == ["Head"]
    eye.name = "Eyelash"
    assert found() == ["Head"]
    eye.name = "Teeth"
    eye.location.x = 0.5
    bpy.context.view_layer.update()
    assert found() == ["Head"]  # not in the head


def test_the_command_line_takes_them_out(simulated, tmp_path, capsys):
    path = tmp_path / "face.blend"
    bpy.ops.wm.open_mainfile(filepath=str(simulated))
    save_blend(path)
    roles = ["--head", "Head", "--left", "Left", "--head-bone", "HeadRig:head"]
    assert cli.command(["setup", str(path), *roles, "--no-obstacle", "Eye.L:Iris"]) == cli.EXIT_FAILED
    assert "no material 'Iris' that is no obstacle" in capsys.readouterr().err
    assert cli.command(["setup", str(path), *roles, "--no-obstacle", "Eye.L"]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_OK
    assert "Skin is kept off 'Head'." in capsys.readouterr().out
