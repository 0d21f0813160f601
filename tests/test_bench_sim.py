# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of a frame: where time goes, what counts as tunnelled, and a small run of everything beside it."""

import cProfile
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from nephim.benchmarks.interactions import Interaction
from nephim.benchmarks.stages import files, stages
from nephim.benchmarks.tunnelling import tunnelled
from nephim.sim.frame import TrackedFrame
from nephim.sim.measure import PenetrationMeter
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(3), finger()
KEYS = {
    *("skin_vertices", "tets", "iterations", "fps", "ms", "error_mm", "penetration_mm", "tunnelled", "pops"),
    *("inverted_tets", "volume_ratio", "surface_pbd_ms", "blender_cloth_ms", "blender_softbody_ms"),
    *("surface_pbd_penetration_mm", "blender_cloth_penetration_mm", "blender_softbody_penetration_mm"),
}
THICK = 0.016  # [m] of the finger


def pressed(depth: float) -> TrackedFrame:
    """The finger `depth` [m] in the cheek, from the left along x, and another as deep on the right."""
    left = FINGER.vertices + [RADIUS - depth, 0, 0]
    head = TEMPLATE.head_vertices.astype(np.float32)
    right = (left * [-1, -1, 1]).astype(np.float32)
    return TrackedFrame(head, left.astype(np.float32), right, np.eye(4), np.eye(4))


def test_every_moment_of_a_profile_belongs_to_a_stage():
    simulation = Physics(TEMPLATE, PhysicsSettings(), left=FINGER, right=FINGER)
    simulation.step(pressed(0.0))
    simulation.step(pressed(0.002))  # compiles
    profile = cProfile.Profile()
    started = time.perf_counter()
    profile.enable()
    simulation.step(pressed(0.004))
    profile.disable()
    seconds = time.perf_counter() - started
    by_file = files(profile)
    by_stage = stages(by_file)
    assert sum(by_file.values()) == pytest.approx(seconds, rel=0.1)
    assert sum(by_stage.values()) == pytest.approx(sum(by_file.values()))
    assert all(by_stage[name] > 0 for name in ("contact", "local", "solve"))
    if sys.version_info < (3, 12):  # from then on profilers do not see numba's functions: they count where called
        assert by_file["tet_blocks.py"] > 0
    assert by_file["physics.py"] > 0


def test_code_from_elsewhere_counts_where_it_was_called():
    import nephim.sim.geometry.rigid as rigid

    profile = cProfile.Profile()
    points = np.random.default_rng(0).random((200_000, 3))
    profile.enable()
    rigid.apply(np.eye(4), points)
    np.sort(points.ravel())
    profile.disable()
    assert set(files(profile)) == {"rigid.py", "other"}


@pytest.mark.parametrize(("depth", "through"), [(-0.002, False), (0.0, False), (0.004, False)])
def test_a_finger_that_presses_is_not_tunnelled(depth, through):
    assert (wrong(depth) > 0) == through


def wrong(depth: float) -> int:
    frame = pressed(depth)
    meter = PenetrationMeter(TEMPLATE.skin_triangles, TEMPLATE.outer, FINGER.triangles)
    found = meter.measure(frame.head, frame.left)
    return tunnelled(frame.head, TEMPLATE.skin_triangles, [(frame.left, FINGER.triangles)], [found])


def lying(depth: float) -> int:
    """The same for a finger that lies along the skin, its near side `depth` [m] below."""
    along = FINGER.vertices[:, [1, 0, 2]] * [1, -1, 1]  # a rotation, so that it stays outside out
    hand = (along - along.mean(axis=0) + [RADIUS - depth + THICK / 2, 0, 0]).astype(np.float32)
    meter = PenetrationMeter(TEMPLATE.skin_triangles, TEMPLATE.outer, FINGER.triangles)
    head = TEMPLATE.head_vertices.astype(np.float32)
    found = meter.measure(head, hand)
    return tunnelled(head, TEMPLATE.skin_triangles, [(hand, FINGER.triangles)], [found])


def test_a_finger_under_the_skin_is():
    assert lying(0.002) == lying(0.005) == 0
    assert lying(0.5 * THICK + 0.003) > 0  # skin past its middle
    assert lying(THICK + 0.004) > lying(0.5 * THICK + 0.003)  # its far side as well


@pytest.mark.bpy
def test_everything_is_measured_on_one_small_scene(tmp_path):
    """Both hands come, press and go; the figures are those that were asked for, and they tell good from bad."""
    from nephim.benchmarks import bench_sim

    depths = [-0.02, -0.008, -0.002, 0.002, 0.005, 0.007, 0.007, 0.004, -0.002, -0.012, -0.03, -0.03, -0.03, -0.03]
    frames = [pressed(depth) for depth in depths]
    part = SimpleNamespace(vertices=FINGER.vertices, triangles=FINGER.triangles)
    character = SimpleNamespace(hands={"L": part, "R": part})
    bench = bench_sim.Bench(character, TEMPLATE, Interaction("press", "", frames, None), tmp_path)
    assert bench.touching == [3, 4, 5, 6, 7]
    figures, runs, by_file = bench_sim.measure(bench)
    assert set(figures) == KEYS
    assert set(figures["ms"]) == {"frame_p50", "frame_p95", "contact", "local", "solve", "write"}
    assert all(value > 0 for value in figures["ms"].values())
    assert figures["skin_vertices"] == TEMPLATE.n_skin
    before = bench.row(bench_sim.Run(bench.tracked, [{}] * len(frames)))["penetration_mm"]["p95"]
    assert figures["penetration_mm"]["p95"] < 0.2 * before
    for name in ("surface_pbd", "blender_cloth", "blender_softbody"):
        assert np.isfinite(runs[name].skins).all()
        assert figures[f"{name}_ms"] > 0
        assert figures[f"{name}_penetration_mm"]["p95"] < before
        moved = np.linalg.norm(runs[name].skins - bench.tracked, axis=2).max(axis=1)
        assert moved[0] < 1e-5 and moved[5] > 0.002 and moved[-1] < moved.max()
    assert figures["tunnelled"] == figures["pops"] == figures["inverted_tets"] == 0
    assert sum(by_file.values()) > 0
    assert bench_sim.scaling_table({"small": figures}).count("\n") == 3
    error = bench.error()
    assert 0 <= error["p95"] <= error["max"] < 1.0


def test_frames_beside_busy_processes_are_those_of_the_volumes_own_head(monkeypatch):
    """The scripts are played on a finer head than the volume may have."""
    from nephim.benchmarks import loaded

    ended = []

    @contextmanager
    def busy(count):
        yield
        ended.append(count)

    finer = round_head(4).head_vertices.astype(np.float32)
    frames = [replace(pressed(depth), head=finer) for depth in (-0.02, -0.004, 0.0, 0.003, 0.003)]
    monkeypatch.setattr(loaded, "perform", lambda script, *_: Interaction(script.name, "", frames, None))
    monkeypatch.setattr(loaded, "busy_processes", busy)
    part = SimpleNamespace(vertices=FINGER.vertices, triangles=FINGER.triangles)
    character = SimpleNamespace(hands={"L": part, "R": part})
    figures = loaded.loaded(character, None, TEMPLATE)
    assert set(figures) == set(loaded.NAMES) and len(ended) == len(loaded.NAMES) and ended[0] >= 1
    assert all(figure["quiet"] > 0 and figure["loaded"] > 0 for figure in figures.values())
    assert all(name in loaded.summary(figures) for name in loaded.NAMES)
