# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake must not change the animation it was made from: the tracked surfaces before and after it are compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BakeError
from ...progress import Job, Progress
from ..cache.point_cache import PointCache
from ..meshes import to_world
from ..modifiers import tracked_state
from ..rig import Rig, scene_object
from ..surfaces import evaluated_object, view_layer_of

_SAME = 1e-5  # [m] as far as single precision and the order of frames may move a vertex
_CONTACTS = 4  # frames of the strongest contacts that are compared, besides the first, the middle and the last

Motion = dict[int, dict[str, NDArray[np.float64]]]  # frame → object → world positions [m]


def motion_job(scene: Any, rig: Rig, cache: PointCache) -> Job[Motion]:
    """The tracked surfaces at a few frames of the cache, with our own results muted. Raises RigError, SurfaceError."""
    view_layer = view_layer_of(scene)
    objects = {part.object_name: part.n_vertices for part in rig.moving}
    motion: Motion = {}
    watched = watched_frames(cache)
    with tracked_state(scene, view_layer, [scene_object(name) for name in objects]):
        for done, frame in enumerate(watched):
            yield Progress("Comparing the motion", done / len(watched), f"frame {frame}")
            scene.frame_set(frame)
            motion[frame] = {}
            for name, count in objects.items():
                state = evaluated_object(scene_object(name), view_layer.depsgraph, rig.scale, count, frame)
                motion[frame][name] = to_world(state.positions, state.matrix)
    return motion


def check_kept(before: Motion, after: Motion) -> None:
    """Raises BakeError if anything tracked is now elsewhere."""
    for frame, objects in before.items():
        for name, positions in objects.items():
            moved = np.linalg.norm(after[frame][name] - positions, axis=1)
            if (moved > _SAME).any():  # a hand missing in a gap of its motion is not a number, before and after
                raise BakeError(
                    f"The bake would change its own animation, by up to {1e3 * np.nanmax(moved):.1f} mm, so it was "
                    "taken back.",
                    object=name,
                    frame=frame,
                    advice="Make the NLA strips of its shape keys cover the whole shot, or bake them into one action "
                    "(NLA editor > Strip > Bake Action), then bake again.",
                )


def watched_frames(cache: PointCache) -> list[int]:
    """The frames that tell whether something has changed: few, and those in which most happens."""
    frames = cache.frames
    moved = [numbers.get("displacement_mm", 0.0) for numbers in cache.manifest.statistics[: len(frames)]]
    strongest = np.argsort(-np.array(moved), kind="stable")[:_CONTACTS]
    chosen = {frames[0], frames[len(frames) // 2], frames[-1]} | {frames[int(k)] for k in strongest}
    return sorted(chosen)
