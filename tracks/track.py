# SPDX-License-Identifier: GPL-3.0-or-later
"""A surface over time, as every reader returns it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError

ROLES = HEAD, LEFT, RIGHT = ("head", "left", "right")
# Words in names of files, arrays and objects that say which surface it is; a hand's side counts more than 'face'.
_WORDS = (
    (LEFT, {"left", "l", "lh", "lhand", "lefthand"}),
    (RIGHT, {"right", "r", "rh", "rhand", "righthand"}),
    (HEAD, {"head", "face", "flame"}),
)
# Published topologies that need no name.
_HEADS = {5023: "FLAME", 5143: "FLAME with teeth, as VHAP uses it"}


@dataclass(frozen=True)
class Faces:
    """Polygons of any size. corners: (c,) int32, one polygon after another; sizes: (m,) int32, corners of each."""

    corners: NDArray[np.int32]
    sizes: NDArray[np.int32]

    @classmethod
    def of(cls, array: NDArray) -> "Faces":
        """From (m, k) indices, as triangles or quads."""
        array = np.asarray(array)
        return cls(array.astype(np.int32).ravel(), np.full(len(array), array.shape[1], np.int32))

    @classmethod
    def of_polygons(cls, polygons: Sequence[Sequence[int]]) -> "Faces":
        sizes = np.array([len(polygon) for polygon in polygons], np.int32)
        return cls(np.array([v for polygon in polygons for v in polygon], np.int32), sizes)

    def triangles(self) -> NDArray[np.int32]:
        """(t, 3): each polygon as a fan about its first corner."""
        first = np.cumsum(self.sizes) - self.sizes
        fan = self.sizes - 2
        start = np.repeat(first, fan)
        step = np.arange(len(start)) - np.repeat(np.cumsum(fan) - fan, fan)
        return np.stack([self.corners[start], self.corners[start + step + 1], self.corners[start + step + 2]], 1)

    def turned(self) -> "Faces":
        """The same polygons with the opposite winding."""
        end = np.cumsum(self.sizes)
        first = np.repeat(end - self.sizes, self.sizes)
        last = np.repeat(end - 1, self.sizes)
        return Faces(self.corners[first + last - np.arange(len(self.corners))], self.sizes)

    def same(self, other: "Faces") -> bool:
        return np.array_equal(self.sizes, other.sizes) and np.array_equal(self.corners, other.corners)


@dataclass(frozen=True)
class Track:
    """One surface over time, in the file's own units and axes.

    vertices: (f, n, 3) float32; a frame that was not tracked is NaN throughout. role: 'head', 'left' or 'right'; empty
    if unknown, or if `parts` holds the roles of a whole body as (n,) bool. frame_rate: frames per second, None if the
    file does not say. unit: metres per unit of the file, up: '+y' and the like; None if the file does not say. notes:
    what the reader found, to show. captured: (f, n, 3) the surface as it was captured, deformed, where `vertices` is
    only what it is fitted with. touched: (f, n) which vertices are labelled as in contact. jitter: of the vertices as
    they came [m]; smoothed: the cut-off [1/s] of the filter that they went through, and the jitter after it [m].
    landmarks: the vertices are 21 landmarks of a hand, and no surface.
    """

    name: str
    vertices: NDArray[np.float32]
    faces: Faces | None
    role: str = ""
    frame_rate: float | None = None
    unit: float | None = None
    up: str | None = None
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    captured: NDArray[np.float32] | None = None
    touched: NDArray[np.bool_] | None = None
    jitter: float = 0.0
    smoothed: tuple[float, float] | None = None
    landmarks: bool = False


def role_of(name: str) -> str:
    """The role that a name such as `take3_left_hand` or `head_vertices` gives away; empty for none."""
    words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    return next((role for role, of_role in _WORDS if words & of_role), "")


def role_of_topology(n_vertices: int) -> str:
    """Head if the number of vertices is that of a published head model."""
    return HEAD if n_vertices in _HEADS else ""


def refuse(path: Path, what: str, advice: str = "Check that it is whole and of this kind.") -> TrackError:
    """An error about a file, to raise."""
    return TrackError(f"{path}: {what}.", advice=advice)
