# SPDX-License-Identifier: GPL-3.0-or-later
"""The contacts between skin and hands as arrays, and what is asked of values at them."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass
class Contacts:
    """m contacts as arrays. `key` tells them apart: a skin vertex, or n_skin + hand vertex.

    The anchor on the hand is where the skin point is expected at the end of a substep; friction holds the skin point
    `ahead` of it, where the hand has carried the point that it touched before.
    """

    key: NDArray[np.int64]  # (m,)
    skin: NDArray[np.int64]  # (m, 3)
    skin_weights: NDArray[np.float64]  # (m, 3)
    hand: NDArray[np.int64]  # (m, 3)
    hand_weights: NDArray[np.float64]  # (m, 3)
    force: NDArray[np.float64]  # (m, 3) [N], what pushes the skin
    held: NDArray[np.bool_]  # (m,) pinched: pulls as well, and does not slip
    ahead: NDArray[np.float64]  # (m, 3) [m]
    slip: NDArray[np.float64]  # (m,) share of the hand's last way along the skin by which the skin slipped

    @classmethod
    def new(
        cls, key: NDArray, skin: NDArray, skin_weights: NDArray, hand: NDArray, hand_weights: NDArray
    ) -> "Contacts":
        """Contacts that have neither pushed nor slipped yet."""
        m = len(key)
        ids = (np.asarray(some, np.int64) for some in (key, skin, hand))
        key, skin, hand = ids
        return cls(
            key, skin, skin_weights, hand, hand_weights, np.zeros((m, 3)), np.zeros(m, bool), np.zeros((m, 3)),
            np.zeros(m),
        )  # fmt: skip

    @classmethod
    def none(cls) -> "Contacts":
        ids, weights = np.zeros((0, 3), np.int64), np.zeros((0, 3))
        return cls.new(np.zeros(0, np.int64), ids, weights, ids.copy(), weights.copy())

    def __len__(self) -> int:
        return len(self.key)

    def select(self, which: NDArray) -> "Contacts":
        return Contacts(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def join(self, other: "Contacts") -> "Contacts":
        return Contacts(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__)
        )

    def in_order(self) -> "Contacts":
        """By the skin, so that it does not matter how a hand's vertices are numbered: forces are found one by one."""
        corners = np.argsort(self.skin, axis=1, kind="stable")
        skin, weights = (np.take_along_axis(one, corners, axis=1) for one in (self.skin, self.skin_weights))
        return self.select(np.lexsort((*weights.T, *skin.T)))


@njit(cache=True, nogil=True)
def _interpolate(values, ids, weights):
    result = np.empty((len(ids), 3))
    for a in range(len(ids)):
        u, v, w = weights[a, 0], weights[a, 1], weights[a, 2]
        i, j, k = ids[a, 0], ids[a, 1], ids[a, 2]
        for d in range(3):
            result[a, d] = u * values[i, d] + v * values[j, d] + w * values[k, d]
    return result


@njit(cache=True, nogil=True)
def unit_between(values, ids, weights):
    """As `interpolate`, of length 1."""
    result = _interpolate(values, ids, weights)
    for a in range(len(result)):
        x, y, z = result[a, 0], result[a, 1], result[a, 2]
        length = max(np.sqrt(x * x + y * y + z * z), 1e-12)
        result[a, 0], result[a, 1], result[a, 2] = x / length, y / length, z / length
    return result


def interpolate(values: NDArray, ids: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Σ_k weights[:, k] values[ids[:, k]] for values (n, 3), ids and weights (m, 3), (m, 3)."""
    return _interpolate(values, ids, weights)


def across(vectors: NDArray, normals: NDArray) -> NDArray[np.float64]:
    """The parts of vectors (m, 3) at right angles to unit normals (m, 3), (m, 3)."""
    return np.asarray(vectors - np.einsum("ij,ij->i", vectors, normals)[:, None] * normals)
