# SPDX-License-Identifier: GPL-3.0-or-later
"""Correct Hand Pose from end to end: a hand too deep, corrected, simulated again, and as it was without the layer."""

import io
import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.pose_correction import NAME, corrected  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.operators import correct_pose  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402
from test_pose_correction import everything  # noqa: E402

pytestmark = pytest.mark.bpy

LAST = 60


@pytest.fixture
def path(tmp_path):
    """A scene with its volume, saved: the left hand, which is rigid, goes far into the cheek and leaves."""
    path = scenes.with_volume(tmp_path)
    scene = bpy.context.scene
    scene.frame_end, scene.nephim.yielding_hands = LAST, False
    arm = bpy.data.objects["LeftRig"]
    arm.animation_data_clear()
    for frame, deep in ((1, -0.06), (20, 0.045), (26, 0.045), (40, -0.06)):
        arm.location.x = 0.1 + 0.12 + 0.3 * 0.009 - deep
        arm.keyframe_insert("location", frame=frame)
    save_blend(path)
    bpy.ops.wm.open_mainfile(filepath=str(path))  # without what nobody uses any more
    return path


def nephim(*arguments):
    return cli.command([str(argument) for argument in arguments])


def hands():
    """(f, n, 3) of the left hand."""
    scene = bpy.context.scene
    with SurfaceReader(scene, read_rig(scene)) as reader:
        return np.array([reader.read(frame).left for frame in range(1, LAST + 1)], float)


def simulated(path):
    """Simulates; how far hands were beyond bone in each frame (f,) [mm]."""
    assert nephim("simulate", path) == cli.EXIT_OK
    manifest = json.loads((path.with_suffix(".nephim") / "simulation.json").read_text())
    return np.array([numbers["bone_limited_mm"] for numbers in manifest["statistics"]])


def test_a_hand_too_deep_is_corrected_simulated_and_set_free_again(path, capsys):
    before, animated, held = simulated(path), hands(), everything()
    assert before.max() > 3
    assert nephim("correct-pose", path) == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "The left hand was up to" in said and "nothing remains" in said and "Simulate again" in said
    bpy.ops.wm.open_mainfile(filepath=str(path))
    now = everything()
    assert all(now[key] == value for key, value in held.items() if isinstance(key, tuple) and "Rig" in key[0])

    moved = hands() - animated
    shift = moved.mean(axis=1)
    assert np.abs(moved - shift[:, None]).max() < 1e-6  # as one
    length = 1e3 * np.linalg.norm(shift, axis=1)
    assert before.max() <= length.max() < 1.1 * before.max()
    assert (length[before > 0] > before[before > 0]).all()
    far = np.abs(np.arange(LAST)[:, None] - np.flatnonzero(before)).min(axis=1) > 16
    assert far.any() and (moved[far] == 0).all()
    steps = np.linalg.norm(np.diff(animated, axis=0), axis=2).max(axis=1)
    assert (np.linalg.norm(np.diff(shift, axis=0), axis=1) <= steps + 1e-3).all()

    assert nephim("bake", path, "--to", "point-cache") == cli.EXIT_FAILED  # the motion has changed
    assert "Simulate again" in capsys.readouterr().err
    assert simulated(path).max() == 0.0
    report = path.with_suffix(".json")
    assert nephim("report", path, "--json", report) == cli.EXIT_OK
    assert "left hand's pose" in capsys.readouterr().out
    found = json.loads(report.read_text())["pose_correction"]
    assert found["left"]["shift_max_mm"] == pytest.approx(length.max(), abs=0.01)
    assert found["left"]["too_deep_mm"] < 0.05

    assert nephim("correct-pose", path) == cli.EXIT_OK  # once more: from what is animated, not on top
    assert np.abs(hands() - animated - moved).max() < 1e-5
    capsys.readouterr()
    assert nephim("correct-pose", path, "--remove") == cli.EXIT_OK
    assert "Removed the correction of the left hand" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert everything() == held and np.array_equal(hands(), animated)
    assert nephim("correct-pose", path, "--remove") == cli.EXIT_OK
    assert "No hand is corrected" in capsys.readouterr().out


def test_the_operators(path):
    held = everything()
    with pytest.raises(RuntimeError, match="No hand is corrected"):
        bpy.ops.nephim.remove_pose_correction()
    assert bpy.ops.nephim.correct_pose() == {"FINISHED"}
    assert corrected(bpy.context.scene.nephim) == ["left"]
    assert bpy.ops.nephim.remove_pose_correction() == {"FINISHED"}
    assert everything() == held


def test_a_cancelled_correction_changes_nothing(path):
    scene = bpy.context.scene
    assert bpy.ops.nephim.correct_pose() == {"FINISHED"}
    held, hand = everything(), hands()
    for steps in (1, 30, 200):
        job = correct_pose.correct_pose_job(scene)
        for _ in range(steps):
            next(job, None)
        job.close()
        assert everything() == held
    assert np.array_equal(hands(), hand)


def test_where_nothing_is_too_deep_an_earlier_correction_goes(path):
    scene = bpy.context.scene
    drive(correct_pose.correct_pose_job(scene), io.StringIO())
    assert corrected(scene.nephim) == ["left"]
    bpy.data.objects["LeftRig"].animation_data_clear()
    bpy.data.objects["LeftRig"].location.x = 0.4
    assert drive(correct_pose.correct_pose_job(scene), io.StringIO()) == {}
    assert not corrected(scene.nephim) and not any(obj.name.startswith(NAME) for obj in bpy.data.objects)


def test_without_a_volume_it_is_refused(path, capsys):
    (path.with_suffix(".nephim") / "volume.npz").unlink()
    assert nephim("correct-pose", path) == cli.EXIT_FAILED
    assert "volume" in capsys.readouterr().err
