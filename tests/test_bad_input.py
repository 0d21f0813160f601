# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input gets one clear sentence and exit code 1, and nothing is lost: each case as a user would meet it."""

import errno
import io
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.plan import Plan  # noqa: E402
from nephim.errors import CacheError  # noqa: E402
from nephim.operators import simulate, volume  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.template import Template  # noqa: E402
from nephim.sim.volume import tetrahedra  # noqa: E402
from nephim.sim.volume.build import VolumeSettings  # noqa: E402

pytestmark = pytest.mark.bpy

SEGMENTS, RINGS = 32, 24  # a head of 769 vertices
COARSE_MM = 12.0  # the volume of a test is built in a second or two
SETUP = ["--head", "Head", "--left", "Left", "--head-bone", "HeadRig:head"]


@pytest.fixture
def face(tmp_path):
    """face.blend, saved, with a head, two hands and no setup."""
    return scene_file(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory, registered):
    """A face.blend whose volume is built, to be copied."""
    path = scene_file(tmp_path_factory.mktemp("built"))
    run("volume", str(path))
    return path


@pytest.fixture
def face_with_volume(built, tmp_path):
    """face.blend, open, with its volume."""
    shutil.copytree(built.parent, tmp_path, dirs_exist_ok=True)
    path = tmp_path / built.name
    bpy.ops.wm.open_mainfile(filepath=str(path))
    return path


def scene_file(folder: Path, **options) -> Path:
    scene = scenes.build(**({"segments": SEGMENTS, "rings": RINGS} | options))
    scene.nephim.target_edge_mm = COARSE_MM
    return save_blend(folder / "face.blend")


def save() -> Path:
    return save_blend()


def refused(capsys, path: Path, verb: str, *arguments: str) -> str:
    """The one sentence of a refused command; the .blend must be the same file as before."""
    before = path.read_bytes()
    assert cli.command([verb, str(path), *arguments]) == cli.EXIT_FAILED
    lines = capsys.readouterr().err.strip().splitlines()
    message = lines[-1]
    print(message)
    assert message.startswith("nephim: ")
    assert message.endswith(".")
    assert not [line for line in lines if "Traceback" in line]
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*@")) and not list(path.parent.rglob("*.part"))
    return message


def run(*arguments: str) -> None:
    assert cli.command(list(arguments)) == cli.EXIT_OK


def test_no_hand(face, capsys):
    message = refused(capsys, face, "setup", "--head", "Head")
    assert "'Head': No hand is given" in message
    assert "--left" in message


def test_unknown_object_lists_what_there_is(face, capsys):
    message = refused(capsys, face, "setup", "--head", "Face", "--left", "Left")
    assert "no object 'Face' for the head" in message
    assert "Head, Left, Right" in message


def test_empty_vertex_group(face, capsys):
    bpy.data.objects["Left"].vertex_groups.new(name="nothing")
    save()
    message = refused(capsys, face, "setup", "--head", "Head", "--left", "Left:nothing")
    assert "'Left': The vertex group 'nothing' of the left hand is empty" in message


def test_a_refused_setup_keeps_the_one_before(face):
    run("setup", str(face), *SETUP, "--neutral-frame", "2")
    assert cli.command(["setup", str(face), "--head", "Head", "--left", "Nobody"]) == cli.EXIT_FAILED
    settings = bpy.context.scene.nephim
    assert (settings.head.name, settings.left.name, settings.head_bone) == ("Head", "Left", "head")
    assert settings.neutral_frame == 2


def test_topology_that_changes_over_time(face_with_volume, capsys):
    mask = bpy.data.objects["Left"].modifiers.new("Mask", "MASK")
    mask.vertex_group = "palm"
    for frame, shown in ((1, False), (6, True)):
        mask.show_viewport = shown
        mask.keyframe_insert("show_viewport", frame=frame)
    bpy.context.scene.frame_set(1)
    save()
    message = refused(capsys, face_with_volume, "simulate")
    assert "'Left': the visibility of its modifier 'Mask' (Mask) is animated" in message
    assert "the number of vertices changes over time" in message and "Clear Keyframes" in message


def test_nan_vertices(face, capsys):
    key = bpy.data.objects["Head"].data.shape_keys.key_blocks["smile"]
    for vertex in (3, 200):
        key.points[vertex].co.x = float("nan")
    bpy.context.scene.nephim.neutral_frame = 5  # the key is off in frame 1
    save()
    message = refused(capsys, face, "volume")
    assert "'Head', frame 5, vertices 3, 200: Its shape key 'smile' moved them to no finite position" in message


@pytest.mark.parametrize(("segments", "rings", "word"), [(14, 14, "too coarse"), (800, 500, "more than")])
def test_head_too_small_or_too_large(tmp_path, capsys, segments, rings, word):
    path = scene_file(tmp_path, keys=False, bones=False, right=False, segments=24, rings=16)
    head = bpy.data.objects["Head"]
    vertices, faces = scenes.head_arrays(segments, rings)
    mesh = bpy.data.meshes.new("Other")
    mesh.from_pydata(vertices.tolist(), [], faces)
    head.modifiers.clear()
    head.data = mesh
    save()
    message = refused(capsys, path, "volume")
    assert f"has only {len(vertices)} vertices" in message or f"has {len(vertices)} vertices" in message
    assert "'Head'" in message and word in message


def test_scene_in_centimetres_works(built, tmp_path, monkeypatch):
    """The same scene in metres and in centimetres gives the same volume and, on one volume, the same result."""
    metres = Template.load(built.with_suffix(".nephim") / "volume.npz")
    path = scene_file(tmp_path, unit=100.0)
    run("volume", str(path))
    template = Template.load(path.with_suffix(".nephim") / "volume.npz")
    np.testing.assert_allclose(template.head_vertices, metres.head_vertices, atol=1e-6)
    assert template.n_skin == pytest.approx(metres.n_skin, rel=0.05)
    # The last bit of a position decides which of two equally long edges is split: the simulations share one volume.
    monkeypatch.setattr(simulate, "load_volume", lambda *_: metres)
    positions, dents = [], []
    for unit, source in ((1.0, built), (100.0, path)):
        folder = tmp_path / f"{unit:g}"
        folder.mkdir()
        run("simulate", shutil.copy(source, folder), "--frames", "1-6")
        cache = drive(simulate.finished_cache_job(bpy.context.scene), io.StringIO())
        assert (cache.path, cache.complete) == (folder / "face.nephim" / "simulation.pc2", True)
        positions.append(cache.read(6) / unit)
        dents.append(cache.manifest.statistics[-1]["displacement_mm"])
    assert dents[0] > 1  # the finger has pressed a dent
    assert dents[1] == pytest.approx(dents[0], rel=0.05)
    # A contact more or less moves a few vertices at the rim of the dent.
    error = np.linalg.norm(positions[1] - positions[0], axis=1)
    assert np.quantile(error, 0.99) < 5e-4


def test_jaw_outside_the_head(face, capsys):
    vertices, faces = scenes.tube([(z, 1.0) for z in np.linspace(0, 0.05, 6)], 12, 0.02, True, True)
    scenes.mesh_object(bpy.context.scene, "Jawbone", vertices + [0.5, 0, 1.5], faces)
    bpy.context.scene.nephim.jaw = bpy.data.objects["Jawbone"]
    save()
    message = refused(capsys, face, "volume")
    assert "Jawbone" in message
    assert "outside" in message
    assert not (face.with_suffix(".nephim") / "volume.npz").exists()


def test_hand_already_deep_inside_at_the_first_frame(face_with_volume, capsys):
    run("simulate", str(face_with_volume), "--frames", "6-7")
    text = capsys.readouterr().out
    print(text)
    assert "At the first frame 6 a hand is already" in text
    assert "Start before the contact" in text
    cache = drive(simulate.finished_cache_job(bpy.context.scene), io.StringIO())
    assert all(np.isfinite(cache.read(frame)).all() for frame in (6, 7))


def test_linked_heads(tmp_path, capsys):
    scenes.build(segments=SEGMENTS, rings=RINGS)
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {bpy.data.objects["Head"], bpy.data.objects["Left"]})
    scene = scenes.fresh()
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = ["Head", "Left"]
    for obj in wanted.objects:
        scene.collection.objects.link(obj)
    path = save_blend(tmp_path / "face.blend")
    message = refused(capsys, path, "setup", "--head", "Head", "--left", "Left")
    assert "linked from" in message and "Make it local" in message and "make a library override" in message


def test_never_saved(capsys):
    scene = scenes.build()
    with pytest.raises(CacheError, match=r"never been saved.*Save it first"):
        drive(volume.volume_job(scene), io.StringIO())
    assert cli.command(["volume"]) == cli.EXIT_FAILED
    assert "No file is open" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match=r"Save the \.blend first"):
        bpy.ops.nephim.simulate()


def test_operators_report_the_same_sentence(face):
    scene = bpy.context.scene
    scene.nephim.use_scene_range, scene.nephim.frame_start, scene.nephim.frame_end = False, 8, 3
    with pytest.raises(RuntimeError, match="8-3 is empty"):
        bpy.ops.nephim.volume()
    with pytest.raises(RuntimeError, match="no object 'Nobody'"):
        bpy.ops.nephim.setup(head="Nobody", left="Left")
    with pytest.raises(RuntimeError, match="not a frame range"):
        bpy.ops.nephim.simulate(frames="soon")


def test_steps_in_the_wrong_order(face, capsys):
    assert "Build the volume first" in refused(capsys, face, "simulate")
    assert "Simulate first" in refused(capsys, face, "bake", "--to", "shape-keys")
    assert "Simulate first" in refused(capsys, face, "report", "--json", str(face.parent / "r.json"))
    assert "no tissue preset 'marble'" in refused(capsys, face, "simulate", "--preset", "marble")


def test_volume_of_a_changed_head_is_refused(face_with_volume, capsys):
    bpy.data.objects["Head"].data.shape_keys.key_blocks["Basis"].points[0].co.x += 0.001
    save()
    assert "built from another mesh" in refused(capsys, face_with_volume, "simulate")


def test_a_file_in_place_of_the_cache_folder(face, capsys):
    face.with_suffix(".nephim").write_text("no folder")
    message = refused(capsys, face, "volume")
    assert "face.nephim" in message
    assert "make the folder writable" in message


def test_disk_full_while_the_volume_is_written(face, capsys, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    # TetGen's child reads its surfaces from a file that numpy writes too, so only the result may fail.
    monkeypatch.setattr("nephim.sim.volume.build.tetrahedralize", no_tetrahedra)
    message = refused(capsys, face, "volume")
    assert "No space left on device" in message
    assert "Free disk space" in message


def no_tetrahedra(vertices, triangles, **_options):
    """One tetrahedron beside the given vertices: enough to go on with."""
    yield from ()
    extra = np.array([[9.0, 0, 0], [9.1, 0, 0], [9.0, 0.1, 0], [9.0, 0, 0.1]])
    n = len(vertices)
    return np.concatenate([vertices, extra]), np.array([[n, n + 1, n + 2, n + 3]], np.int32)


def test_disk_full_while_simulating(face_with_volume, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: _Usage)
    message = refused(capsys, face_with_volume, "simulate")
    assert "simulation.pc2 needs" in message
    assert "Free disk space" in message


class _Usage:
    free = 10


@pytest.mark.parametrize(
    ("program", "word"),
    [("import os; os.abort()", "TetGen"), ("import time; time.sleep(60)", "longer than")],
    ids=["crash", "time-out"],
)
def test_tetgen_crashes_or_hangs(face, capsys, monkeypatch, program, word):
    python = sys.executable if "python" in Path(sys.executable).name else "python3"
    monkeypatch.setattr(tetrahedra, "python_command", lambda: [python, "-c", program])
    monkeypatch.setattr(Plan, "volume_settings", lambda _plan: VolumeSettings(target_edge=0.012, time_limit=1.0))
    message = refused(capsys, face, "volume")
    assert word in message


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_the_blend_is_never_left_half_written(face, capsys):
    """A file-size limit stops Blender in the middle of saving, as a full disk does."""
    import resource

    mesh = bpy.data.meshes.new("Large")
    mesh.vertices.add(300_000)
    mesh.vertices.foreach_set("co", np.random.default_rng(0).random(900_000).astype(np.float32))
    mesh.use_fake_user = True
    save()
    content = face.read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        code = cli.command(["setup", str(face), *SETUP])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    message = capsys.readouterr().err
    print(message)
    assert code == cli.EXIT_FAILED
    assert "face.blend could not be saved" in message
    assert "The file on disk is unchanged" in message
    assert face.read_bytes() == content
    assert not list(face.parent.glob("*@"))


def test_damaged_results_are_refused(face, capsys):
    (face.with_suffix(".nephim")).mkdir()
    (face.with_suffix(".nephim") / "volume.npz").write_bytes(b"PK\x03\x04 not a volume")
    message = refused(capsys, face, "simulate")
    assert "is not a volume that NePHIM can read" in message
    assert "Build the volume again" in message


def test_an_interrupted_simulation_goes_on_as_if_nothing_had_happened(built, tmp_path):
    """Cancelled between frames in the middle of a contact, and gone on with: to the last bit the same positions."""
    results = []
    for name, interrupted in (("whole", False), ("resumed", True)):
        shutil.copytree(built.parent, tmp_path / name)
        path = tmp_path / name / built.name
        bpy.ops.wm.open_mainfile(filepath=str(path))
        scene = bpy.context.scene
        if interrupted:
            job = simulate.simulate_job(scene, frames=(1, 6))
            while "frame 5" not in next(job).detail:
                pass
            job.close()
        done = drive(simulate.simulate_job(scene, frames=(1, 6)), io.StringIO())
        assert done.new == (2 if interrupted else 6)
        results.append((path.with_suffix(".nephim") / "simulation.pc2").read_bytes())
    assert results[0] == results[1]
