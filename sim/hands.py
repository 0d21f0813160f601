# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a simulation as one surface, and the check that a tracked frame fits head and hands."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity
from scipy.spatial import cKDTree

from ..errors import SimulationError, SurfaceError
from .frame import TrackedFrame
from .geometry.mending import mend
from .geometry.surface import Surface
from .geometry.thinning import thin
from .geometry.topology import boundary_loops, fan_caps
from .hand_jumps import shrunk
from .template import Template

# A hand of more vertices is thinned to this spacing: on a fingertip of 8 mm radius its facets deviate by 0.06 mm,
# and the solver gets no more contacts than such a skin can resolve.
_MOST_VERTICES, _SPACING = 20_000, 0.002  # [m]
_AROUND = 3  # simulated vertices that tell how one moves that is not


class Hands:
    """The given hands as one surface, with open wrists closed by caps and very fine meshes thinned.

    left, right: any pose. vertices: (n, 3) [m] of that pose; triangles: (m, 3); owner: (n,) the hand that a vertex
    belongs to; sides: their names in that order; kept: for each, which of the given vertices these are; simulated: by
    side, the surface without caps. Raises SimulationError if there is no hand.
    """

    def __init__(self, template: Template, left: Surface | None, right: Surface | None):
        if left is None and right is None:
            raise SimulationError("There is no hand to simulate.", advice="Choose a left or a right hand.")
        self._template = template
        self._surfaces = [hand for hand in (left, right) if hand is not None]
        self._has = (left is not None, right is not None)
        self.sides = [side for side, has in zip(("left", "right"), self._has, strict=True) if has]
        self.kept: list[NDArray[np.int64] | slice] = []
        self._shares: list[csr_matrix] = []
        self.simulated: dict[str, Surface] = {}
        vertices, triangles, offset = [], [], 0
        for side, hand in zip(self.sides, self._surfaces, strict=True):
            kept, faces = _as_simulated(hand)
            self.kept.append(kept)
            self.simulated[side] = Surface(hand.vertices[kept].astype(np.float64), faces, hand.name)
            self._shares.append(_shares(hand.vertices, kept))
            vertices.append(hand.vertices[kept])
            triangles += [faces + offset, fan_caps(faces) + offset]
            offset += len(vertices[-1])
        self.vertices: NDArray[np.float64] = np.concatenate(vertices)
        self.owner = np.repeat(np.arange(len(vertices)), [len(v) for v in vertices])
        self.triangles: NDArray[np.int32] = np.concatenate(triangles).astype(np.int32)

    def read(self, frame: TrackedFrame) -> NDArray[np.float64]:
        """The hands' vertices in the frame, (n, 3) [m].

        Raises SurfaceError if head or hands have an unexpected number of vertices or are not finite, and for a hand
        that is shrunk to nothing.
        """
        check_vertices("head", frame.head, len(self._template.head_vertices), frame.frame)
        given = [hand for hand, has in zip((frame.left, frame.right), self._has, strict=True) if has]
        found = [
            check_vertices(surface.name, vertices, len(surface.vertices), frame.frame)
            for surface, vertices in zip(self._surfaces, given, strict=True)
        ]
        for surface, vertices in zip(self._surfaces, found, strict=True):
            if shrunk(vertices, frame.head):
                raise SurfaceError(
                    "The hand is shrunk to nothing.",
                    object=surface.name,
                    frame=frame.frame,
                    advice="Restore its scale, and move it away from the face instead.",
                )
        return np.concatenate([v[kept] for v, kept in zip(found, self.kept, strict=True)]).astype(np.float64)

    def moved(self, frame: TrackedFrame, moves: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
        """The given vertices of each hand in the frame, by side, with the moves (n, 3) of the simulated ones [m]."""
        result = {}
        for k, side in enumerate(self.sides):
            own = moves[self.owner == k]
            tracked = frame.left if side == "left" else frame.right
            assert tracked is not None
            if own.any():
                result[side] = (tracked + self._shares[k] @ own).astype(np.float32)
        return result


def _shares(given: NDArray, kept: NDArray[np.int64] | slice) -> csr_matrix:
    """What each of the given vertices (n, 3) takes from the kept ones: itself, or those around it, (n, k)."""
    n = len(given)
    if isinstance(kept, slice):
        return identity(n, format="csr")
    distance, near = cKDTree(given[kept]).query(given, _AROUND)
    weights = 1.0 / np.maximum(distance, 1e-9)  # [m]; what lies on a kept vertex moves with it
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(n), _AROUND)
    return csr_matrix((weights.ravel(), (rows, near.ravel())), shape=(n, len(kept)))


def hand_notes(hand: Surface) -> list[str]:
    """What is unusual about a hand, in any pose, for people."""
    name, count = hand.name, len(hand.vertices)
    mended = mend(hand.vertices, hand.triangles)
    notes = mended.notes(name)
    if count > _MOST_VERTICES:
        notes.append(
            f"'{name}' has {count} vertices; contact is computed with those about {1000 * _SPACING:.0f} mm apart."
        )
    openings = len(boundary_loops(mended.triangles))
    if openings > 1:
        notes.append(f"'{name}' has {openings - 1} openings besides the wrist; they are closed by flat faces.")
    return notes


def _as_simulated(hand: Surface) -> tuple[NDArray[np.int64] | slice, NDArray[np.int32]]:
    """Which vertices of a hand are simulated, and the triangles between these: seams joined, faces turned outwards."""
    mended = mend(hand.vertices, hand.triangles)
    if len(hand.vertices) > _MOST_VERTICES:
        return thin(hand.vertices, mended.triangles, _SPACING)
    if not mended.welded:
        return slice(None), mended.triangles
    # A vertex on the other side of a seam would float between hand and skin.
    kept = np.unique(mended.triangles).astype(np.int64)
    return kept, np.searchsorted(kept, mended.triangles).astype(np.int32)


def check_vertices(name: str, vertices: NDArray | None, count: int, frame: int) -> NDArray:
    """The vertices of surface `name` as they are. Raises SurfaceError if there are not `count`, or not finite ones."""
    if vertices is None or len(vertices) != count:
        raise SurfaceError(
            f"The surface has {0 if vertices is None else len(vertices)} vertices instead of {count}.",
            object=name,
            frame=frame,
            advice="Keep the topology constant, or build the volume again.",
        )
    finite = np.isfinite(vertices)
    if not finite.all():  # over all at once: numpy is slow along rows of three
        bad = np.flatnonzero(~finite.all(axis=1))
        raise SurfaceError(
            "Vertex positions are not finite numbers.",
            object=name,
            frame=frame,
            vertices=bad.tolist(),
            advice="Look for broken drivers or modifiers.",
        )
    return vertices
