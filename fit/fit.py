# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits a rig to landmarks over a whole take: the head first, then each hand, which hangs beside or on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..progress import Job, Progress
from . import hand as hands
from .head import head_problem, own_face
from .kinematics import Motion, Moving, Points
from .rig import SIDES, Rig
from .solver import Data, Problem

FACE = "face"
_FIRST_NOISE = 0.005  # [m] of points, until their residuals say more
_LEAST_NOISE = 0.0003  # [m] trackers are not better
_FEWEST = {"face": 12, "hand": 6}  # points without which a frame is a gap
_ROUGH = 12  # rounds of the first solutions, which only show noise and lengths


@dataclass(frozen=True)
class Observed:
    """Points of one part over time. numbers: (m,) of the points in the part's numbering; data: (f, m) of them, with
    information for a noise of one metre, or of one pixel if `in_pixels`; cameras: (f, m) how many saw each."""

    numbers: NDArray[np.int64]
    data: Data
    in_pixels: bool = False
    cameras: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class PartFit:
    """How well a part was fitted. valid: (f,) frames with enough points, where keys are to be written; residual: (f, m)
    distance of each point [m], NaN where it was not seen or along the ray of a single camera; outliers: share of the
    points; noise: as `Observed.data` counts."""

    valid: NDArray[np.bool_]
    residual: NDArray[np.float64]
    outliers: float
    noise: float
    lengths: dict[str, float] = field(default_factory=dict)


@dataclass
class Fitted:
    """The motion of the rig's own bones and expressions, and how well each part fits. contacts: side → (f,) bool."""

    motion: Motion
    parts: dict[str, PartFit]
    contacts: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def fit_job(rig: Rig, observed: Mapping[str, Observed], frame_rate: float) -> Job[Fitted]:
    """Fits 'face', 'left' and 'right' as far as they were observed. frame_rate [1/s]."""
    frames = len(next(iter(observed.values())).data.target)
    fitted = Fitted(Motion.at_rest(frames, len(rig.bones.parents), len(rig.keys)), {})
    if FACE in observed and rig.face_points is not None:
        yield Progress("Fitting the head", 0.0)
        fitted.motion, fitted.parts[FACE] = _fit_head(rig, observed[FACE], fitted.motion, frame_rate)
    for side in SIDES:
        if side in observed and side in rig.hands:
            yield Progress(f"Fitting the {side} hand", 0.0)
            fitted.motion, fitted.parts[side] = _fit_hand(rig, side, observed[side], fitted.motion, frame_rate)
    return fitted


def _matched(points: Points, own: NDArray, observed: Observed) -> tuple[Points, Data, NDArray[np.int64]]:
    """The points that both the rig and the take have, in the rig's order, and their numbers."""
    rows = [(k, int(np.flatnonzero(observed.numbers == n)[0])) for k, n in enumerate(own) if n in observed.numbers]
    mine, theirs = np.array(rows, np.int64).reshape(-1, 2).T
    data = observed.data
    taken = Data(data.target[:, theirs], data.information[:, theirs], data.robust)
    return points.taken(mine), taken, np.asarray(own)[mine]


def _scaled(data: Data, noise: float) -> Data:
    return replace(data, information=data.information / noise**2)


def _first_noise(observed: Observed) -> float:
    return 3.0 if observed.in_pixels else _FIRST_NOISE


def _least_noise(observed: Observed) -> float:
    return 0.2 if observed.in_pixels else _LEAST_NOISE


def _fit_head(rig: Rig, observed: Observed, motion: Motion, frame_rate: float) -> tuple[Motion, PartFit]:
    assert rig.face_points is not None
    points, plain, _ = _matched(rig.face_points, rig.face_indices, observed)
    noise = _first_noise(observed)
    problem = head_problem(rig, points, _scaled(plain, noise), frame_rate)
    motion = replace(problem, rounds=_ROUGH).solve(motion)
    for _ in range(2):
        if rig.head is not None:
            problem = replace(problem, points=own_face(problem, rig.head, motion))
        problem, noise = _renoised(problem, plain, motion, observed)
        motion = problem.solve(motion)
    return motion, _judged(problem, motion, noise, _FEWEST["face"])


def _renoised(problem: Problem, plain: Data, motion: Motion, observed: Observed) -> tuple[Problem, float]:
    places = Moving(problem.bones, problem.points, motion).places
    data, noise = hands.own_noise(plain, places, problem.weights(motion), _least_noise(observed))
    return replace(problem, data=data), noise


def _fit_hand(rig: Rig, side: str, observed: Observed, motion: Motion, frame_rate: float) -> tuple[Motion, PartFit]:
    points, numbers = rig.hand_points(side)
    points, plain, numbers = _matched(points, numbers, observed)
    noise = _first_noise(observed)
    problem = hands.hand_problem(rig, side, rig.bones, points, _scaled(plain, noise), frame_rate)
    start = hands.with_rigid_wrist(rig, side, problem, hands.bent(problem, motion), numbers)
    found = replace(problem, rounds=_ROUGH).solve(start)
    factors = np.ones(len(rig.bones.parents))
    for _ in range(2):
        factors = hands.bone_factors(rig, side, problem, found, numbers) * factors
        bones, own = hands.rescaled(rig, factors, points)
        problem, noise = _renoised(replace(problem, bones=bones, points=own), plain, found, observed)
        found = problem.solve(found)
    lengths = {rig.bones.names[b]: float(f) for b, f in enumerate(factors) if f != 1}
    return found, replace(_judged(problem, found, noise, _FEWEST["hand"]), lengths=lengths)


def _judged(problem: Problem, motion: Motion, noise: float, fewest: int) -> PartFit:
    weight, seen = problem.weights(motion), problem.data.seen
    away = problem.data.target - Moving(problem.bones, problem.points, motion).places
    residual = np.where(seen, np.linalg.norm(away, axis=-1), np.nan)
    good = seen & (weight > 0.25)
    outliers = 1 - good.sum() / max(seen.sum(), 1)
    return PartFit(good.sum(1) >= fewest, residual, float(outliers), noise)
