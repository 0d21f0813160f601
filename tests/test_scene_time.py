# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and seconds as animators use them: any frame is a frame, and a second lasts a second."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402

pytestmark = pytest.mark.bpy


def shifted(obj, by):
    """Moves all keys of an object, its data and its shape keys in time."""
    from nephim.compat import fcurves

    for owner in (obj, obj.data, getattr(obj.data, "shape_keys", None)):
        for curve in fcurves(getattr(owner, "animation_data", None)):
            for point in curve.keyframe_points:
                point.co.x += by
                point.handle_left.x += by
                point.handle_right.x += by
            curve.update()


@pytest.mark.parametrize("neutral", [0, -10, 999])
def test_the_neutral_frame_may_lie_outside_the_range(neutral):
    scene = scenes.build()
    for obj in scene.objects:
        shifted(obj, 1000)
    scene.frame_start, scene.frame_end = 1001, 1010
    expected = SurfaceReader(scene, read_rig(scene)).read(neutral).head
    scene.nephim.neutral_frame = neutral
    surfaces = SurfaceReader(scene, read_rig(scene)).neutral()
    np.testing.assert_allclose(surfaces.head.vertices, expected, atol=1e-6)


def test_negative_frames_are_set_up_simulated_and_baked_by_the_command_line(tmp_path, capsys):
    scene = scenes.build(segments=32, rings=24)
    scene.nephim.target_edge_mm = 12.0
    for obj in scene.objects:
        shifted(obj, -13)
    path = str(save_blend(tmp_path / "face.blend"))
    roles = ["--head", "Head", "--left", "Left", "--head-bone", "HeadRig:head", "--neutral-frame", "-20"]
    for verb, *arguments in (
        ["setup", *roles],
        ["volume"],
        ["simulate", "--frames=-12--3"],
        ["bake", "--to", "shape-keys"],
    ):
        assert cli.command([verb, path, *arguments]) == cli.EXIT_OK, capsys.readouterr().err
    assert "frames -12--3" in capsys.readouterr().out
    assert bpy.context.scene.nephim.bake_keys > 0 and bpy.context.scene.nephim.bake_error_max_mm < 0.1
    from nephim.cli import parse

    assert parse(["simulate", path, "--frames=-12-0"], file_needed=True)[1].frames == (-12, 0)
