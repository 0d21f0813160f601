# SPDX-License-Identifier: GPL-3.0-or-later
"""From the fine simulated skin to the vertices of a mesh that is much coarser.

Sampled at its own vertices, a coarse mesh misses the dents between them and cuts through the finger. Instead its
vertices are fitted: the piecewise linear surface they span comes as close as possible, in the sense of least squares
over the skin, to what was simulated. This is a constant linear map, so nothing moves where nothing was simulated. What
its faces then still cut off a hand is given way to, see `coarse_contact`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from .coarse_contact import CoarseContact
from .contact.obstacles import Obstacles
from .geometry.topology import unique_edges
from .solver.system import vertex_areas
from .template import Template

# Coarse are vertices whose edges are on average longer than the pad of a fingertip is wide where it presses, and that
# many times as long as the skin's. Finer meshes lose little by sampling; the demo character's is finer everywhere.
_WIDE = 0.010  # [m]
_COARSER = 1.5
# Faces with such edges cut 1.5 mm off a fingertip of 8 mm radius: they are kept off it also where the skin is no finer,
# whose contact is solved at its vertices.
_CUTTING = 0.009  # [m]
_SAMPLED = 0.02  # weight of the plain sample beside the fit: it decides where the skin tells nothing, and keeps it even
_SAME = 1e-6  # [m] two sides of a seam


class CoarseFit:
    """The displacement of a character's own vertices for that of the simulation surface.

    vertices: (k,) own vertices that are fitted, none if the mesh is fine; all others are sampled. longest: the longest
    mean edge length of them [m]. obstacles: what the simulation keeps the skin off.
    """

    def __init__(self, template: Template, obstacles: Obstacles | None = None):
        self._n, self._obstacles = template.n_head, obstacles
        self.vertices, self.longest = np.zeros(0, np.int64), 0.0
        self._contact: CoarseContact | None = None
        if template.linear is None:
            return
        own, fine = own_edges(template)
        self.vertices, self.longest = _coarse(template, own, fine)
        movable = np.union1d(np.flatnonzero(template.outer[: self._n] & (own > _CUTTING)), self.vertices)
        if len(movable):
            self._contact = CoarseContact(template, movable)
            self._copies = _other_sides(template, movable)
            self._movable = movable
        if not len(self.vertices):
            return
        coarse = np.zeros(self._n, bool)
        coarse[self.vertices] = True
        areas = vertex_areas(template.skin_vertices, template.skin_triangles)
        columns = template.linear.tocsc()[:, self.vertices].tocsr()
        rows = np.flatnonzero((np.diff(columns.indptr) > 0) & (areas > 0))
        columns, areas = columns[rows], areas[rows]
        self._rows = rows
        self._rest = template.linear[rows][:, np.flatnonzero(~coarse)].tocsr()
        self._sampled_columns = np.flatnonzero(~coarse)
        self._weighted = (columns.T @ diags(areas)).tocsr()
        normal = (self._weighted @ columns).tocsc()
        self._ridge = _SAMPLED * normal.diagonal()
        self._solver = splu((normal + diags(self._ridge)).tocsc())

    def head(
        self,
        skin: NDArray[np.float32],
        tracked: NDArray[np.float32],
        hands: Sequence[NDArray] = (),
        inner: NDArray | None = None,
    ) -> NDArray[np.float32]:
        """The character's own vertices (n_head, 3) for the simulated skin and the undisturbed one, (n_skin, 3), off the
        hands, (m, 3) each, and off the obstacles, whose vertices in this frame are `inner`."""
        n = self._n
        moved = skin.astype(np.float64) - tracked
        if self._contact is None or not moved.any():
            return skin[:n]
        own = skin[:n].copy()
        if len(self.vertices):
            right = self._weighted @ (moved[self._rows] - self._rest @ moved[self._sampled_columns])
            fitted = self._solver.solve(right + self._ridge[:, None] * moved[self.vertices])
            own[self.vertices] = tracked[self.vertices] + fitted
        own = self._contact.clear(own, tracked[:n], moved[:n].any(axis=1), hands)
        if self._obstacles is not None and inner is not None and len(inner):
            own = self._obstacles.kept_off(inner, tracked[:n], own, self._movable)
        copies, originals = self._copies
        own[copies] = own[originals]
        return own


@dataclass(frozen=True)
class RefinedHead:
    """What of a `Template` tells how coarse the character's mesh is, before there is a volume."""

    head_vertices: NDArray[np.float64]
    skin_vertices: NDArray[np.float64]
    skin_triangles: NDArray[np.int32]
    outer: NDArray[np.bool_]
    linear: csr_matrix

    @property
    def n_head(self) -> int:
        return len(self.head_vertices)


def coarse_vertices(template: Template | RefinedHead) -> tuple[NDArray[np.int64], float]:
    """The character's own vertices (k,) where its mesh is too coarse for a fingertip, and the longest mean length of
    the edges there [m]; only skin that a hand can reach."""
    if template.linear is None:
        return np.zeros(0, np.int64), 0.0
    return _coarse(template, *own_edges(template))


def _coarse(template: Template | RefinedHead, own: NDArray, fine: NDArray) -> tuple[NDArray[np.int64], float]:
    """See `coarse_vertices`, with `own_edges`."""
    found = np.flatnonzero(template.outer[: template.n_head] & (own > np.maximum(_WIDE, _COARSER * fine)))
    return found, float(own[found].max(initial=0.0))


def coarse_note(count: int, longest: float) -> str:
    """What to tell about so many coarse vertices with edges of up to `longest` [m]."""
    return (
        f"The mesh is too coarse for a fingertip at {count} vertices, with edges of up to {1000 * longest:.0f} mm: "
        "there it follows the simulated skin only roughly. Use 'Subdivide Coarse Skin' (Volume > Quality): weights and "
        "shape keys are kept."
    )


def own_edges(template: Template | RefinedHead) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean length [m] of the edges at each of the character's own vertices, before and after refinement; 0 without
    edges. (n_head,) each."""
    n, at = template.n_head, template.skin_vertices
    edges, _ = unique_edges(template.skin_triangles)
    assert template.linear is not None
    linear = csr_matrix(template.linear)
    halves = np.flatnonzero((np.diff(linear.indptr) == 2) & (np.arange(linear.shape[0]) >= n))
    ends = np.column_stack([linear.indices[linear.indptr[halves]], linear.indices[linear.indptr[halves] + 1]])
    weights = linear.data[linear.indptr[halves]]
    split = ends[np.abs(weights - 0.5) < 1e-9]  # the first midpoint of an edge; later ones are not its middle
    kept = edges[(edges < n).all(axis=1)]
    return _mean_length(np.concatenate([kept, split]), template.head_vertices, n), _mean_length(edges, at, n)


def _mean_length(edges: NDArray, vertices: NDArray, count: int) -> NDArray[np.float64]:
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    ends = edges.ravel()
    total = np.bincount(ends, np.repeat(length, 2), minlength=len(vertices))[:count]
    number = np.bincount(ends, minlength=len(vertices))[:count]
    return total / np.maximum(number, 1)


def _other_sides(template: Template, fitted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Own vertices on the other side of a seam, and the `fitted` (k,) at the same place that they follow."""
    n = template.n_head
    unused = np.ones(template.n_skin, bool)
    unused[template.skin_triangles] = False
    others = np.flatnonzero(unused[:n])
    distance, nearest = cKDTree(template.head_vertices[fitted]).query(template.head_vertices[others])
    same = distance < _SAME
    return others[same], fitted[nearest[same]]
