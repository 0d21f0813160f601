# SPDX-License-Identifier: GPL-3.0-or-later
"""How well flesh keeps its volume: what skin sweeps inwards comes out again elsewhere."""

import numpy as np
from numpy.typing import NDArray

from .geometry.triangle_bvh import TriangleTree
from .measure import DEFORMED, TOUCH_DISTANCE


def swept_volumes(tracked: NDArray, skin: NDArray, triangles: NDArray) -> NDArray[np.float64]:
    """Signed volume [m³] between each triangle (t, 3) of the tracked and of the simulated skin (n, 3), shape (t,).

    Positive where the skin moves outwards. The sum over a closed surface is exactly the change of its volume: the side
    walls between neighbouring triangles are the same ruled surfaces and cancel.
    """
    a, b, c = (np.asarray(tracked, np.float64)[triangles[:, k]] for k in range(3))
    d, e, f = (np.asarray(skin, np.float64)[triangles[:, k]] - v for k, v in enumerate((a, b, c)))
    u, v, mean = b - a, c - a, (d + e + f) / 3
    result = np.einsum("ij,ij->i", np.cross(u, v), mean)
    # Normals of the moving triangle are quadratic in time: first and second order of ∫ velocity · area vector dt.
    du, dv = e - d, f - d
    result += np.einsum("ij,ij->i", np.cross(du, v) + np.cross(u, dv), mean) / 2
    result += np.einsum("ij,ij->i", np.cross(du, dv), mean) / 3
    return result / 2


def returned(tracked: NDArray, skin: NDArray, triangles: NDArray) -> tuple[float, float]:
    """Volumes [m³] that the skin sweeps inwards and outwards, both positive."""
    swept = swept_volumes(tracked, skin, triangles)
    return float(-swept[swept < 0].sum()), float(swept[swept > 0].sum())


def bulge(tracked: NDArray, skin: NDArray, normals: NDArray, hands: list[TriangleTree]) -> float:
    """How far [m] skin that no hand is near moves outwards, at most.

    tracked, skin, normals: (n, 3), the normals those of the tracked skin. Skin counts as untouched beyond
    TOUCH_DISTANCE from every hand.
    """
    out = np.einsum("ij,ij->i", np.asarray(skin, np.float64) - tracked, normals)
    candidates = np.argsort(-out)
    for start in range(0, len(candidates), 256):  # the largest first: most of the skin is never looked at
        some = candidates[start : start + 256]
        some = some[out[some] > 0]
        free = np.ones(len(some), bool)
        for hand in hands:
            free &= ~np.isfinite(hand.closest(np.asarray(skin, np.float64)[some], TOUCH_DISTANCE)[0])
        if free.any():
            return float(out[some[free]].max())
        if len(some) < 256:
            break
    return 0.0


def sensitivity(skins: NDArray, others: NDArray, tracked: NDArray) -> float:
    """RMS distance [m] of two runs (f, n, 3) over all skin that either deforms by more than DEFORMED; 0 without any."""
    deformed = np.maximum(np.linalg.norm(skins - tracked, axis=2), np.linalg.norm(others - tracked, axis=2)) > DEFORMED
    if not deformed.any():
        return 0.0
    difference = np.linalg.norm(np.asarray(skins, np.float64) - others, axis=2)[deformed]
    return float(np.sqrt((difference**2).mean()))
