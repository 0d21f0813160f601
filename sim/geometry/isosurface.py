# SPDX-License-Identifier: GPL-3.0-or-later
"""A closed triangle surface around the inside of a field sampled on a regular grid, by surface nets.

Surface nets (Gibson 1998) put one vertex into every grid cell that the surface crosses and one quad across every grid
edge with a change of sign: evenly sized triangles, as tetrahedralisation needs. The set of inside samples is made
well-composed first, so that the surface is a manifold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label
from scipy.sparse import csr_matrix, diags

from .topology import unique_edges

_COMPOSE_ROUNDS = 20  # each round only adds samples, so it ends; in practice after two or three
_LARGE = 0.2  # fraction of the largest part below which a part is dropped
_INFLATE, _SHRINK = 0.5, -0.53  # Taubin 1995: smoothing without shrinking


@dataclass(frozen=True)
class Grid:
    """A regular grid: origin (3,) [m], spacing [m], shape (nx, ny, nz)."""

    origin: NDArray[np.float64]
    spacing: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low: ArrayLike, high: ArrayLike, spacing: float, margin: float) -> "Grid":
        """The grid over a box (3,), (3,) [m] enlarged by `margin` [m]."""
        low, high = np.asarray(low, float) - margin, np.asarray(high, float) + margin
        shape = np.ceil((high - low) / spacing).astype(int) + 1
        return cls(low, spacing, (int(shape[0]), int(shape[1]), int(shape[2])))

    def points(self) -> NDArray[np.float64]:
        """Positions of all samples, (nx·ny·nz, 3) [m], the last axis fastest."""
        axes = [self.origin[d] + self.spacing * np.arange(self.shape[d]) for d in range(3)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def isosurface(field: NDArray, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The surface field = 0 around field < 0, closed, wound outwards: vertices (n, 3) [m], triangles (m, 3).

    field: grid.shape, in metres or anything roughly linear near zero. Samples on the grid's border count as outside.
    Returns empty arrays if nothing is inside.
    """
    field = field.astype(np.float64).copy()
    inside = field < 0
    inside[[0, -1]] = inside[:, [0, -1]] = inside[:, :, [0, -1]] = False
    inside = well_composed(inside)
    tiny = 1e-3 * grid.spacing  # a sample that changed sides is placed just beyond the surface
    field = np.where(inside, np.minimum(field, -tiny), np.maximum(field, tiny))
    if not inside.any():
        return np.zeros((0, 3)), np.zeros((0, 3), np.int32)

    cells = tuple(n - 1 for n in grid.shape)
    total, weight = np.zeros((*cells, 3)), np.zeros(cells)
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    for a in corners:
        for axis in range(3):
            if a[axis]:
                continue
            b = tuple(1 if d == axis else a[d] for d in range(3))
            fa, fb = _shifted(field, a, cells), _shifted(field, b, cells)
            crosses = (fa < 0) != (fb < 0)
            along = np.where(crosses, fa / np.where(crosses, fa - fb, 1.0), 0.0)
            for d in range(3):
                total[..., d] += crosses * (a[d] + (along if d == axis else 0.0))
            weight += crosses
    active = weight > 0
    number = np.full(cells, -1, np.int64)
    number[active] = np.arange(active.sum())
    index = np.argwhere(active)
    vertices = grid.origin + grid.spacing * (index + total[active] / weight[active][:, None])

    quads = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        first = np.take(inside, range(grid.shape[axis] - 1), axis)
        second = np.take(inside, range(1, grid.shape[axis]), axis)
        at = np.argwhere(first != second)
        at = at[(at[:, u] > 0) & (at[:, v] > 0)]
        around = []
        for du, dv in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
            cell = at.copy()
            cell[:, u] += du
            cell[:, v] += dv
            around.append(number[tuple(cell.T)])
        quad = np.column_stack(around)
        leaving = first[tuple(at.T)]
        quads.append(np.where(leaving[:, None], quad, quad[:, ::-1]))
    quad = np.concatenate(quads)
    shorter = np.linalg.norm(vertices[quad[:, 0]] - vertices[quad[:, 2]], axis=1) <= np.linalg.norm(
        vertices[quad[:, 1]] - vertices[quad[:, 3]], axis=1
    )
    one = np.where(shorter[:, None], quad[:, [0, 1, 2]], quad[:, [0, 1, 3]])
    two = np.where(shorter[:, None], quad[:, [0, 2, 3]], quad[:, [1, 2, 3]])
    return vertices, np.concatenate([one, two]).astype(np.int32)


def smooth_surface(vertices: NDArray, triangles: NDArray, steps: int) -> NDArray[np.float64]:
    """`steps` pairs of Taubin smoothing on (n, 3): evens the surface out without shrinking it."""
    count = len(vertices)
    edges, _ = unique_edges(triangles)
    both = np.concatenate([edges, edges[:, ::-1]])
    average = csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    average = diags(1 / np.maximum(np.asarray(average.sum(1)).ravel(), 1)) @ average
    for _ in range(steps):
        for factor in (_INFLATE, _SHRINK):
            vertices = vertices + factor * (average @ vertices - vertices)
    return vertices


def large_parts(inside: NDArray) -> NDArray[np.bool_]:
    """The face-connected parts of a boolean grid with at least a fifth of the samples of the largest one."""
    parts, _ = label(inside)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    keep = sizes >= max(1, sizes.max() * _LARGE)
    return keep[parts] & inside


def well_composed(inside: NDArray) -> NDArray[np.bool_]:
    """Adds samples until no two inside samples meet only across an edge or a corner of a cell (Latecki 1997)."""
    inside = inside.astype(bool).copy()
    cells = tuple(n - 1 for n in inside.shape)
    for _ in range(_COMPOSE_ROUNDS):
        before = int(inside.sum())
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            size = tuple(inside.shape[d] - (d != axis) for d in range(3))
            square = ((0, 0), (1, 0), (1, 1), (0, 1))
            step = [tuple(int(d == u) * i + int(d == v) * j for d in range(3)) for i, j in square]
            s = [_shifted(inside, c, size) for c in step]
            for k in range(4):
                diagonal = s[k] & s[(k + 2) % 4] & ~s[(k + 1) % 4] & ~s[(k + 3) % 4]
                s[(k + 1) % 4][diagonal] = True
        corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
        views: dict[tuple[int, ...], NDArray] = {c: _shifted(inside, c, cells) for c in corners}
        for a in corners:
            b = tuple(1 - x for x in a)
            others = [views[c] for c in corners if c not in (a, b)]
            for state, fill in ((True, (b[0], a[1], a[2])), (False, a)):
                lonely = (views[a] == state) & (views[b] == state)
                for other in others:
                    lonely &= other != state
                views[fill][lonely] = True
        if int(inside.sum()) == before:
            break
    return inside


def _shifted(array: NDArray, corner: tuple, size: tuple) -> NDArray:
    """The view of `array` from `corner` on, `size` samples long."""
    return array[tuple(slice(c, c + n) for c, n in zip(corner, size, strict=True))]
