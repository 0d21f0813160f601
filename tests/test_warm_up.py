# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiling in advance: a step of its own with progress, once in a process, and no trace in the result."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nephim.sim import warm_up
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from numba import njit
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(3), finger()


class Slow:
    """Compiles a loop at its first step, and takes long enough to be seen."""

    steps = resets = 0

    def step(self, frame: TrackedFrame) -> None:
        if self.steps == 0:
            njit(lambda x: x + 1)(1)
        self.steps += 1
        time.sleep(0.05)

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture(autouse=True)
def nothing_is_ready(monkeypatch):
    monkeypatch.setattr(warm_up, "_ready", set())


def test_compiling_is_a_step_with_progress():
    simulation = Slow()
    seen = list(warm_up.warm_up_job(simulation, TEMPLATE, FINGER, None))
    compiling = [progress for progress in seen if progress.step == warm_up.STEP]
    assert compiling and "1 loops, once for this version" in compiling[0].detail
    assert all(0 < progress.done < 1 for progress in compiling)
    assert (simulation.steps > 0, simulation.resets) == (True, 1)


def test_what_is_compiled_is_not_tried_again():
    first, second = Slow(), Slow()
    list(warm_up.warm_up_job(first, TEMPLATE, FINGER, None))
    assert list(warm_up.warm_up_job(second, TEMPLATE, FINGER, None)) == []
    assert second.steps == 0


def test_a_touch_in_advance_leaves_no_trace():
    def pressed(k: int) -> TrackedFrame:
        hand = (FINGER.vertices + [RADIUS + 0.004 - 0.002 * k, 0, 0]).astype(np.float32)
        return TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), hand, None, np.eye(4), np.eye(4))

    plain, warmed = (Physics(TEMPLATE, PhysicsSettings(), left=FINGER) for _ in range(2))
    list(warm_up.warm_up_job(warmed, TEMPLATE, FINGER, None))
    for k in range(5):
        assert np.array_equal(plain.step(pressed(k)).skin, warmed.step(pressed(k)).skin)


def test_tissue_with_pressure_cells_is_warmed_up_for_itself():
    """It has loops that other tissue never calls."""
    for settings in (PhysicsSettings(), PhysicsSettings.load("flesh")):
        simulation = Physics(TEMPLATE, settings, left=FINGER)
        assert list(warm_up.warm_up_job(simulation, TEMPLATE, FINGER, None))
        assert list(warm_up.warm_up_job(simulation, TEMPLATE, FINGER, None)) == []


@pytest.mark.bpy
def test_no_loop_is_compiled_after_the_warm_up(tmp_path):
    """Whatever the mode and tissue, a deep contact of a coarse mesh stalls no frame."""
    bpy, scenes = pytest.importorskip("bpy"), pytest.importorskip("scenes")
    if bpy.app.binary_path:
        pytest.skip("the modules' own process is needed, not the program's")
    blend = scenes.with_volume(tmp_path)
    script = Path(__file__).with_name("cold_loops.py")
    run = subprocess.run([sys.executable, str(script), str(blend)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stdout.splitlines() if line.startswith("cold: ")] == []
    assert "loops" in run.stdout
