# SPDX-License-Identifier: GPL-3.0-or-later
"""Robust nonlinear least squares over all frames at once: Gauss-Newton with damping on a banded system.

Frames are coupled by a smoothness of second differences alone, so that the normal equations have a half bandwidth of
two frames, and LAPACK's banded Cholesky solves them in time linear in the number of frames.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solveh_banded

from ..progress import Job, Progress
from .kinematics import Bones, Freedoms, Motion, Moving, Points
from .rotations import exp, inverse_right_jacobian, log

_ROUNDS = 40  # of Gauss-Newton at most
_ENOUGH = 1e-5  # relative decrease of the cost at which it ends
_DAMPING, _LEAST, _MOST = 1e-4, 1e-7, 1e4  # times the diagonal
_OUTLIER = 3.0  # standard deviations at which a point loses three quarters of its weight
_MANY = 6  # points of a frame whose median means something
_MEDIAN = 2.366  # of squares in standard deviations, of three coordinates
_SUDDEN = 3.0  # standard deviations of acceleration beyond which it counts linearly: contact stops hands suddenly
_LIMIT = np.radians(0.5)  # standard deviation by which limits are exceeded while solving; the result keeps them
_LEAST_VARIANCE = 1e-12  # keeps ratios finite


@dataclass(frozen=True)
class Data:
    """Where points were seen. target: (f, m, 3) [m]; information: (f, m, 3, 3) inverse covariances [1/m²], zero where
    a point was not seen, of rank two where one camera saw it."""

    target: NDArray[np.float64]
    information: NDArray[np.float64]

    @property
    def seen(self) -> NDArray[np.bool_]:
        return np.trace(self.information, axis1=-2, axis2=-1) > 0


class Sight(Protocol):
    """Whatever was seen."""

    def data(self, near: NDArray) -> Data:
        """As it looks from places (f, m, 3) near the points, for a noise of one metre or one pixel."""
        ...


@dataclass(frozen=True)
class Beliefs:
    """What is known beforehand of the unknowns of `Freedoms`.

    axes: (r, 3, 3) columns of each turning bone's anatomical axes in its rest frame; mean, deviation, low, high:
    (r, 3) angles about them [rad]; place_deviation: (l,) [m]; expression_deviation, expression_low, expression_high:
    (e,). acceleration: (n,) standard deviation of second differences from frame to frame.
    """

    axes: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    place_deviation: NDArray[np.float64]
    expression_deviation: NDArray[np.float64]
    expression_low: NDArray[np.float64]
    expression_high: NDArray[np.float64]
    acceleration: NDArray[np.float64]


@dataclass
class Problem:
    """One set of unknowns over all frames. observed: where its points were seen, with
    `noise` [m or px]; extra: further terms on the same points, such as contact."""

    bones: Bones
    points: Points
    free: Freedoms
    beliefs: Beliefs
    observed: Sight
    noise: float = 1.0
    extra: Data | None = None
    rounds: int = _ROUNDS

    def solve(self, motion: Motion, step: str = "Fitting") -> Job[Motion]:
        """The motion improved until it is stationary; limits are kept exactly. step: what the progress says."""
        damping = _DAMPING
        moving = Moving(self.bones, self.points, motion)
        data = self.look(moving.places)
        for count in range(self.rounds):
            yield Progress(step, count / self.rounds)
            weight = _weights(data, moving.places)
            cost = self._cost(moving, data, weight)
            gradient, blocks, bending = self._normal(moving, data, weight)
            accepted = False
            while damping < _MOST:
                change = _banded_solve(blocks, bending, damping, -gradient)
                if change is not None:
                    tried = Moving(self.bones, self.points, self.free.stepped(moving.motion, change))
                    looked = self.look(tried.places)
                    now = self._cost(tried, looked, weight)
                    if now < cost:
                        accepted = True
                        break
                damping *= 10
            if not accepted:
                break
            moving, data, damping = tried, looked, max(damping / 10, _LEAST)
            if (cost - now) / max(cost, _LEAST_VARIANCE) < _ENOUGH:
                break
        return self.clamped(moving.motion)

    def look(self, places: NDArray) -> Data:
        """The data as they look from places (f, m, 3), in standard deviations."""
        data = self.observed.data(places)
        return replace(data, information=data.information / self.noise**2)

    def squares(self, motion: Motion) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(f, m) squared distances of the points, in standard deviations, and which were seen."""
        places = Moving(self.bones, self.points, motion).places
        data = self.look(places)
        return _squares(data, places), data.seen

    def weights(self, motion: Motion) -> NDArray[np.float64]:
        """(f, m) what is left of each point's weight: near 0 for outliers."""
        places = Moving(self.bones, self.points, motion).places
        return _weights(self.look(places), places)

    def frame_costs(self, motion: Motion) -> NDArray[np.float64]:
        """(f,) of points and beliefs, without what joins frames."""
        squares, _ = self.squares(motion)
        total = (squares / (1 + squares / _OUTLIER**2)).sum(1)
        for residual, _ in self._priors(motion):
            total += (residual**2).reshape(len(total), -1).sum(1)
        return total

    def clamped(self, motion: Motion) -> Motion:
        """The motion within its limits."""
        result, b = motion.copy(), self.beliefs
        angles = self._angles(motion)
        kept = np.clip(angles, b.low, b.high)
        outside = (kept != angles).any(-1)
        vectors = np.einsum("rij,frj->fri", b.axes, kept)
        turns = motion.turns[:, self.free.turning]
        turns[outside] = exp(vectors[outside])
        result.turns[:, self.free.turning] = turns
        chosen = self.free.expressions
        result.expressions[:, chosen] = np.clip(motion.expressions[:, chosen], b.expression_low, b.expression_high)
        return result

    def _angles(self, motion: Motion) -> NDArray[np.float64]:
        """(f, r, 3) about the anatomical axes."""
        return np.einsum("rji,frj->fri", self.beliefs.axes, log(motion.turns[:, self.free.turning]))

    def _cost(self, moving: Moving, data: Data, weight: NDArray) -> float:
        total = float((weight * _squares(data, moving.places)).sum())
        if self.extra is not None:
            total += float(_squares(self.extra, moving.places).sum())
        for residual, _ in self._priors(moving.motion):
            total += float((residual**2).sum())
        bent, _ = self._bending(moving.motion)
        return total + float(_huber(bent / self.beliefs.acceleration).sum())

    def _priors(self, motion: Motion) -> list[tuple[NDArray, NDArray]]:
        """Residuals of beliefs about single frames, with their derivatives by the own unknowns:
        (f, r, 3) and (f, r, 3, 3), or (f, n) and (n,)."""
        b, frames = self.beliefs, len(motion.turns)
        vectors = log(motion.turns[:, self.free.turning])
        angles = np.einsum("rji,frj->fri", b.axes, vectors)
        slope = np.swapaxes(b.axes, -1, -2) @ inverse_right_jacobian(vectors)
        over = np.maximum(angles - b.high, 0) + np.minimum(angles - b.low, 0)
        off = (over != 0)[..., None] * slope / _LIMIT
        expressions = motion.expressions[:, self.free.expressions]
        outside = np.maximum(expressions - b.expression_high, 0) + np.minimum(expressions - b.expression_low, 0)
        places = motion.places[:, self.free.located].reshape(frames, -1)
        return [
            ((angles - b.mean) / b.deviation, slope / b.deviation[..., None]),
            (over / _LIMIT, off),
            (places / np.repeat(b.place_deviation, 3), np.repeat(1 / b.place_deviation, 3)),
            (expressions / b.expression_deviation, 1 / b.expression_deviation),
            (outside / 0.01, (outside != 0) / 0.01),  # a hundredth of a weight, as half a degree of a joint
        ]

    def _bending(self, motion: Motion) -> tuple[NDArray, NDArray]:
        """Second differences (f - 2, n) of the unknowns and the weights of a robust loss on them."""
        if len(motion.turns) < 3:
            empty = np.zeros((0, self.free.count))
            return empty, empty
        turns = motion.turns[:, self.free.turning]
        speed = log(np.swapaxes(turns[:-1], -1, -2) @ turns[1:])
        parts = [
            np.diff(speed, axis=0).reshape(len(speed) - 1, -1),
            np.diff(motion.places[:, self.free.located], 2, axis=0).reshape(len(speed) - 1, -1),
            np.diff(motion.expressions[:, self.free.expressions], 2, axis=0),
        ]
        bent = np.concatenate(parts, axis=1)
        ratio = np.abs(bent) / self.beliefs.acceleration
        return bent, np.minimum(1.0, _SUDDEN / np.maximum(ratio, _LEAST_VARIANCE))

    def _normal(
        self, moving: Moving, data: Data, weight: NDArray
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Gradient (f, n), diagonal blocks (f, n, n), and weights (f - 2, n) of the second differences."""
        motion, jacobian = moving.motion, moving.jacobian(self.free)
        frames, m, _, n = jacobian.shape
        information = weight[..., None, None] * data.information
        force = _times(information, moving.places - data.target)
        if self.extra is not None:
            information = information + self.extra.information
            force += _times(self.extra.information, moving.places - self.extra.target)
        flat = jacobian.reshape(frames, 3 * m, n)
        weighted = (information @ jacobian).reshape(frames, 3 * m, n)
        blocks = np.swapaxes(flat, 1, 2) @ weighted
        gradient = np.einsum("fkn,fk->fn", flat, force.reshape(frames, -1))
        self._add_priors(motion, gradient, blocks)
        bent, factor = self._bending(motion)
        stiff = factor / self.beliefs.acceleration**2
        pull = stiff * bent
        if len(pull):
            gradient[:-2] += pull
            gradient[1:-1] -= 2 * pull
            gradient[2:] += pull
        return gradient, blocks, stiff

    def _add_priors(self, motion: Motion, gradient: NDArray, blocks: NDArray) -> None:
        r, l = len(self.free.turning), len(self.free.located)  # noqa: E741
        turned, limited, placed, expressed, outside = self._priors(motion)
        for residual, slope in (turned, limited):
            g = np.einsum("frij,fri->frj", slope, residual)
            h = np.swapaxes(slope, -1, -2) @ slope
            gradient[:, : 3 * r] += g.reshape(len(g), -1)
            for bone in range(r):
                here = slice(3 * bone, 3 * bone + 3)
                blocks[:, here, here] += h[:, bone]
        start = 3 * r
        for residual, slope, size in ((*placed, 3 * l), (*expressed, -1), (*outside, -1)):
            stop = start + size if size >= 0 else gradient.shape[1]
            index = np.arange(start, stop)
            gradient[:, index] += slope * residual
            blocks[:, index, index] += slope**2
            start = stop if size >= 0 else start


def _times(information: NDArray, vectors: NDArray) -> NDArray[np.float64]:
    return (information @ vectors[..., None])[..., 0]


def _squares(data: Data, places: NDArray) -> NDArray[np.float64]:
    """(f, m)"""
    away = places - data.target
    return (_times(data.information, away) * away).sum(-1)


def _weights(data: Data, places: NDArray) -> NDArray[np.float64]:
    """(f, m) of iteratively reweighted least squares for the loss of Geman and McClure (1987).

    Where half the points of a frame are far off, not they are wrong, but the motion is: then they count by its scale.
    """
    squares = _squares(data, places)
    median = np.ma.median(np.ma.masked_array(squares, ~data.seen), axis=1).filled(0.0)
    scale = np.where(data.seen.sum(1) < _MANY, 1.0, np.maximum(1.0, median / _MEDIAN))
    return 1 / (1 + squares / (_OUTLIER**2 * scale[:, None])) ** 2


def _huber(ratio: NDArray) -> NDArray[np.float64]:
    size = np.abs(ratio)
    return np.where(size <= _SUDDEN, size**2, 2 * _SUDDEN * size - _SUDDEN**2)


def _banded_solve(blocks: NDArray, stiff: NDArray, damping: float, right: NDArray) -> NDArray[np.float64] | None:
    """x (f, n) of (blocks + second differences + damping of the diagonal) x = right; None if it is not definite."""
    frames, n, _ = blocks.shape
    band = np.zeros((2 * n + 1, frames, n))
    for offset in range(n):
        band[offset, :, : n - offset] = np.diagonal(blocks, -offset, axis1=1, axis2=2)
    if len(stiff):
        band[0, :-2] += stiff
        band[0, 1:-1] += 4 * stiff
        band[0, 2:] += stiff
        band[n, :-2] -= 2 * stiff
        band[n, 1:-1] -= 2 * stiff
        band[2 * n, :-2] += stiff
    band[0] += damping * band[0] + _LEAST_VARIANCE
    try:
        found = solveh_banded(band.reshape(2 * n + 1, -1), right.ravel(), lower=True, check_finite=False)
    except LinAlgError:
        return None
    return found.reshape(frames, n)
