# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact in the first or the last baked frame: it fades outside the bake if asked, and nothing pops."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.meshes import mesh_positions  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy

FIRST, LAST, FADE = 4, 7, 4


def evaluated(obj, time):
    bpy.context.scene.frame_set(int(np.floor(time)), subframe=time % 1)
    return mesh_positions(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data)


def standing():
    """A scene in which nothing moves, so that all that moves is the bake."""
    scene = scenes.build(keys=False)
    for obj in scene.objects:
        obj.animation_data_clear()
    scene.frame_start, scene.frame_end = FIRST, LAST
    return scene


def dent(rig, tracked, frame):
    return scenes.dent(rig, tracked, 5)  # the same in every frame


@pytest.fixture(params=["keys", "cache"])
def bake(request, tmp_path):
    def do(scene, fade=0, job=dent, existing="replace"):
        rig, cache = scenes.simulate(scene, tmp_path / f"{scene.frame_start}.pc2", job=job)
        if request.param == "keys":
            drive(bake_shape_keys(scene, rig, cache, fade=fade, existing=existing))
        else:
            add_mesh_cache(scene, rig, cache, fade=fade)

    do.to = request.param
    return do


@pytest.mark.parametrize("per_frame", [1.0, 2.0])
def test_the_contact_fades_within_the_frames_asked_for(bake, per_frame):
    scene = standing()
    scene.render.frame_map_new = round(100 / per_frame)
    obj = scene.nephim.head
    tracked = evaluated(obj, FIRST)
    bake(scene, FADE)
    whole = np.linalg.norm(evaluated(obj, FIRST) - tracked, axis=1).max()
    assert whole > 5e-3
    shares = {1.0: (FIRST, LAST, 5.5), 0.75: (FIRST - 1, LAST + 1), 0.375: (FIRST - 2.5, LAST + 2.5)}
    shares[0.0] = (FIRST - FADE, LAST + FADE, FIRST - 20, LAST + 20)
    for share, times in shares.items():
        for time in times:
            moved = np.linalg.norm(evaluated(obj, time) - tracked, axis=1).max()
            assert moved == pytest.approx(share * float(whole), abs=2e-2 * float(whole)), time


@pytest.mark.parametrize("fade", [0, FADE])
def test_no_pop_around_and_within_the_bake(bake, fade):
    scene = standing()
    obj = scene.nephim.head
    bake(scene, fade)
    window = 0.0 if fade or bake.to == "keys" else 0.99  # without a fade the point cache holds for as far as blur looks
    low, high = (FIRST - FADE - 2, LAST + FADE + 2) if not window else (FIRST - window, LAST + window)
    moments = np.arange(low, high, 0.25)
    shown = np.array([evaluated(obj, time) for time in moments])
    most = np.linalg.norm(np.diff(shown, axis=0), axis=2).max()
    whole = np.linalg.norm(shown.max(axis=0) - shown.min(axis=0), axis=1).max()
    assert most < 1e-5 if not fade else most < 0.3 * whole  # a quarter of a frame of four


def test_an_end_without_contact_needs_no_fade(bake):
    scene = standing()
    obj = scene.nephim.head
    bake(scene, FADE, job=lambda rig, tracked, frame: tracked.head if frame in (FIRST, LAST) else dent(rig, tracked, 5))
    still = evaluated(obj, LAST + 1)
    neck = bpy.data.objects["HeadRig"].pose.bones["neck"]
    for frame, away in ((LAST, 0.0), (LAST + 1, 0.5)):
        neck.location.y = away
        neck.keyframe_insert("location", frame=frame)
    assert np.abs(evaluated(obj, LAST + 1) - still).max() > 0.4  # free to move, frozen by no cache


def test_a_fade_stops_at_the_neighbouring_bake(tmp_path):
    scene = standing()
    obj = scene.nephim.head
    tracked = evaluated(obj, FIRST)
    for start, end, existing in ((FIRST, LAST, "replace"), (LAST + 2, LAST + 3, "add")):
        scene.frame_start, scene.frame_end = start, end
        rig, cache = scenes.simulate(scene, tmp_path / f"{start}.pc2", job=dent)
        drive(bake_shape_keys(scene, rig, cache, fade=FADE, existing=existing))
    for time in (FIRST, LAST, LAST + 1, LAST + 2, LAST + 3):  # one fades while the other comes
        moved = np.linalg.norm(evaluated(obj, time) - tracked, axis=1).max()
        assert moved == pytest.approx(np.linalg.norm(cache.read(LAST + 2) - tracked, axis=1).max(), rel=0.02), time
