# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigid poses of a few points, from which the solver starts, and the frame in which a take lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .observed import Observed
from .rotations import kabsch, log

_FEWEST = 4  # points that make a pose
_ROUNDS, _HALF = 8, 0.15  # of reweighting, and residual that counts half, as a share of the points' spread
_FLAT = 0.25  # thickness as a share of the width below which points are flat
_FAR, _TURNED = 0.25, np.radians(45.0)  # a head farther from the rig's [m], or turned more, is in another space
_OTHER_SIZE = 0.04  # faces whose sizes differ by less are of one size: landmarks are not placed better


@dataclass(frozen=True)
class Poses:
    """frames: (f, 4, 4) from rest to the world, or to the world before it was scaled by `scale`; valid: (f,)."""

    frames: NDArray[np.float64]
    scale: NDArray[np.float64]
    valid: NDArray[np.bool_]


def rigid_poses(rest: NDArray, observed: Observed) -> list[Poses]:
    """Where points (m, 3) that are rigid at rest were seen. Of one camera and flat points there are two answers, which
    mirror each other in depth."""
    if not observed.one_view:
        return [_in_space(rest, observed)]
    sizes = np.linalg.svd(rest - rest.mean(0), compute_uv=False)
    flat = bool(sizes[2] < _FLAT * sizes[1])
    return [_in_view(rest, observed, flat, mirrored) for mirrored in ((False, True) if flat else (False,))]


def _in_space(rest: NDArray, observed: Observed) -> Poses:
    seen = observed.in_space
    target = np.nan_to_num(observed.points)
    source = np.broadcast_to(rest, target.shape)
    kept = weight = seen.astype(float)
    half = _HALF * np.sqrt(((rest - rest.mean(0)) ** 2).sum(1).mean())
    for _ in range(_ROUNDS):
        rotation, _ = kabsch(source, target, kept)
        # The scale is a ratio of sizes, so that target and source may differ in unit.
        total = np.maximum(kept.sum(1), 1e-12)[:, None]
        centre, middle = (kept[..., None] * source).sum(1) / total, (kept[..., None] * target).sum(1) / total
        a = np.einsum("fab,fmb->fma", rotation, source - centre[:, None])
        b = target - middle[:, None]
        size = (kept[..., None] * a * b).sum((1, 2)) / np.maximum((kept[..., None] * a * a).sum((1, 2)), 1e-12)
        size = np.maximum(size, 1e-6)
        away = np.linalg.norm(a - b / size[:, None, None], axis=-1)
        kept = weight / (1 + (away / half) ** 2) ** 2
    frames = np.tile(np.eye(4), (len(target), 1, 1))
    frames[:, :3, :3] = rotation
    frames[:, :3, 3] = middle - size[:, None] * np.einsum("fab,fb->fa", rotation, centre)
    return Poses(frames, size, seen.sum(1) >= _FEWEST)


def _in_view(rest: NDArray, observed: Observed, flat: bool, mirrored: bool) -> Poses:
    """By weak perspective from the camera that saw most (Tomasi and Kanade 1992)."""
    assert observed.rays is not None
    camera = int(observed.rays.seen.sum((1, 2)).argmax())
    direction, origin = observed.rays.direction[camera], observed.rays.origin[camera]
    seen = np.isfinite(direction).all(-1)
    valid = seen.sum(1) >= _FEWEST
    frames = np.tile(np.eye(4), (len(direction), 1, 1))
    for frame in np.flatnonzero(valid):
        d, x = direction[frame][seen[frame]], rest[seen[frame]]
        frames[frame] = _weak_perspective(x, d, flat, mirrored)
        frames[frame, :3, 3] += origin
    return Poses(frames, np.ones(len(frames)), valid)


def _weak_perspective(x: NDArray, d: NDArray, flat: bool, mirrored: bool) -> NDArray[np.float64]:
    """The pose (4, 4) of points (m, 3) that a camera in the origin sees in directions (m, 3)."""
    axis = np.median(d, axis=0)
    axis /= np.linalg.norm(axis)
    right = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    right /= np.linalg.norm(right)
    view = np.stack([right, np.cross(axis, right), axis])  # world → camera
    seen = d @ view.T
    image = seen[:, :2] / seen[:, 2:]
    weight = np.ones(len(x))
    for _ in range(_ROUNDS):
        w = weight[:, None] / weight.sum()
        middle, centre = (w * image).sum(0), (w * x).sum(0)
        p, q = image - middle, x - centre
        plane = np.linalg.svd(np.sqrt(w) * q, full_matrices=False)[2][: 2 if flat else 3]
        a = np.linalg.lstsq(np.sqrt(w) * (q @ plane.T), np.sqrt(w) * p, rcond=None)[0].T
        away = np.linalg.norm(p - q @ plane.T @ a.T, axis=1)
        weight = 1 / (1 + (away / (_HALF * np.sqrt((p**2).sum(1).mean()) + 1e-12)) ** 2) ** 2
    sizes = np.linalg.svd(a, compute_uv=False)
    scale = float(sizes[0] if flat else sizes.mean())
    b = a / scale
    if flat:
        third = np.sqrt(np.maximum(1 - (b**2).sum(0), 0.0))
        third[1] *= -np.sign(b[:, 0] @ b[:, 1]) or 1.0  # the columns stay orthogonal
        columns = np.vstack([b, -third if mirrored else third])
        columns = np.column_stack([columns, np.cross(columns[:, 0], columns[:, 1])])
        guess = columns @ np.vstack([plane, np.cross(plane[0], plane[1])])
    else:
        rows = b @ plane
        guess = np.vstack([rows, np.cross(rows[0], rows[1])])
    u, _, vt = np.linalg.svd(guess)
    turned = view.T @ (u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)
    place = view.T @ (np.append(middle, 1.0) / scale)
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = turned, place - turned @ centre
    return frame


def alignment(rest: NDArray, poses: Poses, *, fixed: bool) -> tuple[NDArray[np.float64], float] | None:
    """The rigid (4, 4) and the scale that bring a take to a head whose landmarks are at (m, 3) at rest; None if it is
    there already. fixed: whether the head cannot be placed freely."""
    if not poses.valid.any():
        return None
    frames, scale = poses.frames[poses.valid], float(np.median(poses.scale[poses.valid]))
    turns = frames[:, :3, :3]
    # The frame whose head is turned least against all others.
    apart = np.linalg.norm(turns[:, None] - turns[None], axis=(2, 3)).mean(1)
    usual = frames[int(apart.argmin())]
    middle = rest.mean(0)
    at = np.median(np.einsum("fab,b->fa", turns, scale * middle) + frames[:, :3, 3], axis=0)
    same = abs(scale - 1) < _OTHER_SIZE
    near = np.linalg.norm(at - middle) < _FAR and np.linalg.norm(log(usual[:3, :3])) < _TURNED
    if same and near and not fixed:
        return None
    factor = 1.0 if same else 1 / scale
    frame = np.eye(4)
    frame[:3, :3] = usual[:3, :3].T
    frame[:3, 3] = middle - factor * frame[:3, :3] @ at
    return frame, factor
