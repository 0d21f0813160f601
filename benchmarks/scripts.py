# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of the interaction set: poking, rubbing, scratching, squeezing, pulling … on the demo character.

Depths follow the tissue: up to 10 mm on the cheek, 2 to 4 mm where bone lies close below. Times are seconds, depths
and offsets millimetres, places degrees and metres as `interactions.Act` explains.
"""

import numpy as np
from nephim.demo.gestures import FIST, PINCH_CLOSED, PINCH_OPEN, POINT

from .interactions import Act, Keys, Script, between_pads, pad

# Per finger the bends of three joints and the spread, degrees, as in `gestures`.
SPREAD_THUMB = [0, -15, -10, -38]  # in the plane of the palm, out of the way of the face
LAID = np.array([SPREAD_THUMB, [-6, -2, 0, 0], [-6, -2, 0, 0], [-4, 0, 0, 0], [-2, 0, 0, 4]], float)
CLAW = np.array([SPREAD_THUMB, [28, 42, 30, 3], [30, 42, 30, 0], [30, 42, 30, -3], [32, 42, 30, -6]], float)
TOGETHER = np.array([SPREAD_THUMB, [14, 12, 6, 0], [12, 12, 6, 0], [15, 12, 6, 0], [30, 30, 20, 0]], float)

_FINGERTIP, _THREE_PADS, _NAILS = pad("finger2-3", 0.75), pad("finger3-3", 0.5), pad("finger3-3", 0.9)
_FLAT_FINGERS = pad("finger3-1", 0.6)
_UP_LEFT, _UP_RIGHT = (0.6, 0.1, 0.8), (-0.6, 0.1, 0.8)


def _index(place: Keys, depth: Keys, **more) -> Act:
    """The right index finger, steep on the skin."""
    return Act("R", [(0, POINT)], _FINGERTIP, place, depth, more.pop("along", _UP_LEFT), lift=-42.0, **more)


def _palm(side: str, place: Keys, depth: Keys, **more) -> Act:
    """A flat hand laid on; the left hand mirrors the right one's place."""
    sign = 1 if side == "R" else -1
    mirrored = [(t, sign * azimuth, height) for t, azimuth, height in place]
    along = (sign * 0.25, 0.1, 0.95)
    return Act(side, [(0, LAID)], _FLAT_FINGERS, mirrored, depth, along, lift=8.0, **more)


def _pinch(
    place: tuple,
    approach: tuple,
    along: tuple,
    gap: float,
    away: float,
    pull: tuple,
    wide: float = 1.0,
    deep: float = 0.0,
) -> Act:
    """Open pads reach the skin in 0.4 s, hold it from 0.7 s, pull until 1.3 s and open at 1.4 s.

    gap, wide: how far the pads are closed and open, between the demo's closed (0) and open (1) pinch; away: mm in front
    of the skin where the hand waits; pull: mm; deep: mm of the pads' middle below the skin while they close.
    """
    closed, opened = (PINCH_CLOSED + k * (PINCH_OPEN - PINCH_CLOSED) for k in (gap, wide))
    return Act(
        "R",
        [(0, opened), (0.4, opened), (0.7, closed), (1.36, closed), (1.5, opened), (2, opened)],
        between_pads,
        [(0, *place)],
        [(0, -away), (0.4, deep), (1.5, deep), (1.9, -away), (2, -away)],
        along,
        approach,
        offset=[(0, 0, 0, 0), (0.75, 0, 0, 0), (1.3, *pull), (1.5, *pull), (2, *pull)],
    )


def _circles(rounds: float, start: float, end: float, centre: tuple, size: tuple) -> Keys:
    """Places on an ellipse of `size` (degrees, metres) about a centre."""
    angle = np.linspace(0, 2 * np.pi * rounds, round(12 * rounds) + 1)
    times = np.linspace(start, end, len(angle))
    return [
        (t, centre[0] + size[0] * np.sin(a), centre[1] + size[1] * (1 - np.cos(a)))
        for t, a in zip(times, angle, strict=True)
    ]


def _back_and_forth(start: float, end: float, strokes: int, first: tuple, last: tuple) -> Keys:
    times = np.linspace(start, end, strokes + 1)
    return [(t, *(first if k % 2 == 0 else last)) for k, t in enumerate(times)]


_LOW, _HIGH = (-58, 0.045), (-52, 0.088)  # along the cheek from the jaw to the cheekbone

SCRIPTS = (
    Script(
        "poke",
        "index finger jabs the cheek",
        1.2,
        (_index([(0, -52, 0.062)], [(0, -40), (0.4, 0), (0.5, 9), (0.6, 8), (0.75, -4), (1.2, -40)]),),
    ),
    Script(
        "press",
        "index finger presses the cheek slowly and stays",
        1.8,
        (_index([(0, -55, 0.060)], [(0, -30), (0.3, 0), (0.9, 10), (1.2, 10), (1.5, 0), (1.8, -30)]),),
    ),
    Script(
        "stroke_up",
        "index finger strokes from the jaw to the cheekbone",
        1.6,
        (
            _index(
                [(0, *_LOW), (0.45, *_LOW), (1.2, *_HIGH), (1.6, *_HIGH)],
                [(0, -35), (0.35, 0), (0.5, 5), (1.15, 4), (1.3, -4), (1.6, -35)],
            ),
        ),
    ),
    Script(
        "stroke_down",
        "the same way back",
        1.6,
        (
            _index(
                [(0, *_HIGH), (0.45, *_HIGH), (1.2, *_LOW), (1.6, *_LOW)],
                [(0, -35), (0.35, 0), (0.5, 4), (1.15, 5), (1.3, -4), (1.6, -35)],
            ),
        ),
    ),
    Script(
        "rub",
        "three finger pads rub the cheek in circles",
        2.0,
        (
            Act(
                "R",
                [(0, TOGETHER)],
                _THREE_PADS,
                _circles(2, 0.4, 1.6, (-52, 0.056), (7, 0.009)),
                [(0, -40), (0.35, 0), (0.5, 5), (1.5, 5), (1.65, -2), (2, -40)],
                _UP_LEFT,
                lift=-18.0,
            ),
        ),
    ),
    Script(
        "scratch",
        "bent fingers scratch the jaw, three strokes a second",
        1.6,
        (
            Act(
                "R",
                [(0, CLAW)],
                _NAILS,
                _back_and_forth(0.35, 1.3, 6, (-62, 0.052), (-57, 0.066)),
                [(0, -40), (0.3, 0), (0.4, 3), (1.2, 3), (1.35, -3), (1.6, -40)],
                _UP_LEFT,
                lift=-50.0,
            ),
        ),
    ),
    Script(
        "tap",
        "index finger taps the cheekbone three times",
        1.6,
        (
            _index(
                [(0, -45, 0.098)],
                [
                    (0, -30),
                    (0.3, -8),
                    (0.4, 2),
                    (0.5, -8),
                    (0.7, -8),
                    (0.8, 2.5),
                    (0.9, -8),
                    (1.1, -8),
                    (1.2, 3),
                    (1.3, -8),
                    (1.6, -30),
                ],
            ),
        ),
    ),
    Script(
        "swipe",
        "a flat hand crosses the whole cheek within two frames",
        1.2,
        (
            Act(
                "R",
                [(0, LAID)],
                pad("finger3-2", 0.5),
                [(0, -92, 0.068), (0.5, -92, 0.068), (0.567, -30, 0.064), (1.2, -25, 0.064)],
                [(0, -30), (0.45, 3), (0.5, 4), (0.567, 4), (0.7, -15), (1.2, -40)],
                (0.2, 0.0, 1.0),
                lift=-8.0,
            ),
        ),
    ),
    Script(
        "squeeze",
        "both palms squeeze the cheeks together",
        1.8,
        tuple(
            _palm(side, [(0, -56, 0.056)], [(0, -45), (0.5, 0), (0.9, 7), (1.2, 7), (1.5, -3), (1.8, -45)])
            for side in "LR"
        ),
    ),
    Script(
        "nose_push",
        "index finger pushes the tip of the nose up and aside",
        1.6,
        (
            Act(
                "R",
                [(0, POINT)],
                _FINGERTIP,
                [(0, -0.006, -0.127, 0.0925)],
                [(0, -40), (0.4, -1), (0.6, 3), (0.8, 5), (1.0, 5), (1.25, -5), (1.6, -40)],
                (0.3, -0.2, 0.93),
                approach=(-0.62, -0.62, -0.48),
                lift=-45.0,
                offset=[(0, 0, 0, 0), (0.5, 0, 0, 0), (0.8, 4, 0, 4), (1.0, 4, 0, 4), (1.25, 0, 0, 0), (1.6, 0, 0, 0)],
            ),
        ),
    ),
    Script(
        "lip_drag",
        "index finger drags the lower lip down and aside",
        1.8,
        (
            _index(
                [(0, -6, 0.058)],
                [(0, -40), (0.4, -1), (0.6, 4), (1.1, 4), (1.35, -4), (1.8, -40)],
                along=(0.5, 0.1, 0.86),
                offset=[(0, 0, 0, 0), (0.6, 0, 0, 0), (1.1, -7, 2, -9), (1.35, -8, 1, -10), (1.8, -8, 0, -10)],
            ),
        ),
    ),
    Script(
        "pull_ear_lobe",
        "thumb and index take the ear lobe, pull it down and let go",
        2.0,
        (_pinch((-0.078, -0.011, 0.084), (-0.4, 0.25, -0.88), (0.6, 0.8, 0.0), -0.2, 35, (-5, 0, -10), 0.4),),
        (0.7, 1.4),
    ),
    Script(
        "pull_cheek",
        "thumb and index take a fold of the cheek, pull it out and let go",
        2.0,
        (_pinch((-0.052, -0.083, 0.060), (-0.75, -0.62, -0.22), (0.66, -0.62, 0.42), -0.1, 45, (-10, -8, -2), deep=7),),
        (0.7, 1.4),
    ),
    Script(
        "pull_lower_lip",
        "thumb and index take the lower lip, pull it out and let go",
        2.0,
        (_pinch((0.0, -0.112, 0.057), (0.0, -0.85, -0.5), (1.0, 0.0, 0.0), -0.1, 45, (0, -9, -5)),),
        (0.7, 1.4),
    ),
    Script(
        "face_rub",
        "both hands rub down the face, from the brows over the cheeks",
        1.8,
        tuple(
            _palm(
                side,
                [(0, -38, 0.115), (0.45, -38, 0.115), (1.3, -52, 0.055), (1.8, -52, 0.055)],
                [(0, -45), (0.4, -2), (0.55, 3), (1.2, 5), (1.4, -4), (1.8, -45)],
            )
            for side in "LR"
        ),
    ),
    Script(
        "knuckles",
        "the knuckles of a fist lean on the cheek",
        1.5,
        (
            Act(
                "R",
                [(0, FIST)],
                pad("finger3-1", 0.6, palmar=False),
                [(0, -50, 0.066)],
                [(0, -40), (0.4, -1), (0.8, 6), (1.0, 6), (1.2, -4), (1.5, -40)],
                (0.3, 0.0, -0.95),
                lift=-15.0,
            ),
        ),
    ),
)
