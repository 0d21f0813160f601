# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations as matrices and as rotation vectors, for any number at once (Solà et al. 2018, A micro Lie theory)."""

import numpy as np
from numpy.typing import NDArray

_SMALL = 1e-6  # [rad] below which series replace ratios of vanishing numbers
_NEAR_PI = 1e-4  # [rad] from a half turn, where the antisymmetric part no longer gives the axis


def cross_matrix(v: NDArray) -> NDArray[np.float64]:
    """(…, 3, 3) with cross_matrix(v) @ x = v × x."""
    zero = np.zeros(v.shape[:-1])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*v.shape[:-1], 3, 3)


def exp(v: NDArray) -> NDArray[np.float64]:
    """Rotation matrices (…, 3, 3) of rotation vectors (…, 3) [rad]."""
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    safe = np.maximum(angle, _SMALL)
    k = cross_matrix(v)
    first = np.where(angle < _SMALL, 1.0, np.sin(safe) / safe)
    second = np.where(angle < _SMALL, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + first * k + second * (k @ k)


def log(rotation: NDArray) -> NDArray[np.float64]:
    """Rotation vectors (…, 3) [rad], at most π long, of rotation matrices (…, 3, 3)."""
    twice = np.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        -1,
    )
    sine = 0.5 * np.linalg.norm(twice, axis=-1)
    cosine = 0.5 * (np.trace(rotation, axis1=-2, axis2=-1) - 1)
    angle = np.arctan2(sine, cosine)
    result = twice * (np.where(sine < _SMALL, 0.5, 0.5 * angle / np.maximum(sine, _SMALL)))[..., None]
    turned = angle > np.pi - _NEAR_PI
    if turned.any():
        # R + I ≈ 2 a aᵀ there: its largest column is along the axis.
        outer = rotation[turned] + np.eye(3)
        column = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
        axis = np.take_along_axis(outer, column[:, None, None], axis=-1)[..., 0]
        axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
        sign = np.where((axis * twice[turned]).sum(-1) < 0, -1.0, 1.0)
        result[turned] = axis * (sign * angle[turned])[:, None]
    return result


def inverse_right_jacobian(v: NDArray) -> NDArray[np.float64]:
    """(…, 3, 3): log(exp(v) exp(δ)) ≈ v + this @ δ."""
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    safe = np.clip(angle, 1e-4, np.pi)  # a sum of 1/θ² terms loses its digits earlier than a ratio of sines
    k = cross_matrix(v)
    factor = np.where(angle < 1e-4, 1 / 12, 1 / safe**2 - (1 + np.cos(safe)) / (2 * safe * np.sin(safe) + 1e-12))
    return np.eye(3) + 0.5 * k + factor * (k @ k)


def kabsch(source: NDArray, target: NDArray, weight: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotations (…, 3, 3) and translations (…, 3) that best map points (…, n, 3) to targets, weights (…, n) ≥ 0
    (Kabsch 1976)."""
    total = np.maximum(weight.sum(-1), 1e-12)[..., None]
    from_ = (weight[..., None] * source).sum(-2) / total
    to = (weight[..., None] * target).sum(-2) / total
    a, b = source - from_[..., None, :], target - to[..., None, :]
    u, _, vt = np.linalg.svd(np.swapaxes(weight[..., None] * b, -1, -2) @ a)
    flip = np.ones((*u.shape[:-2], 3))
    flip[..., 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[..., None, :]) @ vt
    return rotation, to - np.einsum("...ab,...b->...a", rotation, from_)
