# SPDX-License-Identifier: GPL-3.0-or-later
"""The physics on a round head and a capsule finger: invariants and analytic cases."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from nephim.errors import SimulationError, SurfaceError
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry import rigid
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(), finger()
FAR = np.array([RADIUS + 0.05, 0, 0])


def at(depth: float, angle: float = 0.0) -> np.ndarray:
    """The finger with its tip `depth` below the skin, turned by `angle` about z, (n, 3)."""
    vertices = FINGER.vertices + [RADIUS - depth, 0, 0]
    return rigid.apply(turn(angle), vertices)


def turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    transform = np.eye(4)
    transform[:2, :2] = [[c, -s], [s, c]]
    return transform


def tracked(hand: np.ndarray, head: np.ndarray | None = None, cranium: np.ndarray | None = None, frame: int = 0):
    head = TEMPLATE.head_vertices if head is None else head
    return TrackedFrame(
        head.astype(np.float32), None, hand.astype(np.float32), np.eye(4) if cranium is None else cranium, frame=frame
    )


def physics(frame_rate: float = 24.0) -> Physics:
    return Physics(TEMPLATE, PhysicsSettings.load("default"), right=FINGER, frame_rate=frame_rate)


def depths(skin: np.ndarray, hand: np.ndarray) -> tuple[float, float]:
    """Largest depth [m] of skin in hand and of hand in skin."""
    result = []
    for points, vertices, triangles in (
        (skin, hand, FINGER.triangles),
        (hand, skin, TEMPLATE.skin_triangles),
    ):
        distance, _, _, sign = TriangleTree(vertices, triangles).closest(points)
        result.append(float(np.where(sign < 0, distance, 0).max()))
    return result[0], result[1]


def test_without_contact_nothing_changes():
    simulation = physics()
    result = simulation.step(tracked(FINGER.vertices + FAR))
    assert np.array_equal(result.skin, result.tracked)
    assert np.array_equal(result.tracked[: TEMPLATE.n_head], TEMPLATE.head_vertices.astype(np.float32))


def test_a_moving_head_without_contact_stays_as_tracked():
    pose = turn(0.7)
    pose[:3, 3] = [0.1, -0.2, 0.3]
    head = rigid.apply(pose, TEMPLATE.head_vertices)
    result = physics().step(tracked(FINGER.vertices + FAR + 1.0, head, pose))
    assert np.abs(result.skin - head).max() < 1e-6


def test_pressing_leaves_no_penetration_and_no_inversion():
    simulation = physics()
    for depth in np.arange(-0.002, 0.0081, 0.002):
        result = simulation.step(tracked(at(depth)))
    before = depths(result.tracked, at(0.008))
    after = depths(result.skin, at(0.008))
    assert max(before) > 0.006
    assert max(after) < 1e-4
    assert result.statistics["inverted_tets"] == 0
    assert np.linalg.norm(result.skin, axis=1).min() > 0.072  # the skull is never entered


def test_skin_keeps_still_under_a_standing_hand():
    simulation = physics()
    for depth in np.arange(-0.002, 0.0101, 0.002):
        simulation.step(tracked(at(depth)))
    skins = [simulation.step(tracked(at(0.010))).skin.astype(np.float64) for _ in range(6)]
    assert np.linalg.norm(np.diff(np.stack(skins), 2, axis=0), axis=2).max() < 1e-5


def test_skin_follows_a_hand_however_slow_it_is():
    """Under a standing hand skin only creeps; a hand that moves by a hundredth of a millimetre takes it along."""
    simulation = physics()
    for depth in [*np.arange(-0.002, 0.0041, 0.002), *np.full(6, 0.004)]:
        simulation.step(tracked(at(depth)))
    for depth in 0.004 + 2e-5 * np.arange(60):
        result = simulation.step(tracked(at(depth)))
    assert max(depths(result.skin, at(depth))) < 1e-4


def test_a_symmetric_push_dents_symmetrically():
    simulation = physics()
    for depth in (-0.002, 0.002, 0.005):
        result = simulation.step(tracked(at(depth)))
    displacement = (result.skin - result.tracked).astype(float)
    # The push is along -x: its mean sideways part vanishes against the mean push.
    push = -displacement[:, 0].sum()
    assert push > 0
    assert np.abs(displacement[:, 1:].sum(axis=0)).max() < 0.05 * push


def test_release_returns_to_rest_without_a_jump():
    simulation = physics()
    for depth in (-0.002, 0.002, 0.006):
        simulation.step(tracked(at(depth)))
    sizes = []
    for _ in range(40):
        result = simulation.step(tracked(FINGER.vertices + FAR))
        sizes.append(np.abs(result.skin - result.tracked).max())
    assert sizes[0] > 1e-3  # it relaxes, it does not pop
    assert all(b <= a for a, b in pairwise(sizes))
    fade = np.exp(-0.5 / (simulation.frame_rate * simulation.settings.relaxation_time))
    assert all(b <= fade * a for a, b in pairwise(sizes[1:]))  # nothing lags far behind the rest
    assert sizes[-1] == 0.0  # and in the end it is exactly the tracked skin


def test_the_way_there_matters():
    """The same final pose reached by a stroke from either side drags the skin in opposite directions."""
    drags = []
    for side in (-1, 1):
        simulation = physics()
        simulation.step(tracked(at(-0.002, side * 0.15)))
        for step in range(10, -1, -1):
            result = simulation.step(tracked(at(0.004, side * 0.15 * step / 10)))
        touched = result.contacts
        drags.append((result.skin - result.tracked)[touched, 1].mean())
    assert drags[0] > 1e-4  # came from -y, drags towards +y
    assert drags[1] < -1e-4


def test_a_fast_swipe_does_not_tunnel():
    """The finger crosses the head's side within one frame, 63 mm, and must leave no skin behind it."""
    simulation = physics()
    simulation.step(tracked(at(0.004, -0.35)))
    result = simulation.step(tracked(at(0.004, 0.35)))
    assert max(depths(result.skin, at(0.004, 0.35))) < 1e-3
    assert np.isfinite(result.skin).all()


def test_the_frame_rate_does_not_matter():
    results = []
    for rate in (30, 60, 120):
        simulation = physics(rate)
        steps = rate // 5
        for k in range(steps + 1):
            result = simulation.step(tracked(at(-0.003 + 0.009 * k / steps)))
        results.append(result.skin.astype(float))
    assert np.linalg.norm(results[0] - results[2], axis=1).max() < 3e-4
    assert np.linalg.norm(results[1] - results[2], axis=1).max() < 3e-4


def test_a_hand_inside_at_the_first_frame_gives_a_finite_result():
    result = physics().step(tracked(at(0.010)))
    assert np.isfinite(result.skin).all()
    assert result.statistics["started_inside_mm"] == pytest.approx(10, abs=1)
    assert max(depths(result.skin, at(0.010))) < 1e-3


def test_the_same_input_gives_the_same_bits():
    runs = []
    for _ in range(2):
        simulation = physics()
        runs.append([simulation.step(tracked(at(d))).skin for d in (-0.002, 0.003, 0.006)])
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def test_reset_forgets():
    simulation = physics()
    first = simulation.step(tracked(at(0.003))).skin
    simulation.step(tracked(at(0.006)))
    simulation.reset()
    assert np.array_equal(simulation.step(tracked(at(0.003))).skin, first)


def test_a_hand_on_the_held_rim_moves_nothing_and_breaks_nothing():
    rim = TEMPLATE.skin_vertices[:, 0] > 0.5 * RADIUS
    simulation = Physics(replace(TEMPLATE, rim=rim), PhysicsSettings.load("default"), right=FINGER)
    for depth in (-0.002, 0.003, 0.006):
        result = simulation.step(tracked(at(depth)))
    assert np.array_equal(result.skin[rim], result.tracked[rim])
    assert len(result.contacts) == 0


def test_wrong_input_is_named():
    with pytest.raises(SimulationError, match="no hand"):
        Physics(TEMPLATE, PhysicsSettings())
    simulation = physics()
    with pytest.raises(SurfaceError, match=r"'finger', frame 7.*3 vertices"):
        simulation.step(tracked(np.zeros((3, 3)), frame=7))
    broken = at(0.0)
    broken[5] = np.nan
    with pytest.raises(SurfaceError, match="'finger', frame 8, vertex 5"):
        simulation.step(tracked(broken, frame=8))


def test_presets_are_read_and_checked(tmp_path, monkeypatch):
    assert PhysicsSettings.load("default") == PhysicsSettings()
    with pytest.raises(SimulationError, match=r"no tissue preset 'jelly'.*default"):
        PhysicsSettings.load("jelly")
    monkeypatch.setattr("nephim.sim.settings.FOLDER", tmp_path)
    (tmp_path / "odd.toml").write_text("w_string = 3.0")
    with pytest.raises(SimulationError, match="unknown value 'w_string'"):
        PhysicsSettings.load("odd")
    (tmp_path / "odd.toml").write_text("w_str = -3.0")
    with pytest.raises(SimulationError, match=r"'w_str'.*at least 0"):
        PhysicsSettings.load("odd")


def test_a_gap_of_nothing_is_refused(tmp_path, monkeypatch):
    """Tolerances and lengths of contact are multiples of it."""
    monkeypatch.setattr("nephim.sim.settings.INTERACTIONS", tmp_path)
    (tmp_path / "bare.toml").write_text("friction = 0.0\ngap = 0.0")
    with pytest.raises(SimulationError, match=r"bare\.toml sets 'gap' to 0.*0\.0005"):
        PhysicsSettings.load("default", "bare")
    (tmp_path / "bare.toml").write_text("friction = 0.0\ngap = 0.0005")
    assert PhysicsSettings.load("default", "bare").friction == 0.0
