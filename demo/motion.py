# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's authored motion: head, face and hands in every frame.

Right index finger presses and strokes the cheek; left palm leans on the forehead; right thumb and index squeeze the
nose; a left fist under the chin. The hands are placed by computation: a spot of the hand lands on a spot of the skin
at a keyed depth and follows the head while in touch. As in real tracking, the hands penetrate the head, and nothing
here resolves that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ..sim.geometry.surface import vertex_normals
from ..sim.geometry.triangle_bvh import TriangleTree
from . import gestures
from .character import Character
from .gestures import FIST, FLAT, PINCH_CLOSED, PINCH_OPEN, POINT, RELAXED, FingerPose, Spot
from .posing import blend, euler, pose_matrices, skin

FRAME_RATE = 24
FIRST_FRAME, LAST_FRAME = 1, 208
_MM = 1e-3

# Share of a head rotation that each bone takes.
NECK_SHARE = {"neck02": 0.2, "neck03": 0.3, "head": 0.5}

# Frame, yaw to the left, nod down, tilt to the right shoulder [degrees].
HEAD_TURNS = [
    (1, 0, 0, 0), (10, 0, 0, 0), (28, 4, 2, -2), (40, 9, 1, -3), (64, 5, 2, -1), (80, -3, 0, 0), (96, -5, 9, 4),
    (106, -5, 10, 5), (120, 2, 0, 0), (134, 0, -4, 0), (140, 5, -4, 1), (146, -4, -4, -1), (152, 2, -2, 0),
    (166, 0, 2, 0), (174, 4, 5, -4), (184, 4, 5, -4), (198, 0, 0, 0), (208, 0, 0, 0),
]  # fmt: skip
JAW_OPEN = [(1, 0), (66, 0), (74, 4), (84, 1), (98, 0), (124, 0), (136, 5), (148, 3), (156, 0), (200, 0)]  # degrees
# MakeHuman's eyes are wide open; a little of the blink lets them look at ease. Smiling cheeks lift the
# lower lid: not quite the whole blink leaves it room.
_BLINKS: list[tuple[float, float]] = [
    (1, 0.18), (17, 0.18), (20, 0.97), (24, 0.18), (88, 0.18), (94, 0.97), (108, 0.97), (115, 0.18), (128, 0.18),
    (131, 0.97), (135, 0.4), (150, 0.4), (154, 0.18), (178, 0.2), (181, 0.97), (185, 0.2), (200, 0.18), (208, 0.18),
]  # fmt: skip
EXPRESSION_KEYS: dict[str, list[tuple[float, float]]] = {
    "mouthSmileLeft": [(1, 0.1), (26, 0.1), (44, 0.5), (62, 0.5), (80, 0.1), (156, 0.1), (168, 0.35), (186, 0.35),
                       (204, 0.1)],
    "mouthSmileRight": [(1, 0.1), (26, 0.1), (44, 0.4), (62, 0.4), (80, 0.1), (156, 0.1), (168, 0.4), (186, 0.4),
                        (204, 0.1)],
    "eyeBlinkLeft": _BLINKS,
    "eyeBlinkRight": _BLINKS,
    "browInnerUp": [(1, 0), (84, 0), (94, 0.5), (108, 0.4), (118, 0), (126, 0), (134, 0.7), (148, 0.6), (156, 0),
                    (200, 0)],
    "mouthPucker": [(1, 0), (126, 0), (138, 0.35), (146, 0.35), (154, 0), (200, 0)],
}  # fmt: skip

# Where the hands float when they do nothing: wrist position [m] and directions of fingers and palm, for the right hand.
_AWAY_WRIST = np.array([-0.20, -0.17, -0.09])
_AWAY_FINGERS, _AWAY_PALM = np.array([0.35, -0.15, 0.92]), np.array([0.75, 0.6, -0.1])


@dataclass(frozen=True)
class Segment:
    """A contact: which hand, the frames between which it may touch, and what it is called."""

    name: str
    side: str
    first: int
    last: int


SEGMENTS = (
    Segment("index finger on the cheek", "R", 28, 68),
    Segment("palm on the forehead", "L", 88, 112),
    Segment("two fingers on the nose", "R", 126, 152),
    Segment("fist under the chin", "L", 168, 190),
)

_FINGERS: dict[str, list[tuple[int, FingerPose | None]]] = {
    "R": [(1, RELAXED), (10, RELAXED), (22, POINT), (70, POINT), (84, RELAXED), (104, RELAXED), (120, PINCH_OPEN),
          (126, PINCH_OPEN), (136, None), (145, None), (154, PINCH_OPEN), (166, RELAXED), (208, RELAXED)],
    "L": [(1, RELAXED), (68, RELAXED), (84, FLAT), (114, FLAT), (128, RELAXED), (150, RELAXED), (164, FIST),
          (190, FIST), (206, RELAXED), (208, RELAXED)],
}  # fmt: skip
NOSE_SQUEEZE = 3 * _MM  # how deep the middle of each pad goes into the nose; their edges go deeper
_NOSE_APPROACH = np.array([0.0, -0.8, -0.6])  # where the hand comes from: ahead and below, so that one sees past it
_NOSE_ASIDE = 1.5 * _MM  # to the thumb's side, whose pad is the broader one


@dataclass(frozen=True)
class Motion:
    """One row a frame. head_turns: per bone (f, 3, 3) in its rest frame; expressions: name → (f,) weights.

    wrists: side → (f, 4, 4) frames of the wrist bones; finger_turns: side → bone → (f, 3, 3).
    """

    frames: NDArray[np.int32]
    head_turns: dict[str, NDArray[np.float64]]
    expressions: dict[str, NDArray[np.float64]]
    wrists: dict[str, NDArray[np.float64]]
    finger_turns: dict[str, dict[str, NDArray[np.float64]]]

    def head_vertices(self, character: Character, row: int, mesh: str = "head") -> NDArray[np.float64]:
        """The head (or "teeth", "tongue") at a row, (n, 3) [m]."""
        part = getattr(character, mesh)
        vertices = part.vertices + sum(w[row] * part.keys[name] for name, w in self.expressions.items())
        return skin(vertices, part.weights, character.head_skeleton, self.head_pose(character, row))

    def hand_vertices(self, character: Character, side: str, row: int) -> NDArray[np.float64]:
        """A hand at a row, (n, 3) [m]."""
        hand, skeleton = character.hands[side], character.hand_skeletons[side]
        turns = {bone: turn[row] for bone, turn in self.finger_turns[side].items()}
        return skin(hand.vertices, hand.weights, skeleton, pose_matrices(skeleton, turns, self.wrists[side][row]))

    def head_pose(self, character: Character, row: int) -> NDArray[np.float64]:
        """Frames of the head's bones at a row, (b, 4, 4)."""
        return pose_matrices(character.head_skeleton, {b: t[row] for b, t in self.head_turns.items()})


def author(character: Character) -> Motion:
    """The whole motion, about a second of work; deterministic."""
    frames = np.arange(FIRST_FRAME, LAST_FRAME + 1)
    turns = keyed(HEAD_TURNS, frames)
    head_turns = {
        bone: np.array([euler(y=share * y) @ euler(x=share * n) @ euler(z=share * t) for y, n, t in turns])
        for bone, share in NECK_SHARE.items()
    }
    head_turns["jaw"] = np.array([euler(x=angle) for angle in keyed(JAW_OPEN, frames)[:, 0]])
    expressions = {name: keyed(keys, frames)[:, 0] for name, keys in EXPRESSION_KEYS.items()}
    skeleton = character.head_skeleton
    head = skeleton.index("head")
    from_rest = np.linalg.inv(skeleton.matrices[head])
    carried = [
        pose_matrices(skeleton, {b: t[row] for b, t in head_turns.items()})[head] @ from_rest
        for row in range(len(frames))
    ]
    scout = _Scout(character)
    pinch = _closed_pinch(character, scout)
    wrists, finger_turns = {}, {}
    for side in "LR":
        rows = [(f, *(pinch if pose is None else pose).ravel()) for f, pose in _FINGERS[side]]
        poses = keyed(rows, frames)
        poses = poses.reshape(-1, 5, 4)
        away = _away(side)
        track = np.tile(away, (len(frames), 1, 1))
        for touch in _touches(character, scout, side):
            for row in np.flatnonzero((frames > touch.weight[0][0]) & (frames < touch.weight[-1][0])):
                posed = gestures.posed_hand(
                    character.hands[side], character.hand_skeletons[side], gestures.finger_turns(poses[row], side)
                )
                target = carried[row] @ touch.placed(posed, frames[row])
                weight = float(keyed(touch.weight, frames[row : row + 1])[0, 0])
                track[row] = blend(track[row], target, weight)
        wrists[side] = track
        per_frame = [gestures.finger_turns(pose, side) for pose in poses]
        finger_turns[side] = {bone: np.array([p[bone] for p in per_frame]) for bone in per_frame[0]}
    return Motion(frames.astype(np.int32), head_turns, expressions, wrists, finger_turns)


def keyed(keys: list, frames: NDArray) -> NDArray[np.float64]:
    """Smooth values without overshoot through keys (frame, value, …), shape (f, values); constant beyond the ends."""
    table = np.array(keys, np.float64)
    # The end keys once more, a frame further out: the slope at the ends becomes 0, so that nothing starts with a jerk.
    table = np.concatenate([table[:1], table, table[-1:]])
    table[0, 0] -= 1
    table[-1, 0] += 1
    return PchipInterpolator(table[:, 0], table[:, 1:])(np.clip(frames, table[0, 0], table[-1, 0]))


class _Scout:
    """Finds spots on the neutral head."""

    def __init__(self, character: Character):
        self.triangles = character.head.triangles
        self.tree = TriangleTree(character.head.vertices, self.triangles)
        self.normals = vertex_normals(character.head.vertices, self.triangles)

    def look(self, origin: NDArray, direction: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Point and smooth outward normal where a ray from outside first meets the skin."""
        direction = np.asarray(direction, float) / np.linalg.norm(direction)
        point = origin + self.tree.hit(origin, direction)[0] * direction
        _, triangle, corner, _ = self.tree.closest(point)
        normal = corner[0] @ self.normals[self.triangles[triangle[0]]]
        return point, normal / np.linalg.norm(normal)

    def around(self, azimuth: float, height: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a ray meets that goes horizontally to the head's axis; azimuth in degrees from the front to the left."""
        outward = np.array([np.sin(np.radians(azimuth)), -np.cos(np.radians(azimuth)), 0.0])
        axis = np.array([0.0, -0.03, height])
        return self.look(axis + 0.3 * outward, -outward)


@dataclass(frozen=True)
class _Touch:
    """A touch of one hand: keys of (frame, weight) between away and placed, of (frame, depth in mm), and of
    (frame, place on the path); `path` are spots on the neutral skin; `spot` finds the spot on the posed hand."""

    weight: list[tuple[float, float]]
    depth: list[tuple[float, float]]
    along_path: list[tuple[float, float]]
    path: list[Spot]
    spot: Callable[[NDArray], Spot]
    lift: float = 0.0
    roll: float = 0.0

    def placed(self, posed: NDArray, frame: float) -> NDArray[np.float64]:
        """The wrist's frame (4, 4) beside the neutral head."""
        here = np.array([frame], float)
        depth = float(keyed(self.depth, here)[0, 0]) * _MM
        target = self.path[0]
        if len(self.path) > 1:
            place = keyed(self.along_path, here)[0, 0]
            table = [(k, *s.point, *s.normal, *s.along) for k, s in enumerate(self.path)]
            row = keyed(table, np.array([place]))[0]
            target = Spot(row[:3], row[3:6] / np.linalg.norm(row[3:6]), row[6:9])
        return gestures.place(self.spot(posed), target, depth, self.lift, self.roll)


def _away(side: str) -> NDArray[np.float64]:
    mirror = np.array([1.0 if side == "R" else -1.0, 1.0, 1.0])
    fingers = _AWAY_FINGERS * mirror / np.linalg.norm(_AWAY_FINGERS)
    palm = _AWAY_PALM * mirror
    palm = palm - (palm @ fingers) * fingers
    palm /= np.linalg.norm(palm)
    frame = np.eye(4)
    frame[:3, :3] = np.column_stack([np.cross(fingers, palm), fingers, palm])
    frame[:3, 3] = _AWAY_WRIST * mirror
    return frame


def _touches(character: Character, scout: _Scout, side: str) -> list[_Touch]:
    hand, skeleton = character.hands[side], character.hand_skeletons[side]
    ahead, out_of_palm = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])

    def at(bone: str, fraction: float, along: NDArray, palmar: bool = True):
        vertex = gestures.pad_vertex(hand, skeleton, f"{bone}.{side}", fraction, palmar)
        return lambda posed: gestures.hand_spot(hand, posed, vertex, along)

    if side == "R":
        cheek = [(-55, 0.060), (-58, 0.061), (-61, 0.063), (-65, 0.066), (-70, 0.070)]
        path = _even_turns([Spot(*scout.around(*place), np.array([0.6, 0.1, 0.8])) for place in cheek])
        nose, _ = _nose(scout)
        return [
            _Touch(
                [(8, 0), (24, 1), (70, 1), (86, 0)],
                [(8, -60), (22, -45), (30, 0), (38, 7), (42, 7), (48, 4), (60, 4), (68, -5), (76, -45), (86, -60)],
                [(40, 0), (64, 4)],
                path,
                at("finger2-3", 0.75, ahead),
                -42.0,
            ),
            _Touch(
                [(104, 0), (120, 1), (154, 1), (170, 0)],
                [(104, -70), (119, -55), (128, 0), (151, 0), (160, -55), (170, -70)],
                [],
                [nose],
                lambda posed: _between_pads(hand, skeleton, side, posed),
            ),
        ]
    forehead = Spot(*scout.around(8, 0.172), np.array([-0.85, 0.0, 0.5]))
    chin = Spot(*scout.look(np.array([0.004, -0.088, -0.1]), np.array([0.0, 0.0, 1.0])), np.array([0.0, 1.0, 0.0]))
    return [
        _Touch(
            [(64, 0), (84, 1), (111, 1), (126, 0)],
            [(66, -80), (82, -45), (91, 0), (109, 0), (115, -50), (126, -100)],
            [],
            [forehead],
            at("metacarpal3", 0.9, ahead),
            roll=10.0,
        ),
        _Touch(
            [(146, 0), (164, 1), (190, 1), (207, 0)],
            [(146, -80), (163, -40), (170, 0), (176, 1.5), (182, 1.5), (188, 0), (197, -45), (207, -80)],
            [],
            [chin],
            at("finger3-1", 0.7, out_of_palm, palmar=False),
        ),
    ]


def _even_turns(path: list[Spot]) -> list[Spot]:
    """The same places with normals averaged over their neighbours: a hand does not tilt over every small bump."""
    normals = np.array([spot.normal for spot in path])
    padded = np.concatenate([normals[:1], normals, normals[-1:]])
    mean = padded[:-2] + 2 * normals + padded[2:]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return [Spot(spot.point, normal, spot.along) for spot, normal in zip(path, mean, strict=True)]


def _nose(scout: _Scout) -> tuple[Spot, tuple[NDArray, NDArray]]:
    """The middle of the soft nose facing front, and its left and right sides."""
    height, back = 0.094, -0.121
    left = scout.look(np.array([0.1, back, height]), np.array([-1.0, 0.0, 0.0]))[0]
    right = scout.look(np.array([-0.1, back, height]), np.array([1.0, 0.0, 0.0]))[0]
    middle = (left + right) / 2 + _NOSE_ASIDE * np.array([-1.0, 0.0, 0.0])
    return Spot(middle, _NOSE_APPROACH, left - right), (left, right)


def _between_pads(hand, skeleton, side: str, posed: NDArray) -> Spot:
    """Midway between thumb and index pad, pointing where they point, along the line from thumb to index."""
    thumb = posed[gestures.pad_vertex(hand, skeleton, f"finger1-3.{side}", 0.55)]
    index = posed[gestures.pad_vertex(hand, skeleton, f"finger2-3.{side}", 0.55)]
    across = (index - thumb) / np.linalg.norm(index - thumb)
    pointing = np.array([0.0, 0.35, 1.0])
    pointing = pointing - (pointing @ across) * across
    return Spot((thumb + index) / 2, pointing / np.linalg.norm(pointing), across)


def _closed_pinch(character: Character, scout: _Scout) -> gestures.FingerPose:
    """The pinch between open and closed whose pads are as far apart as the nose is wide, less the squeeze."""
    _, (left, right) = _nose(scout)
    wanted = np.linalg.norm(left - right) - 2 * NOSE_SQUEEZE
    hand, skeleton = character.hands["R"], character.hand_skeletons["R"]
    pads = [gestures.pad_vertex(hand, skeleton, f"finger{k}-3.R", 0.55) for k in (1, 2)]
    open_side, closed_side = 0.0, 1.3  # a little beyond closed for narrow noses
    for _ in range(20):  # bisection to 1e-6 of the way
        middle = (open_side + closed_side) / 2
        pose = (1 - middle) * PINCH_OPEN + middle * PINCH_CLOSED
        posed = gestures.posed_hand(hand, skeleton, gestures.finger_turns(pose, "R"))
        if np.linalg.norm(posed[pads[0]] - posed[pads[1]]) > wanted:
            open_side = middle
        else:
            closed_side = middle
    return (1 - closed_side) * PINCH_OPEN + closed_side * PINCH_CLOSED
