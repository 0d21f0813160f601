# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own cloth and soft body on the interaction: the head's skin against the hands, set up as an artist would.

The skin is held at the tracked surface by a vertex group: fully at the cut of the neck and where skin lies thinly on
bone, softly over thick tissue. The hands are collision objects played by Mesh Cache modifiers. docs/measures.md states
the settings.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from nephim.bridge.cache.point_cache import HEADER, MAGIC
from nephim.bridge.meshes import mesh_positions
from nephim.demo.meshes import add_groups, add_mesh
from nephim.files import atomic_write
from nephim.sim.frame import TrackedFrame
from nephim.sim.template import Template
from numpy.typing import NDArray

from .meters import Run

FIRST = 1  # scene frame of the first tracked frame
HELD = "Held"
_SOFT_DEPTH = 0.012  # [m] skin over tissue as thick as this, a cheek, is held least
_LEAST = 0.1  # how much that is

# What differs from Blender's defaults. Distances are metres, frames last 1/30 s.
CLOTH = {
    "quality": 10,  # steps a frame: hands move up to 5 mm between two frames
    "mass": 0.1,
    "air_damping": 5.0,
    "pin_stiffness": 20.0,
}
CLOTH_COLLISION = {
    "collision_quality": 4,
    "distance_min": 0.001,  # Blender's least
    "use_self_collision": False,
}
SOFT_BODY = {
    "mass": 1.0,
    "friction": 2.0,
    # Blender takes the fourth power of the weights, between these two: with 0 for the least, nothing would hold cheeks.
    "goal_min": 0.95,
    "goal_max": 1.0,
    "goal_spring": 0.99,
    "goal_friction": 20.0,
    "pull": 0.5,
    "push": 0.5,
    "damping": 5.0,
    "bend": 0.0,
    "step_min": 5,
    "step_max": 50,
}
HAND = {"damping": 0.1, "cloth_friction": 5.0}
HAND_DISTANCES = {"thickness_outer": 0.001, "thickness_inner": 0.01}
# A soft body's forces do not know how large it is: a head of real size explodes, one ten times as large behaves.
SCALE = {"CLOTH": 1.0, "SOFT_BODY": 10.0}


def held(template: Template) -> NDArray[np.float64]:
    """How much each skin vertex is held, (n_skin,): what an artist paints."""
    soft = np.clip(template.tissue_depth / _SOFT_DEPTH, 0, 1)
    return np.where(template.rim, 1.0, 1 - (1 - _LEAST) * soft)


class BlenderScene:
    """The open file, emptied: head and hands of an interaction with 30 frames a second.

    kind: CLOTH or SOFT_BODY. skin: (n_skin, 3) [m] the head, which does not move; hand_triangles: side → (m, 3);
    folder: for the point caches of the hands. The head has a basis and a shape key that a result is written into.
    """

    def __init__(
        self,
        kind: str,
        template: Template,
        skin: NDArray,
        frames: Sequence[TrackedFrame],
        hand_triangles: dict[str, NDArray],
        folder: Path,
    ):
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        self.kind, self.scale, self.count = kind, SCALE[kind], len(frames)
        self.scene = bpy.context.scene
        self.scene.render.fps, self.scene.render.fps_base = 30, 1.0
        self.scene.frame_start, self.scene.frame_end = FIRST, FIRST + self.count - 1
        self.head = add_mesh("Head", self.scale * skin, template.skin_triangles)
        add_groups(self.head, [HELD], held(template)[:, None])
        self.head.shape_key_add(name="Basis", from_mix=False)
        self.key = self.head.shape_key_add(name="Result", from_mix=False)
        self.key.value = 0.0  # newer Blenders begin with 1
        for side, triangles in hand_triangles.items():
            track = np.stack([{"L": f.left, "R": f.right}[side] for f in frames])
            _add_hand(f"Hand.{side}", track, triangles, folder / f"hand-{side}.pc2", self.scale)

    def play(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Every frame in order: the head (f, n_skin, 3) [m], and how long it took to evaluate [ms] (f,)."""
        skins, times = [], []
        for frame in range(FIRST, FIRST + self.count):
            started = time.perf_counter()
            self.scene.frame_set(frame)
            times.append(1000 * (time.perf_counter() - started))
            evaluated = self.head.evaluated_get(bpy.context.view_layer.depsgraph)
            skins.append(mesh_positions(evaluated.data) / np.float32(self.scale))
        return np.stack(skins), np.array(times)

    @contextmanager
    def simulated(self) -> Iterator[None]:
        """The head as cloth or soft body."""
        modifier = self.head.modifiers.new(self.kind, self.kind)
        modifier.point_cache.frame_start, modifier.point_cache.frame_end = FIRST, FIRST + self.count - 1
        settings = modifier.settings
        if self.kind == "CLOTH":
            settings.vertex_group_mass = HELD
            _set(settings, CLOTH)
            _set(modifier.collision_settings, CLOTH_COLLISION)
        else:
            settings.use_goal = settings.use_edges = True
            settings.vertex_group_goal = HELD
            _set(settings, SOFT_BODY)
        settings.effector_weights.gravity = 0.0  # the tracked face already hangs as it does
        try:
            yield
        finally:
            self.head.modifiers.remove(modifier)

    def run(self) -> Run:
        """The interaction; what the evaluation of everything else costs is taken off the times."""
        self.play()  # once for nothing: memory is fetched, files are read
        rest = np.median(self.play()[1])
        with self.simulated():
            skins, times = self.play()
        return Run(skins, [{"ms": float(max(ms - rest, 0.0))} for ms in times])

    def write(self, skin: NDArray[np.float32]) -> float:
        """Writes a result (n_skin, 3) into the shape key and evaluates the head; how long that took [ms]."""
        self.key.value = 1.0
        started = time.perf_counter()
        self.key.points.foreach_set("co", (self.scale * skin).ravel())
        self.head.data.update_tag()
        bpy.context.view_layer.update()
        return 1000 * (time.perf_counter() - started)


def _add_hand(name: str, track: NDArray, triangles: NDArray, path: Path, scale: float) -> None:
    """track: (f, n, 3) [m]."""
    with atomic_write(path, f"{path} could not be written", "Free disk space.") as stream:
        stream.write(HEADER.pack(MAGIC, 1, track.shape[1], float(FIRST), 1.0, len(track)))
        stream.write(np.ascontiguousarray(scale * track, "<f4").tobytes())
    obj = add_mesh(name, scale * track[0], triangles)
    cache: Any = obj.modifiers.new("Motion", "MESH_CACHE")
    cache.cache_format, cache.filepath = "PC2", str(path.absolute())
    cache.forward_axis, cache.up_axis = "POS_Y", "POS_Z"
    cache.frame_start = float(FIRST)
    obj.modifiers.new("Collision", "COLLISION")
    _set(obj.collision, HAND | {name: scale * distance for name, distance in HAND_DISTANCES.items()})


def _set(struct: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(struct, name, value)
