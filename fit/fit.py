# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits a rig to landmarks over a whole take: the head first, then each hand, which hangs beside or on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..progress import Job
from . import hand as hands
from .contact import Touch, likeliest
from .head import head_problem, own_face
from .kinematics import Motion, Moving, Points
from .observed import Observed
from .placing import alignment, rigid_poses
from .rig import SIDES, Rig
from .solver import Problem

FACE = "face"
_FEWEST = {"face": 12, "hand": 6}  # points without which a frame is a gap
_ROUGH = 12  # rounds of the first solutions, which only show noise and lengths
_SWITCH = 4.0  # what changing from one of two poses to its mirror image costs, in squared standard deviations
_GOOD = 0.25  # of its weight that a point keeps unless it is an outlier


@dataclass(frozen=True)
class PartFit:
    """How well a part was fitted. valid: (f,) frames with enough points, where keys are to be written; residual: (f, m)
    distance of each point [m], or from its camera's ray, NaN where it was not seen; outliers: share of the points;
    noise: of one coordinate [m] or [px]; lengths: bone → how many times as long as the rig's."""

    valid: NDArray[np.bool_]
    residual: NDArray[np.float64]
    outliers: float
    noise: float
    lengths: dict[str, float] = field(default_factory=dict)


@dataclass
class Fitted:
    """The motion of the rig's own bones and expressions, and how well each part fits. moved: the rigid (4, 4) and the
    scale that brought the take to the rig, None if it was there. contacts: side → (f,) bool."""

    motion: Motion
    parts: dict[str, PartFit]
    moved: tuple[NDArray[np.float64], float] | None = None
    contacts: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def fit_job(
    rig: Rig,
    observed: Mapping[str, Observed],
    frame_rate: float,
    labels: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Job[Fitted]:
    """Fits 'face', 'left' and 'right' as far as they were observed. frame_rate [1/s]. labels: side → (f,) frames in
    which the hand is known to touch the face."""
    observed = dict(observed)
    frames = next(iter(observed.values())).frames
    fitted = Fitted(Motion.at_rest(frames, len(rig.bones.parents), len(rig.keys)), {})
    if FACE in observed and rig.face_points is not None:
        points, seen = _matched(rig.face_points, rig.face_indices, observed[FACE])
        fitted.moved = alignment(points.rest, rigid_poses(points.rest, seen)[0], fixed="head" not in rig.located)
        if fitted.moved is not None:
            observed = {part: each.moved(*fitted.moved) for part, each in observed.items()}
        yield from _fit_head(rig, observed[FACE], fitted, frame_rate)
    for side in SIDES:
        if side in observed and side in rig.hands:
            yield from _fit_hand(rig, side, observed[side], fitted, frame_rate, (labels or {}).get(side))
    return fitted


def _matched(points: Points, own: NDArray, observed: Observed) -> tuple[Points, Observed]:
    """The points that both the rig and the take have, in the rig's order."""
    rows = [(k, int(np.flatnonzero(observed.numbers == n)[0])) for k, n in enumerate(own) if n in observed.numbers]
    mine, theirs = np.array(rows, np.int64).reshape(-1, 2).T
    return points.taken(mine), observed.taken(theirs)


def _with_noise(problem: Problem, motion: Motion, observed: Observed) -> Problem:
    """The problem with the noise that the residuals show."""
    squares, seen = problem.squares(motion)
    if not seen.any():
        return problem
    # Medians of chi-squares with 3 and 2 degrees of freedom.
    size = float(np.sqrt(np.median(squares[seen]) / (1.386 if observed.one_view else 2.366)))
    return replace(problem, noise=max(size * problem.noise, observed.least_noise))


def _fit_head(rig: Rig, observed: Observed, fitted: Fitted, frame_rate: float) -> Job[None]:
    assert rig.face_points is not None
    points, seen = _matched(rig.face_points, rig.face_indices, observed)
    problem = head_problem(rig, points, seen, frame_rate)
    motion = fitted.motion
    if "head" in rig.located:
        poses = rigid_poses(points.rest, seen)[0]
        bone = rig.located["head"]
        motion = hands.placed(rig.bones, motion, bone, poses.frames @ rig.bones.rest[bone], poses.valid)
    motion = yield from replace(problem, rounds=_ROUGH).solve(motion, "Fitting the head")
    for _ in range(2):
        if rig.head is not None:
            problem = replace(problem, points=own_face(problem, rig.head, motion))
        problem = _with_noise(problem, motion, seen)
        motion = yield from problem.solve(motion, "Fitting the head")
    fitted.motion, fitted.parts[FACE] = motion, _judged(problem, motion, _FEWEST["face"])


def _fit_hand(
    rig: Rig, side: str, observed: Observed, fitted: Fitted, frame_rate: float, labels: NDArray | None
) -> Job[None]:
    step = f"Fitting the {side} hand"
    points, numbers = rig.hand_points(side)
    points, seen = _matched(points, numbers, observed)
    problem = hands.hand_problem(rig, side, rig.bones, points, seen, frame_rate)
    motion = yield from _first_hand(rig, side, problem, seen, fitted.motion, step)
    factors = np.ones(len(rig.bones.parents))
    for _ in range(2):
        if not seen.one_view:  # the size of a hand and its depth look the same
            factors = hands.bone_factors(rig, side, problem, motion, seen.numbers) * factors
        bones, longer = hands.rescaled(rig, factors, points)
        problem = _with_noise(replace(problem, bones=bones, points=longer), motion, seen)
        motion = yield from problem.solve(motion, step)
    lengths = {rig.bones.names[b]: float(f) for b, f in enumerate(factors) if f != 1}
    judged = _judged(problem, motion, _FEWEST["hand"])
    if lengths:
        motion = yield from hands.carried_over(problem, rig.bones, points, seen.numbers, motion).solve(motion, step)
    if FACE in fitted.parts and side in rig.hand_skins:
        touch = Touch(
            rig, side, replace(problem, bones=rig.bones, points=points), fitted.parts[FACE].valid & judged.valid
        )
        motion, fitted.contacts[side] = yield from touch.job(motion, seen.one_view, labels, step)
    fitted.motion, fitted.parts[side] = motion, replace(judged, lengths=lengths)


def _first_hand(rig: Rig, side: str, problem: Problem, seen: Observed, motion: Motion, step: str) -> Job[Motion]:
    """A rough solution: of the two mirrored poses that a flat palm has in one camera, that which fits the fingers."""
    start, root = hands.bent(problem, motion), rig.located.get(side)
    if root is None:
        return (yield from replace(problem, rounds=_ROUGH).solve(start, step))
    palm = np.isin(seen.numbers, hands.PALM)
    candidates, costs = [], []
    for pose in rigid_poses(problem.points.rest[palm], seen.taken(np.flatnonzero(palm))):
        tried = hands.placed(problem.bones, start, root, pose.frames @ problem.bones.rest[root], pose.valid)
        tried = yield from replace(problem, rounds=_ROUGH).solve(tried, step)
        candidates.append(tried)
        costs.append(problem.frame_costs(tried))
    return _mixed(candidates, likeliest(np.array(costs), _SWITCH))


def _mixed(candidates: list[Motion], chosen: NDArray) -> Motion:
    rows = np.arange(len(chosen))
    stacked = [np.stack([getattr(c, name) for c in candidates]) for name in ("turns", "places", "expressions")]
    return Motion(*(each[chosen, rows] for each in stacked))


def _judged(problem: Problem, motion: Motion, fewest: int) -> PartFit:
    places = Moving(problem.bones, problem.points, motion).places
    data, weight = problem.look(places), problem.weights(motion)
    residual = np.where(data.seen, np.linalg.norm(data.target - places, axis=-1), np.nan)
    good = data.seen & (weight > _GOOD)
    outliers = 1 - good.sum() / max(data.seen.sum(), 1)
    return PartFit(good.sum(1) >= fewest, residual, float(outliers), problem.noise)
