# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a simulation as one surface, and the check that a tracked frame fits head and hands."""

import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError, SurfaceError
from .frame import TrackedFrame
from .surface import Surface, fan_caps
from .template import Template


class Hands:
    """The given hands joined, their open wrists closed by caps.

    left, right: any pose, topology only. vertices: (n, 3) [m] of that pose; triangles: (m, 3); owner: (n,) which of the
    given hands a vertex belongs to. Raises SimulationError when no hand is given.
    """

    def __init__(self, template: Template, left: Surface | None, right: Surface | None):
        if left is None and right is None:
            raise SimulationError("There is no hand to simulate.", advice="Choose a left or a right hand.")
        self._template = template
        self._surfaces = [hand for hand in (left, right) if hand is not None]
        self._has = (left is not None, right is not None)
        triangles, offset = [], 0
        for hand in self._surfaces:
            triangles += [hand.triangles + offset, fan_caps(hand.triangles) + offset]
            offset += len(hand.vertices)
        self.vertices: NDArray[np.float64] = np.concatenate([hand.vertices for hand in self._surfaces])
        self.owner = np.repeat(np.arange(len(self._surfaces)), [len(hand.vertices) for hand in self._surfaces])
        self.triangles: NDArray[np.int32] = np.concatenate(triangles).astype(np.int32)

    def read(self, frame: TrackedFrame) -> NDArray[np.float64]:
        """The hands' vertices in the frame, (n, 3) [m].

        Raises SurfaceError when head or hands have another number of vertices than expected or are not finite.
        """
        _check("head", frame.head, len(self._template.head_vertices), frame.frame)
        given = [hand for hand, has in zip((frame.left, frame.right), self._has, strict=True) if has]
        found = [
            _check(surface.name, vertices, len(surface.vertices), frame.frame)
            for surface, vertices in zip(self._surfaces, given, strict=True)
        ]
        return np.concatenate(found).astype(np.float64)


def _check(name: str, vertices: NDArray | None, count: int, frame: int) -> NDArray:
    if vertices is None or len(vertices) != count:
        raise SurfaceError(
            f"The surface has {0 if vertices is None else len(vertices)} vertices instead of {count}.",
            object=name,
            frame=frame,
            advice="Keep the topology constant, or build the volume again.",
        )
    bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(bad):
        raise SurfaceError(
            "Vertex positions are not finite numbers.",
            object=name,
            frame=frame,
            vertices=bad.tolist(),
            advice="Look for broken drivers or modifiers.",
        )
    return vertices
