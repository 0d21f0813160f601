# SPDX-License-Identifier: GPL-3.0-or-later
"""Head pose, jaw and expressions from points of the face."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .kinematics import Freedoms, Motion, Moving, Points
from .observed import Observed
from .rig import Rig
from .solver import Beliefs, Problem

NECK, HEAD, ABOVE = np.radians(25.0), np.radians(25.0), np.radians(10.0)  # deviations from rest of each bone
_FURTHEST = np.radians(80.0)  # a bone of neck or head turns no further
_JAW_OPEN, _JAW_ASIDE = np.radians(15.0), np.radians(2.5)
_JAW_LOW, _JAW_HIGH = np.radians((-6.0, -6.0, -6.0)), np.radians((40.0, 6.0, 6.0))
_MOVED = 0.15  # [m] a head moves about so far from its place at rest
_EXPRESSION = 0.5  # deviation of weights from rest
# Accelerations of people: turning heads, speaking jaws, moving heads, blinking lids [rad/s², rad/s², m/s², 1/s²].
_TURN_RATE, _JAW_RATE, _MOVE_RATE, _EXPRESSION_RATE = 8.0, 25.0, 1.5, 40.0
_MOVES = 0.001  # [m] an expression moves some landmark at least so far, or it is not solved
IDENTITY = 0.004  # [m] how far the landmarks of two people, or of two trackers, differ once the heads are aligned
_INDEPENDENT = 5.0  # neighbouring frames whose errors count as one
_JAW_KEYS = ("jawopen",)  # expressions that a jaw bone makes already


def solved_keys(rig: Rig) -> NDArray[np.int64]:
    """The expressions that move a landmark."""
    if rig.face_points is None or not rig.keys:
        return np.zeros(0, np.int64)
    reach = np.linalg.norm(rig.face_points.deltas, axis=2).max(axis=0)
    doubled = [rig.jaw is not None and "".join(filter(str.isalpha, key)).lower() in _JAW_KEYS for key in rig.keys]
    return np.flatnonzero((reach > _MOVES) & ~np.array(doubled, bool))


def head_problem(rig: Rig, points: Points, observed: Observed, frame_rate: float) -> Problem:
    """The unknowns of the head."""
    turning = [bone for bone in (*reversed(rig.neck), rig.head, rig.jaw) if bone is not None]
    located = [rig.located["head"]] if "head" in rig.located else []
    turning = [*(bone for bone in located if bone not in turning), *turning]
    free = Freedoms(np.array(turning, np.int64), np.array(located, np.int64), solved_keys(rig))
    axes, deviation = np.tile(np.eye(3), (len(turning), 1, 1)), np.full((len(turning), 3), NECK)
    low, high = np.full((len(turning), 3), -_FURTHEST), np.full((len(turning), 3), _FURTHEST)
    rate = np.full((len(turning), 3), _TURN_RATE)
    if rig.jaw is not None:
        local = rig.bones.rest[rig.jaw, :3, :3].T
        # Turning about the axis to the right lowers what lies in front, as opening a jaw does.
        open_axis = -rig.lateral
        along = np.array([0.0, 0.0, 1.0]) if abs(open_axis[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        second = np.cross(open_axis, along)
        second /= np.linalg.norm(second)
        axes[-1] = local @ np.column_stack([open_axis, second, np.cross(open_axis, second)])
        deviation[-1] = _JAW_OPEN, _JAW_ASIDE, _JAW_ASIDE
        low[-1], high[-1], rate[-1] = _JAW_LOW, _JAW_HIGH, _JAW_RATE
    step = 1 / frame_rate**2
    keys = free.expressions
    beliefs = Beliefs(
        axes, np.zeros_like(low), deviation, low, high,
        np.full(len(located), _MOVED),
        np.full(len(keys), _EXPRESSION), rig.low[keys], rig.high[keys],
        step * np.concatenate(
            [rate.ravel(), np.full(3 * len(located), _MOVE_RATE), np.full(len(keys), _EXPRESSION_RATE)]
        ),
    )  # fmt: skip
    return Problem(rig.bones, points, free, beliefs, observed, observed.first_noise)


def own_face(problem: Problem, head: int, motion: Motion) -> Points:
    """The points moved to where they lie on the tracked person's face: by what is left of their distances over the
    whole take, in the head's own frame, as far as the frames agree."""
    moving = Moving(problem.bones, problem.points, motion)
    frame = moving.turned[:, head] @ problem.bones.rest[head, :3, :3].T  # from rest to the world
    data = problem.look(moving.places)
    information = problem.weights(motion)[..., None, None] * data.information / _INDEPENDENT
    away = data.target - moving.places
    turned = np.einsum("fji,fmjk,fkl->mil", frame, information, frame)
    force = np.einsum("fji,fmjk,fmk->mi", frame, information, away)
    offset = np.linalg.solve(turned + np.eye(3) / IDENTITY**2, force[..., None])[..., 0]
    return replace(problem.points, rest=problem.points.rest + offset)
