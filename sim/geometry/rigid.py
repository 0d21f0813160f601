# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigid transforms: fitting and applying."""

import numpy as np
from numpy.typing import NDArray


def fit_rigid(source: NDArray, target: NDArray, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Least-squares rigid transform (4, 4) that maps source (n, 3) to target (n, 3) (Procrustes; Kabsch 1976)."""
    w = np.ones(len(source)) if weights is None else np.asarray(weights, float)
    w = w / w.sum()
    centre_s, centre_t = w @ source, w @ target
    u, _, vt = np.linalg.svd(((target - centre_t) * w[:, None]).T @ (source - centre_s))
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    transform = np.eye(4)
    transform[:3, :3] = u @ vt
    transform[:3, 3] = centre_t - transform[:3, :3] @ centre_s
    return transform


def inverse(transform: NDArray) -> NDArray[np.float64]:
    """Inverse of a rigid transform (4, 4)."""
    result = np.eye(4)
    result[:3, :3] = transform[:3, :3].T
    result[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return result


def apply(transform: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Points (n, 3) moved by a transform (4, 4)."""
    return points @ transform[:3, :3].T + transform[:3, 3]
