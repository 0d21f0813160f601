# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME, MANO, SMPL-H and SMPL-X from the user's own file, and their skinning (Loper et al. 2015, SMPL).

v = LBS(template + shape directions · betas + pose directions · (R - I)), with joints regressed from the shaped
template. Published field names: v_template, shapedirs, posedirs, J_regressor, kintree_table, weights, f.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import no_numbers, read_npz
from .pickles import read_pickle
from .track import HEAD, LEFT, RIGHT, Faces, refuse

FLAME, MANO, SMPLH, SMPLX = "FLAME", "MANO", "SMPL-H", "SMPL-X"
_KINDS = {5: FLAME, 16: MANO, 52: SMPLH, 55: SMPLX}  # by the number of joints
# Joints that carry head and hands of the bodies: head, jaw and eyes; wrist and fingers.
_PARTS = {
    SMPLH: {HEAD: [15], LEFT: [20, *range(22, 37)], RIGHT: [21, *range(37, 52)]},
    SMPLX: {HEAD: [15, 22, 23, 24], LEFT: [20, *range(25, 40)], RIGHT: [21, *range(40, 55)]},
}
_HAND_POSES = {"": ("hands_components", "hands_mean"), LEFT: ("hands_componentsl", "hands_meanl"),
               RIGHT: ("hands_componentsr", "hands_meanr")}  # fmt: skip


@dataclass(frozen=True)
class BodyModel:
    """n vertices, j joints. template (n, 3), shape_dirs (n, 3, k), pose_dirs (n, 3, 9 (j - 1)), regressor (j, n),
    parents (j,) with -1 first, weights (n, j). hands: side ('' for MANO) → (components (c, 45), mean (45,)).
    side: 'left' or 'right' for MANO, if the file's name says so."""

    kind: str
    template: NDArray[np.float64]
    shape_dirs: NDArray[np.float64]
    pose_dirs: NDArray[np.float64]
    regressor: NDArray[np.float64]
    parents: NDArray[np.int64]
    weights: NDArray[np.float64]
    faces: Faces
    hands: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    side: str = ""

    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Vertices (n,) of head and hands of a body: those that these joints carry by more than half."""
        return {role: self.weights[:, of].sum(1) > 0.5 for role, of in _PARTS.get(self.kind, {}).items()}

    def betas(self, shape: NDArray, expression: NDArray) -> NDArray[np.float64]:
        """Coefficients (f, k) with expressions behind the shapes: from 300 in files of 400 directions, else from 10 in
        those of SMPL-X with 20."""
        count = self.shape_dirs.shape[2]
        first = 300 if count >= 350 else 10 if self.kind == SMPLX else count
        frames = max(len(shape), len(expression))
        result = np.zeros((frames, count))
        used = min(shape.shape[1], first if expression.shape[1] else count)
        result[:, :used] = shape[:, :used]
        room = min(expression.shape[1], count - first)
        result[:, first : first + room] = expression[:, :room]
        return result

    def pose(
        self, betas: NDArray, rotations: NDArray, translation: NDArray, offset: NDArray | float = 0.0
    ) -> NDArray[np.float32]:
        """Vertices (f, n, 3) from coefficients (f or 1, k), joint rotations (f, j, 3, 3) relative to parents, and a
        translation (f, 3). offset: (n, 3) added to the shaped template.

        Raises ValueError if numbers of frames differ.
        """
        if len(betas) not in (1, len(rotations)):
            raise ValueError(f"{len(betas)} rows of coefficients for {len(rotations)} poses")
        result = np.empty((len(rotations), *self.template.shape), np.float32)
        shaped = joints = None
        for frame, turned in enumerate(rotations):
            if shaped is None or len(betas) > 1:
                shaped = self.template + self.shape_dirs @ betas[frame if len(betas) > 1 else 0] + offset
                joints = self.regressor @ shaped
            assert joints is not None
            posed = shaped + self.pose_dirs @ (turned[1:] - np.eye(3)).ravel()
            result[frame] = self._skinned(posed, joints, turned) + translation[frame]
        return result

    def _skinned(self, posed: NDArray, joints: NDArray, turned: NDArray) -> NDArray[np.float64]:
        rotation, place = turned.copy(), joints.copy()
        for joint in range(1, len(joints)):
            parent = self.parents[joint]
            rotation[joint] = rotation[parent] @ turned[joint]
            place[joint] = place[parent] + rotation[parent] @ (joints[joint] - joints[parent])
        shift = place - np.einsum("jab,jb->ja", rotation, joints)
        blended = np.tensordot(self.weights, rotation, 1)
        return np.einsum("nab,nb->na", blended, posed) + self.weights @ shift


def read_model(path: Path) -> BodyModel:
    """A model from its pickle or npz. Raises TrackError; nothing in the file is run."""
    fields = read_pickle(path) if path.suffix.lower() == ".pkl" else read_npz(path)
    if not isinstance(fields, dict):
        raise refuse(path, "it is no body model")
    try:
        template = _numbers(fields, "v_template", (None, 3))
        n, parents = len(template), _numbers(fields, "kintree_table", (2, None))[0].astype(np.int64)
        j = len(parents)
        parents[0] = -1
        model = BodyModel(
            kind=_KINDS[j],
            template=template,
            shape_dirs=_numbers(fields, "shapedirs", (n, 3, None)),
            pose_dirs=_numbers(fields, "posedirs", (n, 3, 9 * (j - 1))),
            regressor=_numbers(fields, "J_regressor", (j, n)),
            parents=parents,
            weights=_numbers(fields, "weights", (n, j)),
            faces=Faces.of(_numbers(fields, "f", (None, 3))),
            hands={
                side: (_numbers(fields, components, (None, 45)), _numbers(fields, mean, (45,)))
                for side, (components, mean) in _HAND_POSES.items()
                if components in fields
            },
            side=next((side for side in (LEFT, RIGHT) if side in path.stem.lower()), ""),
        )
    except (KeyError, ValueError, IndexError, TypeError) as error:
        reason = f"'{error.args[0]}' is missing or unknown" if isinstance(error, KeyError) else str(error)
        raise refuse(path, f"it is no whole model of FLAME, MANO, SMPL-H or SMPL-X ({reason})") from error
    if (model.parents[1:] < 0).any() or not (model.parents[1:] < np.arange(1, j)).all():
        raise refuse(path, "a joint comes before its parent")
    if model.faces.corners.min() < 0 or model.faces.corners.max() >= n:
        raise refuse(path, "its faces name vertices that it does not have")
    return model


def mended(models: Sequence[BodyModel]) -> tuple[list[BodyModel], list[str]]:
    """The models, and what was mended: in MANO_LEFT as published, the shape directions have the right hand's sign in x,
    so that shapes bend a left hand apart. Seen where both hands are given, as they are mirror images."""
    right = next((model for model in models if model.kind == MANO and model.side == RIGHT), None)
    result, said = [], []
    for model in models:
        if right is not None and model.kind == MANO and model.side == LEFT:
            same = np.abs(model.shape_dirs[:, 0] - right.shape_dirs[:, 0]).sum()
            mirrored = np.abs(model.shape_dirs[:, 0] + right.shape_dirs[:, 0]).sum()
            if same < mirrored:
                model = replace(model, shape_dirs=model.shape_dirs * np.array([-1.0, 1, 1])[:, None])
                said.append("the left hand's shape directions have the known wrong sign in x: mended")
        result.append(model)
    return result, said


def rotations_of(values: Any) -> NDArray[np.float64]:
    """(f, j, 3, 3) from axis-angle (f, j, 3), the first two columns of matrices (f, j, 6) (Zhou et al. 2019), or
    matrices (f, j, 3, 3)."""
    values = np.asarray(values, np.float64)
    if values.shape[-2:] == (3, 3) and values.ndim == 4:
        return values
    if values.shape[-1] == 6:
        first = values[..., :3] / np.linalg.norm(values[..., :3], axis=-1, keepdims=True)
        second = values[..., 3:] - (first * values[..., 3:]).sum(-1, keepdims=True) * first
        second = second / np.linalg.norm(second, axis=-1, keepdims=True)
        return np.stack([first, second, np.cross(first, second)], -1)
    angle = np.linalg.norm(values, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(values / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues


def _numbers(fields: dict[Any, Any], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """The field, of this shape with None for any length. Raises ValueError, or KeyError if it is missing."""
    value = fields[name]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise ValueError(no_numbers(name, value))
    if not value.size or not np.isfinite(value).all():
        raise ValueError(f"'{name}' is empty, or not all of it is finite")
    if len(shape) != value.ndim or any(want not in (None, size) for want, size in zip(shape, value.shape, strict=True)):
        expected = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"'{name}' has shape {value.shape}, where ({expected}) is expected")
    return value.astype(np.float64)
