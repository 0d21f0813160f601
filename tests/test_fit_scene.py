# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks read from the demo's own animation come back as keys beside it; what was the animator's stays."""

import json

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
from nephim import cli
from nephim.compat import fcurves
from nephim.demo import scene as demo
from nephim.operators import setup

pytestmark = pytest.mark.bpy
FIRST, LAST = 22, 45  # the right index finger arrives at the cheek and presses
RIGHT = [("wrist.R", "head")] + [
    (f"finger{finger}-{min(k, 3)}.R", "tail" if k == 4 else "head") for finger in range(1, 6) for k in (1, 2, 3, 4)
]


def hand():
    """(21, 3) of the right hand at the scene's frame."""
    rig = bpy.data.objects[demo.RIGHT_RIG].evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([rig.matrix_world @ getattr(rig.pose.bones[name], end) for name, end in RIGHT])


def over_time(read):
    found = []
    for frame in range(FIRST, LAST + 1):
        bpy.context.scene.frame_set(frame)
        found.append(read())
    return np.array(found)


@pytest.fixture
def character(demo_assets, tmp_path):
    demo.build_demo_scene(demo_assets)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = FIRST, LAST
    setup.setup(scene, head=demo.HEAD, left=demo.LEFT, right=demo.RIGHT, neutral_frame=1)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "demo.blend"))
    return tmp_path


def nephim(*arguments):
    return cli.command([str(argument) for argument in arguments])


def test_the_demos_hand_comes_back(character, capsys):
    truth = over_time(hand)
    own = bpy.data.objects[demo.RIGHT_RIG].animation_data.action
    curves = {(c.data_path, c.array_index): len(c.keyframe_points)
              for c in fcurves(bpy.data.objects[demo.RIGHT_RIG].animation_data)}  # fmt: skip
    seen = truth.copy()
    seen[5:8] = np.nan
    np.savez(character / "take.npz", right_hand=seen, fps=24.0)
    assert nephim("fit", "--landmarks", character / "take.npz", "-o", character / "out.blend") == 0
    said = capsys.readouterr().out
    assert "right hand: 21 of 24 frames" in said
    assert "no keys in frames 27-29" in said
    assert bpy.data.filepath == str(character / "out.blend")

    rig = bpy.data.objects[demo.RIGHT_RIG]
    assert rig.animation_data.action != own
    track = rig.animation_data.nla_tracks[0]
    assert track.strips[0].action == own
    after = {c.data_path for c in fcurves(rig.animation_data)}
    assert 'pose.bones["finger2-1.R"].rotation_quaternion' in after
    keys = [p.co.x for p in next(c for c in fcurves(rig.animation_data) if "wrist.R" in c.data_path).keyframe_points]
    assert not [frame for frame in keys if 26.5 < frame < 29.5]
    assert curves == {(c.data_path, c.array_index): len(c.keyframe_points) for c in own_curves(own, track.strips[0])}

    away = np.linalg.norm(over_time(hand) - truth, axis=2)
    kept = np.ones(len(truth), bool)
    kept[5:8] = False
    assert np.median(away[kept]) < 5e-4
    assert away[kept].max() < 3e-3
    assert len(bpy.data.objects[demo.LEFT_RIG].animation_data.nla_tracks) == 0  # it was not in the take
    report = json.loads((character / "out.nephim" / "fit.json").read_text())
    assert report["parts"]["right"]["gaps"] == [[5, 7]]
    assert report["parts"]["right"]["residual_mm"]["median"] < 0.5
    assert report["parts"]["right"]["residual_mm"]["per_frame"][6] is None


def own_curves(action, strip):
    from nephim.compat import strip_fcurves

    assert strip.action == action
    return strip_fcurves(strip)


def test_bones_that_something_else_moves_are_refused(character, capsys):
    rig = bpy.data.objects[demo.RIGHT_RIG]
    rig.pose.bones["finger2-2.R"].constraints.new("COPY_ROTATION")
    np.savez(character / "take.npz", right_hand=over_time(hand))
    assert nephim("fit", "--landmarks", character / "take.npz") == 1
    said = capsys.readouterr().err
    assert "finger2-2.R" in said
    assert "Copy Rotation" in said
    assert len(rig.animation_data.nla_tracks) == 0


def test_a_hand_that_the_character_lacks_is_refused(character, capsys):
    bpy.context.scene.nephim.right = None
    np.savez(character / "take.npz", right_hand=over_time(hand))
    assert nephim("fit", "--landmarks", character / "take.npz") == 1
    assert "lacks" in capsys.readouterr().err


def test_a_closed_job_leaves_the_scene_as_it_was(character):
    from nephim.operators.fit import fit_job

    np.savez(character / "take.npz", right_hand=over_time(hand))
    actions = {action.name for action in bpy.data.actions}
    job = fit_job(bpy.context.scene, [character / "take.npz"])
    for progress in job:
        if progress.step.startswith("Fitting"):
            break
    job.close()
    assert {action.name for action in bpy.data.actions} == actions
    assert len(bpy.data.objects[demo.RIGHT_RIG].animation_data.nla_tracks) == 0


def test_what_hangs_on_nothing_else_is_moved():
    from nephim.bridge.fit_rig import _located

    def located(lines, connected=()):
        own = {p: [b for b in line if not any(b in other for q, other in lines.items() if q != p)]
               for p, line in lines.items()}  # fmt: skip
        return _located(lines, own, lambda bone: bone in connected)

    apart = {"head": [2, 1], "left": [5], "right": [6]}
    assert located(apart) == {"head": 1, "left": 5, "right": 6}
    assert located(apart, connected={1}) == {"left": 5, "right": 6}
    floating = {"head": [2, 1, 0], "left": [5, 0], "right": [6, 0]}
    assert located(floating) == {"head": 1, "left": 5, "right": 6}
    body = {"head": [2, 1, 0], "left": [7, 6, 5, 0], "right": [10, 9, 8, 0]}
    assert located(body) == {}
