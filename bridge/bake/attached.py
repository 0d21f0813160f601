# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes what hangs on the skin and is an object of its own: each gets a point cache, which is played or becomes keys."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import BakeError, RigError
from ...progress import Job, Progress
from ..attachments import AttachedObject
from ..cache.manifest import settings_fingerprint, topology_fingerprint
from ..cache.point_cache import PointCache, PointCacheWriter
from ..meshes import to_world
from ..modifiers import tracked_state
from ..rig import Rig, scene_object
from ..surfaces import SurfaceReader, evaluated_object
from .mesh_cache import add_mesh_cache, remove_mesh_cache
from .shape_keys import remove_shape_keys

_BAKED = "nephim_attached"  # marks objects that have such a bake: holds the head's object

BakeKeys = Callable[[Rig, PointCache], Job[Any]]  # shape keys of the head of this rig


def bake_attached_job(
    scene: Any,
    rig: Rig,
    reader: SurfaceReader,
    attached: tuple[AttachedObject, ...],
    cache: PointCache,
    folder: Path,
    bake_keys: BakeKeys | None,
) -> Job[list[str]]:
    """Bakes all of `attached`, and removes earlier bakes of what is no longer carried. Returns notes.

    cache: of the head; folder: for the objects' own caches; bake_keys: None plays the caches through modifiers.
    An object that takes no shape keys plays its cache; one that takes nothing at all is named in the notes.
    """
    head = scene_object(rig.head.object_name)
    kept = {one.object_name for one in attached}
    for obj in baked_with(scene, head):
        if obj.name not in kept:
            remove_attached(obj)
    notes = []
    caches = yield from _caches_job(scene, rig, reader, attached, cache, folder)
    for one, own in zip(attached, caches, strict=True):
        obj, as_head = scene_object(one.object_name), replace(rig, head=one.part())
        try:
            try:
                if bake_keys is not None:
                    yield from bake_keys(as_head, own)
                    remove_mesh_cache(obj)
            except (BakeError, RigError) as error:
                notes.append(f"'{obj.name}' plays a point cache, because it takes no shape keys: {error.what}")
                add_mesh_cache(scene, as_head, own)
            else:
                if bake_keys is None:
                    add_mesh_cache(scene, as_head, own)
        except (BakeError, RigError) as error:
            notes.append(f"'{obj.name}' stays behind: {error}")
        else:
            obj[_BAKED] = head
    return notes


def baked_with(scene: Any, head: Any) -> list[Any]:
    """The objects that were baked together with this head."""
    return [obj for obj in scene.objects if obj.get(_BAKED) == head]


def remove_attached(obj: Any) -> None:
    """Removes the bake of an attached object."""
    remove_mesh_cache(obj)
    if obj.data.library is None and obj.data.override_library is None:
        remove_shape_keys(obj)
    del obj[_BAKED]


def _caches_job(
    scene: Any,
    rig: Rig,
    reader: SurfaceReader,
    attached: tuple[AttachedObject, ...],
    cache: PointCache,
    folder: Path,
) -> Job[list[PointCache]]:
    """Writes the objects' positions at all frames of the head's cache."""
    if not attached:
        return []
    objects = [scene_object(one.object_name) for one in attached]
    writers = [
        PointCacheWriter(
            folder / _file_name(one.object_name),
            object_name=one.object_name,
            n_vertices=one.n_vertices,
            frames=cache.frames,
            topology=topology_fingerprint(replace(rig, head=one.part())),
            settings=settings_fingerprint({}),
        )
        for one in attached
    ]
    try:
        for writer in writers:
            writer.restart(cache.frames.start)
        with tracked_state(scene, reader.view_layer, objects):
            for done, frame in enumerate(cache.frames):
                yield Progress("Following the skin", done / len(cache.frames), f"frame {frame}")
                tracked = reader.read(frame)
                assert reader.head is not None
                skin = to_world(cache.read(frame)[rig.head.indices], reader.head.matrix)
                # Where nothing was moved the cache holds the tracked positions: compare what came the same way.
                still = to_world(reader.head.positions[rig.head.indices], reader.head.matrix)
                for one, obj, writer in zip(attached, objects, writers, strict=True):
                    depsgraph = reader.view_layer.depsgraph
                    state = evaluated_object(obj, depsgraph, rig.scale, one.n_vertices, frame)
                    writer.write(frame, one.positions(state, still, skin), str(tracked.time))
    finally:
        for writer in writers:
            writer.close()
    return [PointCache(folder / _file_name(one.object_name)) for one in attached]


def _file_name(name: str) -> str:
    """A file for an object of any name."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return f"{plain if plain == name else f'{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}'}.pc2"
