# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters over time (AMASS, 'stageii', SMPL-X, VHAP, FLAME, MANO) posed with the user's own models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError
from .arrays import frame_rate_of, no_numbers
from .body_models import FLAME, MANO, SMPLH, SMPLX, BodyModel, rotations_of
from .track import HEAD, LEFT, RIGHT, Track, refuse, role_of

_POSES = {156: SMPLH, 165: SMPLX}  # axis-angles of all joints of a body, as AMASS has them
# The same thing under the names of different projects.
_NAMES = {
    "translation": ("translation", "transl", "trans"),
    "rotation": ("rotation", "global_orient", "global_orientation", "root_orient", "root_pose"),
    "shape": ("shape", "shape_params", "betas"),
    "expression": ("expr", "expression", "expression_params", "exp"),
    "neck": ("neck_pose",),
    "jaw": ("jaw_pose", "pose_jaw"),
    "eyes": ("eyes_pose", "eye_pose", "pose_eye"),
    "hand": ("hand_pose",),
    "body": ("body_pose", "pose_body"),
    "hands": ("pose_hand",),
    "left hand": ("left_hand_pose", "lhand_pose"),
    "right hand": ("right_hand_pose", "rhand_pose"),
    "left eye": ("leye_pose",),
    "right eye": ("reye_pose",),
}
_BODY_JOINTS = 21  # of SMPL-H and SMPL-X without root; SMPL's other two are the hands
NO_EXPRESSION = np.zeros((1, 0))


def has_parameters(arrays: Mapping[str, Any]) -> bool:
    """Whether these arrays pose a model, rather than hold vertices."""
    body = isinstance(arrays.get("poses"), np.ndarray) and arrays["poses"].ndim == 2
    return (body and _has(arrays, "translation")) or any(_has(arrays, name) for name in ("body", "hand", "jaw"))


def pose_tracks(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> list[Track]:
    """The surface that parameters of one model describe. Raises TrackError, also if its model is not given."""
    try:
        if isinstance(arrays.get("poses"), np.ndarray) and arrays["poses"].shape[-1] in _POSES:
            return [_body(path, arrays, models)]
        if _has(arrays, "body"):
            return [_body_in_parts(path, arrays, models)]
        if _has(arrays, "hand"):
            return [_hand(path, arrays, models)]
        if _has(arrays, "jaw"):
            return [_head(path, arrays, models)]
    except (ValueError, IndexError) as error:
        raise refuse(path, f"its parameters have wrong shapes, or do not fit the model ({error})") from error
    raise refuse(path, "its parameters are of no known model", "Known are FLAME, MANO, SMPL-H and SMPL-X.")


def _has(arrays: Mapping[str, Any], name: str) -> bool:
    return any(key in arrays for key in _NAMES[name])


def _one(arrays: Mapping[str, Any], name: str) -> NDArray[np.float64] | None:
    key = next((key for key in _NAMES[name] if key in arrays), None)
    return None if key is None else numbers(arrays, key)


def numbers(arrays: Mapping[str, Any], key: str) -> NDArray[np.float64]:
    """The array of this name, with at least one axis. Raises ValueError if it holds no numbers."""
    array = arrays[key]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise ValueError(no_numbers(key, array))
    return np.atleast_1d(array).astype(np.float64)


def _flag(arrays: Mapping[str, Any], key: str) -> bool | None:
    """The first number of this array, as yes or no; None if it is not there."""
    return bool(numbers(arrays, key).ravel()[0] > 0.5) if key in arrays else None


def _rows(arrays: Mapping[str, Any], name: str, width: int, frames: int) -> NDArray[np.float64]:
    """(frames, width) of this name; one row serves for all, and none is zero."""
    found = _one(arrays, name)
    return np.zeros((frames, width)) if found is None else np.broadcast_to(found.reshape(-1, width), (frames, width))


def _coefficients(arrays: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    found = _one(arrays, name)
    return NO_EXPRESSION if found is None else found.reshape(1 if found.ndim == 1 else len(found), -1)


def model_for(path: Path, models: Sequence[BodyModel], kind: str, side: str = "") -> BodyModel:
    """The first of this kind and side. Raises TrackError if none is given."""
    for model in models:
        if model.kind == kind and (not side or model.side in ("", side)):
            return model
    what = f"{kind}{f' of the {side} hand' if side else ''}"
    raise TrackError(
        f"{path}: its parameters need the model {what}.",
        advice="Name your own copy of it (--model FILE.pkl or FILE.npz); its licence forbids shipping it.",
    )


def _body(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    poses = numbers(arrays, "poses")
    model = model_for(path, models, _POSES[poses.shape[1]])
    return _posed_body(arrays, model, rotations_of(poses.reshape(len(poses), -1, 3)), "+z")


def _posed_body(
    arrays: Mapping[str, Any], model: BodyModel, turned: NDArray, up: str | None, notes: tuple[str, ...] = ()
) -> Track:
    betas = model.betas(_coefficients(arrays, "shape"), _coefficients(arrays, "expression"))
    vertices = model.pose(betas, turned, _rows(arrays, "translation", 3, len(turned)))
    return Track("body", vertices, model.faces, "", frame_rate_of(arrays), 1.0, up, model.parts(), notes)


def _body_in_parts(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    """SMPL-X or SMPL-H with an array for each part of the body, as the smplx library and AMASS name them; parts that
    are not there are at rest. Which of both: what has a face, else the model that is given."""
    given = _one(arrays, "body")
    assert given is not None
    face = any(_one(arrays, name) is not None for name in ("jaw", "expression", "eyes", "left eye"))
    kinds = [model.kind for model in models if model.kind in (SMPLH, SMPLX)]
    model = model_for(path, models, SMPLX if face or not kinds else kinds[0])
    body = rotations_of(_joints(given))[:, :_BODY_JOINTS]
    frames = len(body)
    flat = _flag(arrays, "flat_hand_mean")
    parts, notes = [_turned(arrays, "rotation", 1, frames), body], set()
    if model.kind == SMPLX:
        parts.append(_turned(arrays, "jaw", 1, frames))
        if _one(arrays, "eyes") is not None:
            parts.append(_turned(arrays, "eyes", 2, frames))
        else:
            parts += [_turned(arrays, f"{side} eye", 1, frames) for side in (LEFT, RIGHT)]
    together = _one(arrays, "hands")
    for k, side in enumerate((LEFT, RIGHT)):
        hand = _one(arrays, f"{side} hand")
        if together is not None:
            hand = np.split(together.reshape(len(together), -1), 2, axis=1)[k]
        if hand is None:
            parts.append(np.tile(np.eye(3), (frames, 15, 1, 1)))
            continue
        fingers, note = _fingers(model, hand, flat, side)
        parts.append(np.broadcast_to(fingers, (frames, 15, 3, 3)))
        notes |= {note} - {""}
    turned = np.concatenate(parts, 1)
    return _posed_body(arrays, model, turned, "+z" if "trans" in arrays else None, tuple(sorted(notes)))


def _turned(arrays: Mapping[str, Any], name: str, joints: int, frames: int) -> NDArray[np.float64]:
    """Rotations (frames, joints, 3, 3); one row serves for all, and none is no rotation."""
    found = _one(arrays, name)
    if found is None:
        return np.tile(np.eye(3), (frames, joints, 1, 1))
    flat = found.ndim == 2 and found.shape[1] == 3 * joints  # six numbers of two eyes are no 6D rotation
    values = found.reshape(-1, joints, 3) if flat else _joints(found)
    return np.broadcast_to(rotations_of(values), (frames, joints, 3, 3))


def _head(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    model, jaw = model_for(path, models, FLAME), _one(arrays, "jaw")
    assert jaw is not None
    jaw = jaw.reshape(-1, 3)
    frames = len(jaw)
    pose = [
        _rows(arrays, "rotation", 3, frames),
        _rows(arrays, "neck", 3, frames),
        jaw,
        _rows(arrays, "eyes", 6, frames),
    ]
    betas = model.betas(_coefficients(arrays, "shape"), _coefficients(arrays, "expression"))
    offset, notes = np.zeros((1, 3)), []
    if "static_offset" in arrays:
        given = numbers(arrays, "static_offset").reshape(-1, 3)
        offset = given[: len(model.template)]
        if len(given) > len(offset):
            notes.append(f"{len(given) - len(offset)} vertices of teeth are left out")
    turned = rotations_of(np.concatenate(pose, 1).reshape(frames, 5, 3))
    vertices = model.pose(betas, turned, _rows(arrays, "translation", 3, frames), offset)
    return Track("head", vertices, model.faces, HEAD, frame_rate_of(arrays), 1.0, None, notes=tuple(notes))


def _hand(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    right = _flag(arrays, "is_right")
    side = role_of(path.stem) if right is None else RIGHT if right else LEFT
    given = _one(arrays, "hand")
    assert given is not None
    model = model_for(path, models, MANO, side if side in (LEFT, RIGHT) else "")
    flat = _flag(arrays, "flat_hand_mean")
    fingers, note = _fingers(model, given, flat)
    frames, root = len(fingers), _one(arrays, "rotation")
    wrist = np.tile(np.eye(3), (frames, 1, 1, 1)) if root is None else rotations_of(_joints(root))
    turned = np.concatenate([np.broadcast_to(wrist, (frames, 1, 3, 3)), fingers], 1)
    betas = model.betas(_coefficients(arrays, "shape"), NO_EXPRESSION)
    vertices = model.pose(betas, turned, _rows(arrays, "translation", 3, frames))
    role = side or model.side or RIGHT
    return Track(role, vertices, model.faces, role, frame_rate_of(arrays), 1.0, None, notes=(note,) if note else ())


def _joints(values: NDArray) -> NDArray:
    """(f, j, 3), (f, j, 6) or (f, j, 3, 3) of what may be flat."""
    if values.ndim == 4:
        return values.reshape(len(values), -1, 3, 3)
    if values.ndim == 3:
        return values
    return values.reshape(len(values), -1, 6 if values.shape[-1] in (6, 90, 96) else 3)


def _fingers(model: BodyModel, given: NDArray, flat: bool | None, side: str = "") -> tuple[NDArray, str]:
    """Rotations (f, 15, 3, 3), and what was assumed. Coefficients of fewer than 45 components are relative to the mean
    unless `flat`; whole axis-angles are absolute unless it is False."""
    if given.ndim == 4 or given.shape[1:] == (90,) or (given.ndim == 3 and given.shape[-1] == 6):
        return rotations_of(_joints(given)), ""
    given = given.reshape(len(given), -1)
    components, mean = model.hands.get(side, (np.eye(45), np.zeros(45)))
    if given.shape[1] == 45:
        return rotations_of((given + (mean if flat is False else 0)).reshape(-1, 15, 3)), ""
    if given.shape[1] > len(components):
        raise ValueError(f"hand poses have {given.shape[1]} numbers, where the model has {len(components)} components")
    angles = given @ components[: given.shape[1]] + (0 if flat else mean)
    note = "" if flat is not None else "hand poses are taken relative to the model's mean (flat_hand_mean=0)"
    return rotations_of(angles.reshape(-1, 15, 3)), note
