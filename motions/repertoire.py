# SPDX-License-Identifier: GPL-3.0-or-later
"""Gestures of hands on faces, with the ranges from which depth, speed and length are drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..demo.gestures import FIST, FLAT, PINCH_CLOSED, PINCH_OPEN, POINT, RELAXED, Spot

Range = tuple[float, float]


@dataclass(frozen=True)
class Grip:
    """A way of touching with one hand.

    opened, closed: hand poses as the hand's `posed` takes them; apart only in a pinch. spot: from posed vertices (n, 3)
    [m] the spot that touches. lift, roll: degrees between hand and skin, as in `gestures.place`.
    """

    opened: NDArray[np.float64]
    closed: NDArray[np.float64]
    spot: Callable[[NDArray], Spot]
    lift: Range = (0.0, 0.0)
    roll: Range = (-10.0, 10.0)


@dataclass(frozen=True)
class Gesture:
    """depth: mm of the spot below the skin; contact: seconds; path: how the spot travels on the skin.

    path "still" stays, "line" goes one way, "there_and_back" turns `turns` times, "circle" goes `turns` rounds, "taps"
    leaves the skin `turns` times, "pull" carries what the pads hold. length: mm of the way, radius of a circle, or of
    the pull. both: share of the performances in which the other hand mirrors it.
    """

    name: str
    grips: tuple[str, ...]
    depth: Range
    contact: Range
    path: str
    length: Range = (0.0, 0.0)
    turns: tuple[int, int] = (1, 1)
    both: float = 0.15
    weight: float = 1.0


GESTURES = (
    Gesture("touch", ("index", "pads", "thumb"), (0.3, 2.5), (0.3, 0.9), "still"),
    Gesture("press", ("index", "thumb", "pads", "knuckles"), (3.0, 10.0), (0.4, 1.2), "still", weight=1.6),
    Gesture("stroke", ("index", "pads", "flat", "thumb"), (1.0, 5.0), (0.5, 1.3), "line", (15, 60), weight=1.6),
    Gesture("rub", ("pads", "index", "palm", "thumb"), (1.5, 6.0), (0.7, 1.6), "circle", (4, 11), (1, 3), weight=1.3),
    Gesture("scratch", ("nails",), (0.8, 3.0), (0.6, 1.3), "there_and_back", (6, 16), (3, 6)),
    Gesture("tap", ("index", "pads", "flat"), (1.0, 4.0), (0.5, 1.2), "taps", turns=(2, 4)),
    Gesture("squeeze", ("flat", "palm"), (3.0, 8.0), (0.5, 1.2), "still", both=1.0),
    Gesture("tug", ("index", "pads", "thumb"), (2.5, 7.0), (0.5, 1.1), "line", (5, 14), weight=1.3),
    Gesture("pinch_pull", ("pinch",), (2.0, 7.0), (0.7, 1.2), "pull", (4, 12), both=0.0, weight=1.3),
    Gesture("caress", ("back", "flat", "pads"), (0.3, 2.0), (0.6, 1.4), "line", (25, 80)),
    Gesture("lean", ("palm", "knuckles", "flat"), (2.0, 6.0), (0.8, 1.8), "still"),
    Gesture("rest", ("flat", "pads", "back"), (0.5, 3.0), (0.8, 1.8), "still"),
)

# Per finger the bends of three joints and the spread, degrees, as in `demo.gestures`.
_THUMB_ASIDE = [0, -15, -10, -38]  # in the plane of the palm, out of the way of the face
_LAID = np.array([_THUMB_ASIDE, [-6, -2, 0, 0], [-6, -2, 0, 0], [-4, 0, 0, 0], [-2, 0, 0, 4]], float)
_CLAW = np.array([_THUMB_ASIDE, [28, 42, 30, 3], [30, 42, 30, 0], [30, 42, 30, -3], [32, 42, 30, -6]], float)
_TOGETHER = np.array([_THUMB_ASIDE, [14, 12, 6, 0], [12, 12, 6, 0], [15, 12, 6, 0], [30, 30, 20, 0]], float)
_THUMB_OUT = np.array([[0, -8, -8, 0], [55, 70, 40, 0], [60, 74, 42, 0], [62, 74, 42, 0], [62, 74, 42, 0]], float)

# name → pose opened, pose closed, bone and place along it, palmar side, lift, roll.
_POSES: dict[str, tuple] = {
    "index": (POINT, POINT, "finger2-3", 0.75, True, (-58, -22), (-15, 15)),
    "thumb": (_THUMB_OUT, _THUMB_OUT, "finger1-3", 0.65, True, (-45, -15), (-15, 15)),
    "pads": (_TOGETHER, _TOGETHER, "finger3-3", 0.5, True, (-30, -8), (-8, 8)),
    "nails": (_CLAW, _CLAW, "finger3-3", 0.9, True, (-58, -38), (-8, 8)),
    "flat": (_LAID, _LAID, "finger3-1", 0.6, True, (0, 12), (-8, 8)),
    "palm": (FLAT, FLAT, "metacarpal3", 0.9, True, (0, 8), (-8, 12)),
    "back": (RELAXED, RELAXED, "finger3-2", 0.4, False, (-8, 8), (-10, 10)),
    "knuckles": (FIST, FIST, "finger3-1", 0.6, False, (-20, 5), (-10, 10)),
}
# Of the demo's open and closed pinch: how far the pads are opened and closed.
_PINCH_OPENED, _PINCH_CLOSED = 0.9, -0.1


def demo_grips(posed: Callable, hand_spot: Callable, pad: Callable) -> dict[str, Grip]:
    """The grips of a hand with MakeHuman's bones.

    posed: pose → vertices; hand_spot: (posed vertices, vertex, along) → Spot; pad: (bone, fraction, palmar) → vertex.
    """
    grips = {}
    for name, (opened, closed, bone, fraction, palmar, lift, roll) in _POSES.items():
        # Seen from the spot, the fingers point along the skin; a fist's knuckles have the palm's direction there.
        along = np.array([0.0, 0.0, 1.0]) if name == "knuckles" else np.array([0.0, 1.0, 0.0])
        vertex = pad(bone, fraction, palmar)
        grips[name] = Grip(opened, closed, _at(hand_spot, vertex, along), lift, roll)
    thumb, index = pad("finger1-3", 0.6, True), pad("finger2-3", 0.6, True)

    def between(vertices: NDArray) -> Spot:
        across = vertices[index] - vertices[thumb]
        across = across / np.linalg.norm(across)
        pointing = np.array([0.0, 0.35, 1.0])  # of a pinch: out of the palm, a little along the fingers
        pointing = pointing - (pointing @ across) * across
        return Spot((vertices[thumb] + vertices[index]) / 2, pointing / np.linalg.norm(pointing), across)

    opened, closed = (PINCH_CLOSED + k * (PINCH_OPEN - PINCH_CLOSED) for k in (_PINCH_OPENED, _PINCH_CLOSED))
    grips["pinch"] = Grip(opened, closed, between, (-8, 8), (-15, 15))
    return grips


def _at(hand_spot: Callable, vertex: int, along: NDArray) -> Callable[[NDArray], Spot]:
    return lambda vertices: hand_spot(vertices, vertex, along)
