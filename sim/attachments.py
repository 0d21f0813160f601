# SPDX-License-Identifier: GPL-3.0-or-later
"""What hangs on the skin, such as lashes, brows, beards and piercings: which pieces do, and how they follow it.

A vertex is bound to the closest point of the skin. Where the skin is displaced, that point's displacement is added to
the vertex, and its offset from the point turns with the skin there: the rotation of the deformation gradient (R. W.
Sumner and J. Popović 2004). What is far from the skin, as the tip of a lash is, follows the root it grows from.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, identity
from scipy.sparse.csgraph import connected_components, dijkstra

from .geometry import rigid
from .geometry.mending import weld_seams
from .geometry.surface import Surface, triangle_normals
from .geometry.topology import boundary_loops, unique_edges
from .geometry.triangle_bvh import TriangleTree

NEAR = 0.003  # [m] on the skin: cards of hair float up to 2 mm above it, so that they do not flicker through
_SUNK = 0.001  # [m] behind the skin: roots are sunk in this deep, while eyeballs and teeth lie behind lids and lips
_SHARE = 1 / 3  # of a piece's vertices that must be near: a lash has one row of three on the lid
_FARTHEST = 0.03  # [m] of a piece from the skin: longer hair hangs by itself and only touches
_FREE = 0.25  # share of the near vertices in front of which there is no more skin: those of teeth look into the mouth
_EYE = (0.007, 0.025)  # [m] radii of eyeballs, of a child's to a stylised one's
_ROUND = 0.1  # relative deviation from a ball up to which a piece counts as an eyeball
# Bindings of neighbours blend over this many distances from the skin, so that a strip does not tear where its closest
# points lie apart: they can only where it is off the skin.
_SOFT = 2.0
_RIGID = 0.02  # [m] size up to which a closed piece is a thing of its own, such as a piercing: a fingertip's width
_STILL = 1e-7  # [m] skin that has moved less has not


class SkinToFollow:
    """The neutral skin that pieces may hang on.

    vertices: (n, 3) [m]; triangles: (m, 3) of the head's main part, wound outward; outer: (n,) what a hand can reach.
    """

    def __init__(self, vertices: NDArray, triangles: NDArray, outer: NDArray[np.bool_]):
        self.vertices = np.asarray(vertices, np.float64)
        self.triangles = triangles[outer[triangles].all(axis=1)]
        self.whole = TriangleTree(self.vertices, triangles)
        self.tree = TriangleTree(self.vertices, self.triangles) if len(self.triangles) else self.whole


class Attached:
    """The vertices of one surface that hang on the skin, bound at the neutral frame.

    rows: (k,) of its vertices, ascending; piece: (k,) the loose piece of each; pieces: how many there are.
    """

    def __init__(self, surface: Surface, skin: SkinToFollow):
        points = np.asarray(surface.vertices, np.float64)
        welded, _, stands_for = weld_seams(points, surface.triangles)
        piece = pieces_of(welded, stands_for)
        found, near, foot = _on_skin(points, welded, piece, skin)
        self.pieces = len(found)
        self.rows = np.flatnonzero(np.isin(piece, found))
        self.piece = piece[self.rows]
        if not self.pieces:
            return
        roots = np.flatnonzero(near & np.isin(piece, found))
        spread = _spread(points, foot[2], welded, stands_for, roots)[self.rows]
        used = np.flatnonzero(np.asarray(abs(spread).sum(axis=0)).ravel())
        self._spread = spread[:, used].tocsr()
        self._bind(skin, foot[0][roots[used]], foot[1][roots[used]])
        closed = _closed_and_small(points, welded, piece, found)
        self._rigid = [np.flatnonzero(self.piece == number) for number in closed]

    def _bind(self, skin: SkinToFollow, triangle: NDArray, barycentric: NDArray) -> None:
        """Takes over the points of the skin that are followed: (r,) triangles and barycentric (r, 3)."""
        corners = skin.tree.triangles[triangle]
        count, n = len(corners), len(skin.vertices)
        place = csr_matrix((barycentric.ravel(), (np.repeat(np.arange(count), 3), corners.ravel())), shape=(count, n))
        area = np.linalg.norm(triangle_normals(skin.vertices, skin.triangles), axis=1)
        around = np.flatnonzero(np.isin(skin.triangles, corners).any(axis=1) & (area > 0))
        self._triangles = skin.triangles[around]
        rows, columns = self._triangles.ravel(), np.repeat(np.arange(len(around)), 3)
        frames = place @ csr_matrix((np.repeat(area[around], 3), (rows, columns)), shape=(n, len(around)))
        total = np.asarray(frames.sum(axis=1)).ravel()
        self._frames = (diags(1 / np.maximum(total, np.finfo(float).tiny)) @ frames).tocsr()
        self._watched = np.unique(self._triangles)
        self._place = place

    def displacement(self, points: NDArray, tracked: NDArray, skin: NDArray) -> NDArray[np.float64]:
        """How far the attached vertices follow the skin in a frame, (k, 3) [m]; exactly zero where it keeps still.

        points: (k, 3) where their own animation puts them; tracked, skin: (n, 3) the undisturbed and the simulated
        vertices. All in one space, metres.
        """
        moved = np.zeros((len(self.rows), 3))
        if not self.pieces or np.abs(skin[self._watched] - tracked[self._watched]).max() < _STILL:
            return moved
        points, tracked, skin = (np.asarray(array, np.float64) for array in (points, tracked, skin))
        turn = _rotations(self._frames @ self._gradients(tracked, skin)) - np.eye(3)
        foot = self._place @ tracked
        shift = self._place @ skin - foot - np.einsum("rij,rj->ri", turn, foot)
        moved = self._spread @ shift
        moved += np.einsum("kij,kj->ki", (self._spread @ turn.reshape(-1, 9)).reshape(-1, 3, 3), points)
        moved[np.abs(moved).max(axis=1) < _STILL] = 0
        for rows in self._rigid:
            if moved[rows].any():
                moved[rows] = rigid.apply(rigid.fit_rigid(points[rows], points[rows] + moved[rows]), points[rows])
                moved[rows] -= points[rows]
        return moved

    def _gradients(self, tracked: NDArray, skin: NDArray) -> NDArray[np.float64]:
        """Deformation gradients (t, 9) of the triangles around the roots, which keep the length of the normal."""
        before, after = (_edges_and_normal(vertices, self._triangles) for vertices in (tracked, skin))
        flat = np.abs(np.linalg.det(before)) < np.finfo(np.float64).tiny
        before[flat] = after[flat] = np.eye(3)
        return (after @ np.linalg.inv(before)).reshape(-1, 9)


def pieces_of(triangles: NDArray, stands_for: NDArray) -> NDArray[np.int64]:
    """The loose piece (n,) that each vertex belongs to; -1 without a triangle. stands_for: (n,) as `weld_seams`."""
    n = len(stands_for)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    piece = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(n, n)), directed=False)[1]
    used = np.zeros(n, bool)
    used[triangles] = True
    return np.where(used[stands_for], piece[stands_for], -1).astype(np.int64)


def _on_skin(
    points: NDArray, triangles: NDArray, piece: NDArray, skin: SkinToFollow
) -> tuple[NDArray[np.int64], NDArray[np.bool_], tuple[NDArray, NDArray, NDArray]]:
    """The pieces that hang on the skin, which vertices (n,) are near it, and their triangle, barycentric, distance."""
    distance, triangle, barycentric, _ = skin.tree.closest(points, 2 * _FARTHEST)
    near = (distance < NEAR) & (piece >= 0)
    normal = triangle_normals(skin.vertices, skin.tree.triangles[np.maximum(triangle, 0)])
    normal /= np.maximum(np.linalg.norm(normal, axis=1), np.finfo(float).tiny)[:, None]
    foot = skin.tree.points_at(np.maximum(triangle, 0), barycentric)
    near &= np.einsum("ij,ij->i", points - foot, normal) > -_SUNK
    rows = np.flatnonzero(near)
    free = np.isinf(skin.whole.hit(foot[rows] + NEAR * normal[rows], normal[rows]))
    count = int(piece.max(initial=-1)) + 1
    of, everyone = np.maximum(piece, 0), piece >= 0
    size = np.bincount(of, everyone, count)
    close = np.bincount(of, near, count)
    farthest = np.zeros(count)
    np.maximum.at(farthest, of[everyone], distance[everyone])
    open_to = np.bincount(of[rows], free, count)
    hangs = (size > 0) & (close >= np.maximum(_SHARE * size, 1)) & (farthest <= _FARTHEST) & (open_to >= _FREE * close)
    found = [k for k in np.flatnonzero(hangs) if not is_eyeball(points[piece == k])]
    return np.array(found, np.int64), near, (triangle, barycentric, distance)


def is_eyeball(points: NDArray) -> bool:
    """Whether a piece (k, 3) is about a ball, or half of one, of an eye's size."""
    if len(points) < 12:
        return False
    extent = np.ptp((points - points.mean(axis=0)) @ np.linalg.svd(points - points.mean(axis=0))[2].T, axis=0)
    if extent.min() < _EYE[0]:
        return False
    fit = np.linalg.lstsq(np.column_stack([2 * points, np.ones(len(points))]), (points**2).sum(1), rcond=None)[0]
    radii = np.linalg.norm(points - fit[:3], axis=1)
    radius = radii.mean()
    return bool(_EYE[0] < radius < _EYE[1] and radii.std() < _ROUND * radius and extent.min() >= radius)


def _spread(points: NDArray, distance: NDArray, triangles: NDArray, stands_for: NDArray, roots: NDArray) -> csr_matrix:
    """Weights (n, r) with which vertices follow the roots: mostly the nearest along the piece, and its neighbours'.

    distance: (n,) from the skin [m].
    """
    n = len(points)
    edges = unique_edges(triangles)[0]
    length = np.maximum(np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1), 1e-9)
    graph = coo_matrix((length, edges.T), shape=(n, n)).tocsr()
    sources = dijkstra(graph, directed=False, indices=roots, min_only=True, return_predecessors=True)[2]
    root = np.full(n, -1)
    reached = sources >= 0
    root[reached] = np.searchsorted(roots, sources[reached])
    root = root[stands_for]
    held = root >= 0
    own = csr_matrix((np.ones(int(held.sum())), (np.flatnonzero(held), root[held])), shape=(n, len(roots)))
    ends = np.concatenate([edges, edges[:, ::-1]])
    reach = np.maximum(_SOFT * np.minimum(distance[ends[:, 0]], _FARTHEST), 1e-9)
    beside = coo_matrix((np.exp(-((np.tile(length, 2) / reach) ** 2)), ends.T), shape=(n, n))
    blend = (identity(n) + beside).tocsr()[stands_for]
    blend = diags(1 / np.asarray(blend.sum(axis=1)).ravel()) @ blend
    return (blend @ own).tocsr()


def _closed_and_small(points: NDArray, triangles: NDArray, piece: NDArray, found: NDArray) -> list[int]:
    """Which of the pieces are rigid things."""
    closed = []
    for number in found:
        if np.ptp(points[piece == number], axis=0).max() <= _RIGID:
            faces = triangles[piece[triangles[:, 0]] == number]
            if not boundary_loops(faces):
                closed.append(int(number))
    return closed


def _edges_and_normal(vertices: NDArray, triangles: NDArray) -> NDArray[np.float64]:
    """Two edges and the unit normal of each triangle as columns, (t, 3, 3)."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.stack([b - a, c - a, normal], axis=2)


def _rotations(gradients: NDArray) -> NDArray[np.float64]:
    """The nearest rotations (r, 3, 3) to gradients (r, 9): polar decomposition, identity where nothing is deformed."""
    gradients = gradients.reshape(-1, 3, 3)
    result = np.tile(np.eye(3), (len(gradients), 1, 1))
    turned = np.flatnonzero(np.abs(gradients - np.eye(3)).max(axis=(1, 2)) > 1e-9)
    u, _, v = np.linalg.svd(gradients[turned])
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    result[turned] = u @ v
    return result
