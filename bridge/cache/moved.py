# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulation moves: the head's object, and those of hands that yield. Each has a point cache, written together.

The head's cache is the one that others know: its manifest has the statistics, and says which hands yield. A hand that
belongs to the head's object is in that cache; another object has one of its own beside it.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CacheError
from ...sim.frame import TrackedFrame
from ..meshes import to_world
from ..rig import Part, Rig
from ..surfaces import ObjectState
from .manifest import HANDS, displacement_of
from .point_cache import PointCache, PointCacheWriter


@dataclass(frozen=True)
class MovedObject:
    """An object that a simulation moves. parts: what of it is moved, by role: 'head', 'left' or 'right'."""

    object_name: str
    n_vertices: int
    parts: Mapping[str, Part]

    def path(self, head: Path) -> Path:
        """Its point cache, beside that of the head's object or the same."""
        return head if "head" in self.parts else hand_path(head, next(iter(self.parts)))

    def positions(
        self, state: ObjectState, tracked: TrackedFrame, resolved: TrackedFrame, missing: Collection[str] = ()
    ) -> NDArray[np.float32]:
        """Where its vertices go, (n_vertices, 3), object space, Blender units.

        state: of the object as animated; tracked, resolved: the surfaces before and after, world [m]; further rows, as
        of a refined skin, are ignored. What was not moved keeps its evaluated position bit for bit. missing: sides of
        hands that are held for want of a position: they stay as animated, without one at the object's origin.
        """
        from ...sim.geometry.points import displace  # numba loads on first use, so that enabling the add-on stays fast

        positions = state.positions.copy()
        if "head" not in self.parts and any(role in missing for role in self.parts):
            np.nan_to_num(positions, copy=False, posinf=0.0, neginf=0.0)  # a cache holds finite numbers only
        for role, part in self.parts.items():
            moved, still = getattr(resolved, role), getattr(tracked, role)
            if role in missing or moved is still:
                continue
            if len(moved) < len(part.indices):
                raise ValueError(f"{len(moved)} vertices for '{part.label}' of {len(part.indices)}")
            displace(moved, still, part.indices, np.linalg.inv(state.matrix[:3, :3]), positions)
        return positions

    def hand_offsets(
        self, tracked: TrackedFrame, resolved: TrackedFrame
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Of each hand in it that was moved, its vertices in the object (n,) and how far each was moved (n, 3) [m]."""
        moved = ((p, getattr(resolved, r), getattr(tracked, r)) for r, p in self.parts.items() if r != "head")
        return [(part.indices, now - still) for part, now, still in moved if now is not still]


def hand_path(head: Path, side: str) -> Path:
    """The point cache of a hand beside that of its head: simulation-left.pc2 beside simulation.pc2."""
    return head.with_name(f"{head.stem}-{side}{head.suffix}")


def moved_objects(rig: Rig, hands: Collection[str]) -> list[MovedObject]:
    """The objects that a simulation moves, the head's first. hands: sides of those that yield."""
    found: dict[str, dict[str, Part]] = {}
    for role in ("head", *HANDS):
        part = getattr(rig, role)
        if part is not None and (role == "head" or role in hands):
            found.setdefault(part.object_name, {})[role] = part
    return [MovedObject(name, next(iter(parts.values())).n_vertices, parts) for name, parts in found.items()]


def sides_of(rig: Rig) -> list[str]:
    """The sides on which there is a hand."""
    return [side for side in HANDS if getattr(rig, side) is not None]


class MovedWriter:
    """Writes the point caches of all `objects`, resuming where all of them were written; a context manager.

    path: of the head's cache; settings of the manifest: see `PointCacheWriter`. Raises CacheError.
    """

    def __init__(self, path: Path, objects: Sequence[MovedObject], **manifest: Any):
        self._writers: list[PointCacheWriter] = []
        self._objects = objects
        hands = [role for one in objects for role in one.parts if role != "head"]
        with ExitStack() as stack:  # leaves in reverse: the head's manifest, which the others must not lag, comes last
            for one in objects:
                writer = PointCacheWriter(
                    one.path(path),
                    object_name=one.object_name,
                    n_vertices=one.n_vertices,
                    hands=hands if "head" in one.parts else (),
                    **manifest,
                )
                self._writers.append(stack.enter_context(writer))
            self._open = stack.pop_all()
        self.manifest = self._writers[0].manifest

    @property
    def next_frame(self) -> int:
        """The frame that `write` expects next; one past the last if all are done."""
        return min(writer.next_frame for writer in self._writers)

    def holds(self, frame: int, motion: str) -> bool:
        """Whether this frame is finished and was made from this motion."""
        return all(writer.holds(frame, motion) for writer in self._writers)

    def restart(self, frame: int) -> None:
        """Discards this frame and all after it, immediately on disk too."""
        for writer in self._writers:
            writer.restart(frame)

    def write(self, frame: int, positions: Sequence[NDArray], motion: str, statistics: Mapping[str, float]) -> None:
        """Stores one frame: positions of each object, see `PointCacheWriter.write`; statistics: of the head's."""
        of_hands = [[statistics.get(displacement_of(side), 0.0) for side in one.parts] for one in self._objects[1:]]
        numbers = (statistics, *({"displacement_mm": max(moved)} for moved in of_hands))
        for writer, one, values in reversed(list(zip(self._writers, positions, numbers, strict=True))):
            writer.write(frame, one, motion, values)

    def __enter__(self) -> "MovedWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class HandCaches:
    """The hands that yielded in a simulation, beside its cache of the head's object; empty where none did.

    objects: those with a cache of their own, with it. Raises CacheError if one is missing, damaged or of another
    simulation.
    """

    def __init__(self, rig: Rig, cache: PointCache):
        sides = cache.manifest.hands
        self.objects: list[tuple[MovedObject, PointCache]] = []
        if any(getattr(rig, side) is None for side in sides):
            raise _of_another(cache.path)
        self._of_side: dict[str, PointCache] = {}
        self._parts = {side: getattr(rig, side) for side in sides}
        for one in moved_objects(rig, sides):
            own = cache
            if "head" not in one.parts:
                own = PointCache(one.path(cache.path))
                _check_same(own, cache, one)
                self.objects.append((one, own))
            self._of_side |= dict.fromkeys((side for side in one.parts if side != "head"), own)

    @property
    def moved(self) -> list[tuple[MovedObject, PointCache]]:
        """Those of `objects` that were moved in any frame."""
        return [
            (one, cache)
            for one, cache in self.objects
            if any(numbers.get("displacement_mm") for numbers in cache.manifest.statistics)
        ]

    def read(
        self, frame: int, states: Mapping[str, ObjectState], missing: Collection[str] = ()
    ) -> dict[str, NDArray[np.float64]]:
        """By side, the vertices (n, 3) of the hands that yield, world [m]; missing ones are left out.

        states: of the objects at this frame, by name. Raises CacheError.
        """
        return {
            side: to_world(cache.read(frame)[self._parts[side].indices], states[self._parts[side].object_name].matrix)
            for side, cache in self._of_side.items()
            if side not in missing
        }


def _check_same(own: PointCache, head: PointCache, moved: MovedObject) -> None:
    """Raises CacheError unless both caches are of one simulation."""
    one, other = own.manifest, head.manifest
    same = (one.topology, one.settings, one.frame_start) == (other.topology, other.settings, other.frame_start)
    if not same or one.n_vertices != moved.n_vertices or one.motion[: other.done] != other.motion:
        raise _of_another(own.path)


def _of_another(path: Path) -> CacheError:
    return CacheError(f"{path} belongs to another simulation.", advice="Simulate again.")
