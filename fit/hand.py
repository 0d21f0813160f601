# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrist and fingers from the 21 points of a hand."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .anatomy import joints_of
from .kinematics import Bones, Freedoms, Motion, Moving, Points, pose
from .observed import Observed
from .rig import Rig
from .rotations import exp
from .solver import Beliefs, Data, Problem

TIPS = (4, 8, 12, 16, 20)
PALM = (0, 1, 5, 9, 13, 17)  # points that move nearly as one rigid body
_ARM, _ARM_FURTHEST = np.radians(60.0), np.radians(150.0)
_ANY = 10.0  # [rad] no belief
_NEVER = 100.0  # [rad] no limit
_PLACED = 1.0  # [m]
# Accelerations of people's wrists and fingers [rad/s², m/s², rad/s²].
_WRIST_TURN, _WRIST_MOVE, _FINGER = 10.0, 1.6, 12.0
# [m] how exactly bones of other lengths keep places: fingertips are what touches.
_TIP, _JOINT, _WRIST = 0.001, 0.008, 0.008
_START_BEND = np.radians(25.0)  # half-bent fingers reach both a flat hand and a fist
_SIZES, _LENGTHS = (
    0.15,
    0.06,
)  # deviations of people's hands from the rig's, and of bones from their hand's, as fractions
_SAME = 0.015  # bones that differ by less are taken as equal


def hand_problem(rig: Rig, side: str, bones: Bones, points: Points, observed: Observed, frame_rate: float) -> Problem:
    """The unknowns of a hand: its arm, wrist and fingers."""
    hand, joints = rig.hands[side], joints_of(rig.bones, rig.hands[side])
    turning = [*reversed(rig.arms[side]), hand.wrist, *joints]
    located = [rig.located[side]] if side in rig.located else []
    count, above = len(turning), len(rig.arms[side])
    axes = np.tile(np.eye(3), (count, 1, 1))
    deviation, low, high = (
        np.full((count, 3), _ARM),
        np.full((count, 3), -_ARM_FURTHEST),
        np.full((count, 3), _ARM_FURTHEST),
    )
    rate = np.full((count, 3), _WRIST_TURN)
    low[above], high[above] = -_NEVER, _NEVER
    for row in {turning.index(bone) for bone in located} | ({above} if not above else set()):
        deviation[row], low[row], high[row] = _ANY, -_NEVER, _NEVER
    for row, joint in enumerate(joints.values(), above + 1):
        axes[row], deviation[row], low[row], high[row] = joint.axes, joint.deviation, joint.low, joint.high
        rate[row] = _FINGER
    step = 1 / frame_rate**2
    beliefs = Beliefs(
        axes, np.zeros((count, 3)), deviation, low, high,
        np.full(len(located), _PLACED), np.zeros(0), np.zeros(0), np.zeros(0),
        step * np.concatenate([rate.ravel(), np.full(3 * len(located), _WRIST_MOVE)]),
    )  # fmt: skip
    free = Freedoms(np.array(turning, np.int64), np.array(located, np.int64), np.zeros(0, np.int64))
    return Problem(bones, points, free, beliefs, observed, observed.first_noise)


def bent(problem: Problem, motion: Motion) -> Motion:
    """The motion with half-bent fingers: the best place to start from."""
    result, b = motion.copy(), problem.beliefs
    for row, bone in enumerate(problem.free.turning):
        if b.high[row, 0] < _NEVER and b.low[row, 1] > -0.8:  # a finger's joint
            angle = np.clip(_START_BEND, b.low[row, 0], b.high[row, 0])
            result.turns[:, bone] = exp(b.axes[row, :, 0] * angle)
    return result


def placed(bones: Bones, motion: Motion, bone: int, frames: NDArray, chosen: NDArray) -> Motion:
    """The motion with a bone's frames (f, 4, 4) in the world where `chosen` (f,), and the nearest such elsewhere."""
    if not chosen.any():
        return motion
    known = np.flatnonzero(chosen)
    every = np.arange(len(chosen))
    frames = frames[known[np.abs(every[:, None] - known).argmin(1)]]
    parent = bones.parents[bone]
    base = bones.rest[bone][None]
    if parent >= 0:
        turned, origin = pose(bones, motion)
        above = np.tile(np.eye(4), (len(frames), 1, 1))
        above[:, :3, :3], above[:, :3, 3] = turned[:, parent], origin[:, parent]
        base = above @ np.linalg.inv(bones.rest[parent]) @ bones.rest[bone]
    local = np.linalg.inv(base) @ frames
    result = motion.copy()
    result.turns[:, bone], result.places[:, bone] = local[:, :3, :3], local[:, :3, 3]
    return result


def bone_factors(rig: Rig, side: str, problem: Problem, motion: Motion, numbers: NDArray) -> NDArray[np.float64]:
    """(j,) how many times as long as the rig's the tracked person's bones are; 1 where they agree or nothing is known.

    From the points of both ends of a bone along its solved direction, in which noise does not add up.
    """
    factors = np.ones(len(rig.bones.parents))
    moving = Moving(problem.bones, problem.points, motion)
    data = problem.look(moving.places)
    good = data.seen & (problem.weights(motion) > 0.5)
    target, at = data.target, {int(n): k for k, n in enumerate(numbers)}

    def ratio(one: int, other: int) -> tuple[float, float]:
        """The median over frames and its variance."""
        both = good[:, one] & good[:, other]
        along = moving.places[both, other] - moving.places[both, one]
        length = np.linalg.norm(along, axis=1)
        if both.sum() < 3 or not length.all():
            return 1.0, np.inf
        share = ((target[both, other] - target[both, one]) * along).sum(1) / length**2
        middle = float(np.median(share))
        spread = 1.4826 * float(np.median(np.abs(share - middle)))
        return middle, 1.57 * spread**2 / both.sum()

    def believed(found: list[tuple[float, float]], usual: float, deviation: float) -> float:
        weights = np.array([1 / (v + 1e-8) for _, v in found])
        value = usual + float((weights @ [m - usual for m, _ in found]) / (weights.sum() + deviation**-2))
        return 1.0 if abs(value - 1) < _SAME else value

    hand = rig.hands[side]
    palm = [ratio(at[0], at[n]) for n in PALM[1:] if n in at] if 0 in at else []
    fingers = {}
    for number, chain in enumerate(hand.fingers):
        for place, bone in enumerate(chain or ()):
            first = 1 + 4 * number + 3 - len(chain or ()) + place
            if first in at and first + 1 in at:
                fingers[bone] = ratio(at[first], at[first + 1])
    size = believed([*palm, *fingers.values()], 1.0, _SIZES)
    factors[rig.bones.below()[hand.wrist]] = believed(palm, size, _LENGTHS)
    for bone, found in fingers.items():
        factors[bone] = believed([found], size, _LENGTHS)
    return factors


def rescaled(rig: Rig, factors: NDArray, points: Points) -> tuple[Bones, Points]:
    """Bones and points of the tracked person's lengths."""
    bones = rig.bones.scaled(factors)
    return bones, points.moved_along(rig.bones, bones)


class Carried:
    """Where a solved hand's points are, as targets for bones of other lengths."""

    def __init__(self, places: NDArray, numbers: NDArray):
        deviation = np.where(np.isin(numbers, TIPS), _TIP, np.where(numbers == 0, _WRIST, _JOINT))
        information = np.broadcast_to((deviation**-2)[:, None, None] * np.eye(3), (*places.shape, 3))
        self._data = Data(places, information)

    def data(self, near: NDArray) -> Data:
        return self._data


def carried_over(problem: Problem, bones: Bones, points: Points, numbers: NDArray, motion: Motion) -> Problem:
    """The solved motion of a tracked person's bones for the rig's own: fingertips where they were, joints near it."""
    places = Moving(problem.bones, problem.points, motion).places
    return replace(problem, bones=bones, points=points, observed=Carried(places, numbers), noise=1.0)
