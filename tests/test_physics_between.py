# SPDX-License-Identifier: GPL-3.0-or-later
"""The physics goes through moments between two frames, so that a contact there happens."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(3), finger()
RATE = 24.0


def at(depth: float, frame: float, aside: float = 0.0) -> TrackedFrame:
    """The finger's tip `depth` below the skin, `aside` along y [m]."""
    hand = (FINGER.vertices + [RADIUS - depth, aside, 0]).astype(np.float32)
    head = TEMPLATE.head_vertices.astype(np.float32)
    return TrackedFrame(head, None, hand, np.eye(4), None, int(frame), frame / RATE)


def physics() -> Physics:
    return Physics(TEMPLATE, PhysicsSettings.load("default"), right=FINGER, frame_rate=RATE)


def moved(result) -> float:
    return float(np.linalg.norm(result.skin - result.tracked, axis=1).max())


def test_a_tap_between_two_frames_leaves_its_dent_in_the_next():
    simulation = physics()
    simulation.step(at(-0.04, 1))
    tap = [at(-0.04 + 0.046 * (1 - abs(2 * t - 1)), 1 + t) for t in np.arange(1, 8) / 8]
    result = simulation.step(at(-0.04, 2), tap)
    assert 0.5e-3 < moved(result) < 6e-3 and result.statistics["contacts"] == 0
    for k in range(3, 30):
        result = simulation.step(at(-0.04, k))
    assert moved(result) == 0


def test_a_slap_across_the_head_within_a_frame():
    """40 cm, its ends further from the head than the physics looks."""
    simulation = physics()
    simulation.step(at(0.006, 1, -0.2))
    assert moved(simulation.step(at(0.006, 2, 0.2))) == 0  # straight through, unseen
    simulation.reset()
    simulation.step(at(0.006, 1, -0.2))
    slap = [at(0.006, 1 + t, 0.4 * t - 0.2) for t in np.arange(1, 8) / 8]
    result = simulation.step(at(0.006, 2, 0.2), slap)
    assert moved(result) > 1e-3 and np.isfinite(result.skin).all() and result.statistics["substeps"] > 60


def test_moments_on_the_straight_way_change_little():
    results = []
    for between in ([], [0.5], [0.25, 0.5, 0.75]):
        simulation = physics()
        simulation.step(at(-0.004, 1))
        results.append(simulation.step(at(0.006, 2), [at(-0.004 + 0.010 * t, 1 + t) for t in between]).skin)
    for result in results[1:]:
        assert np.linalg.norm(result - results[0], axis=1).max() < 3e-4


def test_a_jump_and_a_first_frame_have_no_way_there():
    straight, through = physics(), physics()
    expected = straight.step(at(0.004, 1))
    assert np.array_equal(through.step(at(0.004, 1), [at(0.02, 0.5)]).skin, expected.skin)
    expected = straight.step(replace(at(0.004, 2), right=at(0.004, 2).right + np.float32(1.0)))
    assert expected.statistics["cut_right"] == pytest.approx(1.0)
