# SPDX-License-Identifier: GPL-3.0-or-later
"""What ties skin to hands, on a round head and a capsule finger."""

import numpy as np
import pytest
from nephim.sim.contact import ContactTracker, interpolate
from volumes import RADIUS, finger, round_head


@pytest.mark.parametrize("seed", range(5))
def test_creases_of_a_crumpled_hand_do_not_push_skin_out_of_the_head(seed):
    head, hand = round_head(), finger()
    crumpled = hand.vertices + [RADIUS - 0.006, 0, 0]
    crumpled += np.random.default_rng(seed).normal(0, 0.002, crumpled.shape)
    tracker = ContactTracker(head.outer, head.skin_vertices, head.skin_triangles, crumpled, hand.triangles)
    tracker.update(head.skin_vertices, head.skin_vertices, crumpled)
    contacts = tracker.contacts
    assert len(contacts) > 5
    outward = interpolate(tracker.skin_normals, contacts.skin, contacts.skin_weights)
    assert np.einsum("ij,ij->i", tracker.normals(), outward).max() < 0.2
