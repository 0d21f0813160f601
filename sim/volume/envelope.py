# SPDX-License-Identifier: GPL-3.0-or-later
"""A closed envelope around a skin to which no volume can conform, and the embedding of the skin in tetrahedra."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from ...errors import VolumeError
from ..geometry.isosurface import Grid, isosurface, large_parts, smooth_surface
from ..geometry.solid_angle import inside_by_solid_angle, inside_grid
from ..geometry.triangle_bvh import TriangleTree

_OFFSET = 0.001  # of the envelope outside the skin [m]
_BUBBLE = 2e-6  # cavities below this volume [m³] are filled
_CANDIDATES = 48  # tetrahedra with the nearest centres that are tested for each vertex
_CHUNK = 4096  # vertices at a time, to bound memory


def envelope(vertices: NDArray, triangles: NDArray, edge: float) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A closed surface about 1 mm outside a skin with holes or self-intersections, with edges of about `edge` [m].

    vertices: (n, 3) [m]; triangles: (m, 3), capped as far as possible. Details smaller than `edge`, such as the slit
    between the lips, are bridged. Raises VolumeError if the skin encloses nothing as thick as `edge`.
    """
    tree = TriangleTree(vertices, triangles)
    used = vertices[np.unique(triangles)]
    grid = Grid.around(used.min(0), used.max(0), edge, _OFFSET + 2 * edge)
    distance = tree.closest(grid.points())[0]
    distance = np.where(inside_grid(tree, grid, distance), -distance, distance)
    field = (distance - _OFFSET).reshape(grid.shape)
    # Loose parts outside are not flesh, nor is the mouth, even if the lips are bridged; small bubbles are.
    body = large_parts(field < 0)
    bubbles, _ = label(~body)
    body |= (np.bincount(bubbles.ravel()) * edge**3 < _BUBBLE)[bubbles]
    tiny = 1e-3 * edge
    field = np.where(body, np.minimum(field, -tiny), np.maximum(field, tiny))
    v, t = isosurface(field, grid)
    if not len(t):
        raise VolumeError(f"the skin encloses nothing that is {1000 * edge:.0f} mm thick")
    return smooth_surface(v, t, 1), t


def flesh_only(
    vertices: NDArray, tets: NDArray, outside: NDArray, around: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Drops the tetrahedra that fill cavities of an envelope (outside, around), and the vertices only they use."""
    flesh = inside_by_solid_angle(TriangleTree(outside, around), vertices[tets].mean(1))
    used, numbers = np.unique(tets[flesh], return_inverse=True)
    return vertices[used], numbers.reshape(-1, 4).astype(np.int32)


def embed(points: NDArray, vertices: NDArray, tets: NDArray) -> csr_matrix:
    """Barycentric rows (k, n) with which `points` (k, 3) follow tetrahedra: points = result @ vertices.

    vertices: (n, 3); tets: (t, 4). A point outside all of them follows the one that it is least outside of, so its
    weights may be slightly negative.
    """
    corners = vertices[tets]
    origin = corners[:, 3]
    inverse = np.linalg.inv(np.swapaxes(corners[:, :3] - origin[:, None], 1, 2))
    centres = cKDTree(corners.mean(1))
    chosen = np.zeros(len(points), np.int64)
    weights = np.zeros((len(points), 4))
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        candidates = centres.query(points[part], k=min(_CANDIDATES, len(tets)))[1].reshape(len(points[part]), -1)
        first = np.einsum("kcij,kcj->kci", inverse[candidates], points[part, None] - origin[candidates])
        all_four = np.concatenate([first, 1 - first.sum(2, keepdims=True)], axis=2)
        best = all_four.min(2).argmax(1)
        row = np.arange(len(best))
        chosen[part], weights[part] = candidates[row, best], all_four[row, best]
    rows = np.repeat(np.arange(len(points)), 4)
    return csr_matrix((weights.ravel(), (rows, tets[chosen].ravel())), shape=(len(points), len(vertices)))
