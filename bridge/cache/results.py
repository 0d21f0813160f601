# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracked and simulated surfaces side by side, frame by frame: what the report measures and the pictures show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CacheError
from ...progress import Job, Progress
from ...sim.frame import TrackedFrame
from ...sim.geometry.surface import Surface
from ..meshes import mesh_positions, mesh_triangles, to_world, world_matrix
from ..rig import Part, Rig, read_rig, scene_object
from ..scene_time import frame_rate
from ..surfaces import SurfaceReader, evaluated_object
from .moved import HandCaches
from .open_file import folder
from .point_cache import PointCache

# A hand this deep in the head at the first frame did not get there by contact: where it came from is unknown.
_INSIDE_MM = 2.0
# A hand this much deeper than skin over bone can yield is drawn back as one, see `ContactTuning.one_by_one`.
_TOO_DEEP_MM = 8.0
_LISTED = 8  # runs of frames that a note lists


@dataclass(frozen=True)
class ResultFrame:
    """One frame. tracked: the surfaces as animated; skin: (n_head, 3) float64 simulated head vertices, world [m].

    head_object: (n_vertices, 3) world positions of the whole head object as tracked; skin replaces its head part.
    hands: by side, (n, 3) simulated vertices of the hands that yielded, world [m].
    """

    tracked: TrackedFrame
    skin: NDArray[np.float64]
    head_object: NDArray[np.float64]
    hands: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def hand(self, side: str) -> NDArray:
        """A hand as simulated, which is as tracked unless it yielded, (n, 3)."""
        return self.hands.get(side, getattr(self.tracked, side))


class ResultReader:
    """Reads the simulated result of a scene along with the tracked surfaces. Use it as a context manager.

    Raises RigError if the scene is not set up and CacheError if nothing, or not everything, has been simulated.
    """

    def __init__(self, scene: Any, cache: Path | None = None):
        """cache: a point cache other than the scene's own."""
        self.scene = scene
        self.rig = read_rig(scene)
        self.folder = folder(scene)
        self.cache = PointCache(cache or self.folder.cache)
        self.reader = SurfaceReader(scene, self.rig)
        if not self.cache.complete:
            raise CacheError(
                f"{self.cache.path} holds {self.cache.manifest.done} of {len(self.cache.manifest.frames)} frames.",
                advice="Simulate again: it resumes where it stopped.",
            )
        if self.cache.n_vertices != self.rig.head.n_vertices:
            raise CacheError(
                f"{self.cache.path} has {self.cache.n_vertices} vertices instead of {self.rig.head.n_vertices}.",
                object=self.rig.head.object_name,
                advice="The mesh has changed: simulate again.",
            )
        self.hand_caches = HandCaches(self.rig, self.cache)

    @property
    def frames(self) -> range:
        return self.cache.frames

    @property
    def frame_rate(self) -> float:
        return frame_rate(self.scene)

    @property
    def statistics(self) -> list[dict[str, float]]:
        """Of each frame, as recorded by the simulation."""
        return self.cache.manifest.statistics

    def __enter__(self) -> "ResultReader":
        self.reader.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.__exit__()

    def read(self, frame: int) -> ResultFrame:
        """Sets the scene's frame and reads it. Raises SurfaceError and CacheError."""
        tracked = self.reader.read(frame)
        state = self.reader.head
        assert state is not None
        simulated = self.cache.read(frame)[self.rig.head.indices]
        return ResultFrame(
            tracked,
            to_world(simulated, state.matrix),
            to_world(state.positions, state.matrix),
            self.hands(self.hand_caches),
        )

    def hands(self, caches: HandCaches) -> dict[str, NDArray[np.float64]]:
        """The hands that yielded, by side, at the frame that was read last. Raises CacheError."""
        return caches.read(self.scene.frame_current, self.reader.states, self.reader.missing)

    def largest_displacements(self, step: str, share: float) -> Job[NDArray[np.float64]]:
        """The largest displacement of the skin in each frame (f,) [m], reported as the first `share` of `step`."""
        largest = np.zeros(len(self.frames))
        for k, frame in enumerate(self.frames):
            read = self.read(frame)
            largest[k] = np.linalg.norm(read.skin - read.tracked.head, axis=1).max()
            yield Progress(step, share * (k + 1) / len(self.frames), "looking for the strongest contacts")
        return largest

    def object_positions(self, name: str, n_vertices: int) -> NDArray[np.float64]:
        """World positions (n_vertices, 3) [m] of another object of the rig at the frame read last."""
        depsgraph = self.reader.view_layer.depsgraph
        state = evaluated_object(scene_object(name), depsgraph, self.rig.scale, n_vertices, self.scene.frame_current)
        return to_world(state.positions, state.matrix)

    def other_objects(self) -> list[Any]:
        """Visible meshes of the scene outside the rig, such as eyes and teeth: only for pictures."""
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


def evaluated_mesh(
    obj: Any, depsgraph: Any, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """World positions (n, 3) [m], triangles (m, 3) and their material slots (m,) of any evaluated mesh object."""
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.data
    triangles = mesh_triangles(mesh)
    slots = np.empty(len(triangles), np.int32)
    mesh.loop_triangles.foreach_get("material_index", slots)
    return to_world(mesh_positions(mesh), world_matrix(evaluated, scale)), triangles, slots


def hands_notes(rig: Rig) -> list[str]:
    """Notes on what is unusual about the hands' meshes."""
    from ...sim.hands import hand_notes  # scipy and numba load on first use

    parts = [part for part in (rig.left, rig.right) if part is not None]
    return [note for part in parts for note in hand_notes(part_at_rest(part))]


def part_at_rest(part: Part) -> Surface:
    """A part as its mesh has it, in the object's own space."""
    positions = mesh_positions(scene_object(part.object_name).data)
    return Surface(positions[part.indices].astype(np.float64), part.triangles, part.label)


def frame_notes(statistics: list[dict[str, float]], frames: range) -> list[str]:
    """Notes on what was unusual in the simulated frames; statistics: one entry for each of `frames`."""
    notes = []
    if statistics and statistics[0].get("started_inside_mm", 0.0) > _INSIDE_MM:
        inside = statistics[0]["started_inside_mm"]
        notes.append(
            f"At the first frame {frames.start} a hand is already {inside:.0f} mm inside the head; where it came from "
            "is unknown, so it was pushed out by the shortest way. Start before the contact."
        )
    for side in ("left", "right"):
        missing = _frames_with(statistics, frames, f"missing_{side}")
        if missing:
            notes.append(
                f"The {side} hand has no usable position in {spans(missing)}: it was kept where it was last seen "
                "against the head. Fill the gap in its motion."
            )
        cut = _frames_with(statistics, frames, f"cut_{side}")
        if cut:
            notes.append(
                f"The {side} hand jumps at {spans(cut)}, faster than a hand can move: taken as a cut, it forgot its "
                "contacts and swept nothing on its way. If that is not a cut, key the path it takes."
            )
            deep = [frame for frame in cut if statistics[frame - frames.start].get("started_inside_mm", 0) > _INSIDE_MM]
            if deep:
                notes.append(f"It lands inside the head at {spans(deep)} and was pushed out by the shortest way.")
        passed = _frames_with(statistics, frames, f"passed_{side}")
        if passed:
            notes.append(
                f"The {side} hand touches the face only between frames, just before {spans(passed)}: no frame shows "
                "that contact. Move its keys onto whole frames, hold it for a frame, or raise the frame rate."
            )
    held = sum(numbers.get("bone_limited_mm", 0) > 0 for numbers in statistics)
    if held:
        notes.append(f"In {held} frames bone stopped the skin.")
    beyond = [numbers.get("bone_limited_mm", 0.0) for numbers in statistics]
    too_deep = [frame for frame, much in zip(frames, beyond, strict=False) if much > _TOO_DEEP_MM]
    if too_deep:
        worst = int(np.argmax(beyond))
        notes.append(
            f"In {spans(too_deep)} a hand is deeper in the head than any face can yield, by up to "
            f"{beyond[worst]:.0f} mm (at frame {frames[worst]}): it was simulated as if it were that much further out. "
            "Move it out there, or press Correct Hand Pose."
        )
    return notes


def _frames_with(statistics: list[dict[str, float]], frames: range, name: str) -> list[int]:
    return [frame for frame, numbers in zip(frames, statistics, strict=False) if numbers.get(name, 0.0) > 0]


def spans(frames: list[int]) -> str:
    """Ascending frame numbers in short form: 'frames 4, 7-9'."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:_LISTED])
    more = f" and {len(runs) - _LISTED} more times" if len(runs) > _LISTED else ""
    return f"frame{'s' if len(frames) > 1 else ''} {shown}{more}"
