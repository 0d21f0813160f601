# SPDX-License-Identifier: GPL-3.0-or-later
"""Lashes, brows, piercings and the like in the scene: found at the neutral frame, and moved with the simulated skin."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..errors import RigError, SurfaceError
from ..sim.frame import TrackedFrame
from ..sim.geometry.surface import Surface
from .meshes import mesh_triangles, to_world
from .modifiers import check_stack, tracked_state
from .rig import Part, Rig, scene_object
from .surfaces import NeutralSurfaces, ObjectState, SurfaceReader, evaluated_object

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..sim.attachments import Attached, SkinToFollow
    from ..sim.template import Template

# What these names say stands behind lids and lips, however near the skin it lies, unless they say that it is on them.
_BEHIND = re.compile(r"(?<![a-z])eyes?(?![a-z])|eyeball|cornea|sclera|iris|pupil|teeth|tooth|tongue|(?<![a-z])gums?")
_ON_SKIN = re.compile(r"lash|brow|tear|occlusion|meniscus|shadow")
_FAR = 0.03  # [m] around the head's box in which pieces are looked for, see `sim.attachments`
# Modifiers that carry an object along with whatever its target does: it follows the result already.
_FOLLOWING = {"DATA_TRANSFER", "MESH_DEFORM", "SHRINKWRAP", "SURFACE_DEFORM"}


@dataclass(frozen=True)
class Kind:
    """Pieces that are chosen together: those of one material of one object; material: its name, empty if there is only
    one. pieces, vertices: how many."""

    object_name: str
    material: str
    pieces: int
    vertices: int


@dataclass(frozen=True)
class AttachedObject:
    """An object of its own with what hangs on the skin. n_vertices: of the whole object; rows: (k,) of them that do."""

    object_name: str
    n_vertices: int
    rows: NDArray[np.int64]
    binding: "Attached"

    def part(self) -> Part:
        """The whole object, in the place of a head."""
        everything = np.arange(self.n_vertices, dtype=np.int32)
        return Part(self.object_name, "", everything, np.zeros((0, 3), np.int32), self.n_vertices)

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
    from ..sim.geometry.mending import main_part, mend

    head = surfaces.head
    mended = mend(head.vertices, head.triangles)
    main = main_part(head.vertices, mended.triangles)
    skin = SkinToFollow(head.vertices, mended.triangles[main], template.outer[: len(head.vertices)])
    left = left_behind(scene)
    found: list[Kind] = []

    rest = Surface(head.vertices, head.triangles[mended.kept[~main]])
    rows, binding = _look(scene_object(rig.head.object_name), rest, rig.head.indices, skin, left, found)
    in_head = None if binding is None else (rows, binding)
    objects = []
    others = list(_candidates(scene, rig, reader.view_layer, head.vertices))
    scene.frame_set(rig.neutral_frame)
    with tracked_state(scene, reader.view_layer, others):
        for obj in others:
            count = len(obj.data.vertices)
            try:
                state = evaluated_object(obj, reader.view_layer.depsgraph, rig.scale, count, rig.neutral_frame)
            except SurfaceError:
                continue  # geometry nodes make it something else: it cannot be followed
            surface = Surface(to_world(state.positions, state.matrix), mesh_triangles(obj.data), obj.name)
            rows, binding = _look(obj, surface, np.arange(count), skin, left, found)
            if binding is not None:
                objects.append(AttachedObject(obj.name, count, rows, binding))
    _remember(scene, found)
    return Attachments(tuple(found), in_head, tuple(objects))


def left_behind(scene: Any) -> tuple[tuple[str, str], ...]:
    """Object and material of what the user does not want carried, sorted; an empty material stands for all."""
    items = scene.nephim.attachments
    return tuple(sorted((item.owner.name, item.material) for item in items if item.owner and not item.carried))


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
    slot = _slots(obj)[indices[attached.rows]]
    _, first = np.unique(attached.piece, return_index=True)
    slot = slot[first][np.searchsorted(attached.piece[first], attached.piece)]  # a piece is of one kind
    stays = np.zeros(len(surface.vertices), bool)
    for number in np.unique(slot):
        own = slot == number
        material = _material(obj, number)
        name = f"{obj.name} {material}".lower()
        if _BEHIND.search(name) and not _ON_SKIN.search(name):
            stays[attached.rows[own]] = True
            continue
        found.append(Kind(obj.name, material, len(np.unique(attached.piece[own])), int(own.sum())))
        stays[attached.rows[own]] = (obj.name, material) in left or (obj.name, "") in left
    if stays[attached.rows].any():
        carried = ~stays[surface.triangles].any(axis=1)
        attached = Attached(Surface(surface.vertices, surface.triangles[carried]), skin)
    return attached.rows, attached if attached.pieces else None


def _slots(obj: Any) -> NDArray[np.int32]:
    """The material slot (n,) of each vertex: that of its last face."""
    mesh = obj.data
    triangles, slots = mesh_triangles(mesh), np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("material_index", slots)
    of_vertex = np.zeros(len(mesh.vertices), np.int32)
    of_vertex[triangles] = slots[:, None]
    return of_vertex


def _material(obj: Any, slot: int) -> str:
    slots = obj.material_slots
    if len(slots) < 2 or slot >= len(slots) or slots[slot].material is None:
        return ""
    return str(slots[slot].material.name)


def _candidates(scene: Any, rig: Rig, view_layer: Any, head: NDArray) -> Iterator[Any]:
    """Mesh objects that are shown near the head, have no role, and can be followed."""
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


def _remember(scene: Any, found: list[Kind]) -> None:
    """Lists what was found in the settings; what the user has chosen stays chosen."""
    items = scene.nephim.attachments
    left = left_behind(scene)
    kinds: dict[tuple[str, str], Kind] = {}
    for kind in found:
        key = (kind.object_name, "" if (kind.object_name, "") in left else kind.material)
        one = kinds.get(key, Kind(*key, 0, 0))
        kinds[key] = Kind(*key, one.pieces + kind.pieces, one.vertices + kind.vertices)
    for number in reversed(range(len(items))):
        item = items[number]
        key = (item.owner.name, item.material) if item.owner is not None else ("", "")
        if key in kinds:
            kind = kinds.pop(key)
            item.pieces, item.vertices = kind.pieces, kind.vertices
        elif item.owner is None or item.carried:
            items.remove(number)
        else:  # left behind before it was found
            item.pieces = item.vertices = 0
    for (name, material), kind in kinds.items():
        item = items.add()
        item.owner, item.material = bpy.data.objects[name], material
        item.pieces, item.vertices = kind.pieces, kind.vertices
