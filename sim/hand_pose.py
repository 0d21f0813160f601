# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correction: the smallest smooth shift of a hand over time that takes it out of bone.

The shift s(t), in the cranium's frame, minimises the integral of |s − τ² s''|² subject to n · s ≥ d wherever the hand
is too deep. The Green's function of this energy is (1 + |t| / τ) exp(−|t| / τ), which is smooth and never negative: a
hand comes out in time and goes back without swinging beyond its own path. Limits that contradict each other, as of a
hand between two bones, are met as well as least squares can.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, diags, identity, kron
from scipy.sparse.linalg import splu

from ..progress import Job, Progress
from .frame import TrackedFrame
from .hand_depth import HandDepth, Limits

_STEP = "pose correction"
# [s] How fast the shift comes and goes: half of it within 0.17 s, the time in which a hand reaches the face; 6 mm then
# take at most 22 mm/s, less than 1 mm in a frame of film.
SMOOTH = 0.1
_REACH = 6.0  # times SMOOTH before and after contact the shift is zero: 2 % would be left
# [s] Weight of a limit against the energy, of which moving a single frame costs 4 SMOOTH: it is met to a thousandth.
_HARD = 400.0
_MARGIN = 1e-4  # [m] further out than needed: bone and skin are curved, the limits are flat
_SAME = 2e-5  # [m] by which the shift may still change when it is taken as found
_ROUNDS = 8  # of measuring at the shifted hand and solving; most are found in three
_NEWTON = 50  # steps on a piecewise quadratic function: most need ten


def smallest_shift(limits: Sequence[tuple[NDArray, NDArray]], frame_rate: float) -> NDArray[np.float64]:
    """The smoothest small shift (f, 3) [m] with n · s ≥ d in each frame; exactly zero where it need not be anything.

    limits: of each frame, unit directions n (k, 3) and least shifts d (k,) along them [m]; any number, or none.
    frame_rate [1/s].
    """
    count = len(limits)
    shift = np.zeros((count, 3))
    needed = np.flatnonzero([bool((d > 0).any()) for _, d in limits])
    if not len(needed):
        return shift
    near = np.abs(np.arange(count)[:, None] - needed).min(axis=1) <= _REACH * SMOOTH * frame_rate
    frames = np.flatnonzero(near)
    column = np.cumsum(near) - 1
    energy = (identity(count) - (SMOOTH * frame_rate) ** 2 * _second_difference(count)).tocsc()[:, frames]
    smooth = kron(energy.T @ energy, identity(3), format="csc")
    rows = [(n, d, np.full(len(d), column[f])) for f, (n, d) in enumerate(limits) if near[f] and len(d)]
    normals, least, at = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    columns = 3 * at[:, None] + np.arange(3)
    push = csr_matrix(
        (normals.ravel(), columns.ravel(), np.arange(0, 3 * len(least) + 1, 3)), shape=(len(least), 3 * len(frames))
    )
    shift[frames] = _minimise(smooth, push, least, _HARD * frame_rate).reshape(-1, 3)
    return shift


def _second_difference(count: int) -> csr_matrix:
    """(f, f); at the ends of the take as if it stood still there."""
    middle = np.full(count, -2.0)
    middle[0] += 1.0
    middle[-1] += 1.0
    return diags([np.ones(count - 1), middle, np.ones(count - 1)], [-1, 0, 1], format="csr")


def _minimise(smooth: csc_matrix, push: csr_matrix, least: NDArray, hard: float) -> NDArray[np.float64]:
    """Minimises x·smooth·x + hard Σ max(0, least − push x)² by Newton's method with the active limits, (n,)."""

    def cost(x: NDArray) -> float:
        return float(x @ (smooth @ x) + hard * (np.maximum(least - push @ x, 0.0) ** 2).sum())

    x = np.zeros(smooth.shape[0])
    now, active = cost(x), least > 0
    for _ in range(_NEWTON):
        pushing = push[active]
        matrix = (smooth + hard * (pushing.T @ pushing)).tocsc()
        step = splu(matrix).solve(hard * (pushing.T @ least[active])) - x
        while (then := cost(x + step)) > now and np.abs(step).max() > 1e-9:
            step *= 0.5
        if then >= now:
            break
        x, now, before = x + step, then, active
        active = least > push @ x
        if np.array_equal(active, before):
            break
    return x


@dataclass(frozen=True)
class Correction:
    """Of one hand. shift: (f, 3) in world space; before, after: (f,) how much too deep it is and remains [m]."""

    shift: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def largest(self) -> float:
        """[m]"""
        return float(np.linalg.norm(self.shift, axis=1).max(initial=0.0))


@dataclass
class _Hand:
    """What is known of one hand, in each frame."""

    before: list[float] = field(default_factory=list)
    limits: list[Limits | None] = field(default_factory=list)


class PoseCorrection:
    """Collects the frames of a take, in order, then solves for all of them.

    Only frames in which a hand is near the face are kept.
    """

    def __init__(self, depth: HandDepth, frame_rate: float):
        self._depth, self._rate = depth, frame_rate
        self._turns: list[NDArray[np.float64]] = []
        self._kept: dict[int, TrackedFrame] = {}
        self._hands = {side: _Hand() for side in depth.sides}

    def add(self, frame: TrackedFrame, missing: Sequence[str] = ()) -> None:
        """missing: sides of hands that have no position of their own in this frame. Raises SurfaceError."""
        found = self._depth.limits(frame)
        if found:
            self._kept[len(self._turns)] = frame
        self._turns.append(self._depth.cranium(frame)[:3, :3])
        for side, hand in self._hands.items():
            limits = None if side in missing else found.get(side)
            hand.limits.append(limits)
            hand.before.append(0.0 if limits is None else limits.most)

    def solve_job(self) -> Job[dict[str, Correction]]:
        """By side, the corrections of the hands that need one."""
        deep = {side: np.array(hand.before) for side, hand in self._hands.items()}
        shifts = {side: np.zeros((len(self._turns), 3)) for side, most in deep.items() if most.any()}
        limits = {side: self._hands[side].limits for side in shifts}
        for done in range(_ROUNDS if shifts else 0):
            yield Progress(_STEP, done / _ROUNDS)
            changed = 0.0
            for side, shift in shifts.items():
                new = smallest_shift(_wanted(limits[side], shift, deep[side] > 0), self._rate)
                changed = max(changed, float(np.abs(new - shift).max()))
                shifts[side] = new
            if changed < _SAME:
                break
            limits = yield from self._limits_job(shifts, done)
        turns = np.stack(self._turns) if self._turns else np.zeros((0, 3, 3))
        return {
            side: Correction(
                np.einsum("fij,fj->fi", turns, shift),
                deep[side],
                np.array([0.0 if one is None else one.most for one in limits[side]]),
            )
            for side, shift in shifts.items()
        }

    def _limits_job(self, shifts: dict[str, NDArray], done: int) -> Job[dict[str, list[Limits | None]]]:
        """The limits of all frames with the hands shifted."""
        limits: dict[str, list[Limits | None]] = {side: [None] * len(self._turns) for side in shifts}
        for position, (row, frame) in enumerate(self._kept.items()):
            yield Progress(_STEP, (done + position / len(self._kept)) / _ROUNDS)
            found = self._depth.limits(frame, {side: shift[row] for side, shift in shifts.items()})
            for side in shifts:
                if self._hands[side].limits[row] is not None:  # not where it is missing
                    limits[side][row] = found.get(side)
        return limits


def _wanted(
    limits: Sequence[Limits | None], shift: NDArray, deep: NDArray[np.bool_]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """What `smallest_shift` is asked for: limits as measured at the present shift (f, 3); deep: (f,) frames in which
    the hand as animated is too deep."""
    return [
        (np.zeros((0, 3)), np.zeros(0))
        if one is None
        else (one.outward, one.excess + one.outward @ shift[f] + (_MARGIN if deep[f] else 0.0))
        for f, one in enumerate(limits)
    ]
