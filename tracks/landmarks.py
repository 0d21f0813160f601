# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks of hands and face over time, numbered as MediaPipe numbers them: from npz, npy and JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import frame_rate_of, read_npy, read_npz
from .track import LEFT, RIGHT, Faces, Track, refuse, role_of

FACE = "face"
# Of a hand: wrist, then four of each finger from the thumb on, root to tip. Of a face: without and with the irises.
COUNTS = {LEFT: (21,), RIGHT: (21,), FACE: (468, 478)}
LARGEST = 1 << 29  # [bytes] of text; ten minutes of everything have 200 MB
_RATES = ("fps", "frame_rate", "frameRate")


@dataclass(frozen=True)
class Landmarks:
    """points: 'left', 'right' or 'face' → (f, n, 3), or (f, n, 2) of an image, in the file's own units and axes, the
    same f in all; NaN where nothing was seen. frame_rate [1/s]: None if the file does not say."""

    name: str
    points: Mapping[str, NDArray[np.float64]]
    frame_rate: float | None = None


def group_of(name: str) -> str:
    """'left', 'right' or 'face' of names such as `left_hand`, `rightHandLandmarks` and `face_landmarks`; else ''."""
    role = role_of(name)
    return role if role in (LEFT, RIGHT) else FACE if re.search(r"face", name, re.I) else ""


def landmark_names(arrays: Mapping[str, NDArray]) -> set[str]:
    """The arrays, of a file's by name, that hold landmarks rather than surfaces or parameters."""
    return {name for name, array in arrays.items() if _fits(name, array)}


def _fits(name: str, array: Any) -> bool:
    group = group_of(name)
    return (
        bool(group) and isinstance(array, np.ndarray) and array.ndim == 3 and array.dtype.kind in "fiu"
        and array.shape[1] in COUNTS[group] and array.shape[2] in (2, 3) and len(array) > 0
    )  # fmt: skip


def read_landmarks(path: Path) -> Landmarks:
    """Landmarks of an npz, npy or JSON file. Raises TrackError.

    Arrays are (f, n, 3) or (f, n, 2) and named as `group_of` knows. JSON holds the same as nested lists under such
    names, or a list of frames (or one under `frames`) whose landmarks are lists of [x, y, z] or {'x':, 'y':, 'z':};
    null, or an empty list, where nothing was seen.
    """
    kind = path.suffix.lower()
    arrays: Mapping[str, NDArray]
    if kind == ".json":
        arrays, rate = _json(path)
    elif kind == ".npy":
        arrays, rate = {path.stem: read_npy(path)}, None
    else:
        arrays = read_npz(path)
        rate = frame_rate_of(arrays)
    points = _points_among(arrays)
    if not points:
        shapes = ", ".join(f"{name} {np.shape(array)}" for name, array in list(arrays.items())[:8])
        raise refuse(
            path,
            f"it holds no landmarks, but {shapes or 'nothing'}",
            "Name arrays left_hand and right_hand, (frames, 21, 3), or face, (frames, 468 or 478, 3).",
        )
    frames = {len(array) for array in points.values()}
    if len(frames) > 1:
        counted = ", ".join(f"{name} {len(array)}" for name, array in points.items())
        raise refuse(path, f"its landmarks differ in length: {counted} frames", "Fill frames without a hand with NaN.")
    if not any(np.isfinite(array).all(2).any() for array in points.values()):
        raise refuse(path, "no landmark was seen in it")
    return Landmarks(path.stem, points, rate)


def landmark_tracks(path: Path, found: Landmarks) -> list[Track]:
    """A track for each hand, of its 21 points. A frame in which any of them is missing is a gap. Raises TrackError if
    there is no hand in three dimensions."""
    tracks, notes = [], []
    if FACE in found.points:
        notes.append("landmarks of the face are left out: they fit a rig, and make none")
    for role in (LEFT, RIGHT):
        points = found.points.get(role)
        if points is None:
            continue
        if points.shape[2] != 3:
            raise refuse(path, "its landmarks are those of an image", "Triangulate them from several cameras first.")
        seen = np.isfinite(points).all((1, 2))
        if not seen.any():
            notes.append(f"no {role} hand was seen")
            continue
        vertices = np.where(seen[:, None, None], points, np.nan).astype(np.float32)
        tracks.append(Track(role, vertices, _BONES, role, found.frame_rate, landmarks=True))
    if not tracks:
        raise refuse(path, "it holds no landmarks of a hand", "Landmarks of a face alone move no surface.")
    return [replace(tracks[0], notes=tuple(notes)), *tracks[1:]]


# Edges from landmark to landmark along the fingers, as triangles, so that sizes and lengths can be checked.
_BONES = Faces.of_polygons([(k if k % 4 else 0, k + 1, k + 2) for k in range(19) if k % 4 != 3])


def _points_among(arrays: Mapping[str, NDArray]) -> dict[str, NDArray[np.float64]]:
    """By group; of two the same, those in the world count less than those without, as they have no place."""
    found: dict[str, NDArray[np.float64]] = {}
    for name in sorted(arrays, key=lambda name: "world" in name.lower()):
        group = group_of(name)
        if _fits(name, arrays[name]) and group not in found:
            found[group] = arrays[name].astype(np.float64)
    return found


def _json(path: Path) -> tuple[dict[str, NDArray], float | None]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MB")
        whole = json.loads(path.read_text(encoding="utf-8"))
        rate = None
        if isinstance(whole, dict):
            rate = next((float(whole[key]) for key in _RATES if isinstance(whole.get(key), int | float)), None)
            whole = whole.get("frames", whole)
        groups = _by_group(whole) if isinstance(whole, list) else whole
        if not isinstance(groups, dict):
            raise ValueError("it is neither a list of frames nor landmarks by name")
        arrays = {name: _array(value) for name, value in groups.items() if group_of(name) and isinstance(value, list)}
        return arrays, rate if rate and 0 < rate < 1e5 else None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise refuse(path, f"it is no JSON of landmarks ({reason})") from error


def _by_group(frames: list[Any]) -> dict[str, list[Any]]:
    names = sorted({name for frame in frames if isinstance(frame, dict) for name in frame})
    return {name: [frame.get(name) if isinstance(frame, dict) else None for frame in frames] for name in names}


def _array(frames: list[Any]) -> NDArray[np.float64]:
    """(f, n, 2 or 3) of nested lists; frames that are empty or null become NaN."""
    rows = [[_point(point) for point in frame] if frame else [] for frame in frames]
    shape = next(((len(row), len(row[0])) for row in rows if row), (0, 0))
    array = np.full((len(rows), *shape), np.nan)
    for number, row in enumerate(rows):
        if row:
            if len(row) != shape[0] or any(len(point) != shape[1] for point in row):
                raise ValueError(f"frame {number} has other landmarks than the first")
            array[number] = row
    return array


def _point(point: Any) -> list[float]:
    if isinstance(point, dict):
        point = [point[axis] for axis in "xyz" if axis in point]
    if point is None:
        return [np.nan] * 3
    return [np.nan if value is None else float(value) for value in point]
