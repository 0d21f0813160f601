# SPDX-License-Identifier: GPL-3.0-or-later
"""Friction by region: what a region's share means, and that lips follow a finger further than cheeks."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.choices import REGIONS
from nephim.sim.contact.contacts import Contacts
from nephim.sim.contact.grip import Grip
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import CHEEK, LIPS, SCALP
from nephim.sim.volume.regions import STIFFNESS
from volumes import RADIUS, finger, round_head

SETTINGS = PhysicsSettings(friction=0.4, drag_limit=0.005, lips_grip=2.0, lips_drag=3.0, scalp_grip=0.5)


def head_of(*shares: tuple[int, float]):
    head = round_head()
    region = np.zeros((head.n_skin, len(REGIONS)), np.float32)
    for name, share in shares:
        region[:, name] = share
    return replace(head, skin_region=region)


@pytest.mark.parametrize(
    ("shares", "friction", "drag"),
    [
        (((CHEEK, 1.0),), 0.4, 0.005),
        (((LIPS, 1.0),), 0.8, 0.015),
        (((SCALP, 1.0),), 0.2, 0.005),
        (((LIPS, 0.5), (SCALP, 0.5)), 0.5, 0.010),
    ],
)
def test_a_region_grips_in_proportion_to_its_share(shares, friction, drag):
    grip = Grip.of(head_of(*shares), SETTINGS)
    assert np.allclose(grip.friction, friction) and np.allclose(grip.drag_limit, drag)


def test_a_volume_without_regions_is_a_cheek_everywhere():
    grip = Grip.of(round_head(), SETTINGS)
    assert (grip.friction == SETTINGS.friction).all() and (grip.drag_limit == SETTINGS.drag_limit).all()


def test_between_vertices_the_grip_is_interpolated_and_equal_values_stay_exact():
    values = np.array([0.1, 0.5, 0.9, 0.3, 0.3, 0.3])
    skin, weights = np.array([[0, 1, 2], [3, 4, 5]]), np.array([[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]])
    contacts = Contacts.new(np.arange(2), skin, weights, skin, weights)
    friction, drag = Grip(values, 2 * values).at(contacts)
    assert np.allclose(friction, [0.62, 0.3]) and friction[1] == 0.3
    assert np.allclose(drag, 2 * friction)


def test_each_region_has_its_stiffness():
    assert dict(zip(REGIONS, STIFFNESS, strict=True)) == {"cheek": 1.0, "lips": 1.5, "scalp": 3.0, "cartilage": 20.0}


def drag(head) -> float:
    """How far [m] a finger that presses 4 mm deep and then moves by 12 mm along the skin carries it."""
    tip = finger()
    physics = Physics(head, SETTINGS, right=tip)
    surface = head.head_vertices.astype(np.float32)
    for depth, along in [
        (-0.002, 0),
        (0.002, 0),
        (0.004, 0),
        (0.004, 0.003),
        (0.004, 0.006),
        (0.004, 0.009),
        (0.004, 0.012),
    ]:
        hand = (tip.vertices + np.array([RADIUS - depth, along, 0.0])).astype(np.float32)
        result = physics.step(TrackedFrame(surface, None, hand, np.eye(4)))
    return float((result.skin - result.tracked)[:, 1].max())


def test_a_finger_carries_lips_further_than_a_cheek_and_hair_less():
    lips, cheek, scalp = (drag(head_of((region, 1.0))) for region in (LIPS, CHEEK, SCALP))
    assert lips > 1.2 * cheek and cheek > 1.2 * scalp
