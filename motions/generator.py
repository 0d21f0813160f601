# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded motions: hands come from outside, touch at drawn depths, slide, pull and leave; head and face move meanwhile.

As in the demo's own motion, the hands are placed by computation: a spot of the hand lands on a spot of the skin at a
keyed depth, follows the head and the expression, and penetrates the head as tracked hands do.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..demo import gestures
from ..demo.gestures import Spot
from ..demo.motion import keyed
from ..demo.posing import blend
from ..sim.frame import TrackedFrame
from ..sim.geometry import rigid
from .puppet import HandPuppet, HeadPose, Puppet
from .repertoire import GESTURES, Gesture, Grip
from .skin_map import Place, SkinMap

_MM = 1e-3
FRAME_RATES = (24.0, 30.0)
_APPROACH, _PAUSE = (0.30, 0.60), (0.4, 0.9)  # [s] from clear of the face to the skin, and between two gestures
_AWAY = (0.055, 0.085)  # [m] how far from the skin a gesture begins and ends
_HEAD_TURN, _JAW, _EXPRESSION = 7.0, 6.0, 0.6  # degrees, degrees, weight: the largest of the head's own motion
_STILL = 0.3  # share of the sequences in which the head does not move at all
_SECOND_HAND = 0.35  # share of the sequences in which both hands perform, each for itself
# Where a hand comes from [m], beside the middle of the head, left hand; and how far from the easiest direction
# fingers may point [degrees].
_ELBOW, _WRIST_TURN = np.array([0.22, -0.18, -0.28]), 40.0
# Hands mostly stay on their own side: places further across the middle [m] are redrawn this often.
_ACROSS, _OWN_SIDE = 0.02, 2
# [m] from the middle of the face, from which on two hands have room beside each other, turned outwards as they come;
# 0.04 would leave hardly any squeeze.
_HALF_HAND = 0.03
_PATH_POINTS = 7
_CLEARANCE = 0.16  # [m] on its way between two gestures a hand's middle stays this far from the middle of the head
# A hand is drawn back along the skin's normal where another part of it is deeper than its spot by more than the slack.
# There is no slack farther from the skin, where a hand is to be clear of it. Where a normal points along the face, as
# under the nose, it takes many steps.
_SLACK, _NEAR, _BACK_OFF_STEPS, _CLEAR = 2e-3, 0.03, 30, 1e-4  # [m], [m] from the skin, -, [m] more than asked for


@dataclass(frozen=True)
class Event:
    """One gesture of one hand: its name, side, first and last frame, the aimed skin vertex, depth [mm]."""

    name: str
    side: str
    first: int
    last: int
    vertex: int
    depth: float


@dataclass(frozen=True)
class Clip:
    """A generated sequence. heads: (f, n, 3) float32, hands: side → (f, m, 3) float32, world space [m];
    cranium, jaw: (f, 4, 4); events: the gestures of the hands."""

    frame_rate: float
    heads: NDArray[np.float32]
    hands: dict[str, NDArray[np.float32]]
    cranium: NDArray[np.float64]
    jaw: NDArray[np.float64]
    events: list[Event] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.heads)

    def frame(self, k: int) -> TrackedFrame:
        """Frame k as the simulation takes it."""
        left, right = (self.hands[side][k] if side in self.hands else None for side in "LR")
        return TrackedFrame(self.heads[k], left, right, self.cranium[k], self.jaw[k], k, k / self.frame_rate)


def generate(puppet: Puppet, skin: SkinMap, seed: int, count: int) -> Clip:
    """A sequence of `count` frames; the same for the same puppet, template and seed. Hands begin and end clear."""
    generator = np.random.default_rng(seed)
    rate = float(generator.choice(FRAME_RATES))
    heads, cranium, jaw, moved = _head_motion(puppet, skin, generator, count, rate)
    sides = sorted(puppet.hands)
    busy = sides if generator.random() < _SECOND_HAND else [sides[generator.integers(len(sides))]]
    hands, events = {}, []
    mirrored: list[_Act] = []
    for side in sides:
        acts = _schedule(puppet.hands[side], skin, generator, count, rate) if side in busy else []
        if mirrored and side not in busy:
            acts = [act.mirrored(puppet.hands[side], skin, generator) for act in mirrored]
        elif len(busy) == 1:
            mirrored = [act for act in acts if generator.random() < act.gesture.both and act.leaves_room(skin)]
        track = _Track(puppet.hands[side], skin, moved)
        hands[side] = _carried(track.perform(acts, count), cranium)
        events += [Event(a.gesture.name, side, a.first, a.last, a.path[0].vertex, a.depth / _MM) for a in acts]
    if len(busy) == 1 and busy[0] == sides[-1] and mirrored and len(sides) == 2:
        # The busy hand comes second: its partner is performed now.
        side = sides[0]
        acts = [act.mirrored(puppet.hands[side], skin, generator) for act in mirrored]
        hands[side] = _carried(_Track(puppet.hands[side], skin, moved).perform(acts, count), cranium)
        events += [Event(a.gesture.name, side, a.first, a.last, a.path[0].vertex, a.depth / _MM) for a in acts]
    return Clip(rate, heads, hands, cranium, jaw, events)


@dataclass(frozen=True)
class _Act:
    """A gesture with everything drawn. first, touch, leave, last: frames; depth and away [m]; pull (3,) [m]."""

    gesture: Gesture
    grip_name: str
    grip: Grip
    first: int
    touch: int
    leave: int
    last: int
    path: list[Place]
    along: NDArray[np.float64]
    depth: float
    away: float
    lift: float
    roll: float
    turns: int
    pull: NDArray[np.float64]

    def leaves_room(self, skin: SkinMap) -> bool:
        """Whether the other hand can do the same on its side without the two being in each other's place."""
        return all(abs((place.point - skin.middle)[0]) > _HALF_HAND for place in self.path)

    def mirrored(self, hand: HandPuppet, skin: SkinMap, generator: np.random.Generator) -> "_Act":
        """The same by the other hand on the other side of the face."""
        flip = np.array([-1.0, 1.0, 1.0])
        path = [skin.at(place.point * flip) for place in self.path]
        depth = min(self.depth, min(skin.allowed_depth(place) for place in path))
        values = {**self.__dict__, "grip": hand.grips[self.grip_name], "path": path, "depth": depth}
        return _Act(**values | {"along": self.along * flip, "pull": self.pull * flip, "roll": -self.roll})


def _schedule(hand: HandPuppet, skin: SkinMap, generator: np.random.Generator, count: int, rate: float) -> list[_Act]:
    """Gestures one after another that fit into the frames."""
    acts: list[_Act] = []
    weights = np.array([g.weight if _grips(hand, g) else 0.0 for g in GESTURES])
    frame = 2  # clear of the face before the first
    while True:
        gesture = GESTURES[generator.choice(len(GESTURES), p=weights / weights.sum())]
        approach, retreat = (max(4, round(generator.uniform(*_APPROACH) * rate)) for _ in range(2))
        contact = max(3, round(generator.uniform(*gesture.contact) * rate))
        last = frame + approach + contact + retreat
        if last > count - 3:
            return acts
        acts.append(_draw(hand, skin, generator, gesture, (frame, frame + approach, last - retreat, last)))
        frame = last + round(generator.uniform(*_PAUSE) * rate)


def _grips(hand: HandPuppet, gesture: Gesture) -> list[str]:
    """The grips of a gesture that the hand has; a recorded hand uses its shapes for all but pulling."""
    own = [name for name in gesture.grips if name in hand.grips]
    return own or ([] if gesture.path == "pull" else [name for name in hand.grips if name.startswith("shot")])


def _draw(
    hand: HandPuppet, skin: SkinMap, generator: np.random.Generator, gesture: Gesture, times: tuple[int, int, int, int]
) -> _Act:
    names = _grips(hand, gesture)
    grip_name = names[generator.integers(len(names))]
    grip = hand.grips[grip_name]
    side = 1.0 if hand.side == "L" else -1.0
    start = skin.draw(generator)
    for _ in range(_OWN_SIDE):
        if side * (start.point - skin.middle)[0] > -_ACROSS:
            break
        start = skin.draw(generator)
    elbow = skin.middle + _ELBOW * [side, 1, 1]
    along = _tangent(start.normal, start.point - elbow)
    along = _turned(along, start.normal, generator.uniform(-_WRIST_TURN, _WRIST_TURN))
    if gesture.path == "pull":
        along = np.cross(along, start.normal)  # the pinch's own direction is from thumb to index, across the fingers
    way = _turned(along, start.normal, generator.uniform(0, 360))
    length = generator.uniform(*gesture.length) * _MM
    if gesture.path in ("line", "there_and_back"):
        path = [skin.walk(start, way * length * s) for s in np.linspace(0, 1, _PATH_POINTS)]
    elif gesture.path == "circle":
        side_way, angles = np.cross(start.normal, way), np.linspace(0, 2 * np.pi, 9)
        path = [skin.walk(start, length * ((np.cos(a) - 1) * way + np.sin(a) * side_way)) for a in angles]
    else:
        path = [start]
    outward = start.normal + 0.8 * generator.uniform(-1, 1) * way
    depth = min(generator.uniform(*gesture.depth) * _MM, min(skin.allowed_depth(place) for place in path))
    first, touch, leave, last = times
    return _Act(
        gesture, grip_name, grip, first, touch, leave, last, path, along, depth, generator.uniform(*_AWAY),
        generator.uniform(*grip.lift), generator.uniform(*grip.roll),
        int(generator.integers(gesture.turns[0], gesture.turns[1] + 1)),
        (length if gesture.path == "pull" else 0.0) * outward / np.linalg.norm(outward),
    )  # fmt: skip


class _Track:
    """Performs acts with one hand, in the cranium's frame. moved: (f, n_skin, 3) displacement of the skin [m]."""

    def __init__(self, hand: HandPuppet, skin: SkinMap, moved):
        self.hand, self.skin, self._moved = hand, skin, moved

    def perform(self, acts: list[_Act], count: int) -> NDArray[np.float64]:
        """Hand vertices (f, n, 3) [m]."""
        side = 1.0 if self.hand.side == "L" else -1.0
        waiting = self.skin.middle + _ELBOW * [side, 1, 1]
        idle = next(iter(self.hand.grips.values())).opened
        if not acts:
            posed = self.hand.posed(idle)
            return np.repeat((posed + waiting - posed.mean(axis=0))[None], count, axis=0)
        keys = []
        for act in acts:
            opening = max(1, (act.leave - act.touch) // 5)
            keys += [(act.first, *act.grip.opened.ravel()), (act.touch, *act.grip.opened.ravel())]
            keys += [(act.touch + opening, *act.grip.closed.ravel()), (act.leave - opening, *act.grip.closed.ravel())]
            keys += [(act.leave, *act.grip.opened.ravel()), (act.last, *act.grip.opened.ravel())]
        poses = keyed(_increasing(keys), np.arange(count)).reshape(count, *idle.shape)
        shapes = [self.hand.posed(pose) for pose in poses]
        wrists = np.tile(np.eye(4), (count, 1, 1))
        for act in acts:
            for f in range(act.first, act.last + 1):
                wrists[f] = self._placed(act, f, shapes[f])
        wrists[: acts[0].first] = wrists[acts[0].first]
        wrists[acts[-1].last :] = wrists[acts[-1].last]
        for before, after in pairwise(acts):
            self._carry_over(wrists, shapes, before.last, after.first)
        return np.stack([rigid.apply(w, shape) for w, shape in zip(wrists, shapes, strict=True)])

    def _placed(self, act: _Act, frame: int, posed: NDArray) -> NDArray[np.float64]:
        """The hand's frame (4, 4) in a frame of an act."""
        at = np.array([float(frame)])
        share = float(np.clip((frame - act.touch) / max(act.leave - act.touch, 1), 0, 1))
        place = self._along_path(act, share)
        point = place.point + self._moved[frame][place.vertex]
        depth = float(keyed(_depth_keys(act), at)[0, 0])
        held = max(1, (act.leave - act.touch) // 5)
        carried = float(keyed(_increasing([(act.touch + held, 0), (act.leave - held, 1), (act.leave, 1)]), at)[0, 0])
        target = Spot(point, place.normal, act.along)
        wrist = gestures.place(act.grip.spot(posed), target, depth, act.lift, act.roll)
        wrist[:3, 3] += carried * act.pull
        allowed = max(depth, 0.0) + _SLACK * min(1.0, max(0.0, 1.0 + depth / _NEAR))
        for _ in range(_BACK_OFF_STEPS):
            over = self.skin.deepest(rigid.apply(wrist, posed)) - allowed
            if over <= 0:
                break
            wrist[:3, 3] += (over + _CLEAR) * place.normal
        return wrist

    def _along_path(self, act: _Act, share: float) -> Place:
        if len(act.path) == 1:
            return act.path[0]
        path = act.gesture.path
        if path == "circle":
            u = (act.turns * share) % 1.0
        elif path == "there_and_back":
            u = 0.5 - 0.5 * np.cos(np.pi * act.turns * share)
        else:
            u = share * share * (3 - 2 * share)  # starts and stops softly
        position = u * (len(act.path) - 1)
        k = min(int(position), len(act.path) - 2)
        a, b, t = act.path[k], act.path[k + 1], position - k
        normal = (1 - t) * a.normal + t * b.normal
        return Place(
            (1 - t) * a.point + t * b.point, normal / np.linalg.norm(normal), a.vertex if t < 0.5 else b.vertex
        )

    def _carry_over(self, wrists: NDArray, shapes: list[NDArray], first: int, last: int) -> None:
        """Fills the frames between two acts: on an arc around the head."""
        middle, frames = self.skin.middle, np.arange(first + 1, last)
        ends = [rigid.apply(wrists[f], shapes[f].mean(axis=0)[None])[0] - middle for f in (first, last)]
        radii = [float(np.linalg.norm(e)) for e in ends]
        for f, a in zip(frames, _soft(np.linspace(0, 1, last - first + 1)[1:-1]), strict=True):
            mixed = blend(wrists[first], wrists[last], float(a))
            direction = (1 - a) * ends[0] / radii[0] + a * ends[1] / radii[1]
            direction = direction / max(float(np.linalg.norm(direction)), 1e-6)
            radius = (1 - a) * radii[0] + a * radii[1]
            # Opposite sides: the arc swings out.
            apart = 0.5 - 0.5 * float(ends[0] @ ends[1]) / (radii[0] * radii[1])
            radius = max(radius + 0.10 * apart * np.sin(np.pi * a), min(_CLEARANCE, *radii))
            centre = middle + radius * direction
            mixed[:3, 3] += centre - rigid.apply(mixed, shapes[f].mean(axis=0)[None])[0]
            wrists[f] = mixed


def _depth_keys(act: _Act) -> list[tuple[float, float]]:
    """(frame, depth [m]) of an act."""
    settle = max(1.0, 0.2 * (act.leave - act.touch))
    keys = [(act.first, -act.away), (act.touch, 0.0), (act.touch + settle, act.depth)]
    if act.gesture.path == "taps":
        times = np.linspace(act.touch + settle, act.leave - settle, 2 * act.turns - 1)
        keys = keys[:2] + [(t, act.depth if k % 2 == 0 else -0.006) for k, t in enumerate(times)]
    else:
        keys.append((act.leave - settle, act.depth))
    return _increasing([*keys, (act.leave, 0.0), (act.last, -act.away)])


def _increasing(keys: list) -> list:
    """Keys whose frames increase strictly, as interpolation needs."""
    result: list = []
    for key in keys:
        frame = key[0] if not result else max(key[0], result[-1][0] + 0.25)
        result.append((frame, *key[1:]))
    return result


def _soft(a: NDArray) -> NDArray[np.float64]:
    return a * a * (3 - 2 * a)


def _tangent(normal: NDArray, direction: NDArray) -> NDArray[np.float64]:
    flat = direction - (direction @ normal) * normal
    length = np.linalg.norm(flat)
    if length < 1e-6:  # seen from straight above, any direction will do
        flat = np.cross(normal, [1.0, 0.0, 0.0])
        length = np.linalg.norm(flat)
    return flat / length


def _turned(direction: NDArray, axis: NDArray, degrees: float) -> NDArray[np.float64]:
    a = np.radians(degrees)
    return np.cos(a) * direction + np.sin(a) * np.cross(axis, direction) + (1 - np.cos(a)) * (axis @ direction) * axis


def _carried(hands: NDArray, cranium: NDArray) -> NDArray[np.float32]:
    """Hands (f, n, 3) taken from the cranium's frame to the world."""
    return np.stack([rigid.apply(c, h) for c, h in zip(cranium, hands, strict=True)]).astype(np.float32)


def _head_motion(puppet: Puppet, skin: SkinMap, generator: np.random.Generator, count: int, rate: float) -> tuple:
    """Heads (f, n, 3), cranium and jaw (f, 4, 4), and the skin's displacement in the cranium's frame per frame."""
    frames = np.arange(count)
    beats = np.arange(0, count + rate, 0.8 * rate)  # a new pose every 0.8 s
    moving = generator.random() >= _STILL

    def curve(columns: int, low: float, high: float, often: float) -> NDArray[np.float64]:
        values = generator.uniform(low, high, (len(beats), columns)) * (generator.random((len(beats), columns)) < often)
        return keyed([(b, *row) for b, row in zip(beats, values, strict=True)], frames) * moving

    turns = curve(3, -_HEAD_TURN, _HEAD_TURN, 0.7)
    jaws = curve(1, 0.0, _JAW, 0.4)[:, 0]
    names = puppet.head.expressions
    weights = curve(max(len(names), 1), 0.0, _EXPRESSION, 0.2)
    template = skin.template
    heads, cranium, jaw, moved = [], [], [], []
    for k in range(count):
        pose = HeadPose(tuple(turns[k]), float(jaws[k]), {n: float(w) for n, w in zip(names, weights[k], strict=False)})
        vertices, c, j = puppet.head.posed(pose)
        heads.append(vertices.astype(np.float32))
        cranium.append(c)
        jaw.append(j)
        still = rigid.apply(rigid.inverse(c), vertices) - template.head_vertices
        moved.append((template.refinement @ still).astype(np.float32))
    return np.stack(heads), np.stack(cranium), np.stack(jaw), moved
