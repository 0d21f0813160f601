# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters over time (AMASS, 'stageii', VHAP, FLAME, MANO, Decaf) posed with the user's own models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError
from .arrays import frame_rate_of
from .body_models import FLAME, MANO, SMPLH, SMPLX, BodyModel, rotations_of
from .pickles import read_pickle
from .track import HEAD, LEFT, RIGHT, Track, refuse, role_of

_POSES = {156: SMPLH, 165: SMPLX}  # axis-angles of all joints of a body, as AMASS has them
# The same thing under the names of different projects.
_NAMES = {
    "translation": ("translation", "transl", "trans"),
    "rotation": ("rotation", "global_orient", "global_orientation"),
    "shape": ("shape", "shape_params", "betas"),
    "expression": ("expr", "expression", "expression_params", "exp"),
    "neck": ("neck_pose",),
    "jaw": ("jaw_pose",),
    "eyes": ("eyes_pose", "eye_pose"),
    "hand": ("hand_pose",),
}
_NO_EXPRESSION = np.zeros((1, 0))


def has_parameters(arrays: Mapping[str, Any]) -> bool:
    """Whether these arrays pose a model, rather than hold vertices."""
    body = isinstance(arrays.get("poses"), np.ndarray) and arrays["poses"].ndim == 2
    return (body and _one(arrays, "translation") is not None) or any(
        _one(arrays, name) is not None for name in ("hand", "jaw")
    )


def pose_tracks(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> list[Track]:
    """The surface that parameters of one model describe. Raises TrackError, also if its model is not given."""
    try:
        if isinstance(arrays.get("poses"), np.ndarray) and arrays["poses"].shape[-1] in _POSES:
            return [_body(path, arrays, models)]
        if _one(arrays, "hand") is not None:
            return [_hand(path, arrays, models)]
        if _one(arrays, "jaw") is not None:
            return [_head(path, arrays, models)]
    except (ValueError, IndexError) as error:
        raise refuse(path, f"its parameters have wrong shapes ({error})") from error
    raise refuse(path, "its parameters are of no known model", "Known are FLAME, MANO, SMPL-H and SMPL-X.")


def _one(arrays: Mapping[str, Any], name: str) -> NDArray[np.float64] | None:
    found = next((arrays[key] for key in _NAMES[name] if isinstance(arrays.get(key), np.ndarray)), None)
    return None if found is None else found.astype(np.float64)


def _rows(arrays: Mapping[str, Any], name: str, width: int, frames: int) -> NDArray[np.float64]:
    """(frames, width) of this name; one row serves for all, and none is zero."""
    found = _one(arrays, name)
    return np.zeros((frames, width)) if found is None else np.broadcast_to(found.reshape(-1, width), (frames, width))


def _coefficients(arrays: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    found = _one(arrays, name)
    return _NO_EXPRESSION if found is None else found.reshape(1 if found.ndim == 1 else len(found), -1)


def _model(path: Path, models: Sequence[BodyModel], kind: str, side: str = "") -> BodyModel:
    for model in models:
        if model.kind == kind and (not side or model.side in ("", side)):
            return model
    what = f"{kind}{f' of the {side} hand' if side else ''}"
    raise TrackError(
        f"{path}: its parameters need the model {what}.",
        advice="Name your own copy of it (--model FILE.pkl or FILE.npz); its licence forbids shipping it.",
    )


def _body(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    poses = np.asarray(arrays["poses"], np.float64)
    model = _model(path, models, _POSES[poses.shape[1]])
    betas = model.betas(_coefficients(arrays, "shape"), _coefficients(arrays, "expression"))
    moved = _rows(arrays, "translation", 3, len(poses))
    vertices = model.pose(betas, rotations_of(poses.reshape(len(poses), -1, 3)), moved)
    return Track("body", vertices, model.faces, "", frame_rate_of(arrays), 1.0, "+z", model.parts())


def _head(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    model, jaw = _model(path, models, FLAME), _one(arrays, "jaw")
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
    if isinstance(arrays.get("static_offset"), np.ndarray):
        given = arrays["static_offset"].reshape(-1, 3)
        offset = given[: len(model.template)]
        if len(given) > len(offset):
            notes.append(f"{len(given) - len(offset)} vertices of teeth are left out")
    turned = rotations_of(np.concatenate(pose, 1).reshape(frames, 5, 3))
    vertices = model.pose(betas, turned, _rows(arrays, "translation", 3, frames), offset)
    return Track("head", vertices, model.faces, HEAD, frame_rate_of(arrays), 1.0, None, notes=tuple(notes))


def _hand(path: Path, arrays: Mapping[str, Any], models: Sequence[BodyModel]) -> Track:
    right = arrays.get("is_right")
    side = role_of(path.stem) if right is None else RIGHT if np.ravel(right)[0] > 0.5 else LEFT
    given = _one(arrays, "hand")
    assert given is not None
    model = _model(path, models, MANO, side if side in (LEFT, RIGHT) else "")
    flat = bool(np.ravel(arrays["flat_hand_mean"])[0]) if "flat_hand_mean" in arrays else None
    fingers, note = _fingers(model, given, flat)
    frames, root = len(fingers), _one(arrays, "rotation")
    wrist = np.tile(np.eye(3), (frames, 1, 1, 1)) if root is None else rotations_of(_joints(root))
    turned = np.concatenate([np.broadcast_to(wrist, (frames, 1, 3, 3)), fingers], 1)
    betas = model.betas(_coefficients(arrays, "shape"), _NO_EXPRESSION)
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


def _fingers(model: BodyModel, given: NDArray, flat: bool | None) -> tuple[NDArray, str]:
    """Rotations (f, 15, 3, 3), and what was assumed. Coefficients of fewer than 45 components are relative to the mean
    unless `flat`; whole axis-angles are absolute unless it is False."""
    if given.ndim == 4 or given.shape[1:] == (90,) or (given.ndim == 3 and given.shape[-1] == 6):
        return rotations_of(_joints(given)), ""
    given = given.reshape(len(given), -1)
    components, mean = model.hands.get("", (np.eye(45), np.zeros(45)))
    if given.shape[1] == 45:
        return rotations_of((given + (mean if flat is False else 0)).reshape(-1, 15, 3)), ""
    angles = given @ components[: given.shape[1]] + (0 if flat else mean)
    note = "" if flat is not None else "hand poses are taken relative to the model's mean (flat_hand_mean=0)"
    return rotations_of(angles.reshape(-1, 15, 3)), note


def read_decaf(path: Path, models: Sequence[BodyModel]) -> list[Track]:
    """Head and right hand of Decaf's `params….pkl` {frame: {'head': …, 'right_hand': …}}, as its own scripts pose them.

    The head turns about the mean of its vertices; the 45 hand coefficients are of principal components without mean.
    Of the pieces between the cuts in `cutIDs/SUBJECT.pkl`, the longest is kept. Raises TrackError.
    """
    found = read_pickle(path)
    try:
        frames = [found[key] for key in sorted(found)]
        head = {key: np.stack([np.ravel(one["head"][key]) for one in frames]) for key in frames[0]["head"]}
        hand = {key: np.stack([np.ravel(one["right_hand"][key]) for one in frames]) for key in frames[0]["right_hand"]}
        piece, note = _longest(path, len(frames))
        tracks = [_decaf_head(path, head, models), _decaf_hand(path, hand, models)]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise refuse(path, f"it holds no parameters as Decaf has them ({error})") from error
    return [
        Track(
            t.name,
            t.vertices[piece],
            t.faces,
            t.role,
            None,
            1.0,
            None,
            notes=(note,) if note and t.role == HEAD else (),
        )
        for t in tracks
    ]


def _decaf_head(path: Path, head: Mapping[str, NDArray], models: Sequence[BodyModel]) -> Track:
    model, frames = _model(path, models, FLAME), len(head["transl"])
    pose, zero = head["pose_params"].astype(np.float64), np.zeros((frames, 3))
    turned = rotations_of(np.stack([pose[:, :3], zero, pose[:, 3:6], zero, zero], 1))
    betas = model.betas(head["shape_params"], head["expression_params"])
    skin = model.pose(betas, turned, zero).astype(np.float64)
    middle = skin.mean(1, keepdims=True)
    whole = rotations_of(head["global_orient"][:, None])[:, 0]
    moved = np.einsum("fab,fnb->fna", whole, skin - middle) + middle + head["transl"][:, None]
    return Track("head", moved.astype(np.float32), model.faces, HEAD)


def _decaf_hand(path: Path, hand: Mapping[str, NDArray], models: Sequence[BodyModel]) -> Track:
    model = _model(path, models, MANO, RIGHT)
    components, _ = model.hands[""]
    pose = hand["hand_pose"] @ components[: hand["hand_pose"].shape[1]]
    turned = rotations_of(np.concatenate([hand["global_orient"], pose], 1).reshape(-1, 16, 3))
    skin = model.pose(model.betas(hand["betas"], _NO_EXPRESSION), turned, hand["transl"])
    return Track("right", skin, model.faces, RIGHT)


def _longest(path: Path, frames: int) -> tuple[slice, str]:
    """The longest piece between cuts [(last, first), …], and what to say about it."""
    beside = path.parents[2] / "cutIDs" / f"{path.parent.name}.pkl" if len(path.parents) > 2 else path
    if beside == path or not beside.is_file():
        return slice(0, frames), ""
    cuts = [(int(last), int(first)) for last, first in read_pickle(beside)]
    starts, ends = [0, *(first for _, first in cuts)], [*(last + 1 for last, _ in cuts), frames]
    start, end = max(zip(starts, ends, strict=True), key=lambda piece: piece[1] - piece[0])
    return slice(
        start, end
    ), f"the recording has {len(cuts)} cuts; frames {start}-{end - 1}, the longest piece, are kept"
