# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand that jumps against the head sweeps nothing, forgets its own contacts only, and is said to have jumped."""

from itertools import pairwise

import numpy as np
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(), finger()
AWAY = np.array([0.0, 0.6, 0.0])  # half a metre and more at 24 frames a second is no motion of a hand


def right(depth: float) -> np.ndarray:
    """A finger `depth` [m] in the head from +x."""
    return FINGER.vertices + [RADIUS - depth, 0, 0]


def left(depth: float) -> np.ndarray:
    """The same from -x."""
    return right(depth) * [-1, -1, 1]


def frame(left_hand: np.ndarray, right_hand: np.ndarray) -> TrackedFrame:
    return TrackedFrame(*(v.astype(np.float32) for v in (TEMPLATE.head_vertices, left_hand, right_hand)), np.eye(4))


def both() -> Physics:
    return Physics(TEMPLATE, PhysicsSettings.load("default"), left=FINGER, right=FINGER, frame_rate=24.0)


def dent(result, side: int) -> float:
    """Largest displacement [m] on that side of the head."""
    moved = np.linalg.norm(result.skin - result.tracked, axis=1)
    return float(moved[side * TEMPLATE.skin_vertices[:, 0] > 0.03].max())


def test_a_hand_that_jumps_through_the_head_sweeps_nothing():
    simulation = both()
    for depth in (-0.01, 0.0, 0.004):
        result = simulation.step(frame(left(depth), right(-0.05)))
    kept = dent(result, -1)
    assert kept > 0.002 and dent(result, 1) < 1e-6
    result = simulation.step(frame(left(0.004), right(-0.05) - [0.6, 0, 0]))
    assert result.statistics["cut_right"] == 1 and "cut_left" not in result.statistics
    assert dent(result, 1) < 1e-5
    assert abs(dent(result, -1) - kept) < 3e-4  # the other hand's contact has its history


def test_a_hand_cut_into_and_out_of_a_touch_neither_pops_nor_sticks():
    simulation = both()
    depths = [-0.05, -0.05, 0.004, 0.004, 0.004]
    results = [simulation.step(frame(left(-0.05), right(d) + (AWAY if k < 2 else 0))) for k, d in enumerate(depths)]
    assert [r.statistics.get("cut_right", 0) for r in results] == [0, 0, 1, 0, 0]
    assert results[2].statistics["started_inside_mm"] > 2
    assert 0.002 < dent(results[-1], 1) < 0.006
    assert all(np.isfinite(r.skin).all() for r in results)
    after = [simulation.step(frame(left(-0.05), right(-0.05) + AWAY)) for _ in range(12)]
    assert after[0].statistics["cut_right"] == 1 and after[0].statistics["contacts"] == 0
    dents = [dent(r, 1) for r in (results[-1], *after)]
    assert all(b <= a for a, b in pairwise(dents)) and dents[-1] == 0


def test_a_cut_of_the_head_is_a_cut_of_the_hands_it_leaves():
    simulation = both()
    for depth in (-0.01, 0.0, 0.004):
        simulation.step(frame(left(depth), right(depth)))
    elsewhere = np.array([0.0, 0.0, 2.0])
    cranium = np.eye(4)
    cranium[:3, 3] = elsewhere
    surfaces = (TEMPLATE.head_vertices + elsewhere, left(0.004), right(0.004) + elsewhere)
    result = simulation.step(TrackedFrame(*(v.astype(np.float32) for v in surfaces), cranium))
    assert "cut_right" not in result.statistics and result.statistics["cut_left"] == 1
    assert dent(result, 1) > 0.002 and np.isfinite(result.skin).all()
