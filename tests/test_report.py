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
    from nephim.sim.surface import vertex_normals
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
