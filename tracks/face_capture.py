# SPDX-License-Identifier: GPL-3.0-or-later
"""ARKit's expressions over time, as Live Link Face and its like record them: one row of a CSV a frame."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .track import refuse

LARGEST = 1 << 28  # [bytes] an hour at 60 frames per second has 170 MB
_SIDED = (
    "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthSmile",
    "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress", "mouthLowerDown", "mouthUpperUp", "browDown",
    "browOuterUp", "cheekSquint", "noseSneer",
)  # fmt: skip
_MIDDLE = (
    "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "browInnerUp", "cheekPuff",
    "tongueOut",
)  # fmt: skip
EXPRESSIONS = (*(f"{name}{side}" for name in _SIDED for side in ("Left", "Right")), *_MIDDLE)  # ARKit's 52
_BY_SPELLING = {name.lower(): name for name in EXPRESSIONS}
_ROTATION = ("headyaw", "headpitch", "headroll")
_EYES = ("lefteyeyaw", "lefteyepitch", "righteyeyaw", "righteyepitch")
# Of each of these: the expression that goes with an angle to the person's right, or down, and its opposite.
_LOOKS = (
    ("eyeLookInLeft", "eyeLookOutLeft"), ("eyeLookDownLeft", "eyeLookUpLeft"),
    ("eyeLookOutRight", "eyeLookInRight"), ("eyeLookDownRight", "eyeLookUpRight"),
)  # fmt: skip
_FEWEST = 5  # expressions that make a table a capture
_TIME = re.compile(r"(\d+):(\d+):(\d+)([:;.])(\d+(?:\.\d+)?)")
_BASES = (24, 25, 30, 48, 50, 60, 120, 1000)  # frames, or milliseconds, that timecodes count in a second
_USUAL_BASE = 60  # of Live Link Face, whatever the rate of its rows
_PULLED = 0.02  # a frame rate that differs by less is the same one, as 29.97 of 30; else it belongs to another take
_DAY = 86400.0


@dataclass(frozen=True)
class FaceCapture:
    """Expressions of f rows. times: (f,) [s] since the first row; names: k of ARKit's; weights: (f, k), NaN in rows in
    which no face was seen; rotation: (f, 3) yaw to the person's right, pitch downwards and roll to the right [rad],
    None if there is none; eyes: (f, 2, 2) yaw and pitch of the left and the right eye in the head, in the same
    directions [rad], or None; step: usual time between rows [s]; notes: what to tell."""

    name: str
    times: NDArray[np.float64]
    names: tuple[str, ...]
    weights: NDArray[np.float64]
    rotation: NDArray[np.float64] | None
    step: float
    notes: tuple[str, ...] = ()
    eyes: NDArray[np.float64] | None = None


def read_face_capture(path: Path, frame_rate: float | None = None) -> FaceCapture:
    """A CSV with the columns Timecode and ARKit's expressions, in any case and order. Raises TrackError.

    Timecodes may count 24 to 120 frames or 1000 milliseconds a second, with parts of frames behind a point; with a
    semicolon before the frames they drop numbers as at 29.97 (SMPTE 12M). frame_rate: rows per second, if it is not
    quite what timecodes say, as 29.97 without dropped numbers.
    """
    header, rows = _table(path)
    columns = {name.strip().lower().replace(" ", ""): k for k, name in enumerate(header)}
    known = [(_BY_SPELLING[name], k) for name, k in columns.items() if name in _BY_SPELLING]
    if len(known) < _FEWEST:
        raise refuse(path, f"its first line names {len(known)} of ARKit's expressions", "Export the CSV of the take.")
    turning = [[columns[name] for name in names if name in columns] for names in (_ROTATION, _EYES)]
    wanted = [k for _, k in known] + turning[0] + turning[1]
    values = np.full((len(rows), len(wanted)), np.nan)
    for number, row in enumerate(rows):
        seen = [row[k].strip() for k in wanted] if len(row) == len(header) else []
        if not any(seen) and len(row) in (2, len(header)):
            continue  # the app writes a timecode and a count of 0 where it sees no face
        try:
            values[number] = [float(text) for text in seen]
        except ValueError:
            raise refuse(path, f"line {number + 2} is not whole, or not of numbers") from None
    weights = values[:, : len(known)]
    if not np.isfinite(weights).any():
        raise refuse(path, "no face was seen in it")
    if np.nanmax(np.abs(weights)) > 100 or np.isinf(values).any():
        raise refuse(path, "its weights are not between 0 and 1")
    times, notes = _times(path, rows, columns.get("timecode"), frame_rate)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / _USUAL_BASE
    lost = int(np.maximum(np.round(np.diff(times) / step) - 1, 0).sum())
    if lost:
        notes.append(f"{lost} frames were dropped by the recorder: keys are interpolated across them")
    unseen = int((~np.isfinite(weights).all(1)).sum())
    if unseen:
        notes.append(f"no face was seen in {unseen} frames: keys are interpolated across them")
    turned, looking = np.split(values[:, len(known) :], [len(turning[0])], axis=1)
    rotation = turned if turned.shape[1] == len(_ROTATION) and np.nan_to_num(turned).any() else None
    names = tuple(name for name, _ in known)
    eyes = _eyes(looking, names, weights)
    return FaceCapture(path.stem, times, names, weights, rotation, step, tuple(notes), eyes)


def _eyes(angles: NDArray, names: tuple[str, ...], weights: NDArray) -> NDArray[np.float64] | None:
    """(f, 2, 2) from the columns, None without them. Signs may differ; the expressions say which direction is meant."""
    if angles.shape[1] != len(_EYES) or not np.nan_to_num(angles).any():
        return None
    signed = angles.copy()
    for column, (towards, opposite) in enumerate(_LOOKS):
        if towards in names and opposite in names:
            look = weights[:, names.index(towards)] - weights[:, names.index(opposite)]
            together = np.nan_to_num(look) @ np.nan_to_num(angles[:, column])
            signed[:, column] *= -1 if together < 0 else 1
    return signed.reshape(-1, 2, 2)


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        if path.stat().st_size > LARGEST:
            raise refuse(path, f"it is larger than {LARGEST >> 20} MB")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeError, csv.Error) as error:
        raise refuse(path, f"it cannot be read as a table ({' '.join(str(error).split())})") from error
    if len(rows) < 2:
        raise refuse(path, "it holds no rows")
    return rows[0], rows[1:]


def _times(
    path: Path, rows: Sequence[Sequence[str]], column: int | None, frame_rate: float | None
) -> tuple[NDArray[np.float64], list[str]]:
    """Seconds since the first row, and what was assumed."""
    if column is None:
        rate = frame_rate or _USUAL_BASE
        return np.arange(len(rows)) / rate, [f"it has no timecodes: {rate:g} rows a second"]
    found = [_TIME.fullmatch(row[column].strip()) if len(row) > column else None for row in rows]
    if None in found:
        raise refuse(path, f"line {found.index(None) + 2} has no timecode such as 14:03:52:28.207")
    parts = np.array([[float(m[k]) for k in (1, 2, 3, 5)] for m in found if m])
    whole = parts[:, :3] @ [3600.0, 60.0, 1.0]
    count = parts[:, 3]
    if all(m and m[4] == "." for m in found):  # 14:03:52.4783
        fractions = [float("0." + m[5].replace(".", "")) for m in found if m]
        times, notes = whole + fractions, []
    else:
        base = _base(whole, count)
        notes = [] if len(np.unique(whole)) > 1 else [f"timecodes are taken as {base} a second"]
        number = whole * base + count
        if any(m and m[4] == ";" for m in found):
            minutes = parts[:, 0] * 60 + parts[:, 1]
            number -= base // 15 * (minutes - minutes // 10)  # numbers dropped every minute but every tenth
            times = number * 1.001 / base
        else:
            times = number / base
    times = times + _DAY * np.cumsum(np.diff(times, prepend=times[0]) < -_DAY / 2)
    step = np.diff(times)
    if (step <= 0).any():
        raise refuse(path, f"its timecodes do not increase in line {int((step <= 0).argmax()) + 3}")
    times -= times[0]
    pace = float(np.median(step)) * frame_rate if frame_rate and len(step) else 1.0
    return times / pace if abs(pace - 1) < _PULLED else times, notes


def _base(whole: NDArray, count: NDArray) -> int:
    """Frames that the timecodes count in a second: what is missing from one second to the next."""
    least = count.max() + 1e-9
    change = np.flatnonzero(np.diff(whole) == 1)
    same = np.flatnonzero(np.diff(whole) == 0)
    if not len(change) or not len(same):
        return next((base for base in _BASES if base >= max(_USUAL_BASE, least)), _BASES[-1])
    step = np.median(np.diff(count)[same])
    counted = np.median(step - np.diff(count)[change])
    return min((base for base in _BASES if base >= least), key=lambda base: abs(base - counted), default=_BASES[-1])


def keys_for(names: Iterable[str]) -> dict[str, list[str]]:
    """ARKit's expressions → shape keys of a mesh that are called so, in any case, with marks and with L, R for sides:
    'EyeBlinkLeft', 'eye_blink.L'. Where none is, those with a word before it: 'ARKit_jawOpen', 'head.jawOpen'.
    'cheekPuff_L' and 'cheekPuff_R' are both cheekPuff."""
    spelled = {name: _spelling(name) for name in names}
    found: dict[str, list[str]] = {}
    for expression in EXPRESSIONS:
        plain = expression.lower()
        wanted = {plain, *([f"{plain}{side}" for side in ("left", "right")] if expression in _MIDDLE else [])}
        exact = [name for name, text in spelled.items() if text in wanted]
        beside = [
            name
            for name, text in spelled.items()
            if text.endswith(plain) and not any(other in text[: -len(plain)] for other in _BY_SPELLING)
        ]
        if exact or beside:
            found[expression] = exact or beside
    return found


def _spelling(name: str) -> str:
    name = re.sub(r"[._ -](L|R|l|r)$", lambda m: "left" if m[1] in "Ll" else "right", name)
    return re.sub(r"[^a-z0-9]", "", name.lower())
