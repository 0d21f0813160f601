# SPDX-License-Identifier: GPL-3.0-or-later
"""Live preview: the same vertices as the bake, resets at jumps, survives what users do, leaves nothing behind."""

import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.operators import preview, volume  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.frame import SimulatedFrame  # noqa: E402

pytestmark = pytest.mark.bpy

DENT = 0.01  # [m] how far the stand-in moves the first vertices


class Counter:
    """A stand-in for the physics: every step since the last reset pushes the first vertices a little further."""

    frame_rate = 24.0

    def __init__(self):
        self.steps, self.resets, self.rates = 0, 0, []

    def reset(self):
        self.steps = 0
        self.resets += 1

    def step(self, frame):
        self.steps += 1
        self.rates.append(self.frame_rate)
        skin = frame.head.copy()
        skin[:10, 2] += DENT * self.steps
        return SimulatedFrame(skin, frame.head, np.arange(5, dtype=np.int32))


@pytest.fixture()
def scene(tmp_path):
    made = scenes.build(segments=32, rings=24)
    save_blend(tmp_path / "face.blend")
    return made


@pytest.fixture()
def counter(scene, monkeypatch):
    """The scene with a preview of the stand-in."""
    from scipy.sparse import identity

    stand_in = Counter()
    rig = read_rig(scene)
    n_head = len(rig.head.indices)
    template = SimpleNamespace(
        refinement=identity(n_head, format="csr"),
        n_head=n_head,
        linear=None,
        outer=np.ones(n_head, bool),
        teeth=None,
    )
    monkeypatch.setattr(preview, "load_volume", lambda *_: template)

    def start(*_):
        yield from ()
        return stand_in

    monkeypatch.setattr(preview, "start_job", start)
    monkeypatch.setattr(preview, "folder", lambda _: SimpleNamespace(volume=SimpleNamespace(exists=lambda: True)))
    assert bpy.ops.nephim.preview(mode="physics") == {"FINISHED"}
    yield stand_in
    preview.forget_all()


def shown(scene):
    return scenes.positions(scene.nephim.preview_object)


def is_off(scene, head_name="Head"):
    head = bpy.data.objects.get(head_name)
    assert scene.nephim.preview == "off"
    assert scene.nephim.preview_object is None
    assert not [obj for obj in bpy.data.objects if obj.name.startswith("NePHIM")]
    assert not [mesh for mesh in bpy.data.meshes if mesh.name.startswith("NePHIM")]
    assert head is None or head.name not in scene.objects or not head.hide_get()
    return True


@pytest.mark.parametrize("mode", ["physics", "reduced"])
def test_preview_bakes_and_command_line_give_the_same_vertices(scene, tmp_path, mode):
    scene.nephim.mode = mode
    scene.nephim.target_edge_mm = 12.0  # the volume is built in a second or two
    scene.frame_end = 6
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "farm.blend"), copy=True)
    drive(volume.volume_job(scene), io.StringIO())
    assert bpy.ops.nephim.preview(mode=mode) == {"FINISHED"}
    seen = []
    for frame in range(1, 7):
        scene.frame_set(frame)
        seen.append(shown(scene))
        assert not preview.message(scene)
    assert [line for line in preview.figures(scene) if mode in line]
    head = scene.nephim.head
    assert max(np.abs(skin - evaluated(head)).max() for skin in seen) > 0.002

    def same(read):
        for frame, skin in enumerate(seen, 1):
            assert np.abs(read(frame) - skin).max() < 1e-6  # 0.001 mm

    def played(frame):
        scene.frame_set(frame)
        return evaluated(head)

    assert bpy.ops.nephim.preview(mode="off") == {"FINISHED"}
    assert is_off(scene)
    assert bpy.ops.nephim.simulate() == {"FINISHED"}
    assert bpy.ops.nephim.bake(to="point-cache") == {"FINISHED"}
    same(played)
    assert bpy.ops.nephim.bake(to="shape-keys", tolerance=0.001, per_frame=True) == {"FINISHED"}
    same(played)

    for verb in ("volume", "simulate"):
        assert cli.command([verb, str(tmp_path / "farm.blend")]) == cli.EXIT_OK
    assert bpy.data.filepath.endswith("farm.blend")
    same(PointCache(folder().cache).read)


def evaluated(obj):
    return scenes.positions(obj.evaluated_get(bpy.context.view_layer.depsgraph))


def test_playing_steps_on_and_jumps_begin_anew(scene, counter):
    for frame in (1, 2, 3):
        scene.frame_set(frame)
    assert (counter.steps, counter.resets) == (3, 1)
    scene.frame_set(3)  # the same frame once more: nothing has happened in between
    assert counter.steps == 3
    scene.frame_set(5)  # a frame was dropped: one longer step
    assert counter.steps == 4
    assert counter.rates[-1] == pytest.approx(12.0)
    scene.frame_set(1)  # the loop
    assert (counter.steps, counter.resets) == (1, 2)
    assert counter.rates[-1] == pytest.approx(24.0)
    scene.frame_set(9)  # a jump of more than a quarter of a second
    assert (counter.steps, counter.resets) == (1, 3)


def test_the_head_is_hidden_but_still_animated(scene, counter):
    head = scene.nephim.head
    assert head.hide_get()
    scene.frame_set(2)
    before = shown(scene)[20:].copy()
    scene.frame_set(10)
    assert np.abs(shown(scene)[20:] - before).max() > 0.005
    assert np.allclose(shown(scene)[20:], evaluated(head)[20:], atol=1e-7)
    preview_object = scene.nephim.preview_object
    assert np.allclose(preview_object.matrix_world, head.matrix_world)
    assert preview_object.hide_render and not head.hide_render


def test_normals_follow(scene, counter):
    """Shading of the deformed skin: as if Blender had been given the positions the slow way."""
    scene.frame_set(4)
    preview_object = scene.nephim.preview_object
    bpy.context.view_layer.update()
    seen = preview_object.evaluated_get(bpy.context.view_layer.depsgraph).data
    fresh = bpy.data.meshes.new("fresh")
    fresh.from_pydata(shown(scene).tolist(), [], [list(polygon.vertices) for polygon in preview_object.data.polygons])
    values = [np.empty(3 * len(mesh.vertices), np.float32) for mesh in (seen, fresh)]
    for mesh, value in zip((seen, fresh), values, strict=True):
        mesh.vertex_normals.foreach_get("vector", value)
    assert np.abs(values[0] - values[1]).max() < 1e-4


def test_colours(scene, counter):
    scene.nephim.preview_scale_mm = 1000 * DENT
    for what in ("displacement", "contact"):
        scene.nephim.preview_colour = what
        mesh = scene.nephim.preview_object.data
        values = np.empty(4 * len(mesh.vertices), np.float32)
        mesh.attributes["NePHIM"].data.foreach_get("color", values)
        values = values.reshape(-1, 4)
        assert np.ptp(values[20:], axis=0).max() < 1e-6  # where nothing happens, one colour
        assert np.abs(values[0] - values[-1]).max() > 0.1
        assert scene.nephim.preview_object.material_slots[0].material.name.startswith("NePHIM")
    scene.nephim.preview_colour = "none"
    assert scene.nephim.preview_object.material_slots[0].material is None


def test_renaming_goes_on(scene, counter):
    scene.nephim.head.name = "Somebody"
    scene.nephim.head_armature.name = "Somebody's bones"
    scene.frame_set(2)
    assert counter.steps == 2
    assert not preview.message(scene)
    bpy.ops.nephim.preview(mode="off")
    assert is_off(scene, "Somebody")


@pytest.mark.parametrize("name", ["Head", "Left"])
def test_deleting_switches_off_with_a_message(scene, counter, name, capsys):
    scene.collection.objects.unlink(bpy.data.objects[name])
    scene.frame_set(2)
    assert is_off(scene)
    assert name in preview.message(scene)
    scene.frame_set(3)
    assert capsys.readouterr().out.count("switched itself off") == 1


def test_a_defect_never_reaches_playback(scene, counter, capsys):
    def broken(frame):
        raise ZeroDivisionError("on purpose")

    counter.step = broken
    scene.frame_set(2)
    assert is_off(scene)
    assert "ZeroDivisionError" in preview.message(scene)
    printed = capsys.readouterr()
    assert "on purpose" in printed.err
    assert printed.out.count("switched itself off") == 1


def test_changed_topology_is_named(scene, counter):
    scene.nephim.head.modifiers.new("Mirror", "MIRROR")
    scene.frame_set(2)
    assert is_off(scene)
    assert "vertices instead of" in preview.message(scene)


def test_subdivision_is_seen_on_the_preview_and_comes_back(scene, counter):
    bpy.ops.nephim.preview(mode="off")
    head = scene.nephim.head
    head.modifiers.new("Subdivision", "SUBSURF").levels = 1
    bpy.ops.nephim.preview(mode="physics")
    assert not head.modifiers["Subdivision"].show_viewport
    seen = scene.nephim.preview_object.evaluated_get(bpy.context.view_layer.depsgraph)
    assert len(seen.data.vertices) > 2 * len(head.data.vertices)
    bpy.ops.nephim.preview(mode="off")
    assert head.modifiers["Subdivision"].show_viewport


def test_baked_keys_are_muted_only_meanwhile_and_not_in_renders(scene, counter):
    bpy.ops.nephim.preview(mode="off")
    key = scene.nephim.head.shape_key_add(name="NePHIM 001")
    bpy.ops.nephim.preview(mode="physics")
    assert key.mute
    preview.set_rendering(True)
    assert not key.mute
    steps = counter.steps
    scene.frame_set(4)
    assert counter.steps == steps  # nothing is simulated in renders
    preview.set_rendering(False)
    assert key.mute
    bpy.ops.nephim.preview(mode="off")
    assert not key.mute


def test_the_file_on_disk_knows_nothing_of_the_preview(scene, counter, tmp_path):
    save_blend(tmp_path / "face.blend")
    assert scene.nephim.preview_object is not None  # it goes on here
    shutil.copy(tmp_path / "face.blend", tmp_path / "copy.blend")
    with bpy.data.libraries.load(str(tmp_path / "copy.blend")) as (inside, _):
        assert not [name for name in inside.objects + inside.meshes if name.startswith("NePHIM")]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "face.blend"))
    loaded = bpy.context.scene
    assert loaded.nephim.preview == "physics"
    assert not loaded.nephim.head.hide_get()
    for frame in (2, 3):
        loaded.frame_set(frame)  # in the background nothing resumes by itself, and nothing fails
    preview.resume()  # what a timer does in the window
    assert loaded.nephim.preview_object is not None
    loaded.frame_set(4)
    assert not preview.message(loaded)
    bpy.ops.nephim.preview(mode="off")
    assert is_off(loaded)


def test_another_tissue_begins_anew(scene, counter):
    old = preview.preview_of(scene)
    scene.nephim.tissue = "soft"
    assert preview.preview_of(scene) is not old
    assert scene.nephim.preview == "physics"
    scene.nephim.tissue = "no such tissue"  # nothing is built from it here, but nothing fails either
    assert scene.nephim.preview in ("physics", "off")


def test_two_scenes_do_not_meet(scene, counter):
    other = bpy.data.scenes.new("Other")
    other.frame_set(7)
    assert counter.steps == 1
    scene.frame_set(2)
    assert counter.steps == 2
    assert other.nephim.preview == "off"


def test_jobs_read_the_tracked_surfaces_undisturbed(scene, counter):
    from nephim.bridge.surfaces import SurfaceReader

    with SurfaceReader(scene, read_rig(scene)) as reader:
        for frame in (2, 3, 4):
            reader.read(frame)
        assert counter.steps == 1
    assert scene.nephim.head.hide_get()


def test_disabling_the_add_on_ends_previews(scene, counter, registered):
    registered.unregister()
    try:
        assert not [obj for obj in bpy.data.objects if obj.name.startswith("NePHIM")]
        assert not bpy.data.objects["Head"].hide_get()
        handlers = bpy.app.handlers
        assert not [h for h in handlers.frame_change_post + handlers.load_post if "nephim" in h.__module__]
    finally:
        registered.register()
    bpy.context.scene.frame_set(3)


def test_without_hands_it_says_why_not(tmp_path):
    scene = scenes.build(left=False, right=False)
    save_blend(tmp_path / "face.blend")
    assert not bpy.ops.nephim.preview.poll()
    assert scene.nephim.preview == "off"
