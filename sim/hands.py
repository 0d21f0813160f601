# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a simulation as one surface, and the check that a tracked frame fits head and hands."""

import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError, SurfaceError
from .frame import TrackedFrame
from .geometry.surface import Surface
from .geometry.thinning import thin
from .geometry.topology import boundary_loops, fan_caps
from .hand_jumps import shrunk
from .template import Template

# A hand of more vertices is thinned to this spacing: on a fingertip of 8 mm radius its facets stand off by 0.06 mm,
# and the solver gets no more contacts than such a skin can tell apart.
_MOST_VERTICES, _SPACING = 20_000, 0.002  # [m]


class Hands:
    """The given hands joined, their open wrists closed by caps, very fine ones thinned.

    left, right: any pose. vertices: (n, 3) [m] of that pose; triangles: (m, 3); owner: (n,) which of the given hands a
    vertex belongs to; sides: their names in that order. Raises SimulationError when no hand is given.
    """

    def __init__(self, template: Template, left: Surface | None, right: Surface | None):
        if left is None and right is None:
            raise SimulationError("There is no hand to simulate.", advice="Choose a left or a right hand.")
        self._template = template
        self._surfaces = [hand for hand in (left, right) if hand is not None]
        self._has = (left is not None, right is not None)
        self.sides = [side for side, has in zip(("left", "right"), self._has, strict=True) if has]
        self._kept: list[NDArray[np.int64] | slice] = []  # of each hand's vertices
        vertices, triangles, offset = [], [], 0
        for hand in self._surfaces:
            kept, faces = _as_simulated(hand)
            self._kept.append(kept)
            vertices.append(hand.vertices[kept])
            triangles += [faces + offset, fan_caps(faces) + offset]
            offset += len(vertices[-1])
        self.vertices: NDArray[np.float64] = np.concatenate(vertices)
        self.owner = np.repeat(np.arange(len(vertices)), [len(v) for v in vertices])
        self.triangles: NDArray[np.int32] = np.concatenate(triangles).astype(np.int32)

    def read(self, frame: TrackedFrame) -> NDArray[np.float64]:
        """The hands' vertices in the frame, (n, 3) [m].

        Raises SurfaceError when head or hands have another number of vertices than expected or are not finite, and for
        a hand that is shrunk to nothing.
        """
        _check("head", frame.head, len(self._template.head_vertices), frame.frame)
        given = [hand for hand, has in zip((frame.left, frame.right), self._has, strict=True) if has]
        found = [
            _check(surface.name, vertices, len(surface.vertices), frame.frame)
            for surface, vertices in zip(self._surfaces, given, strict=True)
        ]
        for surface, vertices in zip(self._surfaces, found, strict=True):
            if shrunk(vertices, frame.head):
                raise SurfaceError(
                    "The hand is shrunk to nothing.",
                    object=surface.name,
                    frame=frame.frame,
                    advice="Move it away from the face instead, or give it its scale back.",
                )
        return np.concatenate([v[kept] for v, kept in zip(found, self._kept, strict=True)]).astype(np.float64)


def hand_notes(name: str, count: int, triangles: NDArray) -> list[str]:
    """What is unusual about a hand of `count` vertices, for people. triangles: (m, 3)."""
    notes = []
    if count > _MOST_VERTICES:
        notes.append(
            f"'{name}' has {count} vertices; contact is computed with those about {1000 * _SPACING:.0f} mm apart."
        )
    openings = len(boundary_loops(triangles))
    if openings > 1:
        notes.append(f"'{name}' has {openings - 1} openings besides the wrist; they are closed by flat faces.")
    return notes


def _as_simulated(hand: Surface) -> tuple[NDArray[np.int64] | slice, NDArray[np.int32]]:
    """Which vertices of a hand are simulated, and the triangles between these."""
    if len(hand.vertices) <= _MOST_VERTICES:
        return slice(None), hand.triangles
    return thin(hand.vertices, hand.triangles, _SPACING)


def _check(name: str, vertices: NDArray | None, count: int, frame: int) -> NDArray:
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
