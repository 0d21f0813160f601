# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the scene shows what was simulated: what stands in the way of a bake, and how far the picture is off."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...progress import Job, Progress
from ..cache.manifest import HANDS
from ..cache.moved import HandCaches, hand_path
from ..cache.open_file import folder
from ..cache.point_cache import PointCache
from ..modifiers import BAKED, RIGGING, SMOOTHING, after_rig, is_baked_name, tracked_state
from ..rig import Rig, scene_object
from ..surfaces import evaluated_object, view_layer_of
from .kept_motion import watched_frames
from .keyframes import our_tracks
from .other_characters import played_path

_MOVED = "Something else moves {} since it was baked. Bake again."
_SLACK = 1.1  # a bake that just keeps its tolerance is no news


@dataclass(frozen=True)
class Shown:
    """error: largest distance of what the scene shows from the simulation [m], at `frame`. note: what is wrong and what
    to do; empty if nothing is."""

    error: float
    frame: int
    note: str


def shown_job(scene: Any, rig: Rig, cache: PointCache) -> Job[Shown | None]:
    """Compares the scene as it is with the simulation, at a few frames; None if nothing is baked. Of head and hands,
    what is worst.

    Subdivisions are left out, as the simulation is of the vertices that the head has itself. Raises RigError,
    SurfaceError and CacheError.
    """
    found = None
    along = ((one.object_name, of_hand) for one, of_hand in HandCaches(rig, cache).objects)
    for name, own in ((rig.head.object_name, cache), *along):
        shown = yield from _shown_job(scene, rig, scene_object(name), own)
        if shown is not None and (found is None or (bool(shown.note), shown.error) > (bool(found.note), found.error)):
            found = shown
    return found


def _shown_job(scene: Any, rig: Rig, obj: Any, cache: PointCache) -> Job[Shown | None]:
    """The same of one object."""
    keys = obj.data.shape_keys
    playing = [key.name for key in keys.key_blocks if is_baked_name(key.name)] if keys is not None else []
    if not playing and obj.modifiers.get(BAKED) is None:
        return None
    view_layer = view_layer_of(scene)
    largest, worst = 0.0, cache.frames.start
    frames = watched_frames(cache)
    with tracked_state(scene, view_layer, [obj], shown=playing, play_cache=True):
        for done, frame in enumerate(frames):
            yield Progress("Looking at what is shown", done / len(frames), f"frame {frame}")
            scene.frame_set(frame)
            state = evaluated_object(obj, view_layer.depsgraph, rig.scale, cache.n_vertices, frame)
            apart = (state.positions.astype(np.float64) - cache.read(frame)) @ state.matrix[:3, :3].T
            error = float(np.linalg.norm(apart, axis=1).max())
            if error > largest:
                largest, worst = error, frame
    if 1e3 * largest <= _SLACK * scene.nephim.tolerance_mm:
        return Shown(largest, worst, "")
    cause = " ".join(obstacles(obj)) or _MOVED.format("the head" if obj.name == rig.head.object_name else "it")
    note = f"At frame {worst} the scene shows '{obj.name}' {1e3 * largest:.1f} mm from the simulation. {cause}"
    return Shown(largest, worst, note)


def missing_cache(obj: Any) -> Path | None:
    """The point cache that our modifier on this object should play, if it is not there."""
    ours = obj.modifiers.get(BAKED)
    if ours is None or ours.type != "MESH_CACHE" or played_path(obj).is_file():
        return None
    return played_path(obj)


def obstacles(obj: Any) -> list[str]:
    """What keeps a bake of this object from being seen, each with the next step; cheap enough for every redraw."""
    ours = obj.modifiers.get(BAKED)
    return list(_of_modifier(obj, ours) if ours is not None else _of_keys(obj))


def all_obstacles(objects: Iterable[Any]) -> list[str]:
    """The same of head and hands, the head's first; the hands' begin with their names."""
    head, *hands = dict.fromkeys(objects)
    return [*obstacles(head), *(f"'{hand.name}': {text}" for hand in hands for text in obstacles(hand))]


def _of_modifier(obj: Any, ours: Any) -> Iterator[str]:
    missing = missing_cache(obj)
    if missing is not None:
        yield f"The modifier '{BAKED}' finds no point cache at {missing}. Bring the file back, or bake again."
    elif bpy.data.filepath:
        own = folder().cache
        ours_too = (own, *(hand_path(own, side) for side in HANDS))
        if own.is_file() and played_path(obj) not in [path.resolve() for path in ours_too]:
            yield f"The modifier '{BAKED}' plays {played_path(obj)}, not this file's simulation. Bake again."
    if not (ours.show_viewport and ours.show_render):
        where = "renders" if ours.show_viewport else "the viewport"
        yield f"The modifier '{BAKED}' is switched off in {where}. Switch it on."
    position = list(obj.modifiers).index(ours)
    looks = {m.name for m in after_rig(obj)}
    above = [m.name for m in obj.modifiers[:position] if m.name in looks and m.show_viewport]
    if above:
        yield (
            f"'{above[0]}' comes before the modifier '{BAKED}' and changes the number of vertices, so that it cannot "
            f"play. Drag '{BAKED}' above it in the modifier stack."
        )
    below = [m for m in obj.modifiers[position + 1 :] if m.show_viewport and m.name not in looks]
    after = [m for m in below if m.type in RIGGING | SMOOTHING]
    if after:
        names = " and ".join(f"'{m.name}'" for m in after)
        verb = "comes" if len(after) == 1 else "come"
        yield (
            f"{names} {verb} after the modifier '{BAKED}' and moves the simulated skin once more. Bake to the point "
            f"cache again, or drag '{BAKED}' below in the modifier stack."
        )


def _of_keys(obj: Any) -> Iterator[str]:
    tracks = our_tracks(obj)
    if not tracks:
        return
    data = obj.data.shape_keys.animation_data
    if not data.use_nla:
        yield "The NLA of its shape keys is switched off. Switch it on in the NLA editor."
    muted = [f"'{track.name}'" for track in tracks if track.mute]
    if muted:
        yield f"The NLA track {' and '.join(muted)} is muted. Unmute it in the NLA editor."
    if obj.show_only_shape_key:
        yield f"'{obj.name}' shows only a pinned shape key. Unpin it."
