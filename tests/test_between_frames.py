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
        between = BetweenFrames(scene, rig, reader)
        for frame in range(start or rig.frames.start, rig.frames.stop):
            tracked, sides = between.read(frame)
            assert tracked.frame == frame and reader.last is tracked
            if sides:
                found[frame] = sides
    return found


def test_a_tap_keyed_between_two_frames_is_found():
    scene = hand_at({1: 0.05, 4: 0.05, 4.5: -0.01, 5: 0.05})
    assert keyed_moments(scene, range(1, 11)) == {5: [0.5]}
    assert passed(scene) == {5: {"passed_left": 1.0}} == passed(scene, start=5)


def test_a_slap_across_the_face_within_a_frame_is_found():
    scene = hand_at({1: 0.05, 6: 0.05, 7: -0.40, 10: -0.40})  # from one side of the head to the other
    assert passed(scene) == {7: {"passed_left": 1.0}}


@pytest.mark.parametrize(
    "keys",
    [{1: 0.05, 5: -0.01, 9: 0.05}, {1: 0.05, 4: 0.05, 4.5: 0.03, 5: 0.05}, {1: 0.05, 6: 0.05, 7: 0.40}],
    ids=["a touch that frames show", "keyed between frames, clear of the face", "a hand that is drawn away"],
)
def test_nothing_is_said_where_nothing_is_missed(keys):
    assert not passed(hand_at(keys))


def test_stretched_time():
    scene = hand_at({2: 0.05, 8: 0.05, 9: -0.04, 10: 0.05})  # whole frames of animation, but half frames of the scene
    scene.render.frame_map_old, scene.render.frame_map_new = 100, 50
    scene.frame_end = 6
    assert passed(scene) == {5: {"passed_left": 1.0}}


def test_the_note_names_the_frames():
    statistics = [{}, {}, {"passed_left": 1.0}, {}]
    assert (
        "left hand touches the face only between frames, just before frame 12"
        in frame_notes(statistics, range(10, 14))[0]
    )
