# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the point cache directly, through Blender's Mesh Cache modifier."""

from typing import Any

import bpy

from ...errors import BakeError
from ..cache.point_cache import PointCache
from ..modifiers import BAKED, SUBDIVISION
from ..rig import Rig, scene_object
from .shape_keys import check_can_bake

_FACTOR = f'modifiers["{BAKED}"].factor'


def add_mesh_cache(rig: Rig, cache: PointCache) -> Any:
    """Adds, or replaces, the modifier 'NePHIM' that plays `cache`, after the rig and before a subdivision.

    Outside the cached frames a driver sets its influence to 0, because the modifier would hold its first or last
    frame forever. Shape keys of an earlier bake may stay: the modifier overrides them. Raises BakeError.
    """
    obj = scene_object(rig.head.object_name)
    check_can_bake(obj, rig, cache)
    if not cache.complete:
        raise BakeError(
            f"Only frames {cache.frames.start}-{cache.frames.stop - 1} have been simulated.",
            object=obj.name,
            advice="Finish the simulation, or bake to shape keys.",
        )
    remove_mesh_cache(obj)
    modifier = obj.modifiers.new(BAKED, "MESH_CACHE")
    obj.modifiers.move(len(obj.modifiers) - 1, _place(obj))
    path = str(cache.path.absolute())
    modifier.cache_format = "PC2"
    # Relative if the .blend has been saved, so that both can be moved together; on Windows not across drives.
    modifier.filepath = _relative(path) if bpy.data.filepath else path
    modifier.deform_mode, modifier.interpolation = "OVERWRITE", "LINEAR"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"  # Blender's own axes: no rotation
    modifier.play_mode, modifier.time_mode = "SCENE", "FRAME"
    modifier.frame_start, modifier.frame_scale = float(cache.frames.start), 1.0
    driver = obj.driver_add(_FACTOR).driver
    driver.type = "SCRIPTED"
    # Simple enough for Blender to evaluate without running Python.
    driver.expression = f"{cache.frames.start} <= frame <= {cache.frames.stop - 1}"
    return modifier


def remove_mesh_cache(obj: Any) -> bool:
    """Removes our modifier and its driver; returns whether there was one."""
    modifier = obj.modifiers.get(BAKED)
    if modifier is None:
        return False
    obj.driver_remove(_FACTOR)
    obj.modifiers.remove(modifier)
    return True


def _place(obj: Any) -> int:
    """Index of the first modifier that must stay after ours."""
    others = list(obj.modifiers)[:-1]
    behind = (i for i, m in enumerate(others) if m.type in SUBDIVISION or getattr(m, "use_pin_to_last", False))
    return next(behind, len(others))


def _relative(path: str) -> str:
    try:
        return bpy.path.relpath(path)
    except ValueError:
        return path
