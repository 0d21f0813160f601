# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be told of a head before its volume is built: how it stands, and where its mesh is too coarse."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import VolumeError
from ..coarse import RefinedHead, coarse_note, coarse_vertices
from ..geometry.mending import main_part, mend
from ..geometry.surface import Surface
from .axes import Axes, axes_notes, find_axes
from .build import refined_skin
from .hints import Hints
from .landmarks import find_landmarks
from .size import LEAST_VERTICES

_BEYOND = 0.3  # how far arrows reach beyond the head, relative to its size


@dataclass(frozen=True)
class Look:
    """body: the head without separate parts; hints: what was known of it; coarse: (k,) vertices at which it is too
    coarse for a fingertip, their edges up to `longest` [m] long on average."""

    body: Surface
    hints: Hints
    axes: Axes
    coarse: NDArray[np.int64]
    longest: float

    def notes(self) -> list[str]:
        """What is unlikely or could be better, for people."""
        notes = axes_notes(self.axes, self.hints)
        return [*notes, coarse_note(len(self.coarse), self.longest)] if len(self.coarse) else notes


def look_at(head: Surface, hints: Hints | None, target_edge: float) -> Look | None:
    """Looks at the head of a neutral frame, in world space [m]; None for one of which no volume can be built.

    target_edge: see `build.VolumeSettings`: skin that is simulated no finer than the mesh is not lost by it.
    """
    hints = hints or Hints()
    if len(head.vertices) < LEAST_VERTICES or not np.isfinite(head.vertices).all():
        return None
    mended = mend(head.vertices, head.triangles)
    main = main_part(head.vertices, mended.triangles)
    body = Surface(head.vertices, mended.triangles[main], head.name)
    try:
        axes = find_axes(body.vertices, body.triangles, hints, head.name)
        landmarks = find_landmarks(body.vertices, body.triangles, axes.up, axes.front, head.name, axes.middle)
    except VolumeError:
        return None
    skin = refined_skin(head, mended.triangles, main, mended.welded_to, landmarks, target_edge)
    used = np.zeros(len(skin.vertices), bool)
    used[skin.triangles[skin.main]] = True
    refined = RefinedHead(head.vertices, skin.vertices, skin.triangles, skin.outer & used, skin.linear)
    coarse, longest = coarse_vertices(refined)
    return Look(body, hints, axes, coarse, longest)


def arrows(body: Surface, axes: Axes) -> NDArray[np.float64]:
    """Two arrows that show how a head stands: (2, 2, 3) their ends [m], first that of the face, then that of the top;
    each begins at the skin."""
    used = body.vertices[np.unique(body.triangles)]
    frame = np.stack([axes.left, axes.up, axes.front])
    own = used @ frame.T
    low, high = own.min(axis=0), own.max(axis=0)
    middle, size = 0.5 * (low + high), float((high - low).max())
    ends = []
    for axis in (2, 1):
        start = middle.copy()
        start[axis] = high[axis]
        end = start.copy()
        end[axis] += _BEYOND * size
        ends.append([start, end])
    return np.array(ends) @ frame
