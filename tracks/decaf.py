# SPDX-License-Identifier: GPL-3.0-or-later
"""Decaf (Shimada et al. 2023): head and hand from `params….pkl`, with the deformations and contacts that were captured.

As the dataset's own scripts pose them: the head turns about the mean of its vertices; the 45 hand coefficients are of
principal components without mean; a deformation is subtracted from the posed head, turned as the head is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import read_npy
from .body_models import FLAME, MANO, BodyModel, rotations_of
from .parameters import NO_EXPRESSION, model_for
from .pickles import read_pickle
from .track import HEAD, RIGHT, Track, refuse

_FILES = {"deforms": "deformations", "contacts_head": "contacts", "contacts_rh": "contacts"}  # and their folders


def read_decaf(path: Path, models: Sequence[BodyModel]) -> list[Track]:
    """Head and right hand of {frame: {'head': …, 'right_hand': …}}.

    Beside the file, or where the dataset has them, are looked for: `deforms.npy` (f, 5023, 3), which make the head's
    captured surface; `contacts_head.npy` and `contacts_rh.npy` (f, n), which vertices touch; and the cuts, of whose
    pieces the longest is kept. Raises TrackError.
    """
    found = read_pickle(path)
    try:
        frames = [found[key] for key in sorted(found)]
        head = {key: np.stack([np.ravel(one["head"][key]) for one in frames]) for key in frames[0]["head"]}
        hand = {key: np.stack([np.ravel(one["right_hand"][key]) for one in frames]) for key in frames[0]["right_hand"]}
        piece, note = _longest(path, len(frames))
        tracks = [_head(path, head, models), _hand(path, hand, models)]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise refuse(path, f"it holds no parameters as Decaf has them ({error})") from error
    notes = {HEAD: (note,) if note else ()}
    return [
        replace(
            track,
            vertices=track.vertices[piece],
            captured=None if track.captured is None else track.captured[piece],
            touched=None if track.touched is None else track.touched[piece],
            unit=1.0,
            notes=notes.get(track.role, ()),
        )
        for track in tracks
    ]


def _head(path: Path, head: Mapping[str, NDArray], models: Sequence[BodyModel]) -> Track:
    model, frames = model_for(path, models, FLAME), len(head["transl"])
    pose, zero = head["pose_params"].astype(np.float64), np.zeros((frames, 3))
    turned = rotations_of(np.stack([pose[:, :3], zero, pose[:, 3:6], zero, zero], 1))
    betas = model.betas(head["shape_params"], head["expression_params"])
    skin = model.pose(betas, turned, zero).astype(np.float64)
    middle = skin.mean(1, keepdims=True)
    whole = rotations_of(head["global_orient"][:, None])[:, 0]
    moved = np.einsum("fab,fnb->fna", whole, skin - middle) + middle + head["transl"][:, None]
    deformed, captured = _beside(path, "deforms", moved.shape), None
    if deformed is not None:
        deformed = np.array(deformed, np.float32)
        deformed[:, _neck(path, moved.shape[1])] = 0  # not captured
        captured = (moved - np.einsum("fab,fnb->fna", whole, deformed)).astype(np.float32)
    touched = _contacts(path, "contacts_head", moved.shape[:2])
    return Track("head", moved.astype(np.float32), model.faces, HEAD, captured=captured, touched=touched)


def _hand(path: Path, hand: Mapping[str, NDArray], models: Sequence[BodyModel]) -> Track:
    model = model_for(path, models, MANO, RIGHT)
    components, _ = model.hands[""]
    pose = hand["hand_pose"] @ components[: hand["hand_pose"].shape[1]]
    turned = rotations_of(np.concatenate([hand["global_orient"], pose], 1).reshape(-1, 16, 3))
    skin = model.pose(model.betas(hand["betas"], NO_EXPRESSION), turned, hand["transl"])
    return Track("right", skin, model.faces, RIGHT, touched=_contacts(path, "contacts_rh", skin.shape[:2]))


def _contacts(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    labels = _beside(path, name, shape)
    return None if labels is None else labels != 0


def _beside(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """The array of `name`.npy: beside the parameters, or in SET/FOLDER/SUBJECT for SET/params/SUBJECT. Raises
    TrackError if its shape is not this."""
    places = [path.with_name(f"{name}.npy")]
    if len(path.parents) > 2:
        places.append(path.parents[2] / _FILES[name] / path.parent.name / f"{name}.npy")
    for place in places:
        if place.is_file():
            array = read_npy(place)
            if array.shape != shape or array.dtype.kind not in "fiub":
                raise refuse(place, f"it has shape {array.shape}, where the parameters need {shape}")
            if not np.isfinite(array).all():
                raise refuse(place, "not all of it is finite")
            return array
    return None


def _neck(path: Path, n_vertices: int) -> NDArray[np.intp]:
    """Vertices whose deformation does not count, from the dataset's assets."""
    place = path.parents[min(3, len(path.parents) - 1)] / "assets" / "FLAME_neck_idx.npy"
    if not place.is_file():
        return np.zeros(0, np.intp)
    array = read_npy(place)
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() < n_vertices):
        raise refuse(place, f"it holds no vertices of a head with {n_vertices}")
    return array.ravel().astype(np.intp)


def _longest(path: Path, frames: int) -> tuple[slice, str]:
    """The longest piece between cuts [(last, first), …], and what to say about it."""
    beside = path.parents[2] / "cutIDs" / f"{path.parent.name}.pkl" if len(path.parents) > 2 else path
    if beside == path or not beside.is_file():
        return slice(0, frames), ""
    cuts = [(int(last), int(first)) for last, first in read_pickle(beside)]
    order = [-1, *(frame for cut in cuts for frame in cut), frames]
    if any(one > other for one, other in pairwise(order)):
        raise ValueError(f"the cuts in {beside.name} do not lie within its {frames} frames, one after the other")
    starts, ends = [0, *(first for _, first in cuts)], [*(last + 1 for last, _ in cuts), frames]
    start, end = max(zip(starts, ends, strict=True), key=lambda piece: piece[1] - piece[0])
    return slice(
        start, end
    ), f"the recording has {len(cuts)} cuts; frames {start}-{end - 1}, the longest piece, are kept"
