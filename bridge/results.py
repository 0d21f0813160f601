# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracked and simulated surfaces side by side, frame by frame: what the report measures and the pictures show."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError
from ..sim.frame import TrackedFrame
from .point_cache import PointCache, folder_beside
from .rig import read_rig, scene_object
from .surfaces import SurfaceReader, evaluated_object


@dataclass(frozen=True)
class ResultFrame:
    """One frame. tracked: the surfaces as animated; skin: (n_head, 3) float64 simulated head vertices, world [m].

    head_object: (n_vertices, 3) world positions of the whole head object as tracked; skin replaces its head part.
    """

    tracked: TrackedFrame
    skin: NDArray[np.float64]
    head_object: NDArray[np.float64]


class ResultReader:
    """Reads the simulated result of a scene beside what was tracked. Use it as a context manager.

    Raises RigError where the scene is not set up and CacheError where nothing, or not everything, was simulated.
    """

    def __init__(self, scene: Any):
        self.scene = scene
        self.rig = read_rig(scene)
        self.folder: Path = folder_beside(bpy.data.filepath)
        self.cache = PointCache(self.folder / "simulation.pc2")
        self.reader = SurfaceReader(scene, self.rig)
        self._open: ExitStack | None = None
        if not self.cache.complete:
            raise CacheError(
                f"{self.cache.path} holds {self.cache.manifest.done} of {len(self.cache.manifest.frames)} frames.",
                advice="Simulate again: it goes on where it stopped.",
            )
        if self.cache.n_vertices != self.rig.head.n_vertices:
            raise CacheError(
                f"{self.cache.path} has {self.cache.n_vertices} vertices instead of {self.rig.head.n_vertices}.",
                object=self.rig.head.object_name,
                advice="The mesh has changed: simulate again.",
            )

    @property
    def frames(self) -> range:
        return self.cache.frames

    @property
    def frame_rate(self) -> float:
        return self.scene.render.fps / self.scene.render.fps_base

    @property
    def statistics(self) -> list[dict[str, float]]:
        """Of each frame, as the simulation counted."""
        return self.cache.manifest.statistics

    def __enter__(self) -> "ResultReader":
        with ExitStack() as stack:
            stack.enter_context(self.reader)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def read(self, frame: int) -> ResultFrame:
        """Sets the scene's frame and reads it. Raises SurfaceError and CacheError."""
        tracked = self.reader.read(frame)
        state = self.reader.head
        assert state is not None
        simulated = self.cache.read(frame)[self.rig.head.indices]
        return ResultFrame(tracked, _to_world(simulated, state.matrix), _to_world(state.positions, state.matrix))

    def object_positions(self, name: str, n_vertices: int) -> NDArray[np.float64]:
        """World positions (n_vertices, 3) [m] of another object of the rig at the frame that was read last."""
        depsgraph = self.reader.view_layer.depsgraph
        state = evaluated_object(scene_object(name), depsgraph, self.rig.scale, n_vertices, self.scene.frame_current)
        return _to_world(state.positions, state.matrix)

    def other_objects(self) -> list[Any]:
        """Visible meshes of the scene that are no part of the rig, as eyes and teeth: only for pictures."""
        rig = self.rig
        own = {p.object_name for p in (*rig.moving, rig.jaw, rig.cranium) if p is not None}
        return [
            obj
            for obj in self.scene.objects
            if obj.type == "MESH"
            and obj.name not in own
            and not obj.hide_render
            and self.reader.view_layer.objects.get(obj.name) is not None
            and obj.visible_get(view_layer=self.reader.view_layer)
        ]


def object_triangles(mesh: Any) -> NDArray[np.int32]:
    """Loop triangles of a mesh as vertex indices, shape (m, 3)."""
    mesh.calc_loop_triangles()
    triangles = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", triangles)
    return triangles.reshape(-1, 3)


def evaluated_mesh(
    obj: Any, depsgraph: Any, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """World positions (n, 3) [m], triangles (m, 3) and their material slots (m,) of any evaluated mesh object."""
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.data
    positions = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", positions)
    matrix = np.array(evaluated.matrix_world, np.float64)
    matrix[:3] *= scale
    triangles = object_triangles(mesh)
    slots = np.empty(len(triangles), np.int32)
    mesh.loop_triangles.foreach_get("material_index", slots)
    return _to_world(positions.reshape(-1, 3), matrix), triangles, slots


def _to_world(local: NDArray, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return local @ matrix[:3, :3].T + matrix[:3, 3]
