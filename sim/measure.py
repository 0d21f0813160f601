# SPDX-License-Identifier: GPL-3.0-or-later
"""How good a result is: penetration both ways, volume, rest, smoothness. docs/measures.md explains each measure.

Lengths are metres internally and millimetres in summaries, whose keys then end in `_mm` or are documented so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .contact.bone_limit import where_carried
from .geometry.topology import fan_caps
from .geometry.triangle_bvh import TriangleTree
from .geometry.winding import inside_by_crossings
from .settings import PhysicsSettings
from .tuning import DEFAULT

MM = 1e3
# Skin counts as stopped by bone once it has used this fraction of its allowed compression.
_COMPRESSION_USED = 0.95
# Skin carried along the face this far lies over the bone where it came to, as in the physics.
_CARRIED = DEFAULT.contact.along(PhysicsSettings().gap)
# A hand this near the skin counts as touching, and a frame with less penetration as free of collision (Decaf's 5 mm).
TOUCH_DISTANCE = 5e-3
# After this long without contact the result must be the tracked surface again.
REST_SECONDS = 0.5
# Displacement from which a vertex counts as deformed.
DEFORMED = 0.5e-3
# A pop is a step of the skin larger than POP_RATIO × the hand's step + POP_MARGIN.
POP_RATIO, POP_MARGIN = 3.0, 1e-3
STANDING = 5e-5  # [m] a hand that moves less between two frames is still


@dataclass(frozen=True)
class Penetration:
    """Depths of one frame and one hand [m], 0 where outside.

    skin_depth: (n,) of skin vertices inside the hand. hand_depth: (m,) of hand vertices inside the skin.
    hand_triangle: (m,) the nearest outer skin triangle of a hand vertex inside the skin, else -1.
    gap: smallest distance of a hand vertex from the outer skin, infinite beyond TOUCH_DISTANCE; 0 if any penetrates.
    """

    skin_depth: NDArray[np.float64]
    hand_depth: NDArray[np.float64]
    hand_triangle: NDArray[np.int32]
    gap: float


class PenetrationMeter:
    """Measures penetration of one hand and one skin whose triangles stay the same over many frames.

    triangles: (t, 3) of the whole skin; outer: (n,) bool, skin that a hand can reach; hand_triangles: (u, 3).
    Open boundaries (neck, wrist) are closed by caps to separate inside from outside; caps do not count as surface.
    """

    def __init__(self, triangles: NDArray, outer: NDArray[np.bool_], hand_triangles: NDArray):
        self.outer = np.asarray(outer, bool)
        self.skin_closed = np.concatenate([triangles, fan_caps(triangles)]).astype(np.int32)
        self.hand_closed = np.concatenate([hand_triangles, fan_caps(hand_triangles)]).astype(np.int32)
        self.hand_triangles = np.asarray(hand_triangles, np.int32)
        self.skin_surface = np.flatnonzero(self.outer[triangles].all(axis=1))
        self.skin_triangles = np.asarray(triangles, np.int32)
        self._skin_tree: TriangleTree | None = None
        self._undisturbed_tree: TriangleTree | None = None
        self._hand_tree: TriangleTree | None = None

    def contains(self, points: NDArray, hand: NDArray) -> NDArray[np.bool_]:
        """Which points (k, 3) lie inside the closed hand (m, 3), shape (k,)."""
        return inside_by_crossings(points, hand, self.hand_closed)

    def undisturbed(self, tracked: NDArray) -> TriangleTree:
        """The outer skin where it is tracked (n, 3)."""
        tree = self._undisturbed_tree = _moved(self._undisturbed_tree, tracked, self.skin_triangles[self.skin_surface])
        return tree

    def measure(self, skin: NDArray, hand: NDArray) -> Penetration:
        """Penetration of skin (n, 3) and hand (m, 3), in the same space, metres."""
        skin, hand = np.asarray(skin, np.float64), np.asarray(hand, np.float64)
        skin_depth, hand_depth = np.zeros(len(skin)), np.zeros(len(hand))
        hand_triangle = np.full(len(hand), -1, np.int32)
        low, high = hand.min(axis=0) - TOUCH_DISTANCE, hand.max(axis=0) + TOUCH_DISTANCE
        if np.any(skin.max(axis=0) < low) or np.any(skin.min(axis=0) > high):
            return Penetration(skin_depth, hand_depth, hand_triangle, np.inf)

        near = np.flatnonzero(self.outer)
        near = near[self.contains(skin[near], hand)]
        if len(near):
            self._hand_tree = _moved(self._hand_tree, hand, self.hand_triangles)
            skin_depth[near] = self._hand_tree.closest(skin[near])[0]

        self._skin_tree = _moved(self._skin_tree, skin, self.skin_triangles[self.skin_surface])
        within = np.flatnonzero(inside_by_crossings(hand, skin, self.skin_closed))
        if len(within):
            hand_depth[within], found, *_ = self._skin_tree.closest(hand[within])
            hand_triangle[within] = self.skin_surface[found]
        if len(near) or len(within):
            return Penetration(skin_depth, hand_depth, hand_triangle, 0.0)
        gap = float(self._skin_tree.closest(hand, TOUCH_DISTANCE)[0].min())
        return Penetration(skin_depth, hand_depth, hand_triangle, gap)


def _moved(tree: TriangleTree | None, vertices: NDArray, triangles: NDArray) -> TriangleTree:
    """The tree over the surface at `vertices`: built once, refitted afterwards, which is ten times faster."""
    if tree is None:
        return TriangleTree(vertices, triangles)
    tree.refit(vertices)
    return tree


def penetration(
    skin: NDArray, triangles: NDArray, outer: NDArray[np.bool_], hand: NDArray, hand_triangles: NDArray
) -> Penetration:
    """Two-way penetration of one frame; for many frames use a `PenetrationMeter`."""
    return PenetrationMeter(triangles, outer, hand_triangles).measure(skin, hand)


def rigid_rotation(before: NDArray, after: NDArray) -> NDArray[np.float64]:
    """Rotation (3, 3) that best maps `before` (n, 3) to `after` (n, 3) (Kabsch)."""
    covariance = (before - before.mean(axis=0)).T @ (after - after.mean(axis=0))
    u, _, vt = np.linalg.svd(np.asarray(covariance, np.float64))
    sign = np.sign(np.linalg.det(u @ vt))
    return (vt.T * [1.0, 1.0, sign]) @ u.T


def bone_limited(
    tracked: NDArray,
    skin: NDArray,
    direction: NDArray,
    allowed: NDArray,
    meter: PenetrationMeter | None = None,
    hand: NDArray | None = None,
) -> NDArray[np.bool_]:
    """Skin vertices that cannot yield further because of bone, shape (n,).

    tracked, skin: (n, 3) undisturbed and simulated [m]; direction: (n, 3) unit, towards bone, in this frame's
    orientation; allowed: (n,) how far tissue can be compressed [m]. True where the skin has used 95 % of that, or where
    even the position at full compression lies inside the hand: then yielding inward does not help. Outer skin that was
    dragged along the face lies over the bone that is where it came to.
    """
    tracked, skin = np.asarray(tracked, np.float64), np.asarray(skin, np.float64)
    if meter is None or hand is None:
        return np.einsum("ij,ij->i", skin - tracked, direction) >= _COMPRESSION_USED * allowed
    outer = np.flatnonzero(meter.outer)
    tree, moved = meter.undisturbed(tracked), skin - tracked
    direction, allowed, left = where_carried(tree, direction, allowed, moved, outer, _CARRIED)
    stopped = left <= (1.0 - _COMPRESSION_USED) * allowed
    near = np.flatnonzero(meter.outer & ~stopped & (allowed < _size(hand)))
    stopped[near] = meter.contains(skin[near] + left[near, None] * direction[near], hand)
    return stopped


def _size(points: NDArray) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def added(meter: PenetrationMeter, hand: NDArray, skin: NDArray, reference: NDArray) -> NDArray[np.float64]:
    """How much deeper [m] hand (m, 3) and skin (n, 3) are in each other than with the `reference` skin (n, 3), over
    what penetrates in either."""
    ours, theirs = meter.measure(skin, hand), meter.measure(reference, hand)
    a = np.concatenate([ours.skin_depth, ours.hand_depth])
    b = np.concatenate([theirs.skin_depth, theirs.hand_depth])
    either = (a > 0) | (b > 0)
    return np.maximum(a[either] - b[either], 0.0)


def percentiles(values: NDArray, names: Sequence[float] = (1, 50, 99)) -> dict[str, float]:
    """{'p1': …, 'p50': …, …} with linear interpolation; zeros for an empty set."""
    if len(values) == 0:
        return {f"p{name:g}": 0.0 for name in names}
    return {f"p{n:g}": float(v) for n, v in zip(names, np.percentile(values, names), strict=True)}


def millimetres(depths: NDArray) -> dict[str, float]:
    """Mean, p95 and max in mm of depths (k,) in metres, and their number (`samples`); zeros for an empty set."""
    if len(depths) == 0:
        return {"mean": 0.0, "p95": 0.0, "max": 0.0, "samples": 0}
    return {
        "mean": float(depths.mean()) * MM,
        "p95": float(np.percentile(depths, 95)) * MM,
        "max": float(depths.max()) * MM,
        "samples": len(depths),
    }


@dataclass
class PenetrationRecord:
    """Collects penetration over a sequence; before = tracked input, after = simulated.

    Mean, p95 and max are taken over the same set before and after: every (vertex, frame, hand) of either
    direction that penetrates in the tracked input or in the result. `avoidable` and `bone_limited` split that set by
    whether bone stops the skin there.
    """

    _before: list[NDArray] = field(default_factory=list)
    _after: list[NDArray] = field(default_factory=list)
    _limited: list[NDArray] = field(default_factory=list)
    # Of each frame: deepest penetration [m], mean depth over all hand vertices [m], whether a hand touches.
    _before_frames: list[tuple[float, float, bool]] = field(default_factory=list)
    _after_frames: list[tuple[float, float, bool]] = field(default_factory=list)

    def add(
        self,
        hands: Sequence[tuple[Penetration, Penetration]],
        limited: Sequence[NDArray[np.bool_]],
        triangles: NDArray,
        allowed: NDArray | None = None,
        flesh: Sequence[NDArray[np.float64]] | None = None,
    ) -> None:
        """Adds one frame: for each hand (tracked, simulated) penetration and the bone-limited skin vertices (n,).

        A hand vertex is bone-limited if a corner of its nearest skin triangle is, or if it was tracked deeper than the
        tissue at its nearest skin there and its own flesh can yield; allowed: (n,) how far the former is, flesh: for
        each hand (m,) the latter, rigid hands without [m].
        """
        for k, ((before, after), stopped) in enumerate(zip(hands, limited, strict=True)):
            either = (before.skin_depth > 0) | (after.skin_depth > 0)
            self._store(before.skin_depth[either], after.skin_depth[either], stopped[either])
            either = (before.hand_depth > 0) | (after.hand_depth > 0)
            nearest = np.where(after.hand_triangle >= 0, after.hand_triangle, before.hand_triangle)[either]
            deep = stopped[triangles[nearest]].any(axis=1)
            if allowed is not None:
                most = np.where(before.hand_triangle >= 0, allowed[triangles[before.hand_triangle]].max(axis=1), np.inf)
                deep |= (before.hand_depth > most + (0.0 if flesh is None else flesh[k]))[either]
            self._store(before.hand_depth[either], after.hand_depth[either], deep)
        for k, frames in enumerate((self._before_frames, self._after_frames)):
            depths = [p[k].hand_depth for p in hands]
            deepest = max((max(p[k].skin_depth.max(), p[k].hand_depth.max()) for p in hands), default=0.0)
            mean = np.concatenate(depths).mean() if depths else 0.0
            frames.append((float(deepest), float(mean), any(np.isfinite(p[k].gap) for p in hands)))

    def _store(self, before: NDArray, after: NDArray, limited: NDArray) -> None:
        if len(before):
            self._before.append(before)
            self._after.append(after)
            self._limited.append(limited)

    def summary(self) -> dict[str, dict]:
        """{'before': {mean, p95, max, samples}, 'after': {…, avoidable: {…}, bone_limited: {…}}}, depths in mm."""
        if not self._before:
            empty = millimetres(np.zeros(0))
            return {"before": empty, "after": empty | {"avoidable": empty, "bone_limited": empty}}
        before, after, limited = (np.concatenate(parts) for parts in (self._before, self._after, self._limited))
        return {
            "before": millimetres(before),
            "after": millimetres(after)
            | {"avoidable": millimetres(after[~limited]), "bone_limited": millimetres(after[limited])},
        }

    def decaf(self) -> dict[str, dict[str, float]]:
        """Measures after Decaf (Shimada et al. 2023), before and after.

        collision_distance_mm: penetration depth averaged over all hand vertices and frames. non_collision: fraction
        of frames without penetration deeper than 5 mm. touchness: fraction of the frames with touching tracked hands
        (closer than 5 mm) in which they also touch in the result.
        """
        none = {"collision_distance_mm": 0.0, "non_collision": 1.0, "touchness": 1.0}
        if not self._before_frames:
            return {"before": none, "after": dict(none)}
        result = {}
        touched = np.array([touch for *_, touch in self._before_frames])
        for name, frames in (("before", self._before_frames), ("after", self._after_frames)):
            deepest, mean, touch = (np.array(column) for column in zip(*frames, strict=True))
            result[name] = {
                "collision_distance_mm": float(mean.mean()) * MM,
                "non_collision": float((deepest <= TOUCH_DISTANCE).mean()),
                "touchness": float(touch[touched].mean()) if touched.any() else 1.0,
            }
        return result


def volume_ratios(vertices: NDArray, tracked: NDArray, tets: NDArray) -> NDArray[np.float64]:
    """det(F)/det(F_tra) of each tet, shape (t,): volume now over volume in the undisturbed volume of the same frame."""
    return _tet_volumes(vertices, tets) / _tet_volumes(tracked, tets)


def _tet_volumes(vertices: NDArray, tets: NDArray) -> NDArray[np.float64]:
    a, b, c, d = (np.asarray(vertices, np.float64)[tets[:, k]] for k in range(4))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) / 6


def resting_frames(contact: NDArray[np.bool_], frame_rate: float, seconds: float = REST_SECONDS) -> NDArray[np.bool_]:
    """Frames without contact and at least `seconds` after the last one, shape (f,); frames before any contact count."""
    wait = int(np.ceil(seconds * frame_rate - 1e-9))
    touched = np.asarray(contact, bool)
    last = np.maximum.accumulate(np.where(touched, np.arange(len(touched)), -len(touched) - wait))
    return ~touched & (np.arange(len(touched)) - last >= wait)


def pops(displacement: NDArray, hand_step: NDArray) -> NDArray[np.intp]:
    """Frames k (> 0) in which the skin jumps: its largest step exceeds 3 × the hand's step + 1 mm, shape (p,).

    displacement: (f, n, 3) ΔH in the cranium's frame [m]; hand_step: (f - 1,) largest step of a hand vertex
    between frames k - 1 and k [m], relative to the cranium.
    """
    if len(displacement) < 2:
        return np.zeros(0, np.intp)
    step = np.sqrt((np.diff(np.asarray(displacement, np.float64), axis=0) ** 2).sum(axis=2)).max(axis=1, initial=0.0)
    return np.flatnonzero(step > POP_RATIO * np.asarray(hand_step) + POP_MARGIN) + 1


def flicker(displacement: NDArray, hand_step: NDArray) -> float:
    """How far skin moves back and forth under still hands [m]: the largest part of its last step that ΔH reverses over
    three frames between which no hand vertex moves as far as STANDING; 0 if hands are never still. Skin that creeps or
    returns to rest, fast or slowly, does not flicker.

    displacement: (f, n, 3) in the cranium's frame [m]; hand_step: (f - 1,) as in `pops`.
    """
    still = np.asarray(hand_step) < STANDING
    step = np.diff(np.asarray(displacement, np.float64), axis=0)
    step, following = (s[still[:-1] & still[1:]] for s in (step[:-1], step[1:]))
    longer = np.maximum(np.linalg.norm(step, axis=2), np.linalg.norm(following, axis=2))
    back = -np.einsum("fni,fni->fn", step, following) / np.maximum(longer, 1e-12)
    return float(back.max(initial=0.0)) + 0.0  # no -0


def roughness(displacement: NDArray, hand: NDArray, frame_rate: float) -> dict[str, float]:
    """Acceleration and jerk of the skin's displacement, and their ratio to the hand's, over the same frames.

    displacement: (f, n, 3) ΔH [m]; hand: (f, m, 3) hand vertices [m]; both in the cranium's frame. Derivatives are
    finite differences; each value is the 95th percentile over the vertices deformed by more than 0.5 mm (skin) and
    over all hand vertices, of the frames with such skin. m/s² and m/s³; ratios are 0 if the hand does not move.
    """
    result: dict[str, float] = {}
    deformed = np.linalg.norm(displacement, axis=2) > DEFORMED if len(displacement) else np.zeros((0, 0), bool)
    for name, order in (("acceleration", 2), ("jerk", 3)):
        if len(displacement) <= order or not deformed.any():
            result |= {name: 0.0, f"hand_{name}": 0.0, f"{name}_ratio": 0.0}
            continue
        # A vertex counts if it is deformed in any frame of the difference.
        window = np.stack([deformed[k : len(deformed) - order + k] for k in range(order + 1)]).any(axis=0)
        skin = np.linalg.norm(np.diff(displacement, order, axis=0), axis=2)[window]
        moved = np.linalg.norm(np.diff(hand, order, axis=0), axis=2)[window.any(axis=1)]
        scale = frame_rate**order
        own = float(np.percentile(skin, 95)) * scale
        other = float(np.percentile(moved, 95)) * scale if moved.size else 0.0
        result |= {name: own, f"hand_{name}": other, f"{name}_ratio": own / other if other > 1e-9 else 0.0}
    return result
