# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the tracked surfaces of a frame from the dependency graph, as arrays in world space and metres."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import SurfaceError
from ..sim.frame import TrackedFrame
from ..sim.geometry import rigid
from ..sim.geometry.surface import Surface
from ..sim.hand_jumps import shrunk
from ..sim.volume.hints import Hints
from .bones import posed_bone, rigid_motion
from .hints import read_hints
from .meshes import mesh_positions, same_order, to_world, world_matrix
from .modifiers import may_vary, tracked_state
from .painted_stiffness import stiffness_groups
from .rig import Part, Rig, scene_object
from .scene_time import seconds


class NeutralSurfaces(NamedTuple):
    """The surfaces at the neutral frame: world space, metres, float64. None where there is no such part.

    hints: how the head stands, as far as the scene tells. groups: see `weights.stiffness_groups`.
    """

    head: Surface
    left: Surface | None
    right: Surface | None
    jaw: Surface | None
    cranium: Surface | None
    hints: Hints = Hints()
    groups: dict[str, NDArray[np.float32]] | None = None


class ObjectState(NamedTuple):
    """One evaluated object: positions (n_vertices, 3) float32 in its local space, Blender units; matrix (4, 4)
    float64 from there to the world in metres."""

    positions: NDArray[np.float32]
    matrix: NDArray[np.float64]


def view_layer_of(scene: Any) -> Any:
    """The view layer to evaluate: the window's if it shows this scene, else the scene's first."""
    return bpy.context.view_layer if bpy.context.scene == scene else scene.view_layers[0]


def evaluated_object(obj: Any, depsgraph: Any, scale: float, n_vertices: int, frame: int | None) -> ObjectState:
    """Reads one object from an evaluated dependency graph. `scale`: metres per unit.

    Raises SurfaceError if the evaluated mesh does not have `n_vertices` vertices.
    """
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.data
    count = len(mesh.vertices)
    if count != n_vertices:
        nodes = [m.name for m in obj.modifiers if m.type == "NODES" and m.show_viewport]
        cause = f" Its geometry nodes '{nodes[0]}' may be the cause." if nodes else ""
        raise SurfaceError(
            f"It has {count} vertices instead of {n_vertices}: the topology changes.{cause}",
            object=obj.name,
            frame=frame,
            advice="Disable whatever changes the number of vertices in the viewport, or apply it.",
        )
    return ObjectState(mesh_positions(mesh), world_matrix(evaluated, scale))


class SurfaceReader:
    """Reads frames of a scene: subdivision off, our own earlier results muted.

    Use it as a context manager around many reads; a read outside `with` prepares and restores the scene itself.
    The scene's frame is restored at the end.
    """

    def __init__(self, scene: Any, rig: Rig):
        self.scene = scene
        self.rig = rig
        self.view_layer = view_layer_of(scene)
        self._open: ExitStack | None = None
        self._objects: dict[str, Any] = {}
        self.obstacles: tuple[Part, ...] = ()  # see `follow`
        self._neutral_bones: dict[tuple[str, str], NDArray[np.float64]] = {}
        self.states: dict[str, ObjectState] = {}  # of the last read: head and hands by object
        self.last: TrackedFrame | None = None
        self.missing: tuple[str, ...] = ()  # sides of the hands held by the last read, see `read`
        self._seen: dict[str, TrackedFrame] = {}  # by side, the last frame read with this hand
        self._gaps: dict[str, set[int]] = {}  # by side, frames known to be without it

    @property
    def head(self) -> ObjectState | None:
        """The head's object as last read."""
        return self.states.get(self.rig.head.object_name)

    def __enter__(self) -> "SurfaceReader":
        parts = [*self.rig.moving, self.rig.jaw, self.rig.cranium]
        self._objects = {part.object_name: scene_object(part.object_name) for part in parts if part is not None}
        with ExitStack() as stack:
            stack.enter_context(tracked_state(self.scene, self.view_layer, self._objects.values()))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def follow(self, obstacles: tuple[Part, ...]) -> None:
        """Reads these parts as well from now on, as `TrackedFrame.obstacles`; only inside `with`."""
        assert self._open is not None
        self.obstacles = obstacles
        names = dict.fromkeys(part.object_name for part in obstacles if part.object_name not in self._objects)
        others = {name: scene_object(name) for name in names}
        self._open.enter_context(tracked_state(self.scene, self.view_layer, others.values()))
        self._objects |= others

    def check_vertices(self) -> None:
        """Raises SurfaceError if the vertices of a moving part are others than the object's own: in another order, or,
        where they come from a file or from geometry nodes, of another number in the first, middle or last frame."""
        if self._open is None:
            with self:
                return self.check_vertices()
        frames = self.rig.frames
        parts = {part.object_name: part.n_vertices for part in self.rig.moving}
        varying = any(may_vary(self._objects[name]) for name in parts)
        for frame in sorted({frames[0], frames[len(frames) // 2], frames[-1]} if varying else {frames[0]}):
            self.scene.frame_set(frame)
            for name, count in parts.items():
                obj, depsgraph = self._objects[name], self.view_layer.depsgraph
                evaluated_object(obj, depsgraph, self.rig.scale, count, frame)
                if not same_order(obj.data, obj.evaluated_get(depsgraph).data):
                    raise SurfaceError(
                        "Its modifiers put the vertices in another order, so the skin cannot be followed.",
                        object=name,
                        frame=frame,
                        advice="Switch off or remove the modifier that plays another mesh (Mesh Sequence Cache, "
                        "geometry nodes), and take the mesh itself from that file.",
                    )
        return None

    def neutral(self) -> NeutralSurfaces:
        """The surfaces at the neutral frame. Raises SurfaceError."""
        if self._open is None:
            with self:
                return self.neutral()
        self.check_vertices()
        self.scene.frame_set(self.rig.neutral_frame)
        states: dict[str, ObjectState] = {}

        def surface(part: Part | None) -> Surface | None:
            if part is None:
                return None
            vertices = self._world(part, states, self.view_layer.depsgraph, self.rig.neutral_frame)
            error = not_finite(part, vertices, self.rig.neutral_frame)
            if error is not None:
                raise error
            return Surface(vertices, part.triangles, part.label)

        rig = self.rig
        head = surface(rig.head)
        assert head is not None
        left, right = surface(rig.left), surface(rig.right)
        return NeutralSurfaces(
            head,
            left,
            right,
            surface(rig.jaw),
            surface(rig.cranium),
            read_hints(self.scene, rig, self.view_layer.depsgraph, head, left, right),
            stiffness_groups(self.scene, rig.head),
        )

    def read(self, frame: int) -> TrackedFrame:
        """Sets the scene's frame and reads it. Raises SurfaceError.

        A missing hand, as left by gaps in motion capture (positions that are not finite, zero size), is held where it
        was last seen relative to the head; `missing` names it.
        """
        if self._open is None:
            with self:
                return self.read(frame)
        self._read_neutral_bones()
        self.scene.frame_set(frame)
        tracked, missing = self._read(self.view_layer.depsgraph)
        if missing:
            held = {side: self._held(side, tracked) for side in missing}
            self.scene.frame_set(frame)
            tracked, _ = self._read(self.view_layer.depsgraph)
            tracked = replace(tracked, left=held.get("left", tracked.left), right=held.get("right", tracked.right))
        self.last, self.missing = tracked, tuple(missing)
        return tracked

    def at(self, frame: int, subframe: float) -> TrackedFrame:
        """A moment between two frames, with None for missing hands; only inside `with`, after a `read`.

        Raises SurfaceError.
        """
        seen = dict(self._seen)  # only whole frames stand in for missing hands
        self.scene.frame_set(frame, subframe=subframe)
        tracked, _ = self._read(self.view_layer.depsgraph)
        self._seen, self.last = seen, None
        return tracked

    def current(self, depsgraph: Any) -> TrackedFrame:
        """Reads the current frame of the dependency graph without changing anything; only inside `with`.

        Raises SurfaceError, even for a missing hand.
        """
        tracked, missing = self._read(depsgraph)
        for error in missing.values():
            raise error
        self.last, self.missing = tracked, ()
        return tracked

    def live(self, scene: Any, depsgraph: Any) -> TrackedFrame:
        """Like `current`, but for a reader that outlives the user's edits: no Blender data is kept between calls.

        The caller must have put the objects in their tracked state and read the neutral pose.
        """
        self.scene = scene
        parts = (*self.rig.moving, *self.obstacles)
        self._objects = {part.object_name: scene_object(part.object_name) for part in parts}
        return self.current(depsgraph)

    def renamed(self, names: Mapping[str, str]) -> None:
        """Applies new names of objects: old name → new name."""
        rig = self.rig

        def part(old: Part) -> Part:
            return replace(old, object_name=names.get(old.object_name, old.object_name))

        moving = {role: getattr(rig, role) for role in ("head", "left", "right")}
        parts: dict[str, Any] = {role: part(old) for role, old in moving.items() if old is not None}
        self.obstacles = tuple(map(part, self.obstacles))
        self.states = {names.get(name, name): state for name, state in self.states.items()}

        def bone(old: tuple[str, str] | None) -> tuple[str, str] | None:
            return None if old is None else (names.get(old[0], old[0]), old[1])

        self.rig = replace(rig, **parts, head_bone=bone(rig.head_bone), jaw_bone=bone(rig.jaw_bone))
        self._neutral_bones = {(names.get(a, a), b): m for (a, b), m in self._neutral_bones.items()}

    def _read(self, depsgraph: Any) -> tuple[TrackedFrame, dict[str, SurfaceError]]:
        """The frame without the unusable hands, and by side what is wrong with those."""
        frame = self.scene.frame_current
        states: dict[str, ObjectState] = {}
        missing: dict[str, SurfaceError] = {}

        def hand(side: str) -> NDArray[np.float32] | None:
            part = getattr(rig, side)
            if part is None:
                return None
            positions = self._world(part, states, depsgraph, frame, np.float32)
            error = not_finite(part, positions, frame)
            if error is None and shrunk(positions, head):
                error = SurfaceError(
                    f"The {side} hand is shrunk to nothing.",
                    object=part.label,
                    frame=frame,
                    advice="Restore its scale, and move it away from the face instead.",
                )
            if error is not None:
                missing[side] = error
                return None
            return positions

        rig = self.rig
        head = self._world(rig.head, states, depsgraph, frame, np.float32)
        error = not_finite(rig.head, head, frame)
        if error is not None:
            raise error
        inner = [self._world(part, states, depsgraph, frame, np.float32) for part in self.obstacles]
        tracked = TrackedFrame(
            head=head,
            left=hand("left"),
            right=hand("right"),
            cranium=self._bone_motion(rig.head_bone, depsgraph, frame),
            jaw=self._bone_motion(rig.jaw_bone, depsgraph, frame),
            frame=frame,
            time=seconds(self.scene),
            obstacles=np.concatenate(inner) if inner else None,
        )
        self.states = states
        for side in ("left", "right"):
            if getattr(tracked, side) is not None:
                self._seen[side] = tracked
        return tracked, missing

    def _held(self, side: str, tracked: TrackedFrame) -> NDArray[np.float32]:
        """A hand missing in a frame (n, 3), as it was last seen, carried along with the head. Sets the scene's frame.

        Searches backwards frame by frame, so the result does not depend on what was read before. Raises SurfaceError
        if the hand is missing from the first frame on.
        """
        known = self._gaps.setdefault(side, set())
        known.add(tracked.frame)
        for frame in range(tracked.frame - 1, self.rig.frames.start - 1, -1):
            if frame in known:
                continue
            seen = self._seen.get(side)
            if seen is None or seen.frame != frame:
                self.scene.frame_set(frame)
                seen, _ = self._read(self.view_layer.depsgraph)
            hand = getattr(seen, side)
            if hand is not None:
                carried = rigid.fit_rigid(seen.head.astype(np.float64), tracked.head.astype(np.float64))
                return rigid.apply(carried, hand.astype(np.float64)).astype(np.float32)
            known.add(frame)
        raise SurfaceError(
            f"The {side} hand has no usable position from the first frame on.",
            object=getattr(self.rig, side).label,
            frame=tracked.frame,
            advice="Start where the hand is visible, or check its modifiers and constraints.",
        )

    def _world(
        self, part: Part, states: dict[str, ObjectState], depsgraph: Any, frame: int, dtype: Any = np.float64
    ) -> NDArray[Any]:
        if part.object_name not in states:
            states[part.object_name] = evaluated_object(
                self._objects[part.object_name], depsgraph, self.rig.scale, part.n_vertices, frame
            )
        state = states[part.object_name]
        whole = len(part.indices) == part.n_vertices
        return to_world(state.positions if whole else state.positions[part.indices], state.matrix, dtype)

    def _read_neutral_bones(self) -> None:
        bones = {bone for bone in (self.rig.head_bone, self.rig.jaw_bone) if bone is not None}
        if bones <= self._neutral_bones.keys():
            return
        self.scene.frame_set(self.rig.neutral_frame)
        for bone in bones:
            self._neutral_bones[bone] = self._bone_matrix(bone, self.view_layer.depsgraph)

    def _bone_matrix(self, bone: tuple[str, str], depsgraph: Any) -> NDArray[np.float64]:
        return posed_bone(bone, depsgraph, self.rig.scale)

    def _bone_motion(self, bone: tuple[str, str] | None, depsgraph: Any, frame: int) -> NDArray[np.float64] | None:
        if bone is None:
            return None
        if bone not in self._neutral_bones:  # `current` before any `read`: it may not set a frame
            raise SurfaceError("The neutral pose has not been read yet.", object=bone[0], frame=frame)
        return rigid_motion(self._neutral_bones[bone], self._bone_matrix(bone, depsgraph), bone, frame)


def not_finite(part: Part, positions: NDArray, frame: int) -> SurfaceError | None:
    """The error for positions (k, 3) that are not finite numbers; None if all are finite."""
    if np.isfinite(positions.sum()):  # one NaN or infinity spoils the sum
        return None
    bad = part.indices[~np.isfinite(positions).all(axis=1)]
    keys = _broken_keys(part.object_name, bad)
    if keys:
        what = f"Its shape key{'s' if len(keys) > 1 else ''} {' and '.join(keys)} moved them to no finite position."
        advice = f"Mute or delete the key{'s' if len(keys) > 1 else ''}, or import the shape again."
    else:
        what = "Its vertices have no finite position."
        advice = "Check the modifiers, shape keys and constraints at this frame."
    return SurfaceError(what, object=part.object_name, frame=frame, vertices=bad.tolist(), advice=advice)


def _broken_keys(name: str, vertices: NDArray[np.int32]) -> list[str]:
    """Shape keys of an object, quoted, that play at the current frame and hold no finite position of these vertices."""
    keys = scene_object(name).data.shape_keys
    found = []
    for block in keys.key_blocks if keys is not None else ():
        if block.mute or (block.value == 0 and block != keys.reference_key):
            continue
        positions = np.empty(3 * len(block.points), np.float32)
        block.points.foreach_get("co", positions)
        if not np.isfinite(positions.reshape(-1, 3)[vertices]).all():
            found.append(f"'{block.name}'")
    return found
