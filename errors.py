# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed errors: what is wrong, where, and what to do next. Operators and the command line turn them into messages."""

from collections.abc import Sequence
from typing import Any

_SHOWN_VERTICES = 8


class NephimError(Exception):
    """Base of every error a user can see.

    Attributes say where: `object` (name), `frame` (scene frame), `vertices` (indices in that object), and
    `advice` says what to do next. `str(error)` is the whole message.
    """

    def __init__(
        self,
        what: str,
        *,
        object: str | None = None,
        frame: int | None = None,
        vertices: Sequence[int] = (),
        advice: str = "",
    ):
        self.what = what
        self.object = object
        self.frame = frame
        self.vertices = [int(v) for v in vertices]
        self.advice = advice
        super().__init__(self._message())

    def _message(self) -> str:
        where = []
        if self.object is not None:
            where.append(f"'{self.object}'")
        if self.frame is not None:
            where.append(f"frame {self.frame}")
        if self.vertices:
            shown = ", ".join(str(v) for v in self.vertices[:_SHOWN_VERTICES])
            more = len(self.vertices) - _SHOWN_VERTICES
            noun = "vertex" if len(self.vertices) == 1 else "vertices"
            where.append(f"{noun} {shown}" + (f" and {more} more" if more > 0 else ""))
        message = f"{', '.join(where)}: {self.what}" if where else self.what
        return f"{message} {self.advice}".rstrip()

    def __reduce__(self):
        return (_rebuild, (type(self), self.what, self.object, self.frame, self.vertices, self.advice))


def _rebuild(cls, what, object, frame, vertices, advice):
    return cls(what, object=object, frame=frame, vertices=vertices, advice=advice)


class RigError(NephimError):
    """Head and hands are not chosen in the scene, or the choice cannot be used."""


class SizeError(RigError):
    """The head is far larger or smaller than a person's. `unit_scale`: metres per unit that would make it human."""

    def __init__(self, what: str, *, unit_scale: float, **where: Any):
        super().__init__(what, **where)
        self.unit_scale = unit_scale


class SurfaceError(NephimError):
    """A surface read from the scene is unusable: NaN, changed topology, empty."""


class VolumeError(NephimError):
    """No tetrahedral volume could be built from the surfaces."""


class SimulationError(NephimError):
    """The simulation cannot start or continue."""


class CacheError(NephimError):
    """A cache on disk is missing, stale, foreign or cannot be written."""


class BakeError(NephimError):
    """The result cannot be written into the scene."""


class TrackError(NephimError):
    """A captured track cannot be read, or its surfaces cannot become a scene."""


class StudyError(NephimError):
    """A study cannot be written, or its results cannot be evaluated."""
