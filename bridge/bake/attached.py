# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes what moves along with the head: objects that hang on the skin, and hands that yield. Each has a point cache,
which is played or becomes shape keys."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import BakeError, RigError
from ...progress import Job, Progress
from ..attachments import AttachedObject
from ..cache.manifest import settings_fingerprint, topology_fingerprint
from ..cache.moved import MovedObject
from ..cache.point_cache import PointCache, PointCacheWriter
from ..characters import settings_of
from ..meshes import to_world
from ..modifiers import tracked_state
from ..rig import Part, Rig, scene_object
from ..surfaces import SurfaceReader, evaluated_object
from .mesh_cache import add_mesh_cache, remove_mesh_cache
from .shape_keys import bake_shape_keys, remove_shape_keys

_FIGURES = ("bake_keys", "bake_error_max_mm", "bake_error_rms_mm")  # of the head's bake, in the settings
_STAYS = "It hangs on the skin but stays behind"
_BAKED = "nephim_attached"  # marks objects that have such a bake: holds the head's object


def bake_along_job(
    scene: Any,
    rig: Rig,
    along: Sequence[tuple[AttachedObject | MovedObject, PointCache]],
    fade: int,
    key_options: dict[str, Any] | None,
) -> Job[list[str]]:
    """Bakes all objects with their caches, and removes earlier bakes of what no longer moves along. Returns notes.

    key_options: of `bake_shape_keys`, or None to play the caches. An object that takes no shape keys plays its cache as
    well; one that takes neither, or that another character has baked, is named in the notes.
    """
    head, settings = scene_object(rig.head.object_name), scene.nephim
    kept = {one.object_name for one, _ in along}
    for obj in baked_with(scene, head):
        if obj.name not in kept:
            remove_attached(obj)
    figures = {name: getattr(settings, name) for name in _FIGURES}
    notes = []
    for one, cache in along:
        obj, as_head = scene_object(one.object_name), _as_head(rig, one)
        try:
            _check_not_others(scene, obj, head)
            if key_options is None or not _takes_keys(obj):
                add_mesh_cache(scene, as_head, cache, fade)
                done = [f"'{obj.name}' plays {cache.path.name} through its modifier."]
            else:
                result = yield from bake_shape_keys(scene, as_head, cache, **key_options)
                keys = f"'{obj.name}' has {len(result.keys)} shape keys"
                done = [f"{keys}, error at most {result.error_max_mm:.3f} mm."]
                notes += result.notes
                remove_mesh_cache(obj)  # it would override the shape keys
            obj[_BAKED] = head
            notes += done if isinstance(one, MovedObject) else []  # what lies on the skin goes without saying
        except (BakeError, RigError) as error:
            what = "The hand stays as animated" if isinstance(one, MovedObject) else _STAYS
            notes.append(f"{what}: {error}")
    for name, value in figures.items():
        setattr(settings, name, value)
    return notes


def _as_head(rig: Rig, one: AttachedObject | MovedObject) -> Rig:
    """The rig with this object in the place of its head."""
    return replace(rig, head=Part.of_object(one.object_name, one.n_vertices))


def _check_not_others(scene: Any, obj: Any, head: Any) -> None:
    """Raises BakeError for an object that has the bake of another character, which must stay."""
    heads = [settings_of(scene, index).head for index in range(len(scene.nephim_cast.characters))]
    owner = obj if obj in heads else obj.get(_BAKED)
    if owner is not None and owner != head:
        raise BakeError(
            f"It has the bake of another character, '{owner.name}'.",
            object=obj.name,
            advice="Remove that bake first, or let the hand of this one be rigid (Hands Yield).",
        )


def _takes_keys(obj: Any) -> bool:
    """Whether Blender adds shape keys to this object's mesh alone."""
    mesh = obj.data
    linked = any(data.library is not None or data.override_library is not None for data in (obj, mesh))
    return not linked and mesh.users - (1 if mesh.use_fake_user else 0) == 1


def baked_with(scene: Any, head: Any) -> list[Any]:
    """The objects that were baked together with this head."""
    return [obj for obj in scene.objects if obj.get(_BAKED) == head]


def remove_attached(obj: Any) -> None:
    """Removes the bake of an attached object."""
    remove_mesh_cache(obj)
    if obj.data.library is None and obj.data.override_library is None:
        remove_shape_keys(obj)
    del obj[_BAKED]


def attached_caches_job(
    scene: Any,
    rig: Rig,
    reader: SurfaceReader,
    attached: tuple[AttachedObject, ...],
    cache: PointCache,
    folder: Path,
) -> Job[list[PointCache]]:
    """Writes the objects' positions at all frames of the head's cache into caches in `folder`. reader: open."""
    if not attached:
        return []
    objects = [scene_object(one.object_name) for one in attached]
    writers = [
        PointCacheWriter(
            folder / _file_name(one.object_name),
            object_name=one.object_name,
            n_vertices=one.n_vertices,
            frames=cache.frames,
            topology=topology_fingerprint(_as_head(rig, one)),
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
