# SPDX-License-Identifier: GPL-3.0-or-later
"""A take of landmarks, from one file in space or from one file for each calibrated camera."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError
from ..tracks.arrays import frame_rate_of, read_npz
from ..tracks.landmarks import FACE, Landmarks, read_landmarks
from ..tracks.pose_format import read_pose
from ..tracks.track import LEFT, RIGHT, refuse
from .cameras import Camera, read_cameras
from .observed import Observed
from .triangulation import Rays

KINDS = (".npz", ".npy", ".json", ".pose")
PARTS = (FACE, LEFT, RIGHT)
_SIDES = {LEFT: r"(^|_)(left|l)(_|$)", RIGHT: r"(^|_)(right|r)(_|$)"}
_LARGEST_MAP = 1 << 20  # [bytes] of a map of names


@dataclass(frozen=True)
class LandmarkTake:
    """observed: part → what was seen; frame_rate [1/s], None if no file says; labels: side → (f,) bool, frames in which
    the hand is known to touch; notes: what was found, to show."""

    name: str
    observed: dict[str, Observed]
    frame_rate: float | None
    labels: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_landmark_take(paths: Sequence[Path], cameras: Path | None = None, names: Path | None = None) -> LandmarkTake:
    """Reads landmarks: a file with points in space, or with `cameras`, a calibration, a file of image points for each
    camera, in their order or named after them. names: a TOML map for files whose points have names of their own (see
    `named`). Raises TrackError."""
    if not paths:
        raise TrackError("No landmarks are given.", advice="Name a file (--landmarks TAKE.npz).")
    takes = [_read(path, names) for path in paths]
    rates = {take.frame_rate for take in takes if take.frame_rate}
    if len(rates) > 1:
        raise TrackError(
            f"The cameras' files have different frame rates: {', '.join(f'{rate:g}' for rate in sorted(rates))}.",
            advice="Bring them to the same frames first.",
        )
    rate = next(iter(rates), None)
    if cameras is None:
        if len(takes) > 1:
            raise TrackError("Several files need a calibration.", advice="Give it (--cameras CALIB.toml).")
        observed = {part: _in_space(paths[0], part, array) for part, array in takes[0].points.items()}
    else:
        observed = _through_cameras(paths, takes, read_cameras(cameras))
    labels = _labels(paths[0], next(iter(observed.values())).frames)
    return LandmarkTake(paths[0].stem, observed, rate, labels)


def _read(path: Path, names: Path | None) -> Landmarks:
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise refuse(path, f"'{kind}' is no kind of landmarks", f"Known are {', '.join(KINDS)}.")
    if names is not None:
        return named(path, names)
    return read_pose(path) if kind == ".pose" else read_landmarks(path)


def _in_space(path: Path, part: str, array: NDArray) -> Observed:
    if array.shape[2] != 3:
        raise refuse(path, f"its points of '{part}' lie in an image", "Give the camera (--cameras CALIB.toml).")
    return Observed(np.arange(array.shape[1]), array)


def _through_cameras(paths: Sequence[Path], takes: Sequence[Landmarks], cameras: list[Camera]) -> dict[str, Observed]:
    """Rays of each part; a camera whose file lacks the part, or ends earlier, did not see it there."""
    by_name = {camera.name.lower(): camera for camera in cameras}
    stems = [path.stem.lower() for path in paths]
    if all(stem in by_name for stem in stems):
        ordered = [by_name[stem] for stem in stems]
    elif len(paths) == len(cameras):
        ordered = cameras
    else:
        raise TrackError(
            f"{len(paths)} files of landmarks for {len(cameras)} cameras ({', '.join(c.name for c in cameras)}).",
            advice="Give a file for each camera, in their order, or name the files after the cameras.",
        )
    frames = max(len(array) for take in takes for array in take.points.values())
    observed = {}
    for part in PARTS:
        counts = {take.points[part].shape[1] for take in takes if part in take.points}
        if not counts:
            continue
        m = min(counts)  # faces with and without irises agree in the first points
        rays = np.full((len(takes), frames, m, 3), np.nan)
        for row, (take, camera) in enumerate(zip(takes, ordered, strict=True)):
            if part in take.points:
                array = take.points[part][:, :m, :2]
                rays[row, : len(array)] = camera.directions(camera.pixels(array))
        centres, focal = np.array([c.centre for c in ordered]), np.array([c.focal for c in ordered])
        observed[part] = Observed.of_rays(np.arange(m), Rays(centres, rays, focal))
    return observed


def _labels(path: Path, frames: int) -> dict[str, NDArray[np.bool_]]:
    """Arrays such as `contact_left` (f,) or (f, k) in an npz."""
    if path.suffix.lower() != ".npz":
        return {}
    found = {}
    for name, array in read_npz(path).items():
        plain = re.sub(r"[^a-z]+", "_", name.lower())
        for side, pattern in _SIDES.items():
            if "contact" in plain and re.search(pattern, plain):
                if array.ndim not in (1, 2) or len(array) != frames or array.dtype.kind not in "biuf":
                    raise refuse(path, f"'{name}' {array.shape} are no labels of {frames} frames")
                found[side] = np.asarray(array > 0).reshape(frames, -1).any(1)
    return found


def named(path: Path, names: Path) -> Landmarks:
    """Points with names: an npz with `names` (m,) and `points` (f, m, 3 or 2), whose names a TOML map assigns:

        [left]
        0 = "LWRA"          # the wrist
        8 = "LIndexTip"
        [face]
        1 = "nose_tip"

    Raises TrackError."""
    table = _map(names)
    if path.suffix.lower() != ".npz":
        raise refuse(path, "points with names are read from npz alone", "Save arrays `names` and `points`.")
    arrays = read_npz(path)
    own, points = arrays.get("names"), arrays.get("points")
    fits = own is not None and points is not None and own.dtype.kind == "U" and points.dtype.kind in "fiu"
    if own is None or points is None or not fits or points.shape[1:2] != own.shape or points.ndim != 3:
        raise refuse(path, "it lacks `names` (m,) of text, or `points` (frames, m, 3 or 2)")
    rows = {str(name): k for k, name in enumerate(own)}
    unknown = sorted(name for part in table.values() for name in part.values() if name not in rows)
    if unknown:
        raise refuse(names, f"{path.name} has no points {', '.join(unknown[:8])}", "Write names as the take has them.")
    found = {}
    for part, chosen in table.items():
        count = 21 if part != FACE else 478
        array = np.full((len(points), count, points.shape[2]), np.nan)
        for number, name in chosen.items():
            array[:, number] = points[:, rows[name]]
        found[part] = array
    return Landmarks(path.stem, found, frame_rate_of(arrays))


def _map(path: Path) -> dict[str, dict[int, str]]:
    try:
        if path.stat().st_size > _LARGEST_MAP:
            raise ValueError(f"it is larger than {_LARGEST_MAP >> 20} MB")
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
        table: dict[str, dict[int, str]] = {}
        for part, entries in whole.items():
            count = {LEFT: 21, RIGHT: 21, FACE: 478}.get(part)
            if count is None or not isinstance(entries, Mapping):
                raise ValueError(f"'{part}' is none of [left], [right] and [face]")
            table[part] = {int(number): str(name) for number, name in entries.items()}
            if not all(0 <= number < count for number in table[part]):
                raise ValueError(f"[{part}] has numbers beyond {count - 1}")
        if not any(table.values()):
            raise ValueError("no names are in it")
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise refuse(path, f"it is no map of names ({reason})", "docs/fitting.md shows one.") from error
    return table
