# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of hands become armatures that follow them, with a skin that can touch."""

import json

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
from nephim import cli
from nephim.errors import RigError, TrackError
from nephim.operators.import_take import import_job
from nephim.progress import drive
from nephim.tracks.hand_skeleton import NAMES
from test_hand_skeleton import FRAMES, grasp
from test_tracks_scene import nephim, take_arrays

pytestmark = pytest.mark.bpy
CAMERA = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up to y down, depth along z: x, -z, y


def joints(rig, side, frame):
    bpy.context.scene.frame_set(frame)
    pose = bpy.data.objects[rig].evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    return np.array([pose[f"hand{side}"].head, *(pose[name + side].tail for name in NAMES)])


def written(path, **arrays):
    np.savez(path, **{name: array @ CAMERA.T for name, array in arrays.items()}, fps=24)
    return path


def test_bones_follow_landmarks_and_the_skin_follows_the_bones(tmp_path, capsys):
    right, left = grasp(), grasp(side=-1) + [0.5, 0, 0]
    right_gap = right.copy()
    right_gap[3, 7] = np.nan  # one landmark: the frame is a gap
    path = written(tmp_path / "landmarks.npz", right_hand=right_gap, left_hand=left)
    assert nephim("import", path, "-o", tmp_path / "hands.blend") == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "-y is up" in said and "interpolated (3)" in said and "Import the head as well" in said
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "hands.blend"))
    for rig, side, points in (("Left Hand Rig", ".L", left), ("Right Hand Rig", ".R", right)):
        for frame in (1, 3, FRAMES):
            assert np.allclose(joints(rig, side, frame), points[frame - 1], atol=2e-5)
    assert np.allclose(joints("Right Hand Rig", ".R", 4), (right[2] + right[4]) / 2, atol=4e-3)
    scene, hand = bpy.context.scene, bpy.data.objects["Right Hand"]
    assert scene.nephim.right == hand and (scene.frame_start, scene.frame_end) == (1, FRAMES)
    scene.frame_set(FRAMES)
    mesh = hand.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    skin = np.array([v.co for v in mesh.vertices])
    for tip in (4, 8, 12, 16, 20):
        assert 0.004 < np.linalg.norm(skin - right[-1, tip], axis=1).min() < 0.009
    assert len(bpy.data.objects["Right Hand Rig"].data.bones) == 21


def test_json_in_a_scene_of_its_own_rate_and_unit(tmp_path):
    frames = [{"right_hand": [dict(zip("xyz", map(float, p), strict=True)) for p in points]} for points in grasp()]
    (tmp_path / "take.json").write_text(json.dumps({"fps": 12, "frames": frames}))
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    scene.unit_settings.scale_length, scene.render.fps, scene.frame_start = 0.01, 24, 11
    drive(import_job(scene, [tmp_path / "take.json"], tmp_path / "a.blend", up="z"))
    assert np.allclose(joints("Right Hand Rig", ".R", 11 + 2 * 5), 100 * grasp()[5], atol=2e-3)
    assert bpy.context.view_layer.objects.active == cube


def test_an_import_that_fails_leaves_no_hand(tmp_path):
    path = written(tmp_path / "landmarks.npz", right_hand=grasp())
    heads, faces = take_arrays()[:2]
    np.savez(tmp_path / "head.npz", vertices=heads, faces=faces)
    scene = bpy.context.scene
    drive(import_job(scene, [tmp_path / "head.npz"], tmp_path / "a.blend"))
    scene.nephim.head_group = "gone"
    before = set(bpy.data.user_map())
    with pytest.raises(RigError, match="gone"):
        drive(import_job(scene, [path], tmp_path / "a.blend"))
    assert set(bpy.data.user_map()) == before


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"left_hand": np.zeros((3, 21, 2))}, "image"),
        ({"face": np.zeros((3, 478, 3))}, "no landmarks of a hand"),
        ({"left_hand": np.full((3, 21, 3), np.nan)}, "no landmark was seen"),
    ],
)
def test_landmarks_without_a_hand_in_space_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(TrackError, match=message):
        drive(import_job(bpy.context.scene, [tmp_path / "a.npz"], tmp_path / "a.blend"))
    assert not bpy.data.objects
