# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps displacements of the evaluated head back to its rest space, through whatever moves its vertices.

A shape key acts before the armature. The local linear map from a displacement in a shape key to the evaluated vertex is
measured for each vertex and frame: a temporary key moves all vertices along x, y and z, and the evaluated mesh is read.
Linear blend and dual quaternion skinning are affine in the vertex, so this is exact for both, works for any number of
armatures, and does not duplicate Blender's skinning. For modifiers that are not affine, the remaining error is
corrected a few times (Newton's method with the measured map); for those that couple vertices, such as Corrective
Smooth, it is fed back for all vertices in accelerated rounds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...sim.solver.anderson import Anderson
from ..modifiers import BAKED
from ..surfaces import ObjectState, evaluated_object

PROBE = f"{BAKED} probe"
_STEP = 0.1  # fraction of the mesh's size: large steps keep float32 rounding out of the map
# Singular values below this fraction of the largest cannot be inverted: where the rig flattens the skin that much (a
# collapsed joint), no sensible shape key moves it in that direction.
_FLAT = 0.01
_CORRECTIONS = 3
_ENOUGH = 10.0  # thresholds: the coupled rounds stop at a fifth of the tolerance and leave the rest to compression
_ROUNDS, _WINDOW = 40, 8  # of them; ten iterations of Corrective Smooth take about thirty
_FARTHEST = 4.0  # times the displacement that is wanted


class RestDisplacement(NamedTuple):
    """Displacement of one frame in rest space. vertices: (k,) indices; displacement: (k, 3) Blender units; gain: (k,)
    largest ratio of metres in the world to rest units; residual: largest remaining error [m]."""

    vertices: NDArray[np.int64]
    displacement: NDArray[np.float32]
    gain: NDArray[np.float32]
    residual: float


class Probe:
    """Evaluates the head with its vertices displaced in rest space; created by `probing`."""

    def __init__(self, obj: Any, view_layer: Any, scale: float):
        self.obj, self.view_layer, self.scale = obj, view_layer, scale
        self.n = len(obj.data.vertices)
        self._key = obj.shape_key_add(name=PROBE, from_mix=False)
        self._basis = np.empty(3 * self.n, np.float32)
        obj.data.shape_keys.reference_key.points.foreach_get("co", self._basis)
        self._key.relative_key = obj.data.shape_keys.reference_key
        self._key.value = 0.0
        extent = np.ptp(self._basis.reshape(-1, 3), axis=0).max()
        self.step = float(_STEP * extent) if extent > 0 else 1.0

    def evaluate(self, displacement: NDArray | None, frame: int) -> ObjectState:
        """The evaluated object with these displacements, (n, 3) or (3,) or None, in its shape key."""
        self._key.value = 0.0 if displacement is None else 1.0
        if displacement is not None:
            moved = self._basis.reshape(-1, 3) + displacement
            self._key.points.foreach_set("co", np.ascontiguousarray(moved, np.float32).ravel())
            self.obj.data.update_tag()
        self.view_layer.update()
        return evaluated_object(self.obj, self.view_layer.depsgraph, self.scale, self.n, frame)

    def remove(self) -> None:
        self.obj.shape_key_remove(self._key)


@contextmanager
def probing(obj: Any, view_layer: Any, scale: float) -> Iterator[Probe]:
    """A temporary key for `rest_displacement`; the object must have a basis key."""
    probe = Probe(obj, view_layer, scale)
    try:
        yield probe
    finally:
        probe.remove()


def rest_displacement(probe: Probe, target: NDArray[np.float32], frame: int, threshold: float) -> RestDisplacement:
    """The rest-space displacement that moves the head, at the scene's current frame, to `target`.

    target: (n, 3) positions in object space. Vertices closer to it than `threshold` [m] are left alone, so that frames
    without contact stay exactly the tracked ones.
    """
    state = probe.evaluate(None, frame)
    to_world = state.matrix[:3, :3]
    wanted = target.astype(np.float64) - state.positions
    far = np.linalg.norm(wanted @ to_world.T, axis=1)
    moved = np.nonzero(far > threshold)[0]
    if not len(moved):
        return RestDisplacement(moved, np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0.0)
    columns = [
        (probe.evaluate(axis * probe.step, frame).positions.astype(np.float64) - state.positions) / probe.step
        for axis in np.eye(3)
    ]
    maps = np.stack([column[moved] for column in columns], axis=2)
    inverse = np.linalg.pinv(maps, rcond=_FLAT)
    displacement = np.zeros((probe.n, 3))
    displacement[moved] = np.einsum("vij,vj->vi", inverse, wanted[moved])
    residual, still = np.inf, np.setdiff1d(np.arange(probe.n), moved)
    best, leaked = displacement.copy(), False
    for _ in range(_CORRECTIONS + 1):
        positions = probe.evaluate(displacement, frame).positions
        left = target.astype(np.float64) - positions
        error = float(np.linalg.norm(left @ to_world.T, axis=1).max())
        leaked = leaked or _largest((positions - state.positions)[still] @ to_world.T) > threshold
        if error >= residual:
            break
        residual, best = error, displacement.copy()
        if residual <= threshold:
            break
        displacement[moved] += np.einsum("vij,vj->vi", inverse, left[moved])
    if leaked and residual > _ENOUGH * threshold:
        # Vertices that were left alone moved too, so the modifiers couple neighbours: solve for all of them.
        maps = np.stack(columns, axis=2)
        best, residual = _coupled(probe, target, frame, maps, to_world, _ENOUGH * threshold, best, residual)
        gain = np.linalg.norm(to_world @ maps, ord=2, axis=(1, 2))
        moved = np.nonzero(np.linalg.norm(best, axis=1) * gain > threshold)[0]
        maps = maps[moved]
    probe.evaluate(None, frame)
    gain = np.linalg.norm(to_world @ maps, ord=2, axis=(1, 2))
    return RestDisplacement(moved, best[moved].astype(np.float32), gain.astype(np.float32), residual)


def _coupled(
    probe: Probe,
    target: NDArray[np.float32],
    frame: int,
    maps: NDArray[np.float64],
    to_world: NDArray[np.float64],
    enough: float,
    best: NDArray[np.float64],
    residual: float,
) -> tuple[NDArray[np.float64], float]:
    """Displacement (n, 3) and residual [m] through modifiers that smooth: the remaining error is fed back.

    Smoothing damps fine detail, and each round recovers only a share of it, so the rounds are accelerated. What it
    takes to get past it must stay in proportion: beyond, the key would be noise that the modifier happens to smooth.
    """
    inverse = np.linalg.pinv(maps, rcond=_FLAT)
    start = target.astype(np.float64) - probe.evaluate(None, frame).positions
    farthest = _FARTHEST * _largest(start)
    displacement = np.einsum("vij,vj->vi", inverse, start)
    accelerated = Anderson(3 * probe.n, _WINDOW)
    for _ in range(_ROUNDS):
        left = target.astype(np.float64) - probe.evaluate(displacement, frame).positions
        error = _largest(left @ to_world.T)
        if not error < np.inf or _largest(np.einsum("vij,vj->vi", maps, displacement)) > farthest:
            break
        if error < residual:
            residual, best = error, displacement.copy()
        if residual <= enough:
            break
        flat = displacement.ravel()
        accelerated.mix(flat, flat + np.einsum("vij,vj->vi", inverse, left).ravel())
        displacement = flat.reshape(-1, 3)
    return best, residual


def _largest(vectors: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
