# SPDX-License-Identifier: GPL-3.0-or-later
"""Lashes, brows, piercings and the like in the scene: found at the neutral frame, and moved with the simulated skin."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sim.frame import TrackedFrame
from ..sim.geometry.surface import Surface
from .loose_pieces import skin_and_loose
from .meshes import mesh_triangles, to_world
from .pieces import Kind, is_behind, material_name, remember, unticked, vertex_slots
from .rig import Rig
from .surfaces import NeutralSurfaces, ObjectState, SurfaceReader

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..sim.attachments import Attached, SkinToFollow
    from ..sim.template import Template


@dataclass(frozen=True)
class AttachedObject:
    """An object of its own with what hangs on the skin. n_vertices: of the whole object; rows: (k,) of them that do."""

    object_name: str
    n_vertices: int
    rows: NDArray[np.int64]
    binding: "Attached"

    def positions(self, state: ObjectState, tracked: NDArray, skin: NDArray) -> NDArray[np.float32]:
        """Where the object's vertices go, (n_vertices, 3), object space, Blender units.

        state: where its own animation puts them; tracked, skin: (n_head, 3) world [m].
        """
        points = to_world(state.positions[self.rows], state.matrix)
        moved = self.binding.displacement(points, tracked, skin) @ np.linalg.inv(state.matrix[:3, :3]).T
        positions = state.positions.copy()
        positions[self.rows] += moved.astype(np.float32)
        return positions


@dataclass(frozen=True)
class Attachments:
    """All that hangs on the skin of a head. found: also what is left behind by choice; in_head: rows (k,) of the head's
    part that belong to it, with their binding; objects: those that have some."""

    found: tuple[Kind, ...]
    in_head: tuple[NDArray[np.int64], "Attached"] | None
    objects: tuple[AttachedObject, ...]

    def carry(self, tracked: TrackedFrame, skin: NDArray[np.float32]) -> NDArray[np.float32]:
        """The simulated skin (n_skin, 3) with the pieces of the head's own mesh moved along."""
        if self.in_head is None:
            return skin
        rows, binding = self.in_head
        points = tracked.head[rows].astype(np.float64)
        carried = skin.copy()
        moved = binding.displacement(points, tracked.head, skin[: len(tracked.head)])
        carried[rows] = (points + moved).astype(np.float32)
        return carried


NOTHING = Attachments((), None, ())


def find_attachments(
    scene: Any, rig: Rig, reader: SurfaceReader, surfaces: NeutralSurfaces, template: "Template"
) -> Attachments:
    """Looks for what hangs on the head's skin, and keeps the list in the scene's settings.

    reader: open, having read the neutral frame just now; surfaces: of that frame.
    """
    from ..sim.attachments import SkinToFollow

    head, left = surfaces.head, left_behind(scene)
    main, loose = skin_and_loose(scene, rig, reader, head, lambda obj: mesh_triangles(obj.data))
    skin = SkinToFollow(head.vertices, main, template.outer[: len(head.vertices)])
    found: list[Kind] = []
    in_head, objects = None, []
    for obj, surface, indices in loose:
        rows, binding = _look(obj, surface, indices, skin, left, found)
        if binding is None:
            continue
        if obj.name == rig.head.object_name:
            in_head = (rows, binding)
        else:
            objects.append(AttachedObject(obj.name, len(indices), rows, binding))
    remember(scene.nephim.attachments, found, "carried")
    return Attachments(tuple(found), in_head, tuple(objects))


def left_behind(scene: Any) -> tuple[tuple[str, str], ...]:
    """Object and material of what the user does not want carried, sorted; an empty material stands for all."""
    return unticked(scene.nephim.attachments, "carried")


def _look(
    obj: Any,
    surface: Surface,
    indices: NDArray,
    skin: "SkinToFollow",
    left: tuple[tuple[str, str], ...],
    found: list[Kind],
) -> tuple[NDArray[np.int64], "Attached | None"]:
    """Rows (k,) of `surface` that are carried, and their binding; adds to what was found.

    indices: (n,) the vertices of `obj` that the surface has.
    """
    from ..sim.attachments import Attached

    if not len(surface.triangles) or not np.isfinite(surface.vertices).all():
        return np.zeros(0, np.int64), None
    attached = Attached(surface, skin)
    if not attached.pieces:
        return attached.rows, None
    slot = vertex_slots(obj)[indices[attached.rows]]
    _, first = np.unique(attached.piece, return_index=True)
    slot = slot[first][np.searchsorted(attached.piece[first], attached.piece)]  # a piece is of one kind
    stays = np.zeros(len(surface.vertices), bool)
    for number in np.unique(slot):
        own = slot == number
        material = material_name(obj, number)
        if is_behind(f"{obj.name} {material}"):
            stays[attached.rows[own]] = True
            continue
        found.append(Kind(obj.name, material, len(np.unique(attached.piece[own])), int(own.sum())))
        stays[attached.rows[own]] = (obj.name, material) in left or (obj.name, "") in left
    if stays[attached.rows].any():
        carried = ~stays[surface.triangles].any(axis=1)
        attached = Attached(Surface(surface.vertices, surface.triangles[carried]), skin)
    return attached.rows, attached if attached.pieces else None
