# SPDX-License-Identifier: GPL-3.0-or-later
"""The network at work: the same `step(frame)` as the physics, on plain arrays.

z̄ = α z + β (z − z_before), z_new = z̄ + Φ(features) for every control that a hand or a deformation is near, Φ one
small network for all of them (recurrence after Holden et al., Subspace Neural Physics, 2019). Φ is taken relative to
its value at rest, so that where nothing touches and nothing is deformed, nothing ever moves.
"""

import time

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..errors import SimulationError
from ..sim import rigid
from ..sim.frame import SimulatedFrame, TrackedFrame
from ..sim.hands import Hands
from ..sim.surface import Surface
from ..sim.template import Template
from ..sim.tracking import HeadTracking
from .contact_field import DEPTH, ContactField
from .controls import Controls, make_controls
from .distance_grid import MARGIN, make_grid
from .features import COUNT, STATE_UNIT, Features
from .weights import Weights

# [m] displacements below this are set to zero, in contact too: they are far below any error that shows.
_NOTHING = 2e-5
_FELT = MARGIN - 4e-3  # [m] a hand nearer than 4 mm wakes the controls around it
_GAP = 5e-4  # [m] at which a hand touches, as in the physics' presets
_LONGEST = 0.06  # [m] of any displacement
# Of a displacement at most this share is left 1/24 s later without any hand near: the skin always comes to rest.
_LEAST_DECAY = 0.72
# A hand that was further than this [m] from the tracked skin for so long [s] holds nothing any more.
_CLEAR, _CLEAR_SECONDS = 1e-3, 1.0
_RATES = 1.5  # factor by which the frame rate may leave the trained range


class Network:
    """A trained network as a simulation. left, right: the hands' surfaces (any pose). frame_rate [1/s].

    strict=False takes heads and hands of any topology, to judge how far a network carries over. Raises SimulationError
    when the topology is not one it was trained for, the frame rate is far from the trained ones, or there is no hand.
    """

    def __init__(
        self,
        template: Template,
        weights: Weights,
        *,
        left: Surface | None = None,
        right: Surface | None = None,
        frame_rate: float = 24.0,
        strict: bool = True,
        controls: Controls | None = None,
    ):
        if strict:
            check_fit(template, weights, left, right, frame_rate)
        self.template, self.weights, self.frame_rate = template, weights, frame_rate
        self.hands = Hands(template, left, right)
        self.controls = controls or make_controls(template, weights.spacing)
        grid = make_grid(template, self.controls)
        self.field = ContactField(template, self.controls, grid, self.hands.vertices, self.hands.triangles)
        self._features = Features(self.controls, frame_rate)
        self._tracking = HeadTracking(template)
        k, count = len(self.controls), len(self.hands.vertices)
        self._rows = np.zeros((k, COUNT), np.float32)
        self._at_controls = template.refinement[self.controls.vertices].tocsc()
        self._head_used = np.unique(self._at_controls.tocoo().col)
        self._at_controls = self._at_controls[:, self._head_used].tocsr().astype(np.float32)
        self._head_rest = template.head_vertices[self._head_used]
        near = self.controls.neighbours[-1]
        self._reach = (near.start, near.index)
        refinement, decode = template.refinement.tocsr(), self.controls.decode.tocsc()
        # The character's own vertices come first and are kept as they are.
        self._refine = (np.arange(_unrefined(refinement), template.n_skin), refinement.indptr, refinement.indices,
                        refinement.data.astype(np.float32))  # fmt: skip
        self._decode = (decode.indptr, decode.indices, decode.data)
        self._z, self._change, self._depth = (np.zeros(s, np.float32) for s in ((k, 3), (k, 3), (k,)))
        self._awake = np.zeros(k, np.bool_)
        self._hands_before = np.zeros((count, 3), np.float32)
        self._matrices = [(m.T.copy(), b) for m, b in weights.layers]
        self._skip = weights.skip.T.copy()
        every = np.arange(k, dtype=np.int32)
        resting = self._features.rows(every, self.field.values, self._depth, self._z, self._change, self._rows)
        self._at_rest = self._evaluate(resting).copy()
        self.reset()

    def reset(self) -> None:
        """Forgets the history: the next step is a first frame."""
        self._z[:], self._change[:], self._depth[:] = 0, 0, 0
        self._first = True
        self._clear_frames = 0
        self.times = {"encode": 0.0, "network": 0.0, "decode": 0.0}  # [s] of the last frame

    @property
    def state(self) -> NDArray[np.float32]:
        """Displacement of the controls in the cranium's frame, (k, 3) [m]."""
        return self._z

    def step(self, frame: TrackedFrame) -> SimulatedFrame:
        """Resolves the interaction of one frame; frames are given in order. Raises SurfaceError for a bad frame."""
        started = time.perf_counter()
        hands = self.hands.read(frame)
        cranium = frame.cranium if frame.cranium is not None else self._tracking.pose(frame).cranium
        back = rigid.inverse(cranium)
        hands = (hands @ back[:3, :3].T + back[:3, 3]).astype(np.float32)
        head = frame.head[self._head_used].astype(np.float64) @ back[:3, :3].T + back[:3, 3]
        moved = self._at_controls @ (head - self._head_rest).astype(np.float32)
        self.advance(hands, moved)
        encoded = time.perf_counter()
        skin, tracked = _deform(
            *self._refine, *self._decode, np.ascontiguousarray(frame.head, np.float32), self._z,
            cranium[:3, :3].astype(np.float32),
        )  # fmt: skip
        ended = time.perf_counter()
        self.times["decode"] = ended - encoded
        self.times["encode"] = encoded - started - self.times["network"]
        depth = self.field.values[:, DEPTH]
        # Between controls a depth is told less than it is: the deepest ones always count.
        touched = depth >= min(MARGIN - _GAP, depth.max()) if self.field.nearest <= _GAP else np.zeros(len(depth), bool)
        contacts = self.controls.vertices[touched]
        busy = float(self._z.any() or touched.any())
        statistics = {"contacts": float(len(contacts)), "substeps": busy, "ms": 1000 * (ended - started)}
        return SimulatedFrame(skin, tracked, contacts, statistics)

    def advance(self, hands: NDArray[np.float32], moved: NDArray[np.float32]) -> None:
        """One step in the cranium's frame: hands (n, 3); moved (k, 3), of the tracked skin at the controls [m]."""
        before = hands if self._first else self._hands_before
        self._first = False
        felt = self.field.compute(hands, before, moved)
        self._hands_before = hands
        self._clear_frames = self._clear_frames + 1 if self.field.nearest > _CLEAR else 0
        field, z = self.field.values, self._z
        started = time.perf_counter()
        active = _active(felt, field, z, self._awake, *self._reach)
        if len(active):
            rows = self._features.rows(active, field, self._depth, z, self._change, self._rows)
            np.clip(rows, self.weights.low, self.weights.high, out=rows)
            pushed = self._evaluate(rows) - self._at_rest[active]
            clear = self._clear_frames > _CLEAR_SECONDS * self.frame_rate
            free = clear or not (field[felt, DEPTH] > _FELT).any()
            decay = _LEAST_DECAY ** (24.0 / self.frame_rate) if free else 0.0
            _update(active, pushed, self.controls.frames, self.weights.alpha, self.weights.beta, decay, z, self._change)
        self._depth[:] = field[:, DEPTH]
        self.times["network"] = time.perf_counter() - started

    def _evaluate(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Φ of features (m, COUNT): displacement (m, 3) in the controls' frames, in `STATE_UNIT`."""
        value = rows
        for k, (matrix, bias) in enumerate(self._matrices):
            value = value @ matrix
            value += bias
            if k < len(self._matrices) - 1:
                np.maximum(value, 0, out=value)
        value += rows @ self._skip
        return value


def check_fit(
    template: Template, weights: Weights, left: Surface | None, right: Surface | None, frame_rate: float
) -> None:
    """Raises SimulationError when a network was not trained for this head, these hands or this frame rate."""
    advice = "Train a network for this character, or adapt this one to it."
    if template.n_head not in weights.heads:
        raise SimulationError(
            f"The network was trained for other heads than this one with its {template.n_head} vertices.",
            advice=advice,
        )
    for hand in (left, right):
        if hand is not None and len(hand.vertices) not in weights.hands:
            raise SimulationError(
                f"The network was trained for other hands than this one with its {len(hand.vertices)} vertices.",
                object=hand.name,
                advice=advice,
            )
    low, high = weights.frame_rates
    if not low / _RATES <= frame_rate <= high * _RATES:
        raise SimulationError(
            f"The network was trained for {low:g} to {high:g} frames a second; this scene has {frame_rate:g}.",
            advice="Change the scene's frame rate, or use the physics.",
        )


def _unrefined(refinement: csr_matrix) -> int:
    """How many of the first rows just take over the vertex of the same number."""
    single = np.diff(refinement.indptr) == 1
    rows = np.flatnonzero(single)
    entries = refinement.indptr[rows]
    same = np.zeros(len(single), bool)
    same[rows] = (refinement.indices[entries] == rows) & (refinement.data[entries] == 1.0)
    return len(same) if same.all() else int(np.argmin(same))


@njit(cache=True)
def _active(felt, field, z, awake, start, index):
    """Controls near a felt hand or near what is deformed, sorted."""
    awake[:] = False
    for c in felt:
        if field[c, 0] > _FELT:
            for e in range(start[c], start[c + 1]):
                awake[index[e]] = True
    for c in range(len(z)):
        if z[c, 0] != 0.0 or z[c, 1] != 0.0 or z[c, 2] != 0.0:
            awake[c] = True
    return np.flatnonzero(awake).astype(np.int32)


@njit(cache=True, fastmath=True, error_model="numpy")
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
        most = decay * old if decay > 0.0 else _LONGEST
        scale = 1.0 if length <= most else most / (length + 1e-12)
        if length * scale < _NOTHING:
            scale = 0.0
        for d in range(3):
            change[i, d] = scale * new[d] - z[i, d]
            z[i, d] = scale * new[d]


@njit(cache=True, fastmath=True, error_model="numpy")
def _deform(refined, start, index, weight, column_start, column_row, column_weight, head, z, turn):
    """Skin and tracked skin (n, 3): the head, refined where it is, and on it the decoded displacement in the world."""
    count = len(start) - 1
    skin, tracked = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    for v in range(count - len(refined)):
        for d in range(3):
            tracked[v, d] = head[v, d]
    for v in refined:
        x, y, w = np.float32(0), np.float32(0), np.float32(0)
        for e in range(start[v], start[v + 1]):
            c = index[e]
            x += weight[e] * head[c, 0]
            y += weight[e] * head[c, 1]
            w += weight[e] * head[c, 2]
        tracked[v, 0], tracked[v, 1], tracked[v, 2] = x, y, w
    skin[:] = tracked
    for c in range(len(z)):
        if z[c, 0] == 0.0 and z[c, 1] == 0.0 and z[c, 2] == 0.0:
            continue
        x = turn[0, 0] * z[c, 0] + turn[0, 1] * z[c, 1] + turn[0, 2] * z[c, 2]
        y = turn[1, 0] * z[c, 0] + turn[1, 1] * z[c, 1] + turn[1, 2] * z[c, 2]
        w = turn[2, 0] * z[c, 0] + turn[2, 1] * z[c, 1] + turn[2, 2] * z[c, 2]
        for e in range(column_start[c], column_start[c + 1]):
            v = column_row[e]
            skin[v, 0] += column_weight[e] * x
            skin[v, 1] += column_weight[e] * y
            skin[v, 2] += column_weight[e] * w
    return skin, tracked
