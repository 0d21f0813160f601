# SPDX-License-Identifier: GPL-3.0-or-later
"""Contacts that fall between two frames: a tap keyed there, a slap that is over within a frame.

Frames are what is simulated, baked and rendered, so such a contact is not seen. It is found here, and read at moments
between the frames: the physics goes through them, so that the contact happens and the next frame shows what is left of
it. What cannot be simulated like that is said.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compat import fcurves, strip_fcurves
from ..sim.frame import TrackedFrame
from ..sim.hand_jumps import jumped_hands
from .cache.manifest import motion_fingerprint
from .modifiers import OVERWRITING
from .rig import Rig, scene_object
from .scene_time import frame_rate, stretch
from .surfaces import SurfaceReader

if TYPE_CHECKING:  # numba loads on first use, so that enabling the add-on stays fast
    from ..sim.geometry.triangle_bvh import TriangleTree

_TOUCHES, _CLEAR = 0.002, 0.010  # [m] nearest vertex of the hand: at the face, and away from it
_REACH = 0.3  # [m] a hand this far away comes to no face and back within a frame
_FAST = 0.03  # [m] a hand that moves less in a frame cannot be clear of the face, touch it, and be clear again
# [m] A hand that moves less in a frame keeps to its chord: an arm's arc, of 0.5 m radius, leaves it by 0.6 mm.
_SWEEPS = 0.05
# [m] A hand from a file of samples has no keys that tell: it is looked at between frames where it is no further away.
_HOVERS = 0.05
_ARC = 0.25  # [m] radius of the tightest arc on which a whole hand moves fast: that of a forearm
_STEPS = 8  # between two frames; a hand crosses 0.5 m at most, in steps smaller than itself
_MOST = 400  # vertices of a hand that are looked at
_MOMENTS = 4  # keyed between two frames that are looked at
_SIDES = ("left", "right")
_WHOLE = 0.02  # of a frame: keys this close to one are on it


class BetweenFrames:
    """Reads frames in order, with the moments before each that a simulation must go through. Use it inside the reader.

    simulated: whether the moments are simulated; contacts between frames are only told otherwise.
    """

    def __init__(self, scene: Any, rig: Rig, reader: SurfaceReader, simulated: bool):
        self._rig, self._reader, self._simulated = rig, reader, simulated
        self._keyed = keyed_moments(scene, rig.frames)
        hands = {side: getattr(rig, side) for side in _SIDES}
        self._sampled = {side for side, hand in hands.items() if hand and _plays_a_file(scene_object(hand.object_name))}
        self._duration = 1.0 / frame_rate(scene)
        self._before: TrackedFrame | None = None
        self._tree: TriangleTree | None = None

    def motion(self, frame: int) -> str:
        """Fingerprint of the motion that a simulation of the frame depends on."""
        if not self._simulated:
            return motion_fingerprint(self._reader.read(frame))
        return motion_fingerprint(*self.read(frame)[:2])

    def read(self, frame: int) -> tuple[TrackedFrame, list[TrackedFrame], dict[str, float]]:
        """The frame, as `SurfaceReader.read` gives it; the moments to simulate between the one before and it, in order;
        and `passed_left`, `passed_right`: 1 for hands whose contact is not simulated.

        There are moments only where a hand touches the face on a way that the two frames do not show.
        """
        if frame > self._rig.frames.start and (self._before is None or self._before.frame != frame - 1):
            self._before = self._reader.read(frame - 1)  # a resumed run begins in the middle
        before, now = self._before, self._reader.read(frame)
        self._before = now
        if before is None:
            return now, [], {}
        there = [side for side in _SIDES if getattr(now, side) is not None]
        cut = dict(zip(there, jumped_hands(before, now, self._duration), strict=True))
        sides = [side for side in there if not cut[side] and self._may_touch(side, before, now)]
        if not sides:
            return now, [], {}
        times = sorted({k / _STEPS for k in range(1, _STEPS)} | set(self._keyed.get(frame, [])))
        moments = [self._reader.at(frame - 1, time) for time in times]
        self._before = now = self._reader.read(frame)
        touching = [side for side in sides if self._touches(side, moments)]
        missed = [side for side in touching if self._missed(side, before, now)]
        if not self._simulated or any(cut.values()):  # a cut is none between frames
            return now, [], {f"passed_{side}": 1.0 for side in missed}
        if not missed and not any(_move(side, before, now) > _SWEEPS for side in touching):
            return now, [], {}
        return now, [m for m in moments if all(getattr(m, side) is not None for side in there)], {}

    def _may_touch(self, side: str, before: TrackedFrame, now: TrackedFrame) -> bool:
        """Whether the hand may touch the face between two frames, unseen; cheap, and rather yes than no."""
        if getattr(before, side) is None or not self._near(before, side):
            return False
        keyed, sampled, move = self._keyed.get(now.frame), side in self._sampled, _move(side, before, now)
        if not keyed and not sampled and move < _FAST:
            return False
        distances = [self._distance(frame.head, getattr(frame, side)) for frame in (before, now)]
        missed = min(distances) > _CLEAR
        if missed and (keyed or (sampled and max(distances) < _HOVERS)):
            return True
        if move < _FAST or (move < _SWEEPS and not missed):
            return False
        old, new = getattr(before, side), getattr(now, side)
        off_chord = move * move / (2 * _ARC)  # of an arc, at its height even where it begins and ends at the chord
        return any(
            self._distance(before.head + s * (now.head - before.head), old + s * (new - old)) < _TOUCHES + off_chord
            for s in np.arange(1, _STEPS) / _STEPS
        )

    def _touches(self, side: str, moments: list[TrackedFrame]) -> bool:
        hands = [(moment.head, getattr(moment, side)) for moment in moments]
        return any(hand is not None and self._distance(head, hand) < _TOUCHES for head, hand in hands)

    def _missed(self, side: str, before: TrackedFrame, now: TrackedFrame) -> bool:
        """Whether neither frame shows the hand at the face."""
        return min(self._distance(frame.head, getattr(frame, side)) for frame in (before, now)) > _CLEAR

    def _near(self, frame: TrackedFrame, side: str) -> bool:
        """Whether a hand is within reach of the head's bounding box."""
        low, high = frame.head.min(axis=0) - _REACH, frame.head.max(axis=0) + _REACH
        hand = getattr(frame, side)
        return bool(((hand > low) & (hand < high)).all(axis=1).any())

    def _distance(self, head: NDArray, hand: NDArray) -> float:
        """Of the nearest vertex of the hand from the face [m], negative inside."""
        from ..sim.geometry.triangle_bvh import TriangleTree

        if self._tree is None:
            self._tree = TriangleTree(head, self._rig.head.triangles)
        self._tree.refit(head)
        distance, _, _, sign = self._tree.closest(hand[:: max(1, len(hand) // _MOST)])
        return float((distance * sign).min())


def _move(side: str, before: TrackedFrame, now: TrackedFrame) -> float:
    """How far the hand moves at most [m]."""
    return float(np.linalg.norm(getattr(now, side) - getattr(before, side), axis=1).max())


def _plays_a_file(obj: Any) -> bool:
    """Whether an object is moved by samples in a file (Alembic, USD, a point cache), itself or with a parent."""
    while obj is not None:
        if any(m.type in OVERWRITING and m.show_viewport for m in getattr(obj, "modifiers", ())):
            return True
        if any(c.type == "TRANSFORM_CACHE" and not c.mute for c in obj.constraints):
            return True
        obj = obj.parent
    return False


def keyed_moments(scene: Any, frames: range) -> dict[int, list[float]]:
    """Where animation is keyed between two frames: the later frame → how far after the earlier one, in (0, 1)."""
    found: dict[int, set[float]] = {}
    for time in _key_times(scene):
        frame = time / stretch(scene)
        if abs(frame - round(frame)) > _WHOLE and frames.start <= frame <= frames.stop - 1:
            earlier = int(np.floor(frame))
            found.setdefault(earlier + 1, set()).add(round(frame - earlier, 3))
    return {frame: _some(sorted(moments)) for frame, moments in found.items()}


def _some(moments: list[float]) -> list[float]:
    return [moments[k] for k in np.unique(np.linspace(0, len(moments) - 1, _MOMENTS).round().astype(int))]


def _key_times(scene: Any) -> Iterator[float]:
    """Times of all keyframes of the scene's objects [frames of animation]."""
    owners = {owner for obj in scene.objects for owner in (obj, obj.data, getattr(obj.data, "shape_keys", None))}
    animated: list[Any] = [getattr(owner, "animation_data", None) for owner in owners]
    for data in filter(None, animated):
        for curve in fcurves(data):
            yield from _points(curve)
        for track in data.nla_tracks:
            for strip in track.strips if not track.mute else ():
                if strip.action is not None and not strip.mute:
                    for curve in strip_fcurves(strip):
                        yield from strip.frame_start + (_points(curve) - strip.action_frame_start) * strip.scale


def _points(curve: Any) -> NDArray[np.float64]:
    points = np.empty(2 * len(curve.keyframe_points))
    curve.keyframe_points.foreach_get("co", points)
    return points[::2]
