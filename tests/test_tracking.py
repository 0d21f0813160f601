# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigid motion of cranium and jaw: given or fitted, and what turns with the jaw."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry import rigid
from nephim.sim.template import JAW
from nephim.sim.tracking import HeadTracking
from volumes import round_head

ROUND = round_head(3)


def with_jaw():
    """The round head, whose bone below z = -20 mm is jaw and whose tissue is thin."""
    region = ROUND.vertex_region.copy()
    region[(region > 0) & (ROUND.vertices[:, 2] < -0.02)] = JAW
    return replace(ROUND, vertex_region=region, tissue_depth=np.full(ROUND.n_skin, 0.008))


def opened(angle: float) -> np.ndarray:
    """Rotation about the axis between the joints, x through (0, 0.03, -0.01)."""
    c, s = np.cos(angle), np.sin(angle)
    transform = np.eye(4)
    transform[1:3, 1:3] = [[c, -s], [s, c]]
    joint = np.array([0.0, 0.03, -0.01])
    transform[:3, 3] = joint - transform[:3, :3] @ joint
    return transform


def frame(template, jaw, cranium, *, bones: bool) -> TrackedFrame:
    """Skin over the jaw moves with it, all else with the cranium."""
    v = template.head_vertices
    moved = np.where((v[:, 2] < -0.025)[:, None], rigid.apply(jaw, v), v)
    head = rigid.apply(cranium, moved).astype(np.float32)
    return TrackedFrame(head, None, None, *((cranium, cranium @ jaw) if bones else (None, None)))


@pytest.mark.parametrize("bones", [True, False])
def test_bone_directions_of_the_chin_turn_with_the_jaw(bones):
    template, jaw = with_jaw(), opened(0.35)
    cranium = opened(-1.2)
    cranium[:3, 3] += [0.3, 2.0, -1.0]
    pose = HeadTracking(template).pose(frame(template, jaw, cranium, bones=bones))
    exact = 1e-9 if bones else 4e-2  # fitted: skin between the bones belongs to neither
    assert pose.cranium == pytest.approx(cranium, abs=exact)
    assert pose.jaw == pytest.approx(jaw, abs=2 * exact)
    chin, top = template.skin_vertices[:, 2] < -0.05, template.skin_vertices[:, 2] > 0.0
    towards = template.bone_direction
    assert pose.bone_direction[chin] == pytest.approx(towards[chin] @ jaw[:3, :3].T, abs=1e-7 + 2 * exact)
    assert np.array_equal(pose.bone_direction[top], towards[top])
    assert np.linalg.norm(pose.bone_direction, axis=1) == pytest.approx(1, abs=1e-6)


def test_the_template_keeps_its_directions():
    template = with_jaw()
    before = template.bone_direction.copy()
    HeadTracking(template).pose(frame(template, opened(0.35), np.eye(4), bones=True))
    assert np.array_equal(template.bone_direction, before)


def test_a_head_that_moved_in_place_is_seen():
    template = with_jaw()
    tracking, given = HeadTracking(template), frame(template, np.eye(4), np.eye(4), bones=True)
    first = tracking.pose(given)
    assert tracking.pose(given) is first
    given.head[:] += np.float32(0.01)
    moved = tracking.pose(given)
    assert moved.skin == pytest.approx(first.skin + 0.01, abs=1e-6)
    given.jaw[:3, 3] += 0.01
    assert tracking.pose(given).jaw[:3, 3] == pytest.approx(0.01)
