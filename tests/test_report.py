# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a small scene whose result is a known dent."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.bpy


@pytest.fixture
def scenes():
    spec = importlib.util.spec_from_file_location("scenes", Path(__file__).parent / "scenes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(scenes, tmp_path):
    return lambda job=None: make(scenes, tmp_path, job)


def make(scenes, folder, job=None):
    """A scene with template and cache on disk; returns (scene, rig)."""
    import bpy
    from nephim.bridge.surfaces import SurfaceReader
    from nephim.sim.geometry.surface import vertex_normals
    from nephim.sim.template import Template
    from scipy.sparse import identity

    scene = scenes.build()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "test.blend"))
    scene = bpy.context.scene
    rig, _ = scenes.simulate(scene, folder / "test.nephim" / "simulation.pc2", job or scenes.dent)
    head = SurfaceReader(scene, rig).neutral().head
    n = len(head.vertices)
    Template(
        head_vertices=head.vertices,
        refinement=identity(n, format="csr"),
        skin_vertices=head.vertices,
        skin_triangles=head.triangles,
        vertices=head.vertices,
        tets=np.array([[0, 1, 2, 3]], np.int32),
        tet_region=np.zeros(1, np.uint8),
        vertex_region=np.zeros(n, np.uint8),
        embedding=identity(n, format="csr"),
        rim=np.zeros(n, bool),
        outer=np.ones(n, bool),
        tissue_depth=np.full(n, 0.05),
        bone_direction=-vertex_normals(head.vertices, head.triangles),
        tet_stiffness=np.ones(1),
        jaw_vertices=np.zeros((0, 3)),
        jaw_triangles=np.zeros((0, 3), np.int32),
        cranium_vertices=np.zeros((0, 3)),
        cranium_triangles=np.zeros((0, 3), np.int32),
        notes=["a ball"],
    ).save(folder / "test.nephim" / "volume.npz")
    return scene, rig


def tracked_only(rig, tracked, frame):
    return tracked.head


def test_undisturbed_result_changes_nothing(made, tmp_path):
    from nephim.bridge.report import report_job
    from nephim.progress import drive

    scene, rig = made(tracked_only)
    scene.frame_set(4)
    report = drive(report_job(scene, tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert scene.frame_current == 4
    before, after = report["penetration_mm"]["before"], report["penetration_mm"]["after"]
    assert before["max"] > 3 and before["samples"] > 0
    assert {k: after[k] for k in before} == pytest.approx(before, rel=1e-4)
    assert report["rest_error_mm"] == 0 and report["displacement_max_mm"] == 0
    assert report["frames"] == 10 and report["skin_vertices"] == len(rig.head.indices)
    assert report["objects"] == {"head": "Head", "left": "Left", "right": "Right"}
    assert report["bake_error_mm"] is None and report["notes"] == ["a ball"]
    assert report["smoothness"]["pops"] == [] and report["all_finite"]
    assert Path(report["cache"]).is_file()


def test_known_displacement_is_found(made, tmp_path):
    from nephim.bridge.report import report_job
    from nephim.progress import drive

    def pushed(rig, tracked, frame):
        skin = tracked.head.copy()
        if frame == 5:
            skin[100] += np.float32([0, 0, 0.02])
        return skin

    report = drive(report_job(made(pushed)[0], tmp_path / "report.json"))
    assert report["displacement_max_mm"] == pytest.approx(20, abs=1e-3)


def test_hands_in_each_other_are_measured(made, tmp_path):
    """Two capsules of 9 mm, side by side and 14 mm apart."""
    import bpy
    from nephim.bridge.report import report_job
    from nephim.operators.report import rows
    from nephim.progress import drive

    scene, _ = made()
    apart = drive(report_job(scene, tmp_path / "report.json"))
    assert apart["hands_mm"]["before"] == {"mean": 0.0, "p95": 0.0, "max": 0.0, "samples": 0}
    assert ("hands in each other", "nowhere") in rows(apart)
    left, right = bpy.data.objects["LeftRig"], bpy.data.objects["RightRig"]
    right.rotation_euler = left.rotation_euler
    for frame in (1, 6, 10):
        scene.frame_set(frame)
        right.location = left.location
        right.location.z += 0.014
        right.keyframe_insert("location", frame=frame)
    found = drive(report_job(scene, tmp_path / "report.json"))["hands_mm"]
    assert found["before"]["max"] == pytest.approx(4.0, abs=0.5) and found["before"]["samples"] > 10
    assert found["after"] == pytest.approx(found["before"])  # this result has hands as tracked
    scene.nephim.right = None
    assert drive(report_job(scene, tmp_path / "report.json"))["hands_mm"] is None


def test_missing_volume_and_missing_simulation_say_what_to_do(made, tmp_path):
    from nephim.bridge.report import report_job
    from nephim.errors import CacheError
    from nephim.progress import drive

    scene, _ = made()
    (tmp_path / "test.nephim" / "volume.npz").unlink()
    with pytest.raises(CacheError, match="Build the volume first"):
        drive(report_job(scene, tmp_path / "report.json"))
    (tmp_path / "test.nephim" / "simulation.json").unlink()
    with pytest.raises(CacheError, match="Simulate first"):
        drive(report_job(scene, tmp_path / "report.json"))
    assert not (tmp_path / "report.json").exists()


def test_volume_ratios_are_the_worst_of_the_frames_in_contact():
    from nephim.bridge.report import worst_volume_ratios

    def frame(contacts, p1, p50, p99):
        return {"contacts": contacts, "volume_ratio_p1": p1, "volume_ratio_p50": p50, "volume_ratio_p99": p99}

    frames = [frame(0, 0.1, 0.1, 9), frame(3, 0.9, 1.0, 1.1), frame(4, 0.95, 1.02, 1.2), frame(1, 0.97, 0.99, 1.05)]
    assert worst_volume_ratios(frames) == {"p1": 0.9, "p50": 1.0, "p99": 1.2}
    assert worst_volume_ratios([]) == {"p1": 1.0, "p50": 1.0, "p99": 1.0}


def test_figures_of_every_frame_agree_with_the_summary(made, tmp_path):
    from nephim.bridge.report import report_job
    from nephim.progress import drive

    report = drive(report_job(made()[0], tmp_path / "report.json"))
    frames = report["per_frame"]
    assert {len(values) for values in frames.values()} == {report["frames"]}
    assert sum(frames["contact"]) == report["frames_with_contact"] > 0
    for when in ("before", "after"):
        assert max(frames[f"penetration_{when}_mm"]) == pytest.approx(report["penetration_mm"][when]["max"])
    assert max(frames["displacement_mm"]) == report["displacement_max_mm"]
    assert frames["volume_ratio_p1"] == [None] * report["frames"]  # the stand-in counts nothing


def test_ticks_are_round_and_hold_the_values():
    from nephim.pictures.plot import ticks

    for low, high in ((0, 0.7), (0, 13.2), (0.62, 1.31), (0, 950), (0, 0), (1, 1)):
        found = ticks(low, high)
        assert found[0] <= low + 1e-9 and found[-1] >= high - 1e-9 and len(found) <= 7
    assert ticks(0, 10).tolist() == [0, 2, 4, 6, 8, 10]


def test_the_plot_shows_where_curves_are_and_shades_contact(tmp_path):
    from nephim.pictures import plot

    values = np.array([0, 1, 2, 4, np.nan, np.nan, 0, 0, 1, 0], float)
    contact = np.arange(10) == 3
    sheet = plot.draw([plot.Chart("depth", [plot.Curve("one", values, plot._BEFORE)])], range(1, 11), contact, "all")
    left, width = plot._LEFT, plot._WIDTH - plot._LEFT - plot._RIGHT
    area = sheet[plot._TOP : plot._TOP + plot._CHART, left : left + width].astype(int)
    columns = [area[:, int((k + 0.5) * width / 10)] for k in range(10)]
    lines = [np.flatnonzero((np.abs(column - plot._BEFORE) < 12).all(axis=1)) for column in columns]
    assert [len(found) > 0 for found in lines] == [k not in (4, 5) for k in range(10)]
    assert lines[3].mean() < 10 and lines[0].mean() > plot._CHART - 10  # the largest at the top, zero at the bottom
    assert lines[2].mean() == pytest.approx(plot._CHART / 2, abs=3)
    shaded = [(np.abs(column - plot._BAND) < 1).all(axis=1).mean() > 0.5 for column in columns]
    assert shaded == contact.tolist()


def test_plot_of_a_report(made, tmp_path):
    import bpy

    assert not bpy.ops.nephim.plot.poll()
    from nephim.bridge.cache.open_file import folder
    from nephim.bridge.report import report_job
    from nephim.progress import drive

    scene, _ = made()
    drive(report_job(scene, folder().report))
    assert bpy.ops.nephim.plot() == {"FINISHED"}
    image = bpy.data.images.load(str(folder().plot))
    assert image.size[0] == 1600 and image.size[1] > 1000
    report = json.loads(folder().report.read_text())
    del report["per_frame"]
    folder().report.write_text(json.dumps(report))
    with pytest.raises(RuntimeError, match="Measure again"):
        bpy.ops.nephim.plot()
