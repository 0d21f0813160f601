# SPDX-License-Identifier: GPL-3.0-or-later
"""Tuning of the method: one value changed by name, the others as they were; lengths follow the contact gap."""

import numpy as np
import pytest
from nephim.sim.contact.tracker import ContactTracker
from nephim.sim.tuning import DEFAULT, ContactTuning
from volumes import RADIUS, finger, round_head


def test_one_value_is_changed_by_name():
    changed = DEFAULT.changed("step.follow", 2)
    assert (changed.step.follow, changed.step.settle) == (2.0, DEFAULT.step.settle)
    assert changed.contact == DEFAULT.contact and DEFAULT.step.follow == 2.5
    assert isinstance(DEFAULT.changed("step.first_substeps", 12.0).step.first_substeps, int)


@pytest.mark.parametrize("name", ["follow", "step.fellow", "steps.follow", ""])
def test_an_unknown_name_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"contact\.near.*step\.follow"):
        DEFAULT.changed(name, 1.0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_contact_lengths_follow_the_gap(scale):
    """A scene ten times as large, with a gap ten times as wide, has the same contacts."""
    head, hand = round_head(), finger()
    at = hand.vertices + [RADIUS - 0.003, 0, 0]
    tracker = ContactTracker(
        head.outer, scale * head.skin_vertices, head.skin_triangles, scale * at, hand.triangles,
        ContactTuning(), scale * 5e-4,
    )  # fmt: skip
    tracker.update(scale * head.skin_vertices, scale * head.skin_vertices, scale * at)
    usual = ContactTracker(head.outer, head.skin_vertices, head.skin_triangles, at, hand.triangles)
    usual.update(head.skin_vertices, head.skin_vertices, at)
    assert len(usual.contacts) > 5
    assert np.array_equal(np.sort(tracker.contacts.key), np.sort(usual.contacts.key))
