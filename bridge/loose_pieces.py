# SPDX-License-Identifier: GPL-3.0-or-later
"""Where loose pieces on and behind the skin are looked for: in the head's own mesh and in objects near it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RigError, SurfaceError
from ..sim.geometry.surface import Surface
from .meshes import to_world
from .modifiers import check_stack, tracked_state
from .rig import Rig, scene_object
from .surfaces import SurfaceReader, evaluated_object

_FAR = 0.03  # [m] around the head's box in which pieces are looked for, see `sim.attachments`
# Modifiers that carry an object along with whatever its target does: it follows the result already.
_FOLLOWING = {"DATA_TRANSFER", "MESH_DEFORM", "SHRINKWRAP", "SURFACE_DEFORM"}


def skin_and_loose(
    scene: Any, rig: Rig, reader: SurfaceReader, head: Surface, triangles_of: Callable[[Any], NDArray[np.int32]]
) -> tuple[NDArray[np.int32], Iterator[tuple[Any, Surface, NDArray[np.integer]]]]:
    """The triangles of the head's main part, and all else: object, surface at the neutral frame [m], and the vertices
    of the object that it has; first what is loose in the head's own mesh.

    reader: open, having read the neutral frame just now; head: of that frame; triangles_of: an object's triangles.
    """
    from ..sim.geometry.mending import main_part, mend

    mended = mend(head.vertices, head.triangles)
    main = main_part(head.vertices, mended.triangles)
    rest = Surface(head.vertices, head.triangles[mended.kept[~main]])

    def loose() -> Iterator[tuple[Any, Surface, NDArray[np.integer]]]:
        yield scene_object(rig.head.object_name), rest, rig.head.indices
        others = list(_nearby_objects(scene, rig, reader.view_layer, head.vertices))
        scene.frame_set(rig.neutral_frame)
        with tracked_state(scene, reader.view_layer, others):
            for obj in others:
                count = len(obj.data.vertices)
                try:
                    state = evaluated_object(obj, reader.view_layer.depsgraph, rig.scale, count, rig.neutral_frame)
                except SurfaceError:
                    continue  # geometry nodes make it something else: it cannot be followed
                surface = Surface(to_world(state.positions, state.matrix), triangles_of(obj), obj.name)
                yield obj, surface, np.arange(count)

    return mended.triangles[main], loose()


def _nearby_objects(scene: Any, rig: Rig, view_layer: Any, head: NDArray) -> Iterator[Any]:
    """Mesh objects that are shown near the head (n, 3) [m], have no role, and can be followed."""
    roles = {p.object_name for p in (*rig.moving, rig.jaw, rig.cranium) if p is not None}
    low, high = head.min(axis=0) - _FAR, head.max(axis=0) + _FAR
    for obj in scene.objects:
        shown = not obj.hide_render and obj.type == "MESH" and view_layer.objects.get(obj.name) is not None
        if not shown or obj.name in roles or obj.name.startswith("NePHIM") or obj.library is not None:
            continue
        if _follows(obj, rig.head.object_name):
            continue
        box = np.array([obj.matrix_world @ corner for corner in map(_vector, _evaluated_box(obj, view_layer))])
        if (rig.scale * box.min(axis=0) > high).any() or (rig.scale * box.max(axis=0) < low).any():
            continue
        try:
            check_stack(obj)
        except RigError:
            continue  # its vertices cannot be followed
        yield obj


def _vector(corner: Any) -> Any:
    from mathutils import Vector

    return Vector(corner)


def _evaluated_box(obj: Any, view_layer: Any) -> Any:
    return obj.evaluated_get(view_layer.depsgraph).bound_box


def _follows(obj: Any, head: str) -> bool:
    """Whether an object follows the head's evaluated vertices by itself."""
    if obj.parent is not None and obj.parent.name == head and obj.parent_type in ("VERTEX", "VERTEX_3"):
        return True
    targets = [getattr(m, "target", None) or getattr(m, "object", None) for m in obj.modifiers if m.type in _FOLLOWING]
    return any(target is not None and target.name == head for target in targets)
