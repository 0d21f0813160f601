# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the point cache directly, through Blender's Mesh Cache modifier."""

from typing import Any

import bpy
import numpy as np

from ...errors import BakeError
from ..cache.point_cache import PointCache
from ..modifiers import BAKED, place_after_rig, tracked_state
from ..rig import Rig, scene_object
from ..scene_time import stretch
from ..surfaces import evaluated_object, view_layer_of
from .shape_keys import check_can_bake

_FACTOR = f'modifiers["{BAKED}"].factor'
_SEEN = 1e-5  # [m] displacement that could be seen to pop
_ROUNDING = 1e-3  # of a frame


def add_mesh_cache(scene: Any, rig: Rig, cache: PointCache, fade: int = 0) -> Any:
    """Adds, or replaces, the modifier 'NePHIM' that plays `cache`, after the rig and before what changes the number of
    vertices (subdivision, Mask, Solidify …).

    Outside the cached frames a driver sets its influence to 0, because the modifier would freeze the character in its
    first or last frame forever. Where skin is displaced in that frame, it is held for less than a frame more: motion
    blur looks that far, and must not see the skin pop; with `fade` its influence goes to 0 within so many frames. Shape
    keys of an earlier bake may stay: the modifier overrides them. Raises BakeError.
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
    held = _displaced_ends(scene, rig, obj, cache)
    modifier = obj.modifiers.new(BAKED, "MESH_CACHE")
    obj.modifiers.move(len(obj.modifiers) - 1, place_after_rig(obj))
    path = str(cache.path.absolute())
    modifier.cache_format = "PC2"
    # Relative if the .blend has been saved, so that both can be moved together; on Windows not across drives.
    modifier.filepath = _relative(path) if bpy.data.filepath else path
    modifier.deform_mode, modifier.interpolation = "OVERWRITE", "LINEAR"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"  # Blender's own axes: no rotation
    modifier.play_mode, modifier.time_mode = "SCENE", "FRAME"
    # The modifier looks at the time of the animation; scaled like this, it counts the frames of the scene.
    modifier.frame_start, modifier.frame_scale = float(cache.frames.start), 1.0 / stretch(scene)
    driver = obj.driver_add(_FACTOR).driver
    driver.type = "SCRIPTED"
    # Simple enough for Blender to evaluate without running Python.
    driver.expression = _influence(cache.frames, stretch(scene), held, fade)
    return modifier


def remove_mesh_cache(obj: Any) -> bool:
    """Removes our modifier and its driver; returns whether there was one."""
    modifier = obj.modifiers.get(BAKED)
    if modifier is None:
        return False
    obj.driver_remove(_FACTOR)
    obj.modifiers.remove(modifier)
    return True


def _displaced_ends(scene: Any, rig: Rig, obj: Any, cache: PointCache) -> list[bool]:
    """Whether the first and the last frame of the cache differ from what is tracked."""
    view_layer = view_layer_of(scene)
    found = []
    with tracked_state(scene, view_layer, [obj]):
        for frame in (cache.frames[0], cache.frames[-1]):
            scene.frame_set(frame)
            state = evaluated_object(obj, view_layer.depsgraph, rig.scale, cache.n_vertices, frame)
            moved = (cache.read(frame) - state.positions) @ state.matrix[:3, :3].T
            found.append(bool(np.linalg.norm(moved, axis=1).max() > _SEEN))
    return found


def _influence(frames: range, per_frame: float, held: list[bool], fade: int) -> str:
    """The driver's expression: 1 in the frames, and beyond an end that is held: 1 in the open frame there, or falling
    within `fade` frames."""
    hold_first, hold_last = held
    first, last = frames[0] * per_frame, frames[-1] * per_frame
    rounding = 0.0 if per_frame == 1.0 else _ROUNDING  # Blender computes the remapped time in single precision
    low, high = f"{first - rounding:.9g} <= frame", f"frame <= {last + rounding:.9g}"
    if hold_first:
        low = f"{first - per_frame:.9g} < frame"
    if hold_last:
        high = f"frame < {last + per_frame:.9g}"
    if fade:
        length = fade * per_frame
        low = f"clamp((frame - {first - length:.9g}) / {length:.9g})" if hold_first else f"({low})"
        high = f"clamp(({last + length:.9g} - frame) / {length:.9g})" if hold_last else f"({high})"
        return f"{low} * {high}"
    return f"{low} and {high}"


def _relative(path: str) -> str:
    try:
        return bpy.path.relpath(path)
    except ValueError:
        return path
