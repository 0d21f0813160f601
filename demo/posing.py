# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward kinematics and linear blend skinning, as Blender's armature deforms without preserving volume."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .character import Skeleton


def euler(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NDArray[np.float64]:
    """(3, 3) rotation by degrees about x, then y, then z (fixed axes)."""
    cx, cy, cz = np.cos(np.radians((x, y, z)))
    sx, sy, sz = np.sin(np.radians((x, y, z)))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def quaternion(rotation: NDArray) -> NDArray[np.float64]:
    """(4,) w, x, y, z of a rotation matrix (3, 3), w ≥ 0. The largest component is found first, which is stable."""
    m = rotation
    a, b, c = np.diag(m)
    squares = 0.25 * np.array([1 + a + b + c, 1 + a - b - c, 1 - a + b - c, 1 - a - b + c])
    products = 0.25 * np.array(
        [
            [0, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], 0, m[1, 0] + m[0, 1], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], 0, m[2, 1] + m[1, 2]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], 0],
        ]
    )
    k = int(squares.argmax())
    q = products[k]
    q[k] = squares[k]
    q = q / np.sqrt(squares[k])
    return -q if q[0] < 0 else q


def rotation_matrix(q: NDArray) -> NDArray[np.float64]:
    """(3, 3) of a unit quaternion w, x, y, z."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def blend(a: NDArray, b: NDArray, weight: float) -> NDArray[np.float64]:
    """The rigid transform (4, 4) between a (weight 0) and b (1): positions on a line, turns on the shortest arc."""
    p, q = quaternion(a[:3, :3]), quaternion(b[:3, :3])
    cosine = float(p @ q)
    if cosine < 0:
        q, cosine = -q, -cosine
    angle = np.arccos(np.clip(cosine, 0.0, 1.0))
    mixed = p
    if angle > 1e-6:  # below, the quaternions are equal to rounding and the ratio of sines is 0/0
        mixed = (np.sin((1 - weight) * angle) * p + np.sin(weight * angle) * q) / np.sin(angle)
    result = np.eye(4)
    result[:3, :3] = rotation_matrix(mixed / np.linalg.norm(mixed))
    result[:3, 3] = (1 - weight) * a[:3, 3] + weight * b[:3, 3]
    return result


def pose_matrices(skeleton: Skeleton, turns: Mapping[str, NDArray], root: NDArray | None = None) -> NDArray[np.float64]:
    """Bone frames in armature space, (b, 4, 4).

    turns: bone name → rotation (3, 3) in the bone's rest frame; root: (4, 4) frame of the first bone, else its rest
    frame turned by its own turn.
    """
    posed = np.zeros_like(skeleton.matrices)
    for i, name in enumerate(skeleton.names):
        parent = skeleton.parents[i]
        local = np.eye(4)
        local[:3, :3] = turns.get(name, np.eye(3))
        if parent < 0:
            posed[i] = skeleton.matrices[i] @ local if root is None else root
        else:
            posed[i] = posed[parent] @ np.linalg.inv(skeleton.matrices[parent]) @ skeleton.matrices[i] @ local
    return posed


def skin(vertices: NDArray, weights: NDArray, skeleton: Skeleton, posed: NDArray) -> NDArray[np.float64]:
    """Vertices (n, 3) moved from the rest frames to `posed` (b, 4, 4) by linear blend skinning with weights (n, b)."""
    transforms = posed @ np.linalg.inv(skeleton.matrices)
    blended = np.einsum("nb,bij->nij", weights, transforms[:, :3])
    return np.einsum("nij,nj->ni", blended[:, :, :3], vertices) + blended[:, :, 3]
