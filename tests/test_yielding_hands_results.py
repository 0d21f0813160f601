# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that yield in what is made of a result: report, comparison, pictures, exported take."""

import io
import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache, manifest_path  # noqa: E402
from nephim.bridge.cache.results import ResultReader  # noqa: E402
from nephim.bridge.comparison import ComparedTake, Measures  # noqa: E402
from nephim.bridge.report import report_job  # noqa: E402
from nephim.choices import PHYSICS, SURFACE, TRACKED  # noqa: E402
from nephim.operators import simulate  # noqa: E402
from nephim.operators.bake import bake_job  # noqa: E402
from nephim.operators.compare import simulations_job  # noqa: E402
from nephim.operators.export_take import export_take_job  # noqa: E402
from nephim.operators.report import rows  # noqa: E402
from nephim.pictures.staging import Stage  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.tracks.read import read_take  # noqa: E402
from yielding import DENT, copy_of, simulated_file, swollen  # noqa: E402

pytestmark = pytest.mark.bpy

PRESSED = 6


def run(job):
    return drive(job, io.StringIO())


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, registered):
    return simulated_file(tmp_path_factory.mktemp("hands") / "x")


@pytest.fixture()
def scene(simulated, tmp_path):
    return copy_of(simulated, tmp_path / "x")


def as_rigid():
    """Lets the simulation say that its hands stayed as tracked."""
    manifest = PointCache(folder().cache).manifest
    manifest.hands = []
    manifest.save(manifest_path(folder().cache))


def test_penetration_after_is_that_of_the_hands_as_simulated(scene, tmp_path):
    run(bake_job(scene, to="shape-keys", tolerance_mm=0.05))
    report = run(report_job(scene, tmp_path / "report.json"))
    assert report["yielding_hands"] == ["left", "right"]
    assert 0.5 * DENT < 1e-3 * report["hand_displacement_max_mm"] <= 1.001 * DENT
    assert 0 < report["bake_error_mm"] < 0.05 and report["shown_error_mm"] < 0.05
    assert ("hands moved by up to", f"{report['hand_displacement_max_mm']:.2f} mm") in rows(report)
    as_rigid()
    rigid = run(report_job(scene, tmp_path / "report.json"))
    assert rigid["hand_displacement_max_mm"] is None and "hands moved by up to" not in dict(rows(rigid))
    deepest = [one["penetration_mm"]["after"]["max"] for one in (report, rigid)]
    assert deepest[0] > deepest[1] + 0.5  # they swell into the face
    assert report["per_frame"]["penetration_before_mm"] == rigid["per_frame"]["penetration_before_mm"]


def test_each_method_is_compared_with_its_own_hands(scene):
    caches, _ = run(simulations_job(scene, (TRACKED, SURFACE, PHYSICS)))
    with ComparedTake(scene, caches) as take:
        read = take.result.read(PRESSED)
        surfaces = take.surfaces(PRESSED)
        assert list(surfaces[SURFACE]) == ["head"] and list(surfaces[PHYSICS]) == ["head", "left", "right"]
        np.testing.assert_allclose(surfaces[PHYSICS]["left"], swollen(read.tracked)["left"], atol=1e-6)
        measures = Measures(take)
        measures.add(read, surfaces)
        rigid = Measures(take)
        rigid.add(read, {mode: {"head": of["head"]} for mode, of in surfaces.items()})
        assert measures.deepest_mm()[PHYSICS][0] > rigid.deepest_mm()[PHYSICS][0] + 0.5
        assert measures.deepest_mm()[SURFACE][0] == rigid.deepest_mm()[SURFACE][0]
        assert measures.deepest_mm()[TRACKED][0] == rigid.deepest_mm()[TRACKED][0]


def test_pictures_show_hands_as_tracked_and_as_simulated(scene):
    with ResultReader(scene) as result:
        shot = Stage(result).shot(PRESSED)
        expected = swollen(result.read(PRESSED).tracked)
        tracked = result.read(PRESSED).tracked
    for side, hand, simulated in zip(("left", "right"), shot.hands, shot.simulated_hands, strict=True):
        np.testing.assert_allclose(hand.vertices, getattr(tracked, side), atol=1e-6)
        np.testing.assert_allclose(simulated.vertices, expected[side], atol=1e-6)
    as_rigid()
    with ResultReader(scene) as result:
        shot = Stage(result).shot(PRESSED)
    assert all(one is other for one, other in zip(shot.hands, shot.simulated_hands, strict=True))


def test_the_exported_take_has_deformed_hands(scene, tmp_path):
    path = run(export_take_job(scene, tmp_path / "take.npz"))
    with np.load(path) as take, ResultReader(scene) as result:
        for k, frame in enumerate(result.frames):
            read = result.read(frame)
            for side in ("left", "right"):
                assert np.array_equal(take[f"{side}_tracked"][k], getattr(read.tracked, side))
                assert np.array_equal(take[f"{side}_deformed"][k], read.hand(side).astype(np.float32))
        assert np.abs(take["left_deformed"] - take["left_tracked"]).max() > 0.5 * DENT
        assert json.loads(str(take["settings"]))["yielding_hands"] == ["left", "right"]
        tracked = take["left_tracked"]
    left = next(track for track in read_take(path) if track.role == "left")
    assert np.array_equal(left.vertices, tracked)  # read back, it is the take as tracked


def test_hands_that_press_each_other_away_from_the_face_are_simulated_and_measured(tmp_path):
    scenes.with_volume(tmp_path)
    scene = bpy.context.scene
    scene.nephim.right, scene.nephim.yielding_hands = bpy.data.objects["Right"], True
    left, right = bpy.data.objects["LeftRig"], bpy.data.objects["RightRig"]
    right.rotation_euler = left.rotation_euler
    for frame, apart in ((1, 0.03), (PRESSED, 0.014), (10, 0.03)):  # of capsules of 18 mm, side by side
        scene.frame_set(frame)
        left.location.x += 0.2
        right.location = left.location
        right.location.z += apart
        for rig in (left, right):
            rig.keyframe_insert("location", frame=frame)
    run(simulate.simulate_job(scene))
    with ResultReader(scene) as result:
        read = {frame: result.read(frame) for frame in (1, PRESSED)}
    offsets = {f: [np.abs(h - getattr(r.tracked, s)).max() for s, h in r.hands.items()] for f, r in read.items()}
    assert max(offsets[1]) < 1e-6 and min(offsets[PRESSED]) > 0.002
    report = run(report_job(scene, tmp_path / "report.json"))
    assert report["frames_with_contact"] == 0 and report["displacement_max_mm"] == 0
    before, after = report["hands_mm"]["before"], report["hands_mm"]["after"]
    assert before["max"] > 3.5 and after["mean"] < 0.1 * before["mean"]
