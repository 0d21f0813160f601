# SPDX-License-Identifier: GPL-3.0-or-later
"""Contacts that fall between two frames: a tap keyed there, a slap that is over within a frame.

Frames are what is simulated, baked and rendered, so such a contact is not seen. It is found here, so that it is said.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compat import fcurves, strip_fcurves
from ..sim.frame import TrackedFrame
from ..sim.geometry.triangle_bvh import TriangleTree
from .rig import Rig
from .scene_time import stretch
from .surfaces import SurfaceReader

_TOUCHES, _CLEAR = 0.002, 0.010  # [m] nearest vertex of the hand: at the face, and away from it
_REACH = 0.3  # [m] a hand this far away comes to no face and back within a frame
_FAST = 0.03  # [m] a hand that moves less in a frame cannot be clear of the face, touch it, and be clear again
_STEPS = 8  # between two frames; a hand crosses 0.5 m at most, in steps smaller than itself
_MOST = 400  # vertices of a hand that are looked at
_MOMENTS = 4  # keyed between two frames that are looked at
_WHOLE = 0.02  # of a frame: keys this close to one are on it


class BetweenFrames:
    """Reads frames in order and tells which hands touch the face only on the way to them. Use it inside the reader."""

    def __init__(self, scene: Any, rig: Rig, reader: SurfaceReader):
        self._rig, self._reader = rig, reader
        self._moments = keyed_moments(scene, rig.frames)
        self._before: TrackedFrame | None = None
        self._tree: TriangleTree | None = None

    def read(self, frame: int) -> tuple[TrackedFrame, dict[str, float]]:
        """The frame, as `SurfaceReader.read` gives it, and `passed_left`, `passed_right`: 1 for such hands."""
        if frame > self._rig.frames.start and (self._before is None or self._before.frame != frame - 1):
            self._before = self._reader.read(frame - 1)  # a resumed run begins in the middle
        before = self._before
        moments = self._moments.get(frame, []) if before is not None else []
        keyed = [self._reader.at(frame - 1, moment) for moment in moments if self._near(before)]
        now = self._before = self._reader.read(frame)
        sides = [side for side in ("left", "right") if before is not None and self._passes(side, before, now, keyed)]
        return now, {f"passed_{side}": 1.0 for side in sides}

    def _passes(self, side: str, before: TrackedFrame, now: TrackedFrame, keyed: list[TrackedFrame]) -> bool:
        hands = [getattr(before, side), getattr(now, side)]
        if any(hand is None for hand in hands):
            return False
        between = [(moment.head, getattr(moment, side)) for moment in keyed if getattr(moment, side) is not None]
        if not between and np.linalg.norm(hands[1] - hands[0], axis=1).max() > _FAST and self._near(before, side):
            shares = np.arange(1, _STEPS) / _STEPS
            between = [
                (before.head + s * (now.head - before.head), hands[0] + s * (hands[1] - hands[0])) for s in shares
            ]
        if not between or min(self._distance(f.head, getattr(f, side)) for f in (before, now)) < _CLEAR:
            return False
        return any(self._distance(head, hand) < _TOUCHES for head, hand in between)

    def _near(self, frame: TrackedFrame | None, side: str = "") -> bool:
        """Whether a hand is within reach of the head's bounding box."""
        if frame is None:
            return False
        low, high = frame.head.min(axis=0) - _REACH, frame.head.max(axis=0) + _REACH
        hands = [getattr(frame, name) for name in ((side,) if side else ("left", "right"))]
        return any(hand is not None and bool(((hand > low) & (hand < high)).all(axis=1).any()) for hand in hands)

    def _distance(self, head: NDArray, hand: NDArray) -> float:
        """Of the nearest vertex of the hand from the face [m], negative inside."""
        if self._tree is None:
            self._tree = TriangleTree(head, self._rig.head.triangles)
        self._tree.refit(head)
        distance, _, _, sign = self._tree.closest(hand[:: max(1, len(hand) // _MOST)])
        return float((distance * sign).min())


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
