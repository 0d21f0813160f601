# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's recurrence at the controls, in the cranium's frame: from hands to displacements, frame by frame.

z̄ = α z + β (z − z_before) and z_new = z̄ + Φ(features), for every control near a hand or a deformation. One small
network Φ serves all controls (recurrence after Holden et al., Subspace Neural Physics, 2019). Φ is taken relative to
its value at rest, so nothing moves where nothing touches and nothing is deformed.
"""

import time
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .contact_field import CHANNELS, DEPTH, NEAR, ContactField
from .controls import Controls
from .distance_grid import MARGIN
from .features import COUNT, GATHERED, MOMENTS, OWN, PRESENT, STATE_UNIT, Features
from .lag import follow, lead
from .weights import Weights

# [m] displacements below this are set to zero, in contact too: they are far below any error that shows.
NOTHING = 2e-5
FELT = MARGIN - 4e-3  # [m] a hand nearer than 4 mm wakes the controls around it
FURTHEST = 0.06  # [m] of any displacement
# Without a hand near, at most this share of a displacement is left 1/24 s later: the skin always comes to rest.
LEAST_DECAY = 0.72
# A hand that was further than this [m] from the tracked skin for so long [s] holds nothing any more.
CLEAR, CLEAR_SECONDS = 1e-3, 1.0

Phi = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Recurrence:
    """field: of the hands around the controls. phi: features (m, COUNT) → displacement (m, 3) in the controls' frames,
    in `STATE_UNIT`; of the weights where it is not given. history=False: for networks that see the present only."""

    def __init__(
        self,
        controls: Controls,
        field: ContactField,
        weights: Weights,
        frame_rate: float,
        phi: Phi | None = None,
        history: bool = True,
    ):
        self.controls, self.field, self.weights, self.frame_rate = controls, field, weights, frame_rate
        self._phi = phi or plain_phi(weights)
        self._features = Features(controls, frame_rate)
        k = len(controls)
        self._rows = np.zeros((k, COUNT), np.float32)
        self.z, self._change, self._depth = (np.zeros(s, np.float32) for s in ((k, 3), (k, 3), (k,)))
        self._lag = np.zeros((k, 3), np.float32)
        self._awake = np.zeros(k, np.bool_)
        # Without a history the field is that of the tracked skin.
        self._known = self.z if history else np.zeros((k, 3), np.float32)
        self._kept = None if history else present_only()
        near = controls.neighbours[-1]
        self._reach = (near.start, near.index)
        every = np.arange(k, dtype=np.int32)
        self._at_rest = self._pushed(every, np.zeros((k, CHANNELS), np.float32)).copy()
        self._hands_before: NDArray[np.float32] | None = None
        self._moved_before = np.zeros((k, 3), np.float32)
        self._clear_frames = 0
        self.seconds = 0.0  # that Φ and what surrounds it took in the last step

    def reset(self) -> None:
        """Forgets the history: the next step is a first frame."""
        self.z[:], self._change[:], self._depth[:], self._lag[:] = 0, 0, 0, 0
        self._hands_before, self._clear_frames = None, 0

    def advance(self, hands: NDArray[np.float32], moved: NDArray[np.float32]) -> NDArray[np.float32]:
        """One step in the cranium's frame: hands (n, 3); moved (k, 3), of the tracked skin at the controls [m].

        Returns z (k, 3) [m], which the next step overwrites.
        """
        if self._hands_before is None:
            self._hands_before, self._moved_before[:] = hands, moved
        felt = self.field.compute(hands, self._hands_before, moved, self._moved_before, self._known)
        self._hands_before, self._moved_before[:] = hands, moved
        self._clear_frames = self._clear_frames + 1 if self.field.nearest > CLEAR else 0
        field, z = self.field.values, self.z
        started = time.perf_counter()
        if self._kept is not None:
            self._lag[:] = 0
        lead(field, self._lag)
        active = _active(felt, field, z, self._awake, *self._reach)
        if len(active):
            pushed = self._pushed(active, field) - self._at_rest[active]
            clear = self._clear_frames > CLEAR_SECONDS * self.frame_rate
            free = clear or not (np.maximum(field[felt, DEPTH], field[felt, NEAR]) > FELT).any()
            decay = LEAST_DECAY ** (24.0 / self.frame_rate) if free else 0.0
            _update(active, pushed, self.controls.frames, self.weights.alpha, self.weights.beta, decay, z, self._change)
            follow(field, self._change, self._lag)
        self._depth[:] = field[:, DEPTH]
        self.seconds = time.perf_counter() - started
        return z

    def _pushed(self, active: NDArray[np.int32], field: NDArray[np.float32]) -> NDArray[np.float32]:
        """Φ of the features of active controls, (m, 3)."""
        rows = self._features.rows(active, field, self._depth, self._lag, self.z, self._change, self._rows)
        if self._kept is not None:
            rows *= self._kept
        _clip(rows, self.weights.low, self.weights.high)
        return self._phi(rows)


def plain_phi(weights: Weights) -> Phi:
    """Φ in plain arrays."""
    matrices = [(matrix.T.copy(), bias) for matrix, bias in weights.layers]
    skip = weights.skip.T.copy()

    def phi(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        value = rows
        for k, (matrix, bias) in enumerate(matrices):
            value = value @ matrix
            value += bias
            if k < len(matrices) - 1:
                np.maximum(value, 0, out=value)
        value += rows @ skip
        return value

    return phi


def present_only() -> NDArray[np.float32]:
    """Factors (COUNT,) of the features that leave out every trace of the state."""
    kept = np.ones(COUNT, np.float32)
    kept[PRESENT:OWN] = 0
    for m in range(MOMENTS):
        kept[OWN + m * GATHERED + GATHERED - 3 : OWN + (m + 1) * GATHERED] = 0
    return kept


@njit(cache=True, nogil=True, error_model="numpy")
def _clip(rows, low, high):
    for row in range(len(rows)):
        x = rows[row]
        for d in range(len(low)):
            x[d] = min(max(x[d], low[d]), high[d])


@njit(cache=True, nogil=True)
def _active(felt, field, z, awake, start, index):
    """Controls near a felt hand or near what is deformed, sorted."""
    awake[:] = False
    for c in felt:
        if max(field[c, DEPTH], field[c, NEAR]) > FELT:
            for e in range(start[c], start[c + 1]):
                awake[index[e]] = True
    for c in range(len(z)):
        if z[c, 0] != 0.0 or z[c, 1] != 0.0 or z[c, 2] != 0.0:
            awake[c] = True
    return np.flatnonzero(awake).astype(np.int32)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _update(active, pushed, frames, alpha, beta, decay, z, change):
    """z ← α z + β change + frameᵀ pushed, kept within bounds; change ← difference. decay > 0: nothing is near."""
    new = np.empty(3, np.float32)
    for row in range(len(active)):
        i = active[row]
        old, length = 0.0, 0.0
        for d in range(3):
            new[d] = alpha * z[i, d] + beta * change[i, d]
            for a in range(3):
                new[d] += STATE_UNIT * frames[i, a, d] * pushed[row, a]
            old += z[i, d] * z[i, d]
            length += new[d] * new[d]
        old, length = np.sqrt(old), np.sqrt(length)
        most = decay * old if decay > 0.0 else FURTHEST
        scale = 1.0 if length <= most else most / (length + 1e-12)
        if length * scale < NOTHING:
            scale = 0.0
        for d in range(3):
            change[i, d] = scale * new[d] - z[i, d]
            z[i, d] = scale * new[d]
