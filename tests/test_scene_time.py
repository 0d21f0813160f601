# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and seconds as animators use them: any frame is a frame, and a second lasts a second."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.meshes import mesh_positions  # noqa: E402
from nephim.bridge.plan import read_method  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402

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


def remapped(old, new, **render):
    scene = scenes.build()
    scene.render.frame_map_old, scene.render.frame_map_new = old, new
    for name, value in render.items():
        setattr(scene.render, name, value)
    return scene


def shown_error(scene, cache):
    """Largest distance [m] of what is shown from the cache, over its frames."""
    obj = scene.nephim.head
    worst = 0.0
    for frame in cache.frames:
        worst = max(worst, float(np.abs(evaluated(obj, frame) - cache.read(frame)).max()))
    return worst


def evaluated(obj, frame, subframe=0.0):
    bpy.context.scene.frame_set(frame, subframe=subframe)
    return mesh_positions(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data)


@pytest.mark.parametrize("to", ["keys", "cache"])
@pytest.mark.parametrize(("old", "new"), [(100, 50), (100, 200), (100, 130)])
def test_what_is_baked_plays_right_in_stretched_time(tmp_path, old, new, to):
    scene = remapped(old, new)
    scene.frame_end = 10 if new > old else 5  # the animation is over by then
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2", job=pressed)
    before = {frame: evaluated(scene.nephim.head, frame) for frame in (-2, scene.frame_end + 3)}
    if to == "keys":
        result = drive(bake_shape_keys(scene, rig, cache))
        assert result.error_max_mm < 0.1 and not result.notes
    else:
        add_mesh_cache(scene, rig, cache)
        for frame, expected in before.items():
            assert np.array_equal(evaluated(scene.nephim.head, frame), expected)
    assert shown_error(scene, cache) < 1e-4


def test_seconds_follow_rate_base_and_stretching(tmp_path):
    scene = remapped(100, 200, fps=30, fps_base=1.25)
    method = read_method(scene)
    assert method.frame_rate == pytest.approx(48)  # 24 frames a second are shown, each is half a frame of animation
    with SurfaceReader(scene, read_rig(scene)) as reader:
        times = [reader.read(frame).time for frame in (3, 4)]
    assert times[1] - times[0] == pytest.approx(1 / method.frame_rate)
    scene.frame_step = 2  # every second frame is rendered, all are simulated
    assert read_method(scene).frame_rate == pytest.approx(48) and read_rig(scene).frames == range(1, 11)
    scene.render.frame_map_new = 100
    assert read_method(scene).frame_rate == 24


def pressed(rig, tracked, frame):
    """A dent that is there in every frame, the first and the last included."""
    return scenes.dent(rig, tracked, 3 + (frame % 5))


@pytest.mark.parametrize("to", ["keys", "cache"])
@pytest.mark.parametrize("per_frame", [1.0, 2.0])
def test_contact_at_the_ends_neither_pops_nor_ramps(tmp_path, to, per_frame):
    scene = remapped(100, round(100 / per_frame))
    scene.frame_start, scene.frame_end = 2, 5
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2", job=pressed)
    times = [(1, 0.75), (1, 0.5), (1, 0.01), (5, 0.01), (5, 0.25), (5, 0.5)]
    tracked = {time: evaluated(obj, *time) for time in [*times, (2, 0.0), (5, 0.0)]}
    if to == "keys":
        drive(bake_shape_keys(scene, rig, cache))
    else:
        add_mesh_cache(scene, rig, cache)
    for frame, subframe in times:
        end = 2 if frame == 1 else 5
        whole = np.linalg.norm(cache.read(end) - tracked[end, 0.0], axis=1).max()
        assert whole > 5e-3
        if to == "cache":
            np.testing.assert_allclose(evaluated(obj, frame, subframe), cache.read(end), atol=1e-6)
        else:  # the same displacement, on the rig of that moment
            now = np.linalg.norm(evaluated(obj, frame, subframe) - tracked[frame, subframe], axis=1).max()
            assert now == pytest.approx(whole, rel=0.05)
    assert np.array_equal(evaluated(obj, 1, 0.0), tracked_at(scene, rig, 1)) == (to == "cache")


def tracked_at(scene, rig, frame):
    with SurfaceReader(scene, rig) as reader:
        reader.read(frame)
        return reader.head.positions


def test_neighbouring_bakes_fade_into_each_other(tmp_path):
    scene = scenes.build()
    obj, settings = scene.nephim.head, scene.nephim
    settings.use_scene_range = False
    caches = []
    for position, (start, end) in enumerate([(1, 3), (8, 10), (4, 6)]):
        settings.frame_start, settings.frame_end = start, end
        rig, cache = scenes.simulate(scene, tmp_path / str(start) / "simulation.pc2", job=pressed)
        drive(bake_shape_keys(scene, rig, cache, existing="add" if position else "replace"))
        caches.append(cache)
    for cache in caches:
        for frame in cache.frames:
            np.testing.assert_allclose(evaluated(obj, frame), cache.read(frame), atol=1e-4)
    held = [np.linalg.norm(evaluated(obj, f) - tracked_at(scene, rig, f), axis=1).max() for f in (-3, 15)]
    assert min(held) > 5e-3  # outside, the outermost hold
