# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bones of a skeleton are head, jaw and hands: by its shape, then by the names of its bones."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import rig_names as names
from .rig_names import read_name
from .skeleton import Bone, HandPair, Skeleton, Vector, hand_alone, head_line, legs, pair_of_hands

HEAD, LEFT, RIGHT = names.HEAD, names.LEFT, names.RIGHT
HAND = names.HAND  # a hand whose side the skeleton does not tell
_OTHER = {LEFT: RIGHT, RIGHT: LEFT}
_LOOKS_AHEAD = 0.05  # eyes and jaw say where front is if they are off the axis by this fraction of their distance
_TOES_AHEAD = 0.5  # so do toes, unlike a leg that ends in the ankle
_WORLD_UP, _WORLD_FRONT = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Roles:
    """parts: bone → HEAD, LEFT, RIGHT or HAND, for each bone that moves such a part. head, jaw: bones, or None.

    skull: the head bone and all that hangs on it. left: (3,) the direction of the person's left. animal: whether what
    looks like hands are paws.
    """

    parts: dict[str, str]
    head: str | None
    jaw: str | None
    skull: frozenset[str]
    left: Vector
    animal: bool = False

    def has_hand(self) -> bool:
        return not {LEFT, RIGHT, HAND}.isdisjoint(self.parts.values())


def roles_of(bones: Iterable[Bone], weighted: Collection[str] | None = None) -> Roles:
    """Reads a skeleton. weighted: the bones that move vertices, None if that is not known."""
    return _Reading(Skeleton(list(bones)), weighted).roles()


class _Reading:
    def __init__(self, skeleton: Skeleton, weighted: Collection[str] | None):
        self.skeleton = skeleton
        every = range(len(skeleton.bones))
        self.weighted = {j for j in every if weighted is None or any(b.name in weighted for b in skeleton.bones[j])}
        self.named = [self._name(joint) for joint in every]

    def _name(self, joint: int) -> names.Name:
        """What the bones of a joint are called: the first that has a part's name decides."""
        read = [read_name(bone.name) for bone in self.skeleton.bones[joint]]
        return next((name for name in read if name.part is not None), read[0])

    def _all(self, part: str) -> list[int]:
        return [joint for joint, name in enumerate(self.named) if name.part == part]

    def roles(self) -> Roles:
        skeleton = self.skeleton
        hands = self._named_hands()
        shape = pair_of_hands(skeleton, self._no_hands())
        animal = False
        if shape is not None and shape.on_four_legs and not hands:
            shape, animal = None, True
        if shape is not None and self._agrees(shape, hands):
            hands = dict.fromkeys((shape.one, shape.other), HAND) | hands
        alone = None if hands or animal or self._names_a_head() else hand_alone(skeleton, self._no_hands())
        if alone is not None:
            hands[alone] = HAND
        hands |= self._loose_fingers(hands)
        ends = self._two_ends(hands)
        line = self._line_by_shape(ends)
        own = self._named_heads(line, hands)
        head = self._head_bone(own, line)
        if not own:
            own = dict.fromkeys(line, HEAD)
        up = self._up(head, ends)
        left = np.cross(up, self._front(head, ends, up))
        self._give_sides(hands, left)
        jaw = self._first((names.JAW, names.CHIN))
        parts = self._spread(own | hands, set(hands))
        return Roles(parts, self._bone(head, HEAD), self._bone(jaw, names.JAW), self._skull(head, parts), left, animal)

    # Hands

    def _named_hands(self) -> dict[int, str]:
        """Joints called hand or wrist, with the side that their names, or those of the bones above, give."""
        found = {}
        for joint in self._all(names.HAND):
            if any(self.skeleton.deforms[j] for j in [joint, *self._below(joint)]):
                found[joint] = self._side(joint) or HAND
        return found

    def _loose_fingers(self, hands: dict[int, str]) -> dict[int, str]:
        """Finger joints that hang on nothing that moves skin: WebXR places each joint of a hand by itself."""
        skeleton = self.skeleton
        return {
            joint: self._side(joint) or HAND
            for joint in self._all(names.FINGER)
            if joint not in hands and skeleton.deforms[joint] and self.weighted.isdisjoint(skeleton.ancestors(joint))
        }

    def _below(self, joint: int) -> list[int]:
        return [j for j in range(len(self.skeleton.bones)) if joint in self.skeleton.ancestors(j)]

    def _side(self, joint: int) -> str | None:
        skeleton = self.skeleton
        for each in [joint, *skeleton.ancestors(joint), *skeleton.subtree(joint)[1:]]:
            sides = [side for bone in skeleton.bones[each] if (side := read_name(bone.name).side) is not None]
            if sides:
                return sides[0]
        return None

    def _no_hands(self) -> set[int]:
        """Joints whose names say that they are feet, faces or hair, and all that hangs on a head."""
        found = set()
        for joint in self.skeleton.hand_shaped:
            bones = [bone.name for bone in self.skeleton.bones[joint]]
            above = {self.named[up].part for up in self.skeleton.ancestors(joint)}
            if self.named[joint].part != names.HAND and (
                any(names.is_no_hand(bone) for bone in bones) or not above.isdisjoint({HEAD, names.FACE, names.JAW})
            ):
                found.add(joint)
        return found

    def _agrees(self, shape: HandPair, hands: dict[int, str]) -> bool:
        """Whether names say nothing, or mean the same limbs: people may call a hand what they like, but not a foot."""
        above = self.skeleton.ancestors
        return not hands or any(
            joint == hand or joint in above(hand) or hand in above(joint)
            for joint in (shape.one, shape.other)
            for hand in hands
        )

    def _names_a_head(self) -> bool:
        return any(name.part in (HEAD, names.NECK, names.FACE, names.JAW) for name in self.named)

    def _topmost(self, hands: dict[int, str]) -> list[int]:
        """Hands that do not hang on another: wrist before palm."""
        return [joint for joint in hands if not any(up in hands for up in self.skeleton.ancestors(joint))]

    def _two_ends(self, hands: dict[int, str]) -> tuple[int, int] | None:
        """A left and a right hand, if there is one of each, or else two of which nothing is known."""
        top = [joint for joint in self._topmost(hands) if self.skeleton.deforms[joint]]
        for one, other in ((LEFT, RIGHT), (HAND, HAND)):
            first = [joint for joint in top if hands[joint] == one]
            second = [joint for joint in top if hands[joint] == other and joint not in first[:1]]
            if first and second:
                return first[0], second[0]
        return None

    def _give_sides(self, hands: dict[int, str], left: Vector) -> None:
        """Sides for hands that have none: names first, then where they are; palms take that of their wrist."""
        for joint in hands:
            hands[joint] = self._side(joint) or hands[joint] if hands[joint] == HAND else hands[joint]
        open_ends = [joint for joint in self._topmost(hands) if hands[joint] == HAND]
        taken = {hands[joint] for joint in self._topmost(hands)} - {HAND}
        if len(open_ends) == 2 and not taken:
            across = [float(self.skeleton.position[joint] @ left) for joint in open_ends]
            first = int(across[1] > across[0])
            hands[open_ends[first]], hands[open_ends[1 - first]] = LEFT, RIGHT
        elif len(open_ends) == 1 and len(taken) == 1:
            hands[open_ends[0]] = _OTHER[next(iter(taken))]
        for joint in hands:
            if hands[joint] == HAND:
                hands[joint] = next((hands[up] for up in self.skeleton.ancestors(joint) if up in hands), HAND)

    # Head

    def _line_by_shape(self, ends: tuple[int, int] | None) -> list[int]:
        meet = self.skeleton.meeting(*ends) if ends is not None else -1
        if ends is None or meet in (-1, *ends):
            return []
        return head_line(self.skeleton, *ends, meet, self.weighted)

    def _named_heads(self, line: list[int], hands: dict[int, str]) -> dict[int, str]:
        """Joints called head, face or neck; nothing that carries a hand is a head, though it may be a neck."""
        carrying = self._carrying(hands)
        heads = [j for part in (HEAD, names.FACE) for j in self._all(part) if j not in carrying]
        plain = [{names.plain_name(bone.name) for bone in joint} for joint in self.skeleton.bones]
        rigify = [j for j, found in enumerate(plain) if names.RIGIFY_HEAD in found]
        necks = self._all(names.NECK)
        if rigify:
            heads += rigify
            necks += [j for j, found in enumerate(plain) if found & names.RIGIFY_NECK]
        if line:
            # A skull in the hand, a second head on the shoulder: what the shape says is a head comes first.
            whole = set(self.skeleton.subtree(line[0])) | set(self.skeleton.line(line[0]))
            within = [j for j in heads if j in whole or not self.skeleton.deforms[j]]
            if any(self.skeleton.deforms[j] for j in within):
                heads = within
        return dict.fromkeys([*heads, *necks], HEAD)

    def _carrying(self, hands: dict[int, str]) -> set[int]:
        return {up for hand in hands for up in self.skeleton.ancestors(hand)}

    def _head_bone(self, own: dict[int, str], line: list[int]) -> int | None:
        """The joint called head, else the end of the line that is one by its shape, else what ends the neck."""
        skeleton = self.skeleton
        rigify = [j for j in own if any(names.plain_name(b.name) == names.RIGIFY_HEAD for b in skeleton.bones[j])]
        called = sorted(
            (j for j in own if self.named[j].part == HEAD or j in rigify),
            key=lambda j: (not skeleton.deforms[j], j not in self.weighted, len(skeleton.ancestors(j))),
        )
        if called:
            return called[0]
        return line[-1] if line else None

    def _skull(self, head: int | None, parts: dict[str, str]) -> frozenset[str]:
        """The bones at and below the head joint; without one, all that belong to the head."""
        if head is None:
            return frozenset(bone for bone, part in parts.items() if part == HEAD)
        joints = [head, *self._below(head)]
        return frozenset(bone.name for joint in joints for bone in self.skeleton.bones[joint])

    def _first(self, parts: tuple[str, ...]) -> int | None:
        """The joint of the first of these parts that has any; those that deform come first, then short names."""
        for part in parts:
            found = sorted(
                self._all(part), key=lambda j: (not self.skeleton.deforms[j], len(self.skeleton.bones[j][0].name), j)
            )
            if found:
                return found[0]
        return None

    def _bone(self, joint: int | None, part: str) -> str | None:
        """The bone of a joint: the first of those that deform and have the name, else the first."""
        if joint is None:
            return None
        bones = self.skeleton.bones[joint]
        deforming = [bone for bone in bones if bone.deforms] or bones
        return next((b.name for b in deforming if read_name(b.name).part == part), deforming[0].name)

    # Directions

    def _up(self, head: int | None, ends: tuple[int, int] | None) -> Vector:
        """From the hips to the head, or to where the arms meet, else the world's."""
        joint = head if head is not None else self.skeleton.meeting(*ends) if ends is not None else -1
        if joint >= 0:
            root = self.skeleton.line(joint)[-1]
            along = self.skeleton.position[joint] - self.skeleton.position[root]
            if np.linalg.norm(along) > 0:
                return along / np.linalg.norm(along)
        return _WORLD_UP

    def _front(self, head: int | None, ends: tuple[int, int] | None, up: Vector) -> Vector:
        """Where eyes and jaw are, as seen from the head bone; else where toes point; else the world's front."""
        skeleton = self.skeleton
        if head is not None:
            below = [j for j in self._below(head) if skeleton.deforms[j]]
            ahead = self._level(skeleton.position[below] - skeleton.position[head], up, _LOOKS_AHEAD)
            if ahead is not None:
                return ahead
        meet = skeleton.meeting(*ends) if ends is not None else -1
        feet = legs(skeleton, meet, skeleton.distance(meet, ends[0])) if ends is not None and meet >= 0 else None
        if feet is not None:
            toes = [skeleton.position[toe] - skeleton.position[skeleton.above[toe]] for toe in feet[:2]]
            ahead = self._level(np.array(toes), up, _TOES_AHEAD)
            if ahead is not None:
                return ahead
        return _WORLD_FRONT

    @staticmethod
    def _level(offsets: NDArray[np.float64], up: Vector, least: float) -> Vector | None:
        """The mean of offsets (n, 3) across `up`, of length one; None if it is less than a fraction of their length."""
        if not len(offsets):
            return None
        mean = offsets.mean(axis=0)
        mean = mean - (mean @ up) * up
        length = float(np.linalg.norm(mean))
        return mean / length if length > least * float(np.linalg.norm(offsets, axis=1).max()) else None

    def _spread(self, own: dict[int, str], hands: set[int]) -> dict[str, str]:
        """Each bone belongs to the nearest part above it; arms that hang on a neck do not."""
        carrying = {up for hand in hands for up in self.skeleton.ancestors(hand)}
        parts: dict[str, str] = {}
        for joint, bones in enumerate(self.skeleton.bones):
            for each in [joint, *self.skeleton.ancestors(joint)]:
                if each in own:
                    parts |= dict.fromkeys((bone.name for bone in bones), own[each])
                    break
                if each in carrying:
                    break
        return parts
