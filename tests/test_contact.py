# SPDX-License-Identifier: GPL-3.0-or-later
"""What ties skin to hands, on a round head and a capsule finger."""

import numpy as np
import pytest
from nephim.sim.contact.contacts import interpolate
from nephim.sim.contact.tracker import ContactTracker
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
    outward = interpolate(tracker.tracked_normals, contacts.skin, contacts.skin_weights)
    assert np.einsum("ij,ij->i", tracker.normals(), outward).max() < 0.2


def test_skin_carried_far_is_pushed_into_the_head_and_no_further_along():
    head, hand = round_head(), finger()
    pushing = hand.vertices + [RADIUS - 0.004, 0, 0]
    tracker = ContactTracker(head.outer, head.skin_vertices, head.skin_triangles, pushing, hand.triangles)
    tracker.update(head.skin_vertices, head.skin_vertices, pushing)
    contacts = tracker.contacts
    outward = interpolate(tracker.tracked_normals, contacts.skin, contacts.skin_weights)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    along = np.cross(outward, [0.0, 0, 1])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    normals = tracker.normals()
    free, limit = np.full(len(contacts), 0.003), np.full(len(contacts), 0.01)
    assert np.allclose(tracker.directions(0.003 * along - 0.009 * outward, free, limit), normals)
    assert np.allclose(tracker.directions(0.01 * along, free, limit), -outward)
    between = tracker.directions(0.006 * along, free, limit)
    assert np.allclose(np.linalg.norm(between, axis=1), 1)
    steeper = np.einsum("ij,ij->i", between, -outward) - np.einsum("ij,ij->i", normals, -outward)
    assert steeper.min() > -1e-9 and steeper.max() > 1e-3
    contacts.held[:] = True
    assert np.allclose(tracker.directions(0.01 * along, free, limit), normals)


def test_the_sides_of_a_fold_are_seen_by_hands_that_face_them():
    """A ridge drawn out of the skin: a finger beside it faces its flank, not the skin the ridge was drawn from."""
    head, hand = round_head(6), finger(0.004, 0.02)
    x, y, z = head.skin_vertices.T
    skin = head.skin_vertices.copy()
    skin[:, 0] += np.where(x > 0, 0.02 * np.exp(-((y / 0.004) ** 2) - (z / 0.02) ** 2), 0.0)
    # The finger lies along z, half a millimetre into the flank at half the ridge's height.
    lying = hand.vertices[:, [1, 2, 0]] + [RADIUS + 0.01, 0.0033 + 0.004 - 0.0005, -0.014]
    tracker = ContactTracker(head.outer, head.skin_vertices, head.skin_triangles, lying, hand.triangles)
    tracker.update(head.skin_vertices, skin, lying)
    flank = tracker.normals()[:, 1] < -0.8
    assert flank.sum() > 2


def test_a_finger_within_one_triangle_of_the_skin_touches_it():
    """No vertex of a coarse skin is near a fingertip, nor in its bounding box."""
    head, tip = round_head(2), finger(0.003, 0.005)
    triangle = head.skin_vertices[head.skin_triangles[head.outer[head.skin_triangles].all(axis=1)][0]]
    centre, outward = triangle.mean(axis=0), np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    outward /= np.linalg.norm(outward)
    aside = np.cross(outward, [0.3, 0.5, 0.8])
    aside /= np.linalg.norm(aside)
    frame = np.array([outward, aside, np.cross(outward, aside)])
    pushing = centre - 0.001 * outward + tip.vertices @ frame
    assert np.linalg.norm(triangle - centre, axis=1).min() > 0.005
    tracker = ContactTracker(head.outer, head.skin_vertices, head.skin_triangles, pushing, tip.triangles)
    tracker.update(head.skin_vertices, head.skin_vertices, pushing)
    assert len(tracker.contacts) > 0
    assert (tracker.contacts.key >= head.n_skin).all()
