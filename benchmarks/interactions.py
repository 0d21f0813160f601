# SPDX-License-Identifier: GPL-3.0-or-later
"""A fixed set of scripted interactions with the demo character's neutral head, 30 frames a second.

The hands are placed by computation, as in the demo's motion: a spot of the hand lands on a spot of the skin at a keyed
depth. Like tracked hands, they penetrate the head. Every interaction begins and ends clear of the face. `scripts.py`
says what each hand does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from nephim.demo import gestures
from nephim.demo.character import Character
from nephim.demo.gestures import FingerPose, Spot
from nephim.demo.motion import keyed
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.refine import refine
from nephim.sim.geometry.surface import Surface, vertex_normals
from nephim.sim.geometry.topology import fan_caps
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.template import Template
from numpy.typing import NDArray

FRAME_RATE = 30.0
_MM = 1e-3
# The wish for the head's edges [m], where hands touch and elsewhere: 10 000 skin vertices, at which speed is stated.
FACE_EDGE, OTHER_EDGE = 4.5e-3, 9e-3
# A hand follows the shape of the face, not every bump: normals are averaged over this radius [m], a finger's breadth.
_SMOOTH = 0.015
# A hand is drawn back along the skin's normal where some other part of it is deeper than its spot by more than the
# slack [m]; twice, because depth and normal are not quite parallel.
_SLACK, _BACK_OFF_STEPS = 2e-3, 2
_DEEP = 0.05  # [m] depths are looked for so far
_IDENTITY = np.eye(4)

Keys = list[tuple[float, ...]]  # (second, value, …)


@dataclass(frozen=True)
class Act:
    """What one hand does. No part of it goes into the head more than 2 mm deeper than the spot.

    fingers: (second, finger pose). spot: from a character's hand and its posed vertices the spot that touches.
    place: (second, azimuth [degrees from the front to the left], height [m]) on the face, or (second, x, y, z) [m] with
    `approach` as the outward normal. depth: (second, mm below the skin, negative: above it). along: direction on the
    face for the spot's own direction. lift, roll: degrees as in `gestures.place`. offset: (second, x, y, z) [mm] by
    which the hand is carried, as in a pull.
    """

    side: str
    fingers: list[tuple[float, FingerPose]]
    spot: Callable[["Hand", NDArray], Spot]
    place: Keys
    depth: Keys
    along: tuple[float, float, float]
    approach: tuple[float, float, float] | None = None
    lift: float = 0.0
    roll: float = 0.0
    offset: Keys = field(default_factory=lambda: [(0, 0, 0, 0)])


@dataclass(frozen=True)
class Script:
    """name and text of an interaction, its length [s], what the hands do, and when skin is held between pads [s]."""

    name: str
    text: str
    seconds: float
    acts: tuple[Act, ...]
    held: tuple[float, float] | None = None


@dataclass(frozen=True)
class Interaction:
    """A script as tracked frames. held: first and last frame in which skin is held between pads, or None."""

    name: str
    text: str
    frames: list[TrackedFrame]
    held: tuple[int, int] | None


def with_head(interaction: Interaction, template: Template) -> Interaction:
    """The same hands before the neutral head of a volume of another resolution."""
    head = template.head_vertices.astype(np.float32)
    return replace(interaction, frames=[replace(frame, head=head) for frame in interaction.frames])


class Hand:
    """One hand of the character."""

    def __init__(self, character: Character, side: str):
        self.side = side
        self.part, self.skeleton = character.hands[side], character.hand_skeletons[side]

    def posed(self, pose: FingerPose) -> NDArray[np.float64]:
        """Vertices (n, 3) in the wrist's frame."""
        return gestures.posed_hand(self.part, self.skeleton, gestures.finger_turns(pose, self.side))

    def pad(self, bone: str, fraction: float, palmar: bool = True) -> int:
        return gestures.pad_vertex(self.part, self.skeleton, f"{bone}.{self.side}", fraction, palmar)


def pad(bone: str, fraction: float, palmar: bool = True) -> Callable[[Hand, NDArray], Spot]:
    """A spot on a bone's palmar (or dorsal) side; its direction is along the fingers, on a fist out of the palm."""
    along = np.array([0.0, 1.0, 0.0]) if palmar else np.array([0.0, 0.0, 1.0])
    return lambda hand, posed: gestures.hand_spot(hand.part, posed, hand.pad(bone, fraction, palmar), along)


def between_pads(hand: Hand, posed: NDArray) -> Spot:
    """Midway between thumb and index pad, pointing out of the palm, along the line from thumb to index."""
    thumb, index = posed[hand.pad("finger1-3", 0.6)], posed[hand.pad("finger2-3", 0.6)]
    across = (index - thumb) / np.linalg.norm(index - thumb)
    pointing = np.array([0.0, 0.35, 1.0])
    pointing = pointing - (pointing @ across) * across
    return Spot((thumb + index) / 2, pointing / np.linalg.norm(pointing), across)


class Face:
    """The neutral head at simulation resolution, and spots on it."""

    def __init__(self, character: Character):
        part = character.head
        face = (part.vertices[:, 1] < -0.03) & (part.vertices[:, 2] > 0.04)  # as in the demo scene
        fine = refine(part.vertices, part.triangles, np.where(face, FACE_EDGE, OTHER_EDGE))
        self.surface = Surface(fine.matrix @ part.vertices, fine.triangles, "Head")
        self._tree = TriangleTree(self.surface.vertices, self.surface.triangles)
        self._normals = vertex_normals(self.surface.vertices, self.surface.triangles)
        closed = np.concatenate([self.surface.triangles, fan_caps(self.surface.triangles)])
        self._closed_tree = TriangleTree(self.surface.vertices, closed)

    def around(self, azimuth: float, height: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Point and smooth outward normal where a horizontal ray to the head's axis meets the skin."""
        outward = np.array([np.sin(np.radians(azimuth)), -np.cos(np.radians(azimuth)), 0.0])
        origin = np.array([0.0, -0.03, height]) + 0.3 * outward
        point = origin - self._tree.hit(origin, -outward)[0] * outward
        weight = np.maximum(0.0, 1 - np.linalg.norm(self.surface.vertices - point, axis=1) / _SMOOTH)
        normal = weight @ (self._normals * (self._normals @ outward > 0)[:, None])
        return point, normal / np.linalg.norm(normal)

    def deepest(self, hand: NDArray) -> float:
        """How deep [m] the deepest vertex of a hand (n, 3) lies in the head; 0 when none does."""
        distance, _, _, sign = self._closed_tree.closest(hand, _DEEP)
        return float(np.max(distance, where=(sign < 0) & np.isfinite(distance), initial=0.0))


def perform(script: Script, character: Character, face: Face) -> Interaction:
    """The tracked frames of a script; head and skull stay where they are."""
    count = round(script.seconds * FRAME_RATE) + 1
    times = np.arange(count) / FRAME_RATE
    hands: dict[str, list[NDArray]] = {act.side: _follow(act, character, face, times) for act in script.acts}
    head = face.surface.vertices.astype(np.float32)
    frames = [
        TrackedFrame(
            head,
            hands["L"][k] if "L" in hands else None,
            hands["R"][k] if "R" in hands else None,
            _IDENTITY,
            _IDENTITY,
            k,
            float(time),
        )
        for k, time in enumerate(times)
    ]
    held = None if script.held is None else (round(script.held[0] * FRAME_RATE), round(script.held[1] * FRAME_RATE))
    return Interaction(script.name, script.text, frames, held)


def _follow(act: Act, character: Character, face: Face, times: NDArray) -> list[NDArray[np.float32]]:
    hand = Hand(character, act.side)
    poses = keyed([(t, *pose.ravel()) for t, pose in act.fingers], times).reshape(-1, 5, 4)
    depths, places, offsets = (keyed(keys, times) for keys in (act.depth, act.place, act.offset))
    track = []
    for pose, depth, place, offset in zip(poses, depths[:, 0] * _MM, places, offsets * _MM, strict=True):
        posed = hand.posed(pose)
        if act.approach is None:
            point, normal = face.around(place[0], place[1])
        else:
            point, normal = place, np.array(act.approach) / np.linalg.norm(act.approach)
        target = Spot(point, normal, np.array(act.along))
        frame = gestures.place(act.spot(hand, posed), target, float(depth), act.lift, act.roll)
        placed = posed @ frame[:3, :3].T + frame[:3, 3] + offset
        for _ in range(_BACK_OFF_STEPS):
            placed = placed + max(0.0, face.deepest(placed) - max(depth, 0.0) - _SLACK) * normal
        track.append(placed.astype(np.float32))
    return track
