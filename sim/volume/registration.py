# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers the template's skin to another head's by a smooth warp of space.

Closest points in both directions, from coarse to fine: a similarity, then an affine map, then triharmonic splines of
decreasing stiffness. Parts that only one of the two skins has find no partner and follow the smooth warp. Distances are
given for a head as large as the template.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from ..geometry.surface import triangle_normals, vertex_normals
from ..geometry.topology import boundary_loops
from ..geometry.triangle_bvh import TriangleTree
from ..geometry.warp import spread

Map = Callable[[NDArray], NDArray[np.float64]]

_POINTS = 700  # of each skin, evenly spread: about 12 mm apart on a whole head
_COARSE = 250  # of them to choose among starts: those chosen first are evenly spread, too
_SIZE = 0.1  # [m] unit of length in which the stiffness is given, about a head's radius
_FACING = 0.5  # least cosine between the normals of partners: 60°
# Partners are mutual: from the partner back, the closest point is not much closer. Skin that the other one lacks would
# all be drawn to its rim otherwise.
_MUTUAL, _SLACK = 1.5, 0.002  # [m]
_RIGID_ROUNDS, _AFFINE_ROUNDS = 20, 8
_FEWEST = 30  # partners for which a fit makes sense
_REACH, _NEAR = 0.030, 0.012  # how far partners may lie apart [m], at first and later
_ROUNDS = 4  # of new partners at each stiffness
# Weight of smoothness against distance. Beyond the last one, the warp follows single wrinkles and the mouth's corners.
_STIFFNESS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)


@dataclass(frozen=True)
class Skin:
    """An outer skin prepared for finding partners: its surface, evenly spread points of it, and what is its rim."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    chosen: NDArray[np.int64]
    rim: NDArray[np.bool_]  # (m,) triangles that touch an open boundary

    @classmethod
    def of(cls, vertices: NDArray, triangles: NDArray) -> "Skin":
        used, corners = np.unique(triangles, return_inverse=True)
        vertices, triangles = vertices[used], corners.reshape(-1, 3).astype(np.int32)
        edge = np.zeros(len(vertices), bool)
        for loop in boundary_loops(triangles):
            edge[loop] = True
        inner = np.flatnonzero(~edge)
        return cls(vertices, triangles, inner[spread(vertices[inner], _POINTS)], edge[triangles].any(1))


@dataclass(frozen=True)
class Registration:
    """warp: from the template's frame to the head's; error: mean distance [m] of the template's skin from the head's
    where both are there; matched: the share of the smaller skin that found a partner, that is, the
    larger one of the shares of both; misfit: mean distance [m] of both skins under the best similarity."""

    warp: Map
    error: float
    matched: float
    misfit: float


def register(template: Skin, head: Skin, starts: Sequence[NDArray]) -> Registration:
    """starts: similarities (3, 4) from the template's frame to the head's, of which the best one is refined."""
    tree = TriangleTree(head.vertices, head.triangles)
    coarse, other = (replace(skin, chosen=skin.chosen[:_COARSE]) for skin in (template, head))
    found = [_refined(coarse, other, tree, np.asarray(start, float), _RIGID_ROUNDS, similarity) for start in starts]
    costs = [_cost(coarse, other, tree, matrix) for matrix in found]
    best = found[int(np.argmin(costs))]
    best = _refined(template, head, tree, best, _RIGID_ROUNDS // 2, similarity)
    warp = _as_map(_refined(template, head, tree, best, _AFFINE_ROUNDS, _affine))
    for stiffness in _STIFFNESS:
        for _ in range(_ROUNDS):
            source, target, weight, _ = _partners(template, head, tree, warp, _NEAR)
            if len(source) < _FEWEST:
                break
            warp = _spline(source, target, weight, stiffness)
    return Registration(warp, *_quality(template, head, tree, warp), min(costs))


def _refined(
    template: Skin, head: Skin, tree: TriangleTree, matrix: NDArray, rounds: int, fit: Callable
) -> NDArray[np.float64]:
    """A map (3, 4) improved by closest points: `fit(source, target, weight)` makes it anew from partners."""
    for k in range(rounds):
        reach = max(_NEAR, _REACH * (1 - k / rounds)) if fit is similarity else _NEAR
        source, target, weight, _ = _partners(template, head, tree, _as_map(matrix), reach)
        if len(source) < _FEWEST:
            break
        matrix = fit(source, target, weight)
    return matrix


def similarity(source: NDArray, target: NDArray, weight: NDArray) -> NDArray[np.float64]:
    """The similarity (3, 4) that best maps source (n, 3) to target (n, 3) (Umeyama 1991)."""
    w = weight / weight.sum()
    from_, to = w @ source, w @ target
    a, b = source - from_, target - to
    u, s, vt = np.linalg.svd((b * w[:, None]).T @ a)
    s[-1] *= np.sign(np.linalg.det(u @ vt))
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    linear = s.sum() / (w @ (a**2).sum(1)) * (u @ vt)
    return np.column_stack([linear, to - linear @ from_])


def _affine(source: NDArray, target: NDArray, weight: NDArray) -> NDArray[np.float64]:
    """The affine map (3, 4) that best maps source to target, by weighted least squares."""
    rows = np.column_stack([source, np.ones(len(source))])
    root = np.sqrt(weight)[:, None]
    return np.linalg.lstsq(rows * root, target * root, rcond=None)[0].T


def transformed(matrix: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Points (n, 3) after an affine map (3, 4)."""
    return points @ matrix[:, :3].T + matrix[:, 3]


def _as_map(matrix: NDArray) -> Map:
    return lambda points: transformed(matrix, points)


def _spline(source: NDArray, target: NDArray, weight: NDArray, stiffness: float) -> Map:
    """A smoothing triharmonic spline, in units of the head's size."""
    smooth = stiffness / np.maximum(weight, 1e-3)
    spline = RBFInterpolator(source / _SIZE, target, smoothing=smooth, kernel="cubic", degree=1)
    return lambda points: spline(np.asarray(points, float) / _SIZE)


def _partners(
    template: Skin, head: Skin, tree: TriangleTree, warp: Map, reach: float
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Points of the template, unwarped, and of the head that belong together, their weights, and their distances.

    Robust: a pair that lies `reach` apart counts half (Cauchy), further ones and those on a rim or that face elsewhere
    do not count.
    """
    moved = warp(template.vertices)
    reach *= float(np.linalg.norm(np.ptp(moved, axis=0)) / np.linalg.norm(np.ptp(template.vertices, axis=0)))
    own = TriangleTree(moved, template.triangles)
    warped = Skin(moved, template.triangles, template.chosen, template.rim)
    there, back = _pairs(warped, own, head, tree, reach), _pairs(head, tree, warped, own, reach)
    corners = template.triangles[back.triangle]
    source = np.einsum("kc,kcd->kd", back.barycentric, template.vertices[corners])
    return (
        np.concatenate([template.vertices[template.chosen[there.index]], source]),
        np.concatenate([there.place, head.vertices[head.chosen[back.index]]]),
        np.concatenate([there.weight, back.weight]),
        np.concatenate([there.distance, back.distance]),
    )


@dataclass(frozen=True)
class _Pairs:
    """index: (k,) which of the chosen points have a partner; triangle, barycentric, place: where it lies."""

    index: NDArray[np.int64]
    triangle: NDArray[np.int32]
    barycentric: NDArray[np.float64]
    place: NDArray[np.float64]
    distance: NDArray[np.float64]
    weight: NDArray[np.float64]


def _pairs(skin: Skin, own: TriangleTree, other: Skin, tree: TriangleTree, reach: float) -> _Pairs:
    """The chosen points of a skin with their closest points on another one."""
    points = skin.vertices[skin.chosen]
    normals = vertex_normals(skin.vertices, skin.triangles)[skin.chosen]
    distance, triangle, barycentric, _ = tree.closest(points, 2 * reach)
    facing = triangle_normals(tree.vertices, tree.triangles)
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-15)
    found = (triangle >= 0) & ~other.rim[triangle]
    index = np.flatnonzero(found & (np.einsum("kd,kd->k", facing[triangle], normals) > _FACING))
    place = tree.points_at(triangle[index], barycentric[index])
    mutual = distance[index] < _MUTUAL * own.closest(place, 2 * reach)[0] + _SLACK
    index, place = index[mutual], place[mutual]
    weight = 1 / (1 + (distance[index] / reach) ** 2)
    return _Pairs(index, triangle[index], barycentric[index], place, distance[index], weight)


def _cost(template: Skin, head: Skin, tree: TriangleTree, matrix: NDArray) -> float:
    """Mean distance of both skins' points, `_NEAR` for those without a partner."""
    distance = _partners(template, head, tree, _as_map(matrix), _NEAR)[3]
    count = len(template.chosen) + len(head.chosen)
    return float((np.minimum(distance, _NEAR).sum() + _NEAR * (count - len(distance))) / count)


def _quality(template: Skin, head: Skin, tree: TriangleTree, warp: Map) -> tuple[float, float]:
    moved = warp(template.vertices)
    warped, own = (
        Skin(moved, template.triangles, template.chosen, template.rim),
        TriangleTree(moved, template.triangles),
    )
    there, back = _pairs(warped, own, head, tree, _NEAR), _pairs(head, tree, warped, own, _NEAR)
    distance = np.concatenate([there.distance, back.distance])
    return float(distance.mean()) if len(distance) else np.inf, max(
        len(there.index) / len(template.chosen), len(back.index) / len(head.chosen)
    )
