# SPDX-License-Identifier: GPL-3.0-or-later
"""The network at run time: the same `step(frame)` as the physics, on plain arrays.

`recurrence.py` moves the controls. This file brings heads and hands into the cranium's frame, and carries the controls'
displacement to the skin."""

import time

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..errors import SimulationError
from ..sim.frame import SimulatedFrame, TrackedFrame
from ..sim.geometry import rigid
from ..sim.geometry.points import apply_into
from ..sim.geometry.surface import Surface
from ..sim.hands import Hands
from ..sim.template import Template
from ..sim.tracking import HeadTracking
from .contact_field import DEPTH, ContactField
from .controls import Controls, make_controls
from .distance_grid import MARGIN, make_grid
from .recurrence import Phi, Recurrence
from .weights import Weights

_GAP = 5e-4  # [m] from the tracked skin at which a hand touches, as in the physics' presets
RATES = 1.5  # factor by which the frame rate may lie outside the trained range


class Network:
    """A trained network as a simulation. left, right: the hands' surfaces (any pose). frame_rate [1/s].

    strict=False takes heads and hands of any topology, to judge how far a network carries over. phi: computes Φ in
    another way. Raises SimulationError when the topology is not one it was trained for, the frame rate is far from the
    trained ones, or there is no hand.
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
        phi: Phi | None = None,
    ):
        if strict:
            check_fit(template, weights, left, right, frame_rate)
        self.template, self.weights, self.frame_rate = template, weights, frame_rate
        self.hands = Hands(template, left, right)
        self.controls = controls or make_controls(template, weights.spacing)
        grid = make_grid(template, self.controls)
        self.field = ContactField(template, self.controls, grid, self.hands.vertices, self.hands.triangles)
        self._recurrence = Recurrence(self.controls, self.field, weights, frame_rate, phi)
        self.tracking = HeadTracking(template)
        at = template.refinement.tocsr()[self.controls.vertices]
        self._at_controls = (at.indptr, at.indices, at.data.astype(np.float64), at @ template.head_vertices)
        self._moved = np.zeros((len(self.controls), 3), np.float32)
        refinement, decode = template.refinement.tocsr(), self.controls.decode.tocsc()
        # The character's own vertices come first and are kept as they are.
        self._refine = (np.arange(_unrefined(refinement), template.n_skin), refinement.indptr, refinement.indices,
                        refinement.data.astype(np.float32))  # fmt: skip
        self._decode = (decode.indptr, decode.indices, decode.data)
        self.reset()

    def reset(self) -> None:
        """Drops the history: the next step counts as the first frame."""
        self._recurrence.reset()
        self.times = {"encode": 0.0, "network": 0.0, "decode": 0.0}  # [s] of the last frame

    @property
    def state(self) -> NDArray[np.float32]:
        """Displacement of the controls in the cranium's frame, (k, 3) [m]."""
        return self._recurrence.z

    def step(self, frame: TrackedFrame) -> SimulatedFrame:
        """Resolves the interaction of one frame; frames are given in order. Raises SurfaceError for a bad frame."""
        started = time.perf_counter()
        hands = self.hands.read(frame)
        cranium = frame.cranium if frame.cranium is not None else self.tracking.pose(frame).cranium
        back = rigid.inverse(cranium)
        still = np.empty(hands.shape, np.float32)
        apply_into(back, hands, still)
        _tracked(*self._at_controls, frame.head, back, self._moved)
        z = self._recurrence.advance(still, self._moved)
        encoded = time.perf_counter()
        skin, tracked = _deform(
            *self._refine, *self._decode, np.ascontiguousarray(frame.head, np.float32), z,
            cranium[:3, :3].astype(np.float32),
        )  # fmt: skip
        ended = time.perf_counter()
        self.times["decode"] = ended - encoded
        self.times["network"] = self._recurrence.seconds
        self.times["encode"] = encoded - started - self.times["network"]
        depth = self.field.values[:, DEPTH]
        # Interpolation between controls underestimates depths, so the deepest ones always count.
        touched = depth >= min(MARGIN - _GAP, depth.max()) if self.field.nearest <= _GAP else np.zeros(len(depth), bool)
        contacts = self.controls.vertices[touched]
        busy = float(z.any() or touched.any())
        statistics = {"contacts": float(len(contacts)), "substeps": busy, "ms": 1000 * (ended - started)}
        return SimulatedFrame(skin, tracked, contacts, statistics)


def check_fit(
    template: Template, weights: Weights, left: Surface | None, right: Surface | None, frame_rate: float
) -> None:
    """Raises SimulationError if a network was not trained for this head, these hands or this frame rate."""
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
    if not low / RATES <= frame_rate <= high * RATES:
        raise SimulationError(
            f"The network was trained for {low:g} to {high:g} frames per second; this scene has {frame_rate:g}.",
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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _tracked(start, index, weight, rest, head, back, moved):
    """How far the tracked head (n, 3) has moved the skin at the controls, in the cranium's frame, to `moved` (k, 3)."""
    for c in range(len(moved)):
        x, y, z, total = 0.0, 0.0, 0.0, 0.0
        for e in range(start[c], start[c + 1]):
            w, v = weight[e], index[e]
            x += w * head[v, 0]
            y += w * head[v, 1]
            z += w * head[v, 2]
            total += w
        for d in range(3):
            moved[c, d] = back[d, 0] * x + back[d, 1] * y + back[d, 2] * z + back[d, 3] * total - rest[c, d]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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
