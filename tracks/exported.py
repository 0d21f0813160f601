# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes that NePHIM itself has exported, read back: the tracked surfaces, to be simulated again."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arrays import checked_faces, frame_rate_of
from .track import ROLES, Track, refuse

FORMAT = "nephim-take 1"
CONTACT_BIT = {"left": 1, "right": 2}  # in `head_contact`


def is_exported(arrays: Mapping[str, NDArray]) -> bool:
    """Whether these are the arrays of such a file, of any version."""
    kind = arrays.get("format")
    return kind is not None and kind.dtype.kind == "U" and kind.size == 1 and str(kind.ravel()[0])[:12] == FORMAT[:12]


def exported_tracks(path: Path, arrays: Mapping[str, NDArray]) -> list[Track]:
    """Head and hands as tracked, with their faces, unit and axes. Frames in which a hand was missing are gaps again.

    Raises TrackError if arrays are missing or do not fit each other.
    """
    if str(arrays["format"].ravel()[0]) != FORMAT:
        raise refuse(path, "a newer NePHIM has exported it", "Import it with that version.")
    rate = frame_rate_of(arrays)
    if rate is None:
        raise refuse(path, "it says no frame rate")
    tracks = []
    for role in ROLES:
        vertices, faces = arrays.get(f"{role}_tracked"), arrays.get(f"{role}_faces")
        if vertices is None and role != "head":
            continue
        if vertices is None or faces is None:
            raise refuse(path, f"the {role} is not complete")
        if vertices.ndim != 3 or vertices.shape[2] != 3 or vertices.dtype.kind != "f" or not vertices.size:
            raise refuse(path, f"its {role}_tracked has shape {vertices.shape}, where (f, n, 3) is expected")
        missing = arrays.get(f"{role}_missing")
        if missing is not None and (missing.shape != vertices.shape[:1] or missing.dtype.kind != "b"):
            raise refuse(path, f"its {role}_missing has shape {missing.shape} for {len(vertices)} frames")
        moving = vertices.astype(np.float32)
        if missing is not None:
            moving[missing] = np.nan
        checked = checked_faces(path, faces, vertices.shape[1])
        tracks.append(Track(role, moving, checked, role, rate, 1.0, "+z"))
    if len({len(track.vertices) for track in tracks}) != 1:
        raise refuse(path, "its surfaces have different numbers of frames")
    return tracks
