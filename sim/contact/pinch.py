# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinches: skin held between two parts of a hand that face each other is pulled along, not only pushed.

A pinch is seen in the contacts themselves: skin that the same hand presses from two opposite sides, close together,
which have closed on it. Skin wedged between two fingers that only lie side by side is not pinched. No finger has to be
named, so it works for every hand. Held contacts pull as well as push, and do not slip.
"""

from collections import deque

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..tuning import DEFAULT, PinchTuning
from .contacts import Contacts, interpolate


class PinchTracker:
    """Watches the contacts of each hand from frame to frame and marks those that hold.

    hand_of: (n_hand,) index of the hand that each hand vertex belongs to.
    """

    def __init__(self, hand_of: NDArray[np.int64], tuning: PinchTuning = DEFAULT.pinch, gap: float = 5e-4):
        self._hand_of, self._tuning, self._gap = hand_of, tuning, gap
        self._hands = int(hand_of.max()) + 1
        self.reset()

    def reset(self) -> None:
        """Forgets every pinch, and where the hands were."""
        self.end()
        self._past: deque[NDArray] = deque()  # the hands of the last frames, the newest last

    def end(self) -> None:
        """Ends every pinch: the hands are off the skin."""
        self._lasting = np.zeros(self._hands)
        self._lost = np.zeros(self._hands)
        self._narrowest = np.full(self._hands, np.inf)
        self._spent = np.zeros(self._hands, bool)  # let go: not to be grabbed again before the hand is off the skin
        self.holding = np.zeros(self._hands, bool)

    def watch(self, hands: NDArray, duration: float) -> None:
        """Remembers where the hands (n_hand, 3) [m] are in a frame of `duration` [s]; to be called in every frame."""
        self._past.append(hands)
        while len(self._past) > 1 + self._tuning.closing_time / duration:
            self._past.popleft()

    def forget(self, hands: NDArray[np.bool_]) -> None:
        """Ends the pinches of some hands (n_hands,)."""
        self._lasting[hands] = self._lost[hands] = 0.0
        self._narrowest[hands] = np.inf
        self._spent[hands] = self.holding[hands] = False
        self._past.clear()

    def update(
        self, contacts: Contacts, hands: NDArray, normals: NDArray, carried: NDArray, limit: float, duration: float
    ) -> None:
        """Sets `contacts.held` after a frame of `duration` [s].

        hands: (n_hand, 3) [m]; normals: (m, 3) of the hands at the anchors; carried: (m,) how far the skin was
        carried [m];
        limit: how far it may be.
        """
        anchors = interpolate(hands, contacts.hand, contacts.hand_weights)
        owner = self._hand_of[contacts.hand[:, 0]] if len(contacts) else np.zeros(0, np.int64)
        for hand in range(self._hands):
            own = np.flatnonzero(owner == hand)
            pairs, gap = self._opposed(anchors[own], normals[own])
            opposed = np.zeros(len(own), bool)
            opposed[pairs] = True
            closing = self.holding[hand] or self._closing(contacts.select(own), pairs, gap)
            self._advance(hand, gap, bool(opposed.any()) and closing, duration, len(own) == 0)
            if self.holding[hand] and len(own) and carried[own][contacts.held[own]].max(initial=0.0) > limit:
                self._let_go(hand)
            contacts.held[own] = (contacts.held[own] | opposed) if self.holding[hand] else False
        _hold_once(contacts)

    def _closing(self, contacts: Contacts, pairs: NDArray[np.int64], gap: float) -> bool:
        """Whether the sides of the pairs (p, 2) of contacts were further apart not long ago than their present gap
        [m]."""
        if not len(pairs):
            return False
        for hands in self._past:
            anchors = interpolate(hands, contacts.hand, contacts.hand_weights)
            apart = np.linalg.norm(anchors[pairs[:, 0]] - anchors[pairs[:, 1]], axis=1)
            if np.median(apart) > gap + self._tuning.closed * self._gap:
                return True
        return False

    def _advance(self, hand: int, gap: float, opposed: bool, duration: float, off: bool) -> None:
        tuning = self._tuning
        if off:
            self._spent[hand] = False
        self._narrowest[hand] = min(self._narrowest[hand], gap)
        opening = opposed and gap > tuning.opening_factor * self._narrowest[hand] + tuning.opening * self._gap
        self._lasting[hand] = self._lasting[hand] + duration if opposed and not opening else 0.0
        self._lost[hand] = 0.0 if opposed else self._lost[hand] + duration
        if self.holding[hand]:
            if opening or self._lost[hand] >= tuning.lose_time:
                self._let_go(hand)
        elif not opposed:
            self._narrowest[hand] = np.inf
        elif self._lasting[hand] >= tuning.grab_time and not self._spent[hand]:
            self.holding[hand] = True

    def _let_go(self, hand: int) -> None:
        self.holding[hand] = False
        self._spent[hand] = True
        self._lasting[hand] = 0.0
        self._narrowest[hand] = np.inf

    def _opposed(self, anchors: NDArray, normals: NDArray) -> tuple[NDArray[np.int64], float]:
        """Pairs (p, 2) of (m, 3) contacts on the two sides of a fold, and the median gap between them [m]."""
        tuning, room = self._tuning, 16
        while True:
            pairs, distance = np.empty((room, 2), np.int64), np.empty(room)
            count = _find_opposed(
                anchors, normals, tuning.opposed, tuning.widest * self._gap, tuning.across, pairs, distance
            )
            if count <= room:
                return pairs[:count], float(np.median(distance[:count])) if count else np.inf
            room = count


@njit(cache=True, nogil=True)
def _find_opposed(anchors, normals, opposed, widest, across, pairs, distance):
    """Writes pairs (p, 2) of anchors (m, 3) closer than `widest` whose normals (m, 3) face each other, and their
    distances (p,), as far as there is room; returns their number."""
    count = 0
    for a in range(len(anchors)):
        for b in range(a + 1, len(anchors)):
            cosine = square = from_a = from_b = 0.0
            for i in range(3):
                way = anchors[b, i] - anchors[a, i]
                square += way * way
                cosine += normals[a, i] * normals[b, i]
                from_a += way * normals[a, i]
                from_b -= way * normals[b, i]
            apart = np.sqrt(square)
            least = across * apart
            if cosine < opposed and 0.0 < apart < widest and from_a > least and from_b > least:
                if count < len(pairs):
                    pairs[count, 0], pairs[count, 1], distance[count] = a, b, apart
                count += 1
    return count


def _hold_once(contacts: Contacts) -> None:
    """Where a skin vertex is held itself, hand vertices on its triangles only push: skin held twice would be torn
    between the two, as it was not grabbed at one time."""
    if not contacts.held.any():
        return
    of_vertex = contacts.skin_weights[:, 0] == 1.0
    doubled = np.isin(contacts.skin, contacts.skin[of_vertex & contacts.held, 0]).any(axis=1) & ~of_vertex
    contacts.held &= ~doubled
