# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps displacements of the evaluated head back to its rest space, through whatever moves its vertices.

A shape key acts before the armature. The local linear map from a displacement in a shape key to the evaluated vertex is
measured for each vertex and frame: a temporary key moves all vertices along x, y and z, and the evaluated mesh is read.
Linear blend and dual quaternion skinning are affine in the vertex, so this is exact for both, works for any number of
armatures, and does not duplicate Blender's skinning. For modifiers that are not affine, or that couple vertices, the
remaining error is corrected a few times (Newton's method with the measured map).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..modifiers import BAKED
from ..surfaces import ObjectState, evaluated_object

PROBE = f"{BAKED} probe"
_STEP = 0.1  # fraction of the mesh's size: large steps keep float32 rounding out of the map
# Singular values below this fraction of the largest cannot be inverted: where the rig flattens the skin that much (a
# collapsed joint), no sensible shape key moves it in that direction.
_FLAT = 0.01
_CORRECTIONS = 3


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
    moved = np.nonzero(np.linalg.norm(wanted @ to_world.T, axis=1) > threshold)[0]
    if not len(moved):
        return RestDisplacement(moved, np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0.0)
    maps = np.stack(
        [
            (probe.evaluate(axis * probe.step, frame).positions[moved].astype(np.float64) - state.positions[moved])
            / probe.step
            for axis in np.eye(3)
        ],
        axis=2,
    )
    inverse = np.linalg.pinv(maps, rcond=_FLAT)
    displacement = np.zeros((probe.n, 3))
    displacement[moved] = np.einsum("vij,vj->vi", inverse, wanted[moved])
    residual = np.inf
    best = displacement.copy()
    for _ in range(_CORRECTIONS + 1):
        left = target[moved].astype(np.float64) - probe.evaluate(displacement, frame).positions[moved]
        error = float(np.linalg.norm(left @ to_world.T, axis=1).max())
        if error >= residual:
            break
        residual, best = error, displacement.copy()
        if residual <= threshold:
            break
        displacement[moved] += np.einsum("vij,vj->vi", inverse, left)
    probe.evaluate(None, frame)
    gain = np.linalg.norm(to_world @ maps, ord=2, axis=(1, 2))
    return RestDisplacement(moved, best[moved].astype(np.float32), gain.astype(np.float32), residual)
