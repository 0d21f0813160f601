# SPDX-License-Identifier: GPL-3.0-or-later
"""Contacts between skin and hands that live on across frames.

A contact ties a point of the skin to an anchor on a hand; both are three vertices with weights, so that a skin vertex
on a hand triangle and a hand vertex on a skin triangle are the same thing. The skin handed in is the *simulated* one,
carried along by the tracked motion: a hand that moves by less than its own thickness between two updates can then
never reach the far side, and where the skin came from decides on which side of a finger it stays.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..geometry.clearance import Clearance
from ..geometry.facing import closest_facing
from ..geometry.pseudonormals import face_direction
from ..geometry.topology import corner_lists
from ..geometry.triangle_bvh import TriangleTree, bounds, inside_box
from ..tuning import DEFAULT, ContactTuning
from .contacts import Contacts, across, interpolate, unit_between


@njit(cache=True, nogil=True)
def unit_normals(vertices, triangles, out):
    """Unit vertex normals, area weighted, written to out (n, 3)."""
    out[:] = 0.0
    for t in range(triangles.shape[0]):
        nx, ny, nz = face_direction(vertices, triangles, t)
        for k in range(3):
            v = triangles[t, k]
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2)
        if length > 0.0:
            out[v] /= length


@njit(cache=True, nogil=True)
def normals_at(ids, vertices, deformed, triangles, start, corners, known, normals, halfway):
    """At vertices ids (k,) that are not known (n,) yet: unit normals, and those halfway between these and the ones of
    the deformed surface (n, 3), written to normals and halfway (n, 3).

    start, corners: rows of the flattened (m, 3) corners per vertex.
    """
    for v in ids:
        if known[v]:
            continue
        known[v] = True
        normals[v] = 0.0
        halfway[v] = 0.0
        for c in range(start[v], start[v + 1]):
            t = corners[c] // 3
            n, d = face_direction(vertices, triangles, t), face_direction(deformed, triangles, t)
            for i in range(3):
                normals[v, i] += n[i]
                halfway[v, i] += d[i]
        _normalise(normals[v])
        _normalise(halfway[v])
        for i in range(3):
            halfway[v, i] += normals[v, i]
        _normalise(halfway[v])


@njit(cache=True, nogil=True)
def _normalise(vector):
    length = max(np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2), 1e-30)
    for i in range(3):
        vector[i] /= length


@njit(cache=True, nogil=True)
def _directions(normals, outward, carried, free, limit, held):
    result = normals.copy()
    for a in range(len(normals)):
        if held[a]:
            continue
        along = lateral = 0.0
        for i in range(3):
            along += carried[a, i] * outward[a, i]
        for i in range(3):
            lateral += (carried[a, i] - along * outward[a, i]) ** 2
        share = (np.sqrt(lateral) - free[a]) / max(limit[a] - free[a], 1e-12)
        share = min(max(share, 0.0), 1.0)
        for i in range(3):
            result[a, i] -= share * (normals[a, i] + outward[a, i])
        _normalise(result[a])
    return result


class ContactTracker:
    """Finds, keeps, slides and releases the contacts of all hands with the skin."""

    def __init__(
        self,
        outer: NDArray[np.bool_],
        rest: NDArray,
        skin_triangles: NDArray,
        hands: NDArray,
        hand_triangles: NDArray,
        tuning: ContactTuning = DEFAULT.contact,
        gap: float = 5e-4,
    ):
        self._tuning = tuning
        self._near_length, self._clear = tuning.near * gap, tuning.clear * gap
        self._search, self._deepest = tuning.search * gap, tuning.deepest * gap
        self._seen_from_hand = tuning.seen_from_hand * gap
        self.outer = outer
        self.n_skin = len(outer)
        self.skin_triangles = np.ascontiguousarray(skin_triangles, np.int32)
        self._outer_triangles = np.ascontiguousarray(self.skin_triangles[outer[skin_triangles].all(axis=1)])
        self.hand_triangles = np.ascontiguousarray(hand_triangles, np.int32)
        self._clearance = Clearance(self.n_skin, self._search)
        self._hand_clearance = Clearance(len(hands), self._search)
        self.contacts = Contacts.none()
        self._idle = Contacts.none()  # what touched without pushing: should it push in the next substep, it grips
        # Where they were asked for: of the tracked skin, and halfway between tracked and deformed.
        self.tracked_normals, self.skin_normals = np.zeros((2, self.n_skin, 3))
        self._known = np.zeros(self.n_skin, np.bool_)
        self._corners = corner_lists(self.skin_triangles, self.n_skin)
        self._tracked, self._deformed = rest, rest
        self._kept = np.zeros(self.n_skin + len(hands), np.bool_)  # keys of contacts that stay
        self.hand_normals = np.zeros((len(hands), 3))
        # Hands and tracked skin at the last update, where nothing jumped since.
        self._follows = False
        self._hands_before, self._tracked_before = np.zeros((len(hands), 3)), np.zeros((self.n_skin, 3))
        self._way = np.zeros((0, 3))  # of the hand along the skin since the last substep, at each contact
        self._hand_tree = TriangleTree(hands, self.hand_triangles)
        self._skin_tree = TriangleTree(rest, self._outer_triangles) if len(self._outer_triangles) else None

    def find_skin_with(self, clearance: Clearance) -> None:
        """Replaces the search for skin that is near a hand."""
        self._clearance = clearance

    def reset(self) -> None:
        self.contacts = Contacts.none()
        self.nothing_near()
        self._clearance.forget()
        self._hand_clearance.forget()

    def forget(self, vertices: NDArray[np.bool_]) -> None:
        """Drops the contacts of some of the hands' vertices (n_hand,)."""
        self._follows = False
        self.contacts = self.contacts.select(~vertices[self.contacts.hand[:, 0]])
        self._idle = self._idle.select(~vertices[self._idle.hand[:, 0]])

    def nothing_near(self) -> None:
        """Tells that time went by without an update: what touched without pushing is forgotten."""
        self._idle = Contacts.none()
        self._follows = False

    def release(self, tracked: TriangleTree, hands: NDArray) -> None:
        """Lets go where a hand (n_hand, 3) is clear of the tracked skin, whatever the deformed skin still clings to."""
        if len(self.contacts) == 0:
            return
        anchors = interpolate(hands, self.contacts.hand, self.contacts.hand_weights)
        distance, _, _, sign = tracked.closest(anchors, self._deepest)
        self.contacts = self.contacts.select(self.contacts.held | (sign < 0) | (distance < self._clear))

    def update(self, tracked: NDArray, skin: NDArray, hands: NDArray) -> None:
        """Finds new contacts of the skin (n_skin, 3) with hands (n_hand, 3); those that touched until now stay.

        Which side of a hand may push is told by normals halfway between those of the tracked skin (n_skin, 3) and of
        the deformed: the former do not know the sides of a fold, the latter turn over in it. A contact that would pull
        the skin out of the head is none.
        """
        low, high = bounds(hands)
        near_skin = inside_box(skin, low - self._search, high + self._search)
        if not self.outer[near_skin].any():
            self.contacts = self._idle = Contacts.none()
            self._follows = False
            return
        self.contacts = self.contacts.join(self._close(self._idle, skin, hands))
        self._tracked, self._deformed = tracked, skin
        self._known[:] = False
        unit_normals(hands, self.hand_triangles, self.hand_normals)
        self._hand_tree.refit(hands)
        self._expect_slip(skin, hands)
        pulls = np.einsum("ij,ij->i", self.normals(), self._outward()) >= self._tuning.outward
        kept = self.contacts = self.contacts.select(self.contacts.held | ~pulls)
        self._kept[:] = False
        self._kept[kept.key] = True
        found = self._skin_on_hand(skin).join(self._hand_on_skin(skin, hands))
        if self._follows:
            found.ahead[:] = self._way_of(found, tracked, hands)
        self._hands_before[:], self._tracked_before[:], self._follows = hands, tracked, True
        self.contacts = kept.join(found).in_order()
        self._way = self._offsets(skin, hands, slice(None))[2] + across(self.contacts.ahead, self.normals())

    def _expect_slip(self, skin: NDArray, hands: NDArray) -> None:
        """Where skin slipped in the last substep, ties it to the point of the hand that it will be opposite to when it
        slips by the same share of the hand's way again: the push comes from where they end up, not from where they
        were. Where friction would hold the skin stays the same."""
        contacts = self.contacts
        slips = np.flatnonzero((contacts.slip > 0) & ~contacts.held)
        if len(slips) == 0:
            return
        anchors, points, way = self._offsets(skin, hands, slips)
        slipped = contacts.slip[slips, None] * way
        on_hand = contacts.key[slips] < self.n_skin
        self._slide_on_hand(anchors[on_hand] - slipped[on_hand], self.normals(), slips[on_hand])
        self._slide_on_skin(points[~on_hand] + slipped[~on_hand], skin, slips[~on_hand])
        contacts.ahead[slips] = anchors - interpolate(hands, contacts.hand[slips], contacts.hand_weights[slips])
        contacts.ahead[slips] += interpolate(skin, contacts.skin[slips], contacts.skin_weights[slips]) - points

    def _way_of(self, found: Contacts, tracked: NDArray, hands: NDArray) -> NDArray[np.float64]:
        """How far the hand moved along the skin since the last update where contacts are found, (k, 3): they begin
        where both were before, so that friction acts against this way, not against the skin that follows it."""
        way = interpolate(hands, found.hand, found.hand_weights)
        way -= interpolate(self._hands_before, found.hand, found.hand_weights)
        way -= interpolate(tracked, found.skin, found.skin_weights)
        way += interpolate(self._tracked_before, found.skin, found.skin_weights)
        return across(way, unit_between(self.hand_normals, found.hand, found.hand_weights))

    def _offsets(
        self, skin: NDArray, hands: NDArray, which: NDArray | slice
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of some contacts: the anchors, the skin points, and the way from these to those along the hand, (k, 3)."""
        contacts = self.contacts
        anchors = interpolate(hands, contacts.hand[which], contacts.hand_weights[which])
        points = interpolate(skin, contacts.skin[which], contacts.skin_weights[which])
        return anchors, points, across(anchors - points, self.normals()[which])

    def _skin_on_hand(self, skin: NDArray) -> Contacts:
        near = self._clearance.near(self._hand_tree, skin, self._near_length)[0]
        chosen = near[self.outer[near] & ~self._kept[near]]
        self._find_normals(chosen)
        distance, triangle, weights = closest_facing(
            self._hand_tree,
            self.hand_normals,
            skin[chosen],
            -self.skin_normals[chosen],
            self._tuning.facing,
            self._search,
            -self._tuning.outward,
        )
        found = np.isfinite(distance)
        chosen, triangle, weights = chosen[found], triangle[found], weights[found]
        first = np.tile([1.0, 0.0, 0.0], (len(chosen), 1))
        return Contacts.new(chosen, np.column_stack([chosen] * 3), first, self.hand_triangles[triangle], weights)

    def _hand_on_skin(self, skin: NDArray, hands: NDArray) -> Contacts:
        if self._skin_tree is None:
            return Contacts.none()
        self._skin_tree.refit(skin)
        near, distance, triangle, weights, _ = self._hand_clearance.near(self._skin_tree, hands, self._near_length)
        new = (distance < self._seen_from_hand) & ~self._kept[near + self.n_skin]
        new[new] = self._faces(near[new], triangle[new], weights[new])
        near, triangle, weights = near[new], triangle[new], weights[new]
        first = np.tile([1.0, 0.0, 0.0], (len(near), 1))
        corners = self._skin_tree.triangles[triangle]
        return Contacts.new(near + self.n_skin, corners, weights, np.column_stack([near] * 3), first)

    def _faces(self, hand: NDArray, triangle: NDArray, weights: NDArray) -> NDArray[np.bool_]:
        """Whether hand vertices (k,) face the skin at points on triangles (k,) of its outer part, (k,)."""
        assert self._skin_tree is not None
        corners = self._skin_tree.triangles[triangle]
        self._find_normals(corners)
        normals = interpolate(self.skin_normals, corners, weights)
        return np.einsum("ij,ij->i", self.hand_normals[hand], normals) < -self._tuning.facing

    def normals(self) -> NDArray[np.float64]:
        """Unit normals of the hands at the anchors, (m, 3)."""
        return unit_between(self.hand_normals, self.contacts.hand, self.contacts.hand_weights)

    def _outward(self) -> NDArray[np.float64]:
        """Unit normals of the tracked skin at the contacts, (m, 3)."""
        self._find_normals(self.contacts.skin)
        return unit_between(self.tracked_normals, self.contacts.skin, self.contacts.skin_weights)

    def _find_normals(self, ids: NDArray) -> None:
        """Makes `tracked_normals` and `skin_normals` those of the last update at some vertices."""
        normals_at(
            ids.ravel(), self._tracked, self._deformed, self.skin_triangles, *self._corners, self._known,
            self.tracked_normals, self.skin_normals,
        )  # fmt: skip

    def directions(self, carried: NDArray, free: NDArray, limit: NDArray) -> NDArray[np.float64]:
        """Unit directions in which the skin is pushed, (m, 3).

        Skin that was carried (m, 3) [m] along the face by no more than `free` (m,) [m] is pushed along the hand's
        normal, skin carried as far as `limit` (m,) [m] straight into the head, so that it slips under the hand instead
        of piling up in front of it. What is held is pushed along the normal wherever it is.
        """
        return _directions(self.normals(), self._outward(), carried, free, limit, self.contacts.held)

    def settle(self, skin: NDArray, directions: NDArray, friction: NDArray) -> None:
        """After a solve: drops contacts that no longer push, and moves the anchors of those that slid.

        skin: (n_skin, 3) [m]; directions: (m, 3) in which they pushed; friction: (m,). What slips has reached the cone
        of friction, and slipped from the point where friction would have held it. Where skin and hand are close without
        pushing, this is remembered: found anew after the next move of the hand, a contact would have missed
        that move, and skin that changes from one contact to another would be left behind.
        """
        contacts = self.contacts
        along = np.einsum("ij,ij->i", contacts.force, directions)
        tangential = np.linalg.norm(contacts.force - along[:, None] * directions, axis=1)
        pushing = contacts.held | (along > 0)
        slid = ~pushing | ~contacts.held & (tangential > 0.999 * friction * along)
        anchors = interpolate(self._hand_tree.vertices, contacts.hand, contacts.hand_weights)
        points = interpolate(skin, contacts.skin, contacts.skin_weights)
        stuck = across(contacts.ahead, directions)
        off = np.where(slid[:, None], across(points - anchors, directions), stuck)
        square = np.einsum("ij,ij->i", self._way, self._way)
        slipped = np.einsum("ij,ij->i", stuck - off, self._way)
        contacts.slip[:] = np.clip(slipped / np.maximum(square, 1e-18), 0.0, 1.0)
        moved = np.flatnonzero(off.any(axis=1))
        contacts.ahead[:] = 0.0
        on_hand = contacts.key[moved] < self.n_skin
        self._slide_on_hand((anchors + off)[moved[on_hand]], directions, moved[on_hand])
        self._slide_on_skin((points - off)[moved[~on_hand]], skin, moved[~on_hand])
        idle = contacts.select(~pushing)
        idle.force[:] = 0.0
        self._idle = self._close(idle, skin, self._hand_tree.vertices)
        self.contacts = contacts.select(pushing)

    def _close(self, contacts: Contacts, skin: NDArray, hands: NDArray) -> Contacts:
        """Those whose points on skin (n_skin, 3) and hand (n_hand, 3) are near each other."""
        way = interpolate(skin, contacts.skin, contacts.skin_weights)
        way -= interpolate(hands, contacts.hand, contacts.hand_weights)
        return contacts.select(np.einsum("ij,ij->i", way, way) < self._near_length**2)

    def entered(
        self, before: Contacts, skin: NDArray, nearest: NDArray[np.int32], deepest: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """The vertices (k,) of the skin (n_skin, 3) that a solve left in a hand, the points (k, 3) of its surface where
        they are out of it, and the unit way there (k, 3).

        before: the contacts that were solved for; nearest: (n_skin,) triangles of the hands that were nearest; deepest:
        [m] they are looked for. Where a hand is convex, skin behind the plane of its contact alone can be in it.
        """
        own = before.key < self.n_skin
        vertices, hand, weights = before.key[own], before.hand[own], before.hand_weights[own]
        off = skin[vertices] - interpolate(self._hand_tree.vertices, hand, weights)
        behind = np.einsum("ij,ij->i", off, interpolate(self.hand_normals, hand, weights)) < 0
        vertices = vertices[behind]
        distance, triangle, barycentric, sign = self._hand_tree.closest(skin[vertices], deepest, nearest[vertices])
        inside = np.isfinite(distance) & (sign < 0) & (distance > 0)
        vertices, points = vertices[inside], self._hand_tree.points_at(triangle[inside], barycentric[inside])
        way = (points - skin[vertices]) / distance[inside, None]
        self._find_normals(vertices)
        faces = np.einsum("ij,ij->i", way, self.skin_normals[vertices]) < -self._tuning.facing
        return vertices[faces], points[faces], way[faces]

    def _slide_on_hand(self, points: NDArray, facing: NDArray, which: NDArray) -> None:
        """Anchors contacts (k,) of skin vertices where the hand is closest to points (k, 3)."""
        contacts = self.contacts
        distance, triangle, weights = closest_facing(
            self._hand_tree,
            self.hand_normals,
            points,
            facing[which],
            self._tuning.same_side,
            self._search,
            -self._tuning.outward,
        )
        found = np.isfinite(distance)
        contacts.hand[which[found]] = self.hand_triangles[triangle[found]]
        contacts.hand_weights[which[found]] = weights[found]

    def _slide_on_skin(self, points: NDArray, skin: NDArray, which: NDArray) -> None:
        """Ties contacts (k,) of hand vertices to the skin (n_skin, 3) where it is closest to points (k, 3)."""
        if self._skin_tree is None or len(which) == 0:
            return
        contacts, tree = self.contacts, self._skin_tree
        tree.refit(skin)
        distance, triangle, weights, _ = tree.closest(points, self._seen_from_hand)
        found = np.isfinite(distance)
        found[found] = self._faces(contacts.hand[which[found], 0], triangle[found], weights[found])
        contacts.skin[which[found]] = tree.triangles[triangle[found]]
        contacts.skin_weights[which[found]] = weights[found]
