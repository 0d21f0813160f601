# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated take as one file of arrays: what is in it, read back by import, and files that only look like it."""

import io
import json
import zipfile

import numpy as np
import pytest
from nephim import cli
from nephim.errors import TrackError
from nephim.tracks.exported import CONTACT_BIT, FORMAT
from nephim.tracks.read import read_take

FRAMES = 4


def arrays():
    """The least that such a file holds: a head and a left hand that is missing in the last frame."""
    random = np.random.default_rng(0)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return {
        "format": np.array(FORMAT),
        "fps": np.array(30.0),
        "head_tracked": random.random((FRAMES, 5, 3), np.float32),
        "head_deformed": random.random((FRAMES, 5, 3), np.float32),
        "head_faces": faces,
        "left_tracked": random.random((FRAMES, 4, 3), np.float32),
        "left_faces": faces,
        "left_missing": np.array([False] * 3 + [True]),
    }


def written(path, **changes):
    content = {name: array for name, array in (arrays() | changes).items() if array is not None}
    np.savez(path, **content)
    return path


def test_an_exported_take_is_read_back(tmp_path):
    head, left = read_take(written(tmp_path / "take.npz"))
    expected = arrays()
    assert (head.role, left.role, head.frame_rate, head.unit, head.up) == ("head", "left", 30.0, 1.0, "+z")
    assert np.array_equal(head.vertices, expected["head_tracked"])
    assert np.array_equal(left.vertices[:3], expected["left_tracked"][:3]) and np.isnan(left.vertices[3]).all()
    assert np.array_equal(left.faces.triangles(), expected["left_faces"])


class Call:
    """What a pickle runs when it is read."""

    def __reduce__(self):
        return print, ("executed",)


OBJECTS = np.array([Call()], object)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": np.array("nephim-take 2")}, "a newer NePHIM"),
        ({"fps": None}, "no frame rate"),
        ({"fps": np.array(np.nan)}, "no frame rate"),
        ({"head_tracked": None}, "head is not complete"),
        ({"head_faces": None}, "head is not complete"),
        ({"left_faces": None}, "left is not complete"),
        ({"head_tracked": OBJECTS}, r"head_tracked has shape \(0,\)"),
        ({"left_faces": OBJECTS}, "faces have shape"),
        ({"head_tracked": np.zeros((FRAMES, 5, 2), np.float32)}, r"head_tracked has shape \(4, 5, 2\)"),
        ({"head_tracked": np.zeros((FRAMES, 15), np.float32)}, r"head_tracked has shape \(4, 15\)"),
        ({"head_tracked": np.zeros((0, 5, 3), np.float32)}, r"head_tracked has shape \(0, 5, 3\)"),
        ({"head_tracked": np.zeros((FRAMES, 5, 3), complex)}, "head_tracked has shape"),
        ({"head_faces": np.array([[0, 1, 5]])}, "name vertices from 0 to 5, but it has 5"),
        ({"head_faces": np.array([[0, 1, -1]])}, "name vertices from -1"),
        ({"head_faces": np.zeros((2, 5), int)}, "faces have shape"),
        ({"left_missing": np.zeros(FRAMES + 1, bool)}, "left_missing has shape"),
        ({"left_missing": np.zeros(FRAMES)}, "left_missing has shape"),
        ({"left_tracked": np.zeros((3, 4, 3), np.float32), "left_missing": None}, "different numbers of frames"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, capsys, changes, reason):
    with pytest.raises(TrackError, match=reason) as error:
        read_take(written(tmp_path / "take.npz", **changes))
    assert "take.npz" in str(error.value) and "executed" not in capsys.readouterr().out


def test_objects_that_nobody_reads_are_not_run(tmp_path, capsys):
    head, _ = read_take(written(tmp_path / "take.npz", settings=OBJECTS, head_deformed=OBJECTS))
    assert head.role == "head" and "executed" not in capsys.readouterr().out


def test_truncated_and_overlong_files_are_refused(tmp_path):
    whole = written(tmp_path / "take.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "take.npz").write_bytes(whole[:length])
        with pytest.raises(TrackError, match=r"take\.npz: it cannot be read"):
            read_take(tmp_path / "take.npz")
    # A header that claims 12 GB of vertices.
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**4, 10**5, 3)})
    written(tmp_path / "take.npz", head_tracked=None)
    with zipfile.ZipFile(tmp_path / "take.npz", "a") as archive:
        archive.writestr("head_tracked.npy", stream.getvalue())
    with pytest.raises(TrackError, match="claims 12000000000 bytes, but it holds 0"):
        read_take(tmp_path / "take.npz")


bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.meshes import mesh_positions  # noqa: E402


@pytest.mark.bpy
def test_a_take_goes_out_and_comes_back_the_same(tmp_path, capsys):
    blend = scenes.with_volume(tmp_path)
    assert cli.command(["compare", str(blend), "--export", "npz"]) == cli.EXIT_FAILED
    assert "Nothing has been simulated yet" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="Nothing has been simulated yet"):
        bpy.ops.nephim.export_take(filepath=str(tmp_path / "take"))
    assert cli.command(["simulate", str(blend), "--mode", "surface"]) == cli.EXIT_OK
    assert cli.command(["compare", str(blend), "--export", "npz", "-o", str(tmp_path / "out")]) == cli.EXIT_OK
    bpy.ops.nephim.export_take(filepath=str(tmp_path / "take"))
    bpy.ops.nephim.export_take("INVOKE_DEFAULT")
    assert blend.with_suffix(".npz").is_file()
    out = np.load(tmp_path / "out" / "face.npz")  # plain arrays alone, or this raises
    with np.load(tmp_path / "take.npz") as same:
        assert all(np.array_equal(same[name], out[name]) for name in out.files)

    n, m = len(bpy.data.objects["Head"].data.vertices), len(bpy.data.objects["Left"].data.vertices)
    shapes = {name: (out[name].shape, out[name].dtype.str) for name in out.files if name not in ("settings", "format")}
    assert shapes == {
        "head_tracked": ((10, n, 3), "<f4"), "head_deformed": ((10, n, 3), "<f4"), "head_contact": ((10, n), "|u1"),
        "head_neutral": ((n, 3), "<f4"), "head_faces": ((len(out["head_faces"]), 3), "<i4"),
        "left_tracked": ((10, m, 3), "<f4"), "left_contact": ((10, m), "|b1"), "left_missing": ((10,), "|b1"),
        "left_neutral": ((m, 3), "<f4"), "left_faces": ((len(out["left_faces"]), 3), "<i4"),
        "cranium": ((10, 4, 4), "<f4"), "jaw": ((10, 4, 4), "<f4"),
        "time": ((10,), "<f8"), "frames": ((10,), "<i4"), "fps": ((), "<f8"), "neutral_frame": ((), "<i4"),
    }  # fmt: skip
    settings = json.loads(str(out["settings"]))
    assert (settings["mode"], settings["head"], settings["left"], settings["right"]) == (
        "surface",
        "Head",
        "Left",
        None,
    )
    assert len(settings["statistics"]) == 10 and settings["unit"] == "m"

    # Deformed is what the cache plays, the bones are rigid, and contact is where the finger is and only there.
    cache, head = PointCache(blend.with_suffix(".nephim") / "simulation.pc2"), bpy.data.objects["Head"]
    for k in range(10):
        bpy.context.scene.frame_set(k + 1)
        world = np.array(head.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world)
        assert np.allclose(out["head_deformed"][k], cache.read(k + 1) @ world[:3, :3].T + world[:3, 3], atol=1e-6)
    turned = out["cranium"][:, :3, :3].astype(float)
    assert np.allclose(turned @ turned.transpose(0, 2, 1), np.eye(3), atol=1e-5)
    assert set(np.unique(out["head_contact"])) == {0, CONTACT_BIT["left"]}
    assert not out["head_contact"][0].any() and not out["left_contact"][0].any()
    moved = np.linalg.norm(out["head_deformed"] - out["head_tracked"], axis=2)
    strongest = int(moved.max(axis=1).argmax())
    assert out["head_contact"][strongest].any() and out["left_contact"][strongest].any()
    touched = out["head_deformed"][strongest][out["head_contact"][strongest] > 0]
    hand = out["left_tracked"][strongest][out["left_contact"][strongest]]
    assert np.linalg.norm(touched.mean(axis=0) - hand.mean(axis=0)) < 0.03  # edges are up to 35 mm long

    assert cli.command(["import", str(tmp_path / "out" / "face.npz"), "-o", str(tmp_path / "new.blend")]) == cli.EXIT_OK
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "new.blend"))
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, 10, 24)
    assert scene.nephim.head.name == "Head" and scene.nephim.left.name == "Left Hand" and scene.nephim.right is None
    for name, role in (("Head", "head"), ("Left Hand", "left")):
        triangles = [tuple(polygon.vertices) for polygon in bpy.data.objects[name].data.polygons]
        assert np.array_equal(triangles, out[f"{role}_faces"])
        for k in range(10):
            scene.frame_set(k + 1)
            shown = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get())
            assert np.array_equal(mesh_positions(shown.data), out[f"{role}_tracked"][k])
