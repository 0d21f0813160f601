# SPDX-License-Identifier: GPL-3.0-or-later
"""Which loose pieces of a surface stand behind lids and lips as obstacles: eyeballs, teeth, gums and tongue."""

import numpy as np
from numpy.typing import NDArray

from .attachments import is_eyeball, pieces_of
from .geometry.mending import turn_outwards, weld_seams
from .geometry.sphere import sphere_directions
from .geometry.surface import Surface
from .geometry.topology import boundary_loops
from .geometry.triangle_bvh import TriangleTree

_OUTSIDE = 0.005  # [m] that a piece may reach out of the head's box: the cornea of a head cut off at the lids
_RAYS = 32  # from a vertex
_LOOKED_FROM = 60  # vertices of a piece
_REACH = 0.25  # [m] a ray that gets this far has left the head
# Share of rays that end at the skin from which a piece is hidden in the head: teeth behind parted lips have 0.9 and
# more, a lash or a piercing about a half.
_HIDDEN = 0.85
_LARGEST = 0.12  # [m] of a piece: rows of teeth span 70 mm; a skull or a body beneath the skin is larger
_LEAST = 4  # vertices of a piece


def obstacle_pieces(
    surface: Surface, head: TriangleTree, named: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The pieces of a surface that skin is kept off: the number (n,) of each vertex's piece, -1 for no obstacle, and
    their triangles (m, 3), seams joined and wound outwards.

    head: the head's main part; named: (n,) vertices whose object, material or bone is called an eye, tooth or tongue;
    other: (n,) those that are called something else. Other pieces count if they are about a ball of an eye's size, or
    closed and hidden in the head. An open piece that is seen from inside, such as a mouth bag, is none.
    """
    points = np.asarray(surface.vertices, np.float64)
    welded, _, stands_for = weld_seams(points, surface.triangles)
    piece = pieces_of(welded, stands_for)
    of_face = piece[welded[:, 0]]
    triangles, number = [], np.full(len(points), -1, np.int64)
    for k in _inside(points, piece, head.vertices[head.triangles].reshape(-1, 3)):
        rows, faces = np.flatnonzero(piece == k), welded[of_face == k]
        outwards, turned = turn_outwards(points, faces)
        closed = not boundary_loops(outwards)
        if not closed and turned.mean() > 0.5:
            continue
        if named[rows].mean() <= 0.5:
            if other[rows].mean() > 0.5:
                continue
            if not is_eyeball(points[rows]) and not (closed and _is_hidden(points[rows], head)):
                continue
        number[rows] = k
        triangles.append(outwards)
    found = np.concatenate(triangles) if triangles else np.zeros((0, 3), np.int32)
    return number, found.astype(np.int32)


def _inside(points: NDArray, piece: NDArray, head: NDArray) -> NDArray[np.intp]:
    """The pieces that lie in the box around the head (k, 3), and are of a size in question."""
    count = int(piece.max(initial=-1)) + 1
    used = np.flatnonzero(piece >= 0)
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, piece[used], points[used])
    np.maximum.at(high, piece[used], points[used])
    inside = (low > head.min(axis=0) - _OUTSIDE).all(axis=1) & (high < head.max(axis=0) + _OUTSIDE).all(axis=1)
    inside &= ((high - low) < _LARGEST).all(axis=1) & (np.bincount(piece[used], minlength=count) >= _LEAST)
    return np.flatnonzero(inside)


def _is_hidden(points: NDArray, head: TriangleTree) -> bool:
    """Whether points (k, 3) of a piece see hardly anything but the skin of the head."""
    points = points[np.unique(np.linspace(0, len(points) - 1, _LOOKED_FROM).round().astype(int))]
    rays = np.tile(sphere_directions(_RAYS), (len(points), 1))
    hits = head.hit(np.repeat(points, _RAYS, axis=0), rays, _REACH)
    return bool(np.isfinite(hits).mean() > _HIDDEN)
