# SPDX-License-Identifier: GPL-3.0-or-later
"""An imported take plays, is set up and runs from one command line each: volume, simulate, bake."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
from nephim import cli
from nephim.bridge.meshes import mesh_positions
from nephim.errors import RigError, TrackError
from nephim.operators import import_take
from nephim.operators.import_take import import_job
from nephim.progress import drive
from scenes import hand_arrays
from synthetic_head import synthetic_head

pytestmark = pytest.mark.bpy
ROOT = Path(__file__).resolve().parent.parent
FRAMES = 6


def triangles(faces):
    return np.array([t for f in faces for t in ([f] if len(f) == 3 else [(f[0], f[1], f[2]), (f[0], f[2], f[3])])])


def take_arrays(frames=FRAMES):
    """A head and a left finger that presses 8 mm into its cheek; z up, metres."""
    head = synthetic_head(0.01)
    finger, faces = hand_arrays()
    finger = finger[:, [2, 0, 1]] * np.float32([-1, 1, 1])  # along -x, a mirror image
    tip, near = finger[:, 0].min(), np.abs(head.vertices[:, 1:] - [-0.03, -0.05]).max(1) < 0.012
    cheek = head.vertices[near, 0].max()
    gap = np.linspace(0.05, -0.008, frames)
    hands = np.stack([finger + [cheek + g - tip, -0.03, -0.05] for g in gap])
    heads = np.stack([head.vertices] * frames)
    return heads.astype(np.float32), head.triangles, hands.astype(np.float32), triangles(faces)


def npz(path, scale=1.0, y_up=False, **more):
    heads, head_faces, hands, hand_faces = take_arrays()
    if y_up:
        heads, hands = (a[..., [0, 2, 1]] * np.float32([1, 1, -1]) for a in (heads, hands))
    np.savez(
        path, head_vertices=heads * scale, head_faces=head_faces, left_vertices=hands * scale, left_faces=hand_faces,
        **more,
    )  # fmt: skip
    return heads, hands


def evaluated(name, frame):
    bpy.context.scene.frame_set(frame)
    obj = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get())
    return mesh_positions(obj.data)


def nephim(*arguments):
    return cli.command([str(a) for a in arguments])


def test_a_take_in_millimetres_and_y_up_becomes_a_scene_that_plays(tmp_path, capsys):
    npz(tmp_path / "take.npz", 1000, y_up=True, fps=24)
    assert nephim("import", tmp_path / "take.npz", "-o", tmp_path / "out" / "face.blend") == cli.EXIT_OK
    said = capsys.readouterr().out
    for text in ("unit mm found", "+y is up, found by the neck: turned to z", "it was inside out", "6 frames at 24"):
        assert text in said, said
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "face.blend"))
    scene = bpy.context.scene
    heads, _, hands, _ = take_arrays()
    for frame in (1, 4, FRAMES):
        assert np.allclose(evaluated("Head", frame), heads[frame - 1], atol=1e-6)
        assert np.allclose(evaluated("Left Hand", frame), hands[frame - 1], atol=1e-6)
    assert bpy.data.objects["Head"].modifiers["Take"].filepath == "//face.head.pc2"
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, FRAMES, 24)
    assert scene.nephim.head.name == "Head" and scene.nephim.left.name == "Left Hand"
    assert scene.nephim.neutral_frame == 1


def test_an_imported_take_runs_to_the_bake(tmp_path, capsys):
    npz(tmp_path / "take.npz", fps=24)
    blend = tmp_path / "face.blend"
    assert nephim("import", tmp_path / "take.npz", "--smooth", 10, "-o", blend) == cli.EXIT_OK
    bpy.context.scene.nephim.target_edge_mm = 12.0
    bpy.ops.wm.save_mainfile()
    for verb in ("volume", "simulate"):
        assert nephim(verb, blend) == cli.EXIT_OK
    assert nephim("bake", blend, "--to", "point-cache") == cli.EXIT_OK
    bpy.data.objects["Head"]["nephim_jitter"] = [0.0]
    assert nephim("report", blend, "--json", tmp_path / "report.json") == cli.EXIT_OK
    jitter = json.loads((tmp_path / "report.json").read_text())["jitter"]
    assert jitter["Head"] == {"before_mm": 0.0}
    row = r"jitter of 'Left Hand' +0\.\d\d mm captured, 0\.\d\d mm smoothed at 10 Hz"
    assert re.search(row, capsys.readouterr().out)
    hand = jitter["Left Hand"]
    assert hand["cut_off_hz"] == 10 and hand["after_mm"] == pytest.approx(hand["before_mm"], abs=0.5)
    heads = take_arrays()[0]
    dent = np.linalg.norm(evaluated("Head", FRAMES) - heads[-1], axis=1)
    assert 0.002 < dent.max() < 0.01
    assert np.linalg.norm(evaluated("Head", 1) - heads[0], axis=1).max() < 1e-4


def test_nothing_is_written_for_a_take_that_is_refused(tmp_path, capsys):
    heads, faces, hands, hand_faces = take_arrays()
    np.savez(
        tmp_path / "take.npz", head_vertices=heads, head_faces=faces, left_vertices=hands[:4], left_faces=hand_faces
    )
    assert nephim("import", tmp_path / "take.npz", "-o", tmp_path / "face.blend") == cli.EXIT_FAILED
    error = capsys.readouterr().err
    assert "nephim: The tracks differ in length" in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["take.npz"]


@pytest.mark.parametrize("arguments", ["import", "import a.npz", "import a.npz -o b.blend --units inch"])
def test_wrong_arguments_are_usage_errors(arguments):
    assert nephim(*arguments.split()) == cli.EXIT_USAGE


@pytest.mark.parametrize("kind", ["abc", "usdc"])
def test_alembic_and_usd_are_sampled(tmp_path, kind):
    if "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    npz(tmp_path / "take.npz", fps=24)
    assert nephim("import", tmp_path / "take.npz", "-o", tmp_path / "face.blend") == cli.EXIT_OK
    path = tmp_path / f"take.{kind}"
    if kind == "abc":
        bpy.ops.wm.alembic_export(filepath=str(path), start=1, end=FRAMES, as_background_job=False)
    else:
        bpy.ops.wm.usd_export(filepath=str(path), export_animation=True, convert_orientation=True)
    assert nephim("import", path, "--fps", 24, "-o", tmp_path / "again.blend") == cli.EXIT_OK
    heads, _, hands, _ = take_arrays()
    assert np.allclose(evaluated("Head", FRAMES), heads[-1], atol=1e-5)
    assert np.allclose(evaluated("Left Hand", 3), hands[2], atol=1e-5)
    assert not bpy.data.cache_files and len(bpy.data.objects) == 2


@pytest.mark.parametrize("kind", ["abc", "usdc", "usda", "usdz"])
def test_damaged_scene_files_are_refused_and_leave_nothing(tmp_path, kind):
    if "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    path = tmp_path / f"take.{kind}"
    bpy.ops.mesh.primitive_cube_add()
    if kind == "abc":
        bpy.ops.wm.alembic_export(filepath=str(path), start=1, end=2, as_background_job=False)
    else:
        bpy.ops.wm.usd_export(filepath=str(path), export_animation=True)
    whole, before = path.read_bytes(), set(bpy.data.user_map())
    cut = [whole[: int(share * len(whole))] for share in (0.05, 0.3, 0.6, 0.98)]
    spoilt = [b"", b"Ogawa\xff" + bytes(200), b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R.", *cut]
    for data in spoilt:
        path.write_bytes(data)
        with pytest.raises(TrackError) as caught:
            drive(import_job(bpy.context.scene, [path], tmp_path / "face.blend"))
        assert caught.value.advice
        assert set(bpy.data.user_map()) == before and not list(tmp_path.glob("*.pc2"))


def test_a_take_keeps_its_own_time_in_a_scene_of_another_rate(tmp_path):
    _, hands = npz(tmp_path / "take.npz", fps=12)
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.scene.render.fps = 24
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert bpy.ops.nephim.import_take(filepath=str(tmp_path / "take.npz")) == {"FINISHED"}
    assert bpy.context.scene.render.fps == 24
    assert np.allclose(evaluated("Left Hand", 1 + 2 * 3), hands[3], atol=1e-5)
    assert "Cube" in bpy.data.objects


def test_the_entry_in_the_import_menu_needs_a_saved_file():
    assert not bpy.ops.nephim.import_take.poll()
    drawn = [function.__name__ for function in bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()]
    assert "menu" in drawn


def test_smoothing_says_the_jitter_before_and_after(tmp_path, capsys):
    heads, head_faces, hands, hand_faces = take_arrays(40)
    noise = np.random.default_rng(0).normal(0, 0.0005, hands[:, :1].shape)
    np.savez(
        tmp_path / "take.npz", head_vertices=heads, head_faces=head_faces, left_vertices=hands + noise,
        left_faces=hand_faces, fps=60,
    )  # fmt: skip
    out = tmp_path / "face.blend"
    assert nephim("import", tmp_path / "take.npz", "--smooth", 6, "-o", out) == cli.EXIT_OK
    (line,) = [text for text in capsys.readouterr().out.splitlines() if "left_vertices: smoothed at 6 Hz" in text]
    words = line.split()
    before, after = float(words[words.index("jitter") + 1]), float(words[-3])
    assert 0.7 < before < 1.0 and after < 0.25 * before
    assert nephim("import", tmp_path / "take.npz", "--smooth", 40, "-o", out) == cli.EXIT_FAILED


def test_what_was_chosen_stays_if_the_imported_hand_does_not_fit(tmp_path):
    heads, head_faces, hands, hand_faces = take_arrays()
    np.savez(tmp_path / "head.npz", head_vertices=heads, faces=head_faces)
    np.savez(tmp_path / "hand.npz", left_vertices=hands, faces=hand_faces)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene, blend = bpy.context.scene, tmp_path / "a.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    drive(import_job(scene, [tmp_path / "head.npz"], blend))
    settings = scene.nephim
    settings.head_group, settings.left_group = "gone", "palm"
    chosen = settings.head
    with pytest.raises(RigError, match="gone"):
        drive(import_job(scene, [tmp_path / "hand.npz"], blend))
    assert (settings.head, settings.head_group) == (chosen, "gone")
    assert (settings.left, settings.left_group) == (None, "palm")
    assert [obj.name for obj in scene.objects] == [chosen.name]


def test_a_failed_import_gives_back_the_caches_of_the_one_before(tmp_path):
    npz(tmp_path / "take.npz", fps=24)
    blend = tmp_path / "face.blend"
    assert nephim("import", tmp_path / "take.npz", "-o", blend) == cli.EXIT_OK
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pc2")}
    assert set(before) == {"face.head.pc2", "face.left-hand.pc2"}
    (tmp_path / "face.left-hand.pc2").unlink()
    (tmp_path / "face.left-hand.pc2").mkdir()  # cannot be written
    assert nephim("import", tmp_path / "take.npz", "--up", "y", "-o", blend) == cli.EXIT_FAILED
    (tmp_path / "face.left-hand.pc2").rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pc2*")} == {
        "face.head.pc2": before["face.head.pc2"]
    }
    assert nephim("import", tmp_path / "take.npz", "-o", blend) == cli.EXIT_OK
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pc2*")} == before


def test_an_import_takes_no_cache_that_a_renamed_object_plays(tmp_path):
    npz(tmp_path / "take.npz", fps=24)
    blend = tmp_path / "face.blend"
    assert nephim("import", tmp_path / "take.npz", "-o", blend) == cli.EXIT_OK
    bpy.data.objects["Head"].name = "Old"
    bpy.data.objects["Left Hand"].name = "Old Hand"
    before = evaluated("Old", 3)
    np.savez(tmp_path / "b.npz", head_vertices=take_arrays()[0] * 1.1, faces=take_arrays()[1], fps=24)
    drive(import_job(bpy.context.scene, [tmp_path / "b.npz"], blend))
    assert bpy.data.objects["Head"].modifiers["Take"].filepath == "//face.head.2.pc2"
    assert np.array_equal(evaluated("Old", 3), before)
    assert np.allclose(evaluated("Head", 3), before * 1.1, atol=1e-5)


def state(scene, folder):
    """What an import must leave as it was if it is closed or refused."""
    layer, settings = bpy.context.view_layer, scene.nephim
    roles = [getattr(settings, role) for role in ("head", "left", "right", "head_group", "left_group", "neutral_frame")]
    return (
        {block.name: (type(block).__name__, block.users) for block in bpy.data.user_map()},
        [obj.name for obj in layer.objects if obj.select_get()], layer.objects.active, roles,
        (scene.frame_start, scene.frame_end, scene.frame_current, scene.render.fps, scene.render.fps_base),
        [(marker.name, marker.frame) for marker in scene.timeline_markers], bpy.context.mode,
        sorted(path.name for path in folder.iterdir()),
    )  # fmt: skip


def closed_everywhere(make):
    """Closes a job after each of its steps until one run ends; yields after every close."""
    steps = 0
    while True:
        job = make()
        for _ in range(steps + 1):
            if next(job, None) is None:
                assert steps > 2
                return
        job.close()
        yield
        steps += 1


@pytest.mark.parametrize("kind", ["npz", "folder", "abc", "usdc", "decaf", "landmarks", "csv"])
def test_esc_leaves_the_scene_as_it_was(tmp_path, monkeypatch, kind):
    import takes

    if kind in ("abc", "usdc") and "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    # Reports of steps from the side come as often as they are asked for; here once each.
    monkeypatch.setattr(import_take, "aside", lambda job: job)
    models = []
    if kind == "csv":
        takes.character(tmp_path)
        paths = [tmp_path / "take.csv"]
    else:
        paths = [tmp_path / {"folder": "folder", "landmarks": "landmarks.npz"}.get(kind, f"take.{kind}")]
        {"npz": takes.arrays, "folder": takes.meshes, "decaf": takes.decaf, "landmarks": takes.landmarks}.get(
            kind, lambda folder: takes.scene_file(paths[0])
        )(tmp_path)
        if kind == "decaf":
            paths = [tmp_path / "test" / "params" / "S3" / "params_smoothed.pkl"]
            models = [tmp_path / "generic_model.pkl", tmp_path / "MANO_RIGHT.pkl"]
        bpy.ops.wm.read_factory_settings(use_empty=False)
        bpy.context.scene.nephim.head = bpy.data.objects["Cube"]
        bpy.context.scene.frame_set(7)
    scene = bpy.context.scene
    before = state(scene, tmp_path)

    def make():
        return import_job(scene, paths, tmp_path / "out.blend", models=models, frame_rate=24.0, smooth=6.0)

    for _ in closed_everywhere(make):
        assert state(scene, tmp_path) == before


def test_file_import_is_the_same_operator_and_so_is_the_sidebars(tmp_path):
    npz(tmp_path / "take.npz", fps=24)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    drawn = bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()
    assert import_take.menu in drawn
    assert bpy.ops.nephim.import_take(directory=str(tmp_path), files=[{"name": "take.npz"}]) == {"FINISHED"}
    assert bpy.context.scene.nephim.left == bpy.data.objects["Left Hand"]


def test_a_mesh_that_is_chosen_stands_for_its_folder(tmp_path):
    import takes

    takes.meshes(tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    folder = tmp_path / "folder"
    chosen = [{"name": path.name} for path in sorted(folder.iterdir())[:2]]
    assert bpy.ops.nephim.import_take(directory=str(folder), files=chosen) == {"FINISHED"}
    assert {obj.name for obj in bpy.data.objects} == {"Head", "Left Hand"}
