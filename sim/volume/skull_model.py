# SPDX-License-Identifier: GPL-3.0-or-later
"""Jaw and cranium of a person from the vertex positions of the head: a dense linear model fitted to paired examples.

The rigid motion between heads is removed. The rest is reduced to the principal components of the examples' heads, from
which ridge regression predicts the bones. Where a head differs from the examples in ways the components do not cover,
the bones follow the skin by a smooth warp.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CacheError, VolumeError
from ...files import atomic_write, read_arrays
from ..geometry import rigid
from ..geometry.warp import Warp
from .skull import Skull

FORMAT = 1
_ALIGNING = 4  # rounds of aligning all heads to their mean; it hardly changes after the second
_NEGLIGIBLE = 1e-6  # components smaller than this fraction of the first carry no information
_RIDGES = np.logspace(-8, 1, 28)  # candidates for the ridge, relative to the first component's variance
_WARP_CENTRES = 600
_COMMON_EDGES = 0.6  # quads may be split along other diagonals; another topology shares hardly any edge


@dataclass(frozen=True)
class SkullModel:
    """bones = bone_mean + regression (components (head - head_mean)), positions in metres.

    head_mean: (n, 3); head_triangles: (m, 3); components: (k, 3n) orthonormal rows; bone_mean: (j + c, 3), jaw first;
    regression: (3 (j + c), k); jaw_triangles: (a, 3); cranium_triangles: (b, 3), counted from the cranium's first.
    """

    head_mean: NDArray[np.float64]
    head_triangles: NDArray[np.int32]
    components: NDArray[np.float64]
    bone_mean: NDArray[np.float64]
    regression: NDArray[np.float64]
    jaw_triangles: NDArray[np.int32]
    cranium_triangles: NDArray[np.int32]

    @classmethod
    def fit(
        cls,
        heads: NDArray,
        jaws: NDArray,
        craniums: NDArray,
        head_triangles: NDArray,
        jaw_triangles: NDArray,
        cranium_triangles: NDArray,
        ridge: float | None = None,
    ) -> "SkullModel":
        """Fits e examples: heads (e, n, 3), jaws (e, j, 3), craniums (e, c, 3) [m] in any position.

        ridge [m²]: None chooses the one that predicts each example best from the others. Raises VolumeError for less
        than three examples or arrays that do not match.
        """
        if not 3 <= len(heads) == len(jaws) == len(craniums):
            raise VolumeError(
                f"A skull model needs at least three examples, but got {len(heads)} heads with {len(jaws)} jaws and "
                f"{len(craniums)} craniums."
            )
        bones = np.concatenate([jaws, craniums], axis=1)
        heads, bones = _aligned(np.asarray(heads, np.float64), np.asarray(bones, np.float64))
        head_mean, bone_mean = heads.mean(0), bones.mean(0)
        u, s, vt = np.linalg.svd((heads - head_mean).reshape(len(heads), -1), full_matrices=False)
        told = s > _NEGLIGIBLE * s[0]
        u, s, vt = u[:, told], s[told], vt[told]
        y = (bones - bone_mean).reshape(len(bones), -1)
        if ridge is None:
            ridge = _best_ridge(u, s, y)
        regression = y.T @ (u * (s / (s**2 + ridge)))
        triangles = (np.asarray(t, np.int32) for t in (head_triangles, jaw_triangles, cranium_triangles))
        head_triangles, jaw_triangles, cranium_triangles = triangles
        return cls(head_mean, head_triangles, vt, bone_mean, regression, jaw_triangles, cranium_triangles)

    def predict(self, vertices: NDArray, triangles: NDArray, name: str = "head", *, warp: bool = True) -> Skull:
        """Jaw and cranium of a head (n, 3) [m] with triangles (m, 3), in its place.

        warp: whether the part of the head that the components leave over carries the bones along. Raises VolumeError
        for a head of another topology.
        """
        self._check(vertices, triangles, name)
        vertices = np.asarray(vertices, np.float64)
        motion = rigid.fit_rigid(vertices, self.head_mean)
        aligned = rigid.apply(motion, vertices)
        coefficients = self.components @ (aligned - self.head_mean).ravel()
        bones = self.bone_mean + (self.regression @ coefficients).reshape(-1, 3)
        if warp:
            told = self.head_mean + (coefficients @ self.components).reshape(-1, 3)
            bones = Warp(told, aligned, _WARP_CENTRES)(bones)
        bones = rigid.apply(rigid.inverse(motion), bones)
        jaw = self.jaw_count
        return Skull(bones[:jaw], self.jaw_triangles, bones[jaw:], self.cranium_triangles)

    @property
    def jaw_count(self) -> int:
        return int(self.jaw_triangles.max()) + 1 if len(self.jaw_triangles) else 0

    def _check(self, vertices: NDArray, triangles: NDArray, name: str) -> None:
        mine, given = _edges(self.head_triangles), _edges(triangles)
        common = len(np.intersect1d(mine, given)) / max(len(mine), 1)
        if len(vertices) != len(self.head_mean) or common < _COMMON_EDGES:
            raise VolumeError(
                f"the skull model is for heads of another topology: {len(self.head_mean)} vertices, here "
                f"{len(vertices)}, {100 * common:.0f} % of the edges in common.",
                object=name,
                advice="Leave the skull model out: the skull is then placed by tissue thickness.",
            )

    def save(self, path: Path) -> None:
        """Writes the model as an npz of plain arrays, atomically. Raises CacheError if writing fails."""
        advice = "Free disk space or make the folder writable, then save it again."
        with atomic_write(Path(path), f"The skull model could not be written to {path}", advice) as stream:
            np.savez(stream, format=np.array(FORMAT), **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "SkullModel":
        """Reads what `save` wrote; nothing in the file is executed. Raises CacheError if it is not such a file."""
        advice = "Choose the file of a saved skull model, or none."
        try:
            stored = read_arrays(path)
            if int(stored["format"]) != FORMAT:
                raise CacheError(f"{path} was written by another version of NePHIM.", advice=advice)
            model = cls(*(stored[f.name] for f in fields(cls)))
        except FileNotFoundError:
            raise CacheError(f"There is no skull model at {path}.", advice=advice) from None
        except (OSError, KeyError, ValueError) as error:
            raise CacheError(f"{path} is not a skull model that NePHIM can read ({error}).", advice=advice) from error
        k, n, b = len(model.components), model.head_mean.size, model.bone_mean.size
        if model.components.shape != (k, n) or model.regression.shape != (b, k):
            raise CacheError(f"{path} contradicts itself.", advice=advice)
        return model


def _aligned(heads: NDArray, bones: NDArray) -> tuple[NDArray, NDArray]:
    """All heads (e, n, 3) moved rigidly onto their mean, their bones (e, b, 3) with them (generalised Procrustes
    analysis without scaling, Gower 1975)."""
    mean = heads[0]
    for _ in range(_ALIGNING):
        motions = [rigid.fit_rigid(head, mean) for head in heads]
        mean = np.mean([rigid.apply(motion, head) for motion, head in zip(motions, heads, strict=True)], axis=0)
    return tuple(
        np.stack([rigid.apply(motion, points) for motion, points in zip(motions, part, strict=True)])
        for part in (heads, bones)
    )  # type: ignore[return-value]


def _best_ridge(u: NDArray, s: NDArray, y: NDArray) -> float:
    """The ridge with the smallest leave-one-out error, in closed form from the hat matrix (Allen's PRESS, 1974).

    u: (e, k), s: (k,) of the centred heads; y: (e, 3b) centred bones. The mean counts as one more parameter.
    """
    errors = []
    for ridge in _RIDGES * s[0] ** 2:
        shrink = s**2 / (s**2 + ridge)
        leverage = 1 / len(u) + (u**2) @ shrink
        residual = y - u @ (shrink[:, None] * (u.T @ y))
        errors.append(float(((residual / np.maximum(1 - leverage, 1e-9)[:, None]) ** 2).sum()))
    return float(_RIDGES[int(np.argmin(errors))] * s[0] ** 2)


def _edges(triangles: NDArray) -> NDArray[np.int64]:
    """Edges as single numbers, ascending and unique."""
    pairs = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64))
    return np.unique(pairs[:, 0] << 32 | pairs[:, 1])
