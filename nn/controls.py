# SPDX-License-Identifier: GPL-3.0-or-later
"""The subspace: about two thousand skin vertices, the controls, whose displacements represent that of the whole skin.

A contact deforms a finger's breadth of skin, anywhere on the head. Global modes would need hundreds of coefficients
for that. Evenly spread controls need no more, each acts only locally, and they mean the same on every head.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from ..sim.geometry.surface import vertex_normals
from ..sim.geometry.topology import unique_edges
from ..sim.template import JAW, Template

SPACING = 0.0075  # [m] between controls: half a fingertip
# Mesh edge length [m] above which controls have their full spacing, and the smallest share of that spacing.
_FULL_EDGE, _CLOSEST = 0.004, 0.6
_SUPPORT = 8  # controls that a skin vertex is interpolated from
# Correlation length [m] of the interpolated displacement, and the ridge that keeps its small systems well posed.
_LENGTH, _RIDGE = 0.016, 1e-3
_FAR = 3.0  # in spacings: a skin vertex with no control this near (along the skin) does not move
# Widths [m] of the two neighbourhoods that features are gathered over, cut off at the third times the width.
WIDTHS = (0.0075, 0.018)
_CUT = 2.2
_FRAME_RADIUS = 0.010  # [m] normals of the controls are averaged over this radius


@dataclass(frozen=True)
class Neighbours:
    """Sparse rows over controls: start (k+1,), index (e,), and per entry the moments (e, 3) float32 of the kernel:
    weight, weight × x/width, weight × y/width in the row's own tangent plane; the weights of a row sum to 1."""

    start: NDArray[np.int64]
    index: NDArray[np.int32]
    moments: NDArray[np.float32]


@dataclass(frozen=True)
class Controls:
    """vertices: (k,) skin vertices; points: (k, 3) neutral [m]; frames: (k, 3, 3) float32 rows x, y, outward normal;
    distance: csr (k, k) along the skin [m]; neighbours: one per width; decode: csr (n_skin, k) float32;
    static: (k, s) float32 what does not change (see `STATIC`)."""

    vertices: NDArray[np.int32]
    points: NDArray[np.float64]
    frames: NDArray[np.float32]
    distance: csr_matrix
    neighbours: tuple[Neighbours, ...]
    decode: csr_matrix
    static: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vertices)


# What describes a control's place: tissue depth [cm], bone direction in its frame, curvature at both widths, distance
# from the held rim [5 cm], and whether the bone below belongs to the jaw.
STATIC = ("depth", "bone x", "bone y", "bone z", "bulge near", "bulge far", "rim", "jaw")


def make_controls(template: Template, spacing: float = SPACING) -> Controls:
    """Spreads controls over the skin that is not held; deterministic."""
    points, triangles = template.skin_vertices, template.skin_triangles
    edges, _ = unique_edges(triangles)
    graph = _edge_graph(points, edges)
    # The inside of lips and nostrils moves with what is touched, so it has controls as well.
    movable = ~template.rim
    chosen = _spread(points, np.flatnonzero(movable), edges, spacing)
    reach = max(_CUT * WIDTHS[-1], _FAR * spacing)
    away = dijkstra(graph, directed=False, indices=chosen, limit=reach)  # (k, n_skin)
    frames = _frames(template, chosen)
    between = away[:, chosen]
    near = np.isfinite(between)
    rows, columns = np.nonzero(near)
    distance = csr_matrix((between[rows, columns] + 1e-12, (rows, columns)), shape=between.shape)
    neighbours = tuple(_neighbours(points[chosen], frames, between, width) for width in WIDTHS)
    decode = _interpolation(points, chosen, away, spacing, template.rim)
    static = _static(template, chosen, frames, neighbours)
    return Controls(
        chosen.astype(np.int32), points[chosen], frames.astype(np.float32), distance, neighbours, decode, static
    )


def _edge_graph(points: NDArray, edges: NDArray) -> csr_matrix:
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    return csr_matrix((np.maximum(length, 1e-9), (edges[:, 0], edges[:, 1])), shape=(len(points), len(points)))


@njit(cache=True, nogil=True)
def _spread_greedy(points, candidates, spacing, order):
    chosen = np.zeros(len(candidates), np.int64)
    count = 0
    for i in order:
        v = candidates[i]
        free = True
        for c in range(count):
            w = chosen[c]
            d = 0.0
            for k in range(3):
                d += (points[v, k] - points[w, k]) ** 2
            if d < spacing[v] * spacing[v]:
                free = False
                break
        if free:
            chosen[count] = v
            count += 1
    return chosen[:count]


def _spread(points: NDArray, candidates: NDArray, edges: NDArray, spacing: float) -> NDArray[np.int64]:
    """Candidates no two of which are nearer than 0.8 spacings, in an order that packs them evenly; sorted.

    Where the mesh is fine, as on nose and lips, the skin has more shape to lose: controls lie closer there.
    """
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    ends = edges.ravel()
    count = np.maximum(np.bincount(ends, minlength=len(points)), 1)
    mean = np.bincount(ends, np.repeat(length, 2), len(points)) / count
    wished = 0.8 * spacing * np.clip(mean / _FULL_EDGE, _CLOSEST, 1.0)
    order = np.random.default_rng(0).permutation(len(candidates))
    return np.sort(_spread_greedy(points, candidates.astype(np.int64), wished, order))


def _frames(template: Template, chosen: NDArray) -> NDArray[np.float64]:
    """Rows x, y and outward normal, smoothed so that neighbours agree on a hand's direction; x is level."""
    points = template.skin_vertices
    normals = vertex_normals(points, template.skin_triangles)
    frames = np.zeros((len(chosen), 3, 3))
    around = cKDTree(points).query_ball_point(points[chosen], _FRAME_RADIUS)
    for i, (v, near) in enumerate(zip(chosen, around, strict=True)):
        weight = 1 - np.linalg.norm(points[near] - points[v], axis=1) / _FRAME_RADIUS
        normal = (weight * (normals[near] @ normals[v] > 0)) @ normals[near] + 1e-6 * normals[v]
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        # Any tangent will do, as long as left and right choose it in the same way: towards the crown.
        up = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
        if np.linalg.norm(up) < 0.2:
            up = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
        up /= np.linalg.norm(up)
        frames[i] = np.cross(up, normal), up, normal
    return frames


def _neighbours(points: NDArray, frames: NDArray, between: NDArray, width: float) -> Neighbours:
    """Gaussian weights of all controls within the cut-off along the skin, with their first moments."""
    rows, columns = np.nonzero(between < _CUT * width)
    offset = np.einsum("eij,ej->ei", frames[rows], points[columns] - points[rows])
    weight = np.exp(-0.5 * (between[rows, columns] / width) ** 2)
    weight /= np.bincount(rows, weight, len(points))[rows]
    moments = np.stack([weight, weight * offset[:, 0] / width, weight * offset[:, 1] / width], axis=1)
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(points)))])
    return Neighbours(start.astype(np.int64), columns.astype(np.int32), moments.astype(np.float32))


def _interpolation(points: NDArray, chosen: NDArray, away: NDArray, spacing: float, held: NDArray) -> csr_matrix:
    """Local kriging: each skin vertex from its nearest controls along the skin, with a smooth correlation; (n, k).

    Weights are (C + ridge)⁻¹ c with C, c = exp(−½ (r / length)²), scaled to sum to 1 (simple kriging, cf. Rasmussen and
    Williams, Gaussian Processes for Machine Learning, 2006, Section 2.2).
    """
    count = min(_SUPPORT, len(chosen))
    rows, columns = np.nonzero(np.isfinite(away) & ~held)
    found = away[rows, columns]
    by_vertex = np.lexsort((found, columns))
    rows, columns, found = rows[by_vertex], columns[by_vertex], found[by_vertex]
    first = np.searchsorted(columns, np.arange(len(points) + 1))
    rank = np.arange(len(columns)) - first[columns]
    order = np.zeros((len(points), count), np.int64)
    distance = np.full((len(points), count), np.inf)
    nearest = rank < count
    order[columns[nearest], rank[nearest]] = rows[nearest]
    distance[columns[nearest], rank[nearest]] = found[nearest]
    moves = np.flatnonzero(distance[:, 0] < _FAR * spacing)
    order, distance = order[moves], distance[moves]
    nodes = points[chosen[order]]
    gaps = np.linalg.norm(nodes[:, :, None] - nodes[:, None], axis=3)
    matrix = np.exp(-0.5 * (gaps / _LENGTH) ** 2) + _RIDGE * np.eye(count)
    # Controls that are near in space but far along the skin, such as those of the other lip, do not count.
    straight = np.linalg.norm(nodes - points[moves][:, None], axis=2)
    strange = ~np.isfinite(distance) | (distance > 2.5 * straight + 0.5 * spacing)
    right = np.where(strange, 0.0, np.exp(-0.5 * (straight / _LENGTH) ** 2))
    matrix = np.where(strange[:, :, None] | strange[:, None], np.eye(count), matrix)
    weights = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0.3, weights / np.maximum(total, 0.3), weights)
    rows = np.repeat(moves, count)
    result = csr_matrix((weights.ravel(), (rows, order.ravel())), shape=(len(points), len(chosen)))
    # The controls themselves are exact.
    exact = np.zeros(len(points))
    exact[chosen] = 1
    unit = csr_matrix((np.ones(len(chosen)), (chosen, np.arange(len(chosen)))), shape=result.shape)
    result = (result.multiply((1 - exact)[:, None]) + unit).tocsr().astype(np.float32)
    result.eliminate_zeros()
    return result


def _static(
    template: Template, chosen: NDArray, frames: NDArray, neighbours: tuple[Neighbours, ...]
) -> NDArray[np.float32]:
    points = template.skin_vertices[chosen]
    bone = np.einsum("kij,kj->ki", frames, template.bone_direction[chosen])
    bulges = []
    for near in neighbours:
        rows = np.repeat(np.arange(len(chosen)), np.diff(near.start))
        offset = np.einsum("ej,ej->e", frames[rows, 2], points[near.index] - points[rows])
        bulges.append(np.bincount(rows, near.moments[:, 0] * offset, len(chosen)) / 0.005)
    rim = template.skin_vertices[template.rim]
    far = np.full(len(chosen), 1.0)
    if len(rim):
        far = np.minimum(np.linalg.norm(points[:, None] - rim[None, ::4], axis=2).min(axis=1) / 0.05, 1.0)
    columns = [np.minimum(template.tissue_depth[chosen] / 0.01, 3.0), *bone.T, *bulges, far, _on_jaw(template, points)]
    return np.stack(columns, axis=1).astype(np.float32)


def _on_jaw(template: Template, points: NDArray) -> NDArray[np.float64]:
    bone = np.flatnonzero(template.vertex_region != 0)
    if not len(bone):
        return np.zeros(len(points))
    _, nearest = cKDTree(template.vertices[bone]).query(points)
    return (template.vertex_region[bone[nearest]] == JAW).astype(np.float64)
