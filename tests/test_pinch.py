# SPDX-License-Identifier: GPL-3.0-or-later
"""Two fingers pinch a fold of the round head, pull it, and let go."""

import numpy as np
import pytest
from nephim.sim.contact.contacts import Contacts
from nephim.sim.contact.pinch import PinchTracker
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(5), finger(0.007, 0.03)
HAND = Surface(
    np.concatenate([FINGER.vertices, FINGER.vertices]),
    np.concatenate([FINGER.triangles, FINGER.triangles + len(FINGER.vertices)]),
    "hand",
)
RATE = 30


def hand(gap: float, depth: float) -> np.ndarray:
    """Both fingers pointing at the head side by side: `gap` between them, their tips `depth` below the skin."""
    aside = np.array([0, gap / 2 + 0.007, 0])
    tip = np.array([RADIUS - depth, 0, 0])
    return np.concatenate([FINGER.vertices + tip - aside, FINGER.vertices + tip + aside])


def play(keys: list[tuple[int, float, float]]):
    """Steps through keys of (frame, gap, depth); yields (frame, result, simulation)."""
    simulation = Physics(TEMPLATE, PhysicsSettings.load("default"), right=HAND, frame_rate=RATE)
    frames, gaps, depths = np.array(keys).T
    for frame in range(int(frames[-1]) + 1):
        vertices = hand(np.interp(frame, frames, gaps), np.interp(frame, frames, depths))
        tracked = TrackedFrame(
            TEMPLATE.head_vertices.astype(np.float32), None, vertices.astype(np.float32), np.eye(4), frame=frame
        )
        yield frame, simulation.step(tracked), simulation


# Flesh that keeps its volume rises little between fingers: so thick a fold is held from a depth of 8 mm on.
APPROACH = [(0, 0.016, -0.004), (8, 0.016, 0.010), (16, 0.004, 0.010), (20, 0.004, 0.010)]


def test_a_pinch_holds_pulls_and_lets_go():
    pull = [
        *APPROACH,
        (30, 0.004, -0.006),
        (34, 0.004, -0.006),
        (37, 0.02, -0.006),
        (40, 0.02, -0.03),
        (80, 0.02, -0.06),
    ]
    held, height = {}, {}
    for frame, result, _ in play(pull):
        held[frame] = result.statistics["held"]
        height[frame] = float((np.linalg.norm(result.skin, axis=1) - RADIUS).max())
        assert np.isfinite(result.skin).all()
    assert not any(held[f] for f in range(9))  # pressing is not pinching
    assert held[20] > 0 and held[33] > 0
    assert height[33] > 0.004  # the fold is drawn out of the head
    opened = 35  # the gap is then well above the narrowest
    assert not any(held[f] for f in range(opened + 3, 81))  # let go within 100 ms
    assert height[opened + 8] < 0.5 * height[33]
    assert height[80] < 1e-4


def test_pressing_and_stroking_never_hold():
    for _, result, _ in play([(0, 0.016, -0.004), (8, 0.016, 0.008), (16, 0.016, 0.004), (20, 0.016, -0.01)]):
        assert result.statistics["held"] == 0


@pytest.mark.parametrize(("first_gap", "holds"), [(0.012, True), (0.004, False)])
def test_only_sides_that_have_closed_on_the_skin_hold_it(first_gap, holds):
    """Skin wedged between two fingers that lie side by side, as in a stroke over the lips, is not pinched."""
    tracker = PinchTracker(np.zeros(2, np.int64))
    ids, weights = np.array([[0, 0, 0], [1, 1, 1]]), np.tile([1.0, 0.0, 0.0], (2, 1))
    contacts = Contacts.new(np.arange(2), ids, weights, ids, weights)
    normals = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    for frame in range(20):
        gap = max(0.004, first_gap - 0.001 * frame)
        hands = np.array([[-gap / 2, 0, 0], [gap / 2, 0, 0]])
        tracker.watch(hands, 1 / RATE)
        tracker.update(contacts, hands, normals, np.zeros(2), 0.03, 1 / RATE)
    assert bool(tracker.holding[0]) == contacts.held.all() == holds


def test_a_triangle_of_held_vertices_is_not_held_a_second_time():
    """The first side holds a skin vertex and, by a hand vertex, a triangle of it; the other side another vertex."""
    tracker = PinchTracker(np.zeros(3, np.int64))
    skin = np.array([[0, 0, 0], [1, 1, 1], [0, 2, 3]])
    weights = np.array([[1.0, 0, 0], [1.0, 0, 0], [0.4, 0.3, 0.3]])
    ids = np.arange(3)[:, None].repeat(3, axis=1)
    whole = np.tile([1.0, 0, 0], (3, 1))
    contacts = Contacts.new(np.array([0, 1, 12]), skin, weights, ids, whole)
    normals = np.array([[1.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0]])
    for frame in range(20):
        gap = max(0.004, 0.012 - 0.001 * frame)
        hands = np.array([[-gap / 2, 0, 0], [gap / 2, 0, 0], [-gap / 2, 0.001, 0]])
        tracker.watch(hands, 1 / RATE)
        tracker.update(contacts, hands, normals, np.zeros(3), 0.03, 1 / RATE)
    assert contacts.held.tolist() == [True, True, False]


def test_skin_pulled_too_far_slips_away():
    limit = PhysicsSettings.load("default").pull_limit
    for frame, result, _ in play([*APPROACH, (50, 0.004, -0.06), (60, 0.004, -0.08)]):
        assert np.abs(result.skin - result.tracked).max() < 1.3 * limit, frame
    assert result.statistics["held"] == 0
