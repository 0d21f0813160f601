# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bones of a hand are which finger, about which axes they bend, and how far."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kinematics import Bones

FINGERS = ("thumb", "index", "middle", "ring", "little")
_LETTERS = {"thumb": ("thumb", "finger1", "親指"), "index": ("index", "finger2", "fore", "pointer", "人指"),
            "middle": ("middle", "finger3", "mid", "中指"), "ring": ("ring", "finger4", "薬指"),
            "little": ("little", "pinky", "finger5", "小指")}  # fmt: skip
_PHALANGES = 3  # bones of a finger; a fourth above them lies in the palm
# Bend, twist and spread in degrees from straight: least, most; from normal ranges of motion (American Academy of
# Orthopaedic Surgeons 1965), with some room for pressed and hyperextended fingers.
_LIMITS = {
    "knuckle": ((-40, 105), (-15, 15), (-30, 30)),
    "middle": ((-15, 120), (-8, 8), (-8, 8)),
    "end": ((-35, 95), (-8, 8), (-8, 8)),
    "thumb root": ((-50, 60), (-45, 45), (-50, 50)),
    "thumb middle": ((-30, 80), (-20, 20), (-25, 25)),
    "thumb end": ((-40, 95), (-10, 10), (-10, 10)),
}
# How far joints usually are from rest [degrees], in the same order: bends are free, twists are rare.
_DEVIATIONS = {
    "knuckle": (60, 4, 12), "middle": (60, 2.5, 2.5), "end": (45, 2.5, 2.5),
    "thumb root": (30, 12, 30), "thumb middle": (40, 6, 10), "thumb end": (45, 3, 3),
}  # fmt: skip


@dataclass(frozen=True)
class Hand:
    """Bones of a hand by index. fingers: thumb to little finger, each from its knuckle to its end; None where the rig
    has none. palmar: (3,) unit direction out of the palm at rest."""

    side: str
    wrist: int
    fingers: tuple[tuple[int, ...] | None, ...]
    palmar: NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """Anatomical axes (3, 3) of a bone in its rest frame, as columns: bend, twist, spread. rest_bend: how far it is
    bent at rest, low, high, deviation: (3,) [rad] relative to rest."""

    axes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    deviation: NDArray[np.float64]


def find_hand(bones: Bones, wrist: int, side: str) -> Hand | None:
    """The fingers that hang on a wrist, known by their names, else by their places; None for fewer than two."""
    chains = _chains(bones, wrist)
    if len(chains) < 2:
        return None
    named = [_named(bones, chain) for chain in chains]
    if len(set(named)) == len(chains) and None not in named:
        order = {name: chain for name, chain in zip(named, chains, strict=True)}
        fingers = [order.get(name) for name in FINGERS]
    else:
        fingers = _by_place(bones, wrist, chains)
    cut = tuple(None if chain is None else tuple(chain[-_PHALANGES:]) for chain in fingers)
    return Hand(side, wrist, cut, _palmar(bones, wrist, cut, side))


def _chains(bones: Bones, wrist: int) -> list[list[int]]:
    """Unbranched chains of at least two bones that end in a tip; a bone of the palm may carry several."""
    children: dict[int, list[int]] = {}
    for bone, parent in enumerate(bones.parents):
        children.setdefault(int(parent), []).append(bone)
    found = []

    def walk(bone: int, chain: list[int]) -> None:
        below = children.get(bone, [])
        if not below and len(chain) >= 2:
            found.append(chain)
        for child in below:
            walk(child, [*chain, child] if len(below) == 1 or bone == wrist else [child])

    walk(wrist, [])
    return found


def _named(bones: Bones, chain: Sequence[int]) -> str | None:
    name = bones.names[chain[-1]].lower()
    return next((finger for finger, words in _LETTERS.items() if any(word in name for word in words)), None)


def _by_place(bones: Bones, wrist: int, chains: list[list[int]]) -> list[list[int] | None]:
    """The thumb starts nearest the wrist; the others follow in the order of their knuckles."""
    origin = bones.rest[wrist, :3, 3]
    knuckle = np.array([bones.rest[chain[-_PHALANGES:][0], :3, 3] for chain in chains])
    if len(chains) < 5:
        ordered = sorted(range(len(chains)), key=lambda k: float(knuckle[k] @ (knuckle[0] - knuckle[-1])))
        return [None, *(chains[k] for k in ordered), *[None] * 5][:5]
    thumb = int(np.argmin(np.linalg.norm(knuckle - origin, axis=1)))
    rest = [k for k in range(len(chains)) if k != thumb]
    rest.sort(key=lambda k: float(np.linalg.norm(knuckle[k] - knuckle[thumb])))
    return [chains[k] for k in [thumb, *rest[:4]]]


def _palmar(bones: Bones, wrist: int, fingers: Sequence[tuple[int, ...] | None], side: str) -> NDArray[np.float64]:
    knuckles = [bones.rest[chain[0], :3, 3] for chain in fingers[1:] if chain]
    along = np.mean(knuckles, axis=0) - bones.rest[wrist, :3, 3]
    to_thumb = knuckles[0] - knuckles[-1]
    normal = np.cross(to_thumb, along) if side == "right" else np.cross(along, to_thumb)
    return normal / np.linalg.norm(normal)


def joints_of(bones: Bones, hand: Hand) -> dict[int, Joint]:
    """The joints of all fingers."""
    found = {}
    for number, chain in enumerate(hand.fingers):
        if chain is None:
            continue
        names = ("thumb root", "thumb middle", "thumb end") if number == 0 else ("knuckle", "middle", "end")
        bend = _bend_axis(bones, hand, chain, number == 0)
        for place, bone in enumerate(chain):
            kind = names[max(0, place + _PHALANGES - len(chain))]
            # A knuckle's bend counts from the palm, those of the others from the bone above.
            straight = _rest_bend(bones, hand, chain, place, bend)
            found[bone] = _joint(bones, bone, bend, kind, straight)
    return found


def _bend_axis(bones: Bones, hand: Hand, chain: Sequence[int], is_thumb: bool) -> NDArray[np.float64]:
    """(3,) unit: positive turns about it bend towards the palm."""
    first = bones.rest[chain[0], :3, 1]
    last = bones.rest[chain[-1], :3, 1]
    own = np.cross(first, last)  # the bend that the finger has at rest
    across = np.cross(first, hand.palmar)
    across /= max(float(np.linalg.norm(across)), 1e-9)
    if is_thumb:
        size = float(np.linalg.norm(own))
        return own / size if size > 0.1 else across  # a nearly straight thumb says nothing
    mixed = across + (own if own @ across > 0 else 0.0)
    return mixed / np.linalg.norm(mixed)


def _rest_bend(bones: Bones, hand: Hand, chain: Sequence[int], place: int, bend: NDArray) -> float:
    """[rad] by which a joint is bent at rest."""
    if place == 0:
        return 0.0
    above, own = bones.rest[chain[place - 1], :3, 1], bones.rest[chain[place], :3, 1]
    return float(np.arctan2(bend @ np.cross(above, own), above @ own))


def _joint(bones: Bones, bone: int, bend: NDArray, kind: str, straight: float) -> Joint:
    along = bones.rest[bone, :3, 1]
    axis = bend - (bend @ along) * along
    axis /= np.linalg.norm(axis)
    world = np.column_stack([axis, along, np.cross(axis, along)])
    low, high = np.radians(np.array(_LIMITS[kind], float)).T
    low[0], high[0] = min(low[0] - straight, -0.01), max(high[0] - straight, 0.01)  # rest is always allowed
    return Joint(bones.rest[bone, :3, :3].T @ world, low, high, np.radians(np.array(_DEVIATIONS[kind], float)))
