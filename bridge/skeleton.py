# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of skeletons, without any names: which bones look like a pair of hands, and which like a head.

Everything is measured against the skeleton itself, so that it may stand in any place, turned, mirrored and in any unit.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_SAME_PLACE = 1e-4  # bones whose ends differ by less, as a fraction of the skeleton, stand in the same place
_FINGERS, _BONES_OF_A_FINGER = 2, 2  # a hand has at least so many fingers of at least so many bones
_FINGERS_ALONE = 3  # a hand without an arm must show more, because nothing else tells it from a face
_LIMB_BETWEEN = 2  # upper arm and forearm stand between the trunk and a hand; nothing does for eyes or antlers
_LIMB_TO_HAND = 1.5  # an arm is at least so many times as long as its hand; people's are 3 to 4 times as long
_SMALL_LIMB = 0.4  # shorter than this, as a fraction of the longest pair of limbs: something in a face
_SIMILAR = 0.8  # both sides of a pair agree at least to this ratio
_PALM_TO_WRIST = 1.6  # a wrist sees its fingertips at most so many times farther off than a bone of the palm does
_UPRIGHT = 0.6  # cosine: legs of people go on along the spine, those of animals stand across it
_UP = 0.8  # cosine between the spine and the step from neck to head: necks lean by 30° at most
_NECK_BELOW = 0.15  # a neck may start lower than the shoulders by this fraction of the head's height above the chest
_CENTRAL = 0.15  # distances to both hands may differ so much, as a fraction of the distance between the hands


@dataclass(frozen=True)
class Bone:
    """head, tail: (3,) at rest, all bones of a skeleton in one space. deforms: moves skin."""

    name: str
    parent: str | None
    head: Vector
    tail: Vector
    deforms: bool = True


@dataclass(frozen=True)
class HandPair:
    """Two joints that look like hands, where their limbs meet, and whether they are an animal's forelegs."""

    one: int
    other: int
    meet: int
    on_four_legs: bool


class Skeleton:
    """A tree of joints. Bones in the same place are one joint: generated rigs have several in place of each.

    bones: the bones of each joint, those that deform first. parents: (n,) of each joint, -1 for roots.
    above: (n,) the nearest deforming joint above, -1 if none; below: the deforming joints directly below.
    """

    def __init__(self, bones: Sequence[Bone]):
        places = np.array([np.concatenate([bone.head, bone.tail]) for bone in bones]).reshape(-1, 6)
        extent = float(np.ptp(places.reshape(-1, 3), axis=0).max()) if len(bones) else 0.0
        keys = np.round(places / (_SAME_PLACE * extent or 1.0)).astype(np.int64)
        joints: dict[tuple[int, ...], list[Bone]] = {}
        for bone, key in zip(bones, keys.tolist(), strict=True):
            joints.setdefault(tuple(key), []).append(bone)
        self.bones = [sorted(joint, key=lambda bone: (not bone.deforms, len(bone.name))) for joint in joints.values()]
        self.joint_of = {bone.name: index for index, joint in enumerate(self.bones) for bone in joint}
        self.position = np.array([joint[0].head for joint in self.bones]).reshape(-1, 3)
        moves = [joint[0].deforms for joint in self.bones]
        # Skeletons of controls alone, and those whose bones were all marked as such: take what there is.
        self.deforms = moves if any(moves) else [True] * len(moves)
        self.parents = self._parents()
        self.above = [next((up for up in self.ancestors(j) if self.deforms[up]), -1) for j in range(len(self.bones))]
        self.below: list[list[int]] = [[] for _ in self.bones]
        for joint, up in enumerate(self.above):
            if up >= 0 and self.deforms[joint]:
                self.below[up].append(joint)

    def _parents(self) -> list[int]:
        """A joint hangs where its deforming bone does; where that would close a circle, where another of its does."""
        parents = [-1] * len(self.bones)
        for joint, bones in enumerate(self.bones):
            for bone in bones:
                up = self.joint_of.get(bone.parent, -1) if bone.parent is not None else -1
                walk = up
                while walk not in (-1, joint):
                    walk = parents[walk]
                if up != -1 and walk == -1:
                    parents[joint] = up
                    break
        return parents

    def ancestors(self, joint: int) -> list[int]:
        """All joints above this one, the nearest first, whether they deform or not."""
        found = []
        while (joint := self.parents[joint]) >= 0:
            found.append(joint)
        return found

    def line(self, joint: int) -> list[int]:
        """The joint and the deforming ones above it, the nearest first."""
        found = [joint]
        while (joint := self.above[joint]) >= 0:
            found.append(joint)
        return found

    def subtree(self, joint: int) -> list[int]:
        """The joint and all deforming ones below it."""
        found = [joint]
        for each in found:
            found.extend(self.below[each])
        return found

    @cached_property
    def heights(self) -> list[int]:
        """Joints on the longest chain from each joint down, itself included."""
        heights = [1] * len(self.bones)
        for joint in sorted(range(len(self.bones)), key=lambda j: -len(self.line(j))):
            if self.above[joint] >= 0 and self.deforms[joint]:
                heights[self.above[joint]] = max(heights[self.above[joint]], heights[joint] + 1)
        return heights

    def distance(self, one: int, other: int) -> float:
        return float(np.linalg.norm(self.position[one] - self.position[other]))

    def reach(self, joint: int) -> float:
        """The largest distance to a joint below."""
        below = self.position[self.subtree(joint)] - self.position[joint]
        return float(np.linalg.norm(below, axis=1).max())

    def fingers(self, joint: int) -> list[int]:
        """The joints directly below from which chains of several bones start."""
        return [child for child in self.below[joint] if self.heights[child] >= _BONES_OF_A_FINGER]

    @cached_property
    def hand_shaped(self) -> list[int]:
        """Joints from which fingers start: the lowest such, or the wrist above if that is a bone of the palm."""
        shaped = {j for j in range(len(self.bones)) if self.deforms[j] and len(self.fingers(j)) >= _FINGERS}
        lowest = [j for j in shaped if not any(other in shaped for other in self.subtree(j)[1:])]
        found = []
        for joint in lowest:
            best = joint
            for up in self.line(joint)[1:]:
                if up in shaped:
                    if self.reach(up) > _PALM_TO_WRIST * self.reach(best):
                        break
                    best = up
            if best not in found:
                found.append(best)
        return found

    def meeting(self, one: int, other: int) -> int:
        """The lowest joint above both, -1 if there is none."""
        above = self.line(other)
        return next((joint for joint in self.line(one) if joint in above), -1)


def similar(one: float, other: float) -> bool:
    return min(one, other) >= _SIMILAR * max(one, other)


def pair_of_hands(skeleton: Skeleton, excluded: Collection[int] = ()) -> HandPair | None:
    """Two joints with fingers, at the ends of two limbs of the same length; of several pairs those nearest the head.

    excluded: joints that are known to be something else.
    """
    pairs = []
    for one, other in combinations([j for j in skeleton.hand_shaped if j not in excluded], 2):
        meet = skeleton.meeting(one, other)
        if meet in (-1, one, other):
            continue
        limbs = [skeleton.distance(meet, hand) for hand in (one, other)]
        hands = [skeleton.reach(hand) for hand in (one, other)]
        between = [skeleton.line(hand).index(meet) - 1 for hand in (one, other)]
        if (
            min(between) >= _LIMB_BETWEEN
            and similar(*limbs)
            and similar(*hands)
            and min(limbs) >= _LIMB_TO_HAND * max(hands)
        ):
            pairs.append((min(limbs), one, other, meet))
    longest = max((limb for limb, *_ in pairs), default=0.0)
    # Arms meet in the chest, legs below it: of two pairs that which hangs deeper in the tree is nearer the head.
    pairs = [pair for pair in pairs if pair[0] >= _SMALL_LIMB * longest]
    pairs.sort(key=lambda pair: (-len(skeleton.line(pair[3])), -pair[0], pair[1], pair[2]))
    for limb, one, other, meet in pairs:
        if not _are_feet(skeleton, one, other, meet, limb):
            return HandPair(one, other, meet, _on_four_legs(skeleton, meet, limb))
    return None


def _limbs_at(skeleton: Skeleton, joint: int, without: Collection[int], limb: float) -> tuple[int, int] | None:
    """The ends of two limbs of the same shape that start at a joint, each at least nearly as long as `limb`."""
    ends = []
    for child in skeleton.below[joint]:
        if child not in without:
            tree = skeleton.subtree(child)
            end = max(tree, key=lambda j: skeleton.distance(joint, j))
            if skeleton.heights[child] > _LIMB_BETWEEN and skeleton.distance(joint, end) >= _SMALL_LIMB * limb:
                ends.append((len(tree), end))
    for (count, one), (others, other) in combinations(ends, 2):
        if count == others and similar(skeleton.distance(joint, one), skeleton.distance(joint, other)):
            return one, other
    return None


def _direction(skeleton: Skeleton, start: int, ends: Sequence[int]) -> Vector:
    """From a joint to the middle of others, of length one, or zero."""
    along = skeleton.position[list(ends)].mean(axis=0) - skeleton.position[start]
    length = float(np.linalg.norm(along))
    return along / length if length > 0 else along


def _are_feet(skeleton: Skeleton, one: int, other: int, meet: int, limb: float) -> bool:
    """Whether the trunk goes on to another pair of limbs: then these are toes, and hands have no fingers to show."""
    mine = set(skeleton.line(one)) | set(skeleton.line(other))
    return any(
        _limbs_at(skeleton, joint, (), limb) is not None
        for child in skeleton.below[meet]
        if child not in mine
        for joint in skeleton.subtree(child)
    )


def legs(skeleton: Skeleton, meet: int, limb: float) -> tuple[int, int, int] | None:
    """The ends of the other pair of limbs below where the arms meet, and the joint that they start from."""
    line = skeleton.line(meet)
    # From the root on: wings and bags hang higher up on the spine.
    for below, joint in reversed(list(pairwise(line))):
        ends = _limbs_at(skeleton, joint, (below,), limb)
        if ends is not None:
            return *ends, joint
    return None


def _on_four_legs(skeleton: Skeleton, meet: int, limb: float) -> bool:
    """Whether the other pair of limbs stands across the spine, as an animal's hind legs do."""
    found = legs(skeleton, meet, limb)
    if found is None:
        return False
    spine = _direction(skeleton, found[2], [meet])
    return bool(spine.any()) and float(spine @ _direction(skeleton, found[2], found[:2])) > -_UPRIGHT


def hand_alone(skeleton: Skeleton, excluded: Collection[int] = ()) -> int | None:
    """The hand of a skeleton that is little more than a hand: its fingers point one way, hardly anything is above."""
    for joint in skeleton.hand_shaped:
        fingers = skeleton.fingers(joint)
        if joint in excluded or len(fingers) < _FINGERS_ALONE:
            continue
        outside = sum(skeleton.deforms) - len(skeleton.subtree(joint))
        ends = [max(skeleton.subtree(finger), key=lambda j: skeleton.distance(joint, j)) for finger in fingers]
        together = np.mean([_direction(skeleton, joint, [end]) for end in ends], axis=0)
        if outside <= _LIMB_BETWEEN + 1 and float(np.linalg.norm(together)) > _UPRIGHT:
            return joint
    return None


def head_line(skeleton: Skeleton, one: int, other: int, meet: int, weighted: Collection[int]) -> list[int]:
    """The joints of neck and head, downmost first: what goes up in the middle from where the arms meet.

    weighted: joints that move skin; a mere end of a bone is no head. Empty if there is none.
    """
    above = skeleton.line(meet)
    up = skeleton.position[meet] - skeleton.position[above[-1]]
    up = up if np.linalg.norm(up) > 0 else np.array([0.0, 0.0, 1.0])
    arms = set(skeleton.line(one)) | set(skeleton.line(other))

    def height(joint: int) -> float:
        return float((skeleton.position[joint] - skeleton.position[meet]) @ up)

    def central(joint: int) -> bool:
        middle = skeleton.position[skeleton.subtree(joint)].mean(axis=0)
        apart = [float(np.linalg.norm(middle - skeleton.position[hand])) for hand in (one, other)]
        return abs(apart[0] - apart[1]) <= _CENTRAL * skeleton.distance(one, other)

    starts = [
        child
        for child in skeleton.below[meet]
        if child not in arms and central(child) and any(j in weighted for j in skeleton.subtree(child))
    ]
    start = max(starts, key=lambda child: max(height(j) for j in skeleton.subtree(child)), default=None)
    if start is None or max(height(j) for j in skeleton.subtree(start)) <= 0:
        return []
    line = [start]
    while True:
        below = skeleton.below[line[-1]]
        # Eyes and jaw hang side by side on the head; straps and breasts hang on the spine, beside a neck that goes on.
        if len(below) > 1:
            below = [c for c in below if central(c) and any(len(skeleton.below[j]) > 1 for j in skeleton.subtree(c))]
        along = [skeleton.position[child] - skeleton.position[line[-1]] for child in below]
        # A neck goes up into its head; a jaw lies in front of it.
        ahead = [float(each @ up) > _UP * float(np.linalg.norm(each) * np.linalg.norm(up)) for each in along]
        if len(below) != 1 or not ahead[0] or not any(j in weighted for j in skeleton.subtree(below[0])):
            return _from_the_shoulders(skeleton, line, (one, other), meet, height)
        line.append(below[0])


def _from_the_shoulders(
    skeleton: Skeleton, line: list[int], hands: tuple[int, int], meet: int, height: Callable[[int], float]
) -> list[int]:
    """The joints of a line from the height of the shoulders on, at least the last: what is lower is still spine."""
    level = 0.0
    for hand in hands:
        arm = skeleton.line(hand)
        arm = arm[1 : arm.index(meet)]
        # The topmost bone is the collarbone, which starts lower than the neck.
        level = max([level, *(height(joint) for joint in arm[:-1])])
    level -= _NECK_BELOW * height(line[-1])
    return [joint for joint in line[:-1] if height(joint) >= level] + line[-1:]
