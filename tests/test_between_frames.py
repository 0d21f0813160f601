# SPDX-License-Identifier: GPL-3.0-or-later
"""Contacts that no frame shows are said: a tap keyed between two frames, a slap that is over within one."""

import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.between_frames import BetweenFrames, keyed_moments  # noqa: E402
from nephim.bridge.cache.results import frame_notes  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.compat import fcurves  # noqa: E402
from nephim.errors import CacheError  # noqa: E402
from nephim.operators.simulate import finished_cache_job, simulate_job  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy

CHEEK = 0.2227  # x of the left hand's rig with its tip at the cheek, see `scenes.hand`


def hand_at(keys, **options):
    """A scene whose left hand is at these gaps [m] from the cheek, {frame: gap}, along straight lines."""
    scene = scenes.build(keys=False, **options)
    arm = bpy.data.objects["LeftRig"]
    arm.animation_data_clear()
    for pose in arm.pose.bones:
        pose.rotation_euler = (0, 0, 0)
    for frame, gap in keys.items():
        arm.location.x = CHEEK + gap
        arm.keyframe_insert("location", frame=frame)
    for curve in fcurves(arm.animation_data):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
    return scene


def passed(scene, start=None):
    rig = read_rig(scene)
    found = {}
    with SurfaceReader(scene, rig) as reader:
        between = BetweenFrames(scene, rig, reader, simulated=False)
        for frame in range(start or rig.frames.start, rig.frames.stop):
            tracked, moments, sides = between.read(frame)
            assert tracked.frame == frame and reader.last is tracked and not moments
            if sides:
                found[frame] = sides
    return found


def moments_of(scene, start=None):
    """Frame → how far between the frame before and it the moments are that are simulated."""
    rig = read_rig(scene)
    found = {}
    with SurfaceReader(scene, rig) as reader:
        between = BetweenFrames(scene, rig, reader, simulated=True)
        first = reader.read(rig.frames.start).time
        per_frame = reader.read(rig.frames.start + 1).time - first
        for frame in range(start or rig.frames.start, rig.frames.stop):
            tracked, moments, sides = between.read(frame)
            assert tracked.frame == frame and reader.last is tracked and not sides
            if moments:
                found[frame] = [
                    round((m.time - first) / per_frame - (frame - 1 - rig.frames.start), 4) for m in moments
                ]
    return found


EIGHTHS = [k / 8 for k in range(1, 8)]


def test_a_tap_keyed_between_two_frames_is_found():
    scene = hand_at({1: 0.05, 4: 0.05, 4.5: -0.01, 5: 0.05})
    assert keyed_moments(scene, range(1, 11)) == {5: [0.5]}
    assert passed(scene) == {5: {"passed_left": 1.0}} == passed(scene, start=5)
    assert moments_of(scene) == {5: EIGHTHS} == moments_of(scene, start=5)


def test_a_slap_across_the_face_within_a_frame_is_found():
    scene = hand_at({1: 0.05, 6: 0.05, 7: -0.40, 10: -0.40})  # from one side of the head to the other
    assert passed(scene) == {7: {"passed_left": 1.0}}
    assert moments_of(scene) == {7: EIGHTHS}


def test_keys_at_sixty_frames_a_second_are_moments():
    scene = hand_at({1: 0.05, 4: 0.05, 4.4: -0.01, 4.8: 0.05})
    assert moments_of(scene) == {5: sorted([*EIGHTHS, 0.4, 0.8])}


def test_a_tap_in_the_samples_of_an_alembic_file(tmp_path):
    """There are no keys that could tell."""
    if "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    scene = hand_at({1: 0.04, 4: 0.04, 4.5: -0.01, 5: 0.04})
    path = str(tmp_path / "shot.abc")
    bpy.ops.wm.alembic_export(filepath=path, start=1, end=10, xsamples=4, gsamples=4)
    scenes.fresh()
    bpy.ops.wm.alembic_import(filepath=path, as_background_job=False)
    scene = bpy.context.scene
    scene.nephim.head, scene.nephim.left = bpy.data.objects["Head"], bpy.data.objects["Left"]
    assert moments_of(scene) == {5: EIGHTHS}


def test_a_hand_that_leaves_the_face_fast_sweeps_what_is_in_its_way():
    scene = hand_at({1: 0.0, 6: 0.0, 7: -0.40, 10: -0.40})
    assert not passed(scene) and moments_of(scene) == {7: EIGHTHS}


def test_an_arc_that_reaches_the_face_only_between_its_ends():
    """Both ends, and all between them, are clear of the face; the way there is not."""
    scene = hand_at({1: 0.30, 10: 0.30})
    arm = bpy.data.objects["LeftRig"]
    pivot = bpy.data.objects.new("Pivot", None)
    scene.collection.objects.link(pivot)
    pivot.location = (0.35, 0, 1.6)
    arm.animation_data_clear()
    arm.parent = pivot
    arm.location = (CHEEK - 0.01 - 0.35, 0, 0)  # the fingertip is 1 cm in the cheek when the pivot is not turned
    for frame, angle in ((1, -1.0), (6, -1.0), (7, 1.0), (10, 1.0)):
        pivot.rotation_euler = (0, 0, angle)
        pivot.keyframe_insert("rotation_euler", frame=frame)
    for curve in fcurves(pivot.animation_data):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
    assert moments_of(scene) == {7: EIGHTHS}


def test_a_cut_has_nothing_between():
    scene = hand_at({1: 0.05, 6: 0.05, 7: -2.0, 10: -2.0})
    assert not passed(scene) and not moments_of(scene)


@pytest.mark.parametrize(
    "keys",
    [{1: 0.05, 5: -0.01, 9: 0.05}, {1: 0.05, 4: 0.05, 4.5: 0.03, 5: 0.05}, {1: 0.05, 6: 0.05, 7: 0.40}],
    ids=["a touch that frames show", "keyed between frames, clear of the face", "a hand that is drawn away"],
)
def test_nothing_is_said_where_nothing_is_missed(keys):
    scene = hand_at(keys)
    assert not passed(scene) and not moments_of(scene)


def test_stretched_time():
    scene = hand_at({2: 0.05, 8: 0.05, 9: -0.04, 10: 0.05})  # whole frames of animation, but half frames of the scene
    scene.render.frame_map_old, scene.render.frame_map_new = 100, 50
    scene.frame_end = 6
    assert passed(scene) == {5: {"passed_left": 1.0}}
    assert moments_of(scene) == {5: EIGHTHS}


def test_the_note_names_the_frames():
    statistics = [{}, {}, {"passed_left": 1.0}, {}]
    assert (
        "left hand touches the face only between frames, just before frame 12"
        in frame_notes(statistics, range(10, 14))[0]
    )


@pytest.fixture
def tapped(tmp_path):
    """A scene with a volume, whose left hand taps between frames 4 and 5; saved."""
    scenes.with_volume(tmp_path)
    scene = bpy.context.scene
    arm = bpy.data.objects["LeftRig"]
    arm.animation_data_clear()
    for bone in arm.pose.bones:
        bone.rotation_euler = (0, 0, 0)
    for obj in (bpy.data.objects["HeadRig"], scene.nephim.head.data.shape_keys):
        obj.animation_data_clear()
    tap(0.05)
    bpy.ops.wm.save_mainfile()
    return scene


def tap(away, deepest=-0.008):
    arm = bpy.data.objects["LeftRig"]
    for frame, gap in ((1, away), (4, away), (4.5, deepest), (5, away)):
        arm.location.x = CHEEK + gap
        arm.keyframe_insert("location", frame=frame)


def test_what_happens_between_frames_is_simulated(tapped):
    result = drive(simulate_job(tapped))
    assert not any("between frames" in note for note in result.notes)
    cache = drive(finished_cache_job(tapped))
    moved = [numbers["displacement_mm"] for numbers in cache.manifest.statistics]
    assert moved[:4] == [0, 0, 0, 0] and moved[4] > 0.5 and moved[-1] < 0.2
    whole = [cache.read(frame) for frame in cache.frames]

    cache.manifest.truncate(5)  # interrupted after the tap: the history is repeated, moments included
    cache.save_results()
    assert drive(simulate_job(tapped)).new == 5
    again = drive(finished_cache_job(tapped))
    for frame, expected in zip(again.frames, whole, strict=True):
        assert again.read(frame).tobytes() == expected.tobytes()

    tap(0.05, deepest=-0.005)  # no whole frame moves
    with pytest.raises(CacheError, match="Simulate again"):
        drive(finished_cache_job(tapped))
    assert drive(simulate_job(tapped)).new == 6  # from frame 5 on
    assert 0 < drive(finished_cache_job(tapped)).manifest.statistics[4]["displacement_mm"] < moved[4]


def test_other_modes_say_it(tapped):
    result = drive(simulate_job(tapped, mode="surface"))
    assert any("left hand touches the face only between frames, just before frame 5" in note for note in result.notes)
