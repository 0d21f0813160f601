# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in space from the rays of one or more cameras, with cameras that were wrong left out.

Each ray weighs a point's distance from it by what that is in pixels: information (focal / depth)² (1 − d dᵀ). The sum
over the rays is the covariance's inverse of a triangulated point; of one ray alone, it leaves the depth open.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_PAIRS = 24  # pairs of cameras that are tried for a start; among sixteen with 30 % outliers some pair is good
_GOOD = 6.0  # [px] from the ray, within which a camera agrees with a point
_ROUNDS = 5  # of reweighting
NEAREST = 0.05  # [m] nothing is nearer to a camera
_PARALLEL = np.radians(2.0)  # rays that differ by less give no depth


@dataclass(frozen=True)
class Rays:
    """origin: (c, 3) [m]; direction: (c, f, m, 3) unit, NaN where a camera did not see a point; focal: (c,) [px]."""

    origin: NDArray[np.float64]
    direction: NDArray[np.float64]
    focal: NDArray[np.float64]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(c, f, m)."""
        return np.isfinite(self.direction).all(-1)

    def taken(self, points: NDArray) -> "Rays":
        return Rays(self.origin, self.direction[:, :, points], self.focal)

    def distances(self, points: NDArray) -> NDArray[np.float64]:
        """(c, f, m) [px] of points (f, m, 3) from the rays; NaN where there is none."""
        away = points - self.origin[:, None, None]
        depth = (away * self.direction).sum(-1)
        across = np.linalg.norm(away - depth[..., None] * self.direction, axis=-1)
        return np.where(depth > NEAREST, self.focal[:, None, None] * across / np.maximum(depth, NEAREST), np.inf)

    def information(self, points: NDArray, weight: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(f, m, 3, 3) [px²/m²] and (f, m, 3): the sum over cameras with weights (c, f, m), and its product with the
        places that the rays suggest."""
        d = np.where(self.seen[..., None], self.direction, 0.0)
        away = points - self.origin[:, None, None]
        depth = np.maximum((away * d).sum(-1), NEAREST)
        scale = np.where(self.seen, weight * (self.focal[:, None, None] / depth) ** 2, 0.0)
        total = np.einsum("cfm,cfmi,cfmj->fmij", -scale, d, d) + scale.sum(0)[..., None, None] * np.eye(3)
        right = np.einsum("cfm,ci->fmi", scale, self.origin)
        right -= np.einsum("cfm,cfmi,cfm->fmi", scale, d, np.einsum("cfmi,ci->cfm", d, self.origin))
        return total, right


def triangulate(rays: Rays) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Points (f, m, 3) [m], NaN where fewer than two cameras agree, and which cameras agree, (c, f, m).

    Starts from the pair of cameras that most others agree with, then reweights (Geman and McClure 1987).
    """
    seen = rays.seen
    count, frames, m = seen.shape
    best = np.full((frames, m, 3), np.nan)
    score = np.full((frames, m), np.inf)
    pairs = list(combinations(range(count), 2))
    # Evenly spread over all pairs, and always the same.
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(_PAIRS, len(pairs))).astype(int)) if pairs else []
    for pair in chosen:
        one, other = pairs[pair]
        point = _between(rays, one, other)
        off = np.where(seen, np.minimum(np.nan_to_num(rays.distances(point), nan=np.inf), 2 * _GOOD) ** 2, 0.0).sum(0)
        better = np.isfinite(point).all(-1) & (off < score)
        best[better], score[better] = point[better], off[better]
    for _ in range(_ROUNDS):
        weight = np.where(seen, 1 / (1 + (rays.distances(best) / _GOOD) ** 2) ** 2, 0.0)
        best = _nearest_to_all(rays, best, np.nan_to_num(weight))
    agree = seen & (np.nan_to_num(rays.distances(best), nan=np.inf) < 2 * _GOOD)
    best[agree.sum(0) < 2] = np.nan
    best = _nearest_to_all(rays, best, agree.astype(float))
    return best, agree & np.isfinite(best).all(-1)


def _nearest_to_all(rays: Rays, points: NDArray, weight: NDArray) -> NDArray[np.float64]:
    """Points (f, m, 3) improved by one step of least squares; weight: (c, f, m)."""
    total, right = rays.information(points, weight)
    # Points in front of hardly any camera keep their place.
    fine = np.isfinite(points).all(-1) & (np.linalg.cond(np.nan_to_num(total) + 1e-12 * np.eye(3)) < 1e8)
    result = points.copy()
    result[fine] = np.linalg.solve(total[fine], right[fine][..., None])[..., 0]
    return result


def _between(rays: Rays, one: int, other: int) -> NDArray[np.float64]:
    """The middle of where two rays are nearest, (f, m, 3); NaN for parallel ones and behind the cameras."""
    a, b = rays.direction[one], rays.direction[other]
    apart = rays.origin[other] - rays.origin[one]
    cosine = (a * b).sum(-1)
    sine = 1 - cosine**2
    with np.errstate(divide="ignore", invalid="ignore"):
        first = ((a - cosine[..., None] * b) @ apart) / sine
        second = ((cosine[..., None] * a - b) @ apart) / sine
    point = (rays.origin[one] + first[..., None] * a + rays.origin[other] + second[..., None] * b) / 2
    bad = ~((sine > np.sin(_PARALLEL) ** 2) & (first > NEAREST) & (second > NEAREST))
    point[bad] = np.nan
    return point
