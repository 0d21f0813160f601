# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes, teeth, gums and tongue in the scene, which skin is kept off: found at the neutral frame, then read in each."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.surface import Surface
from .cache.manifest import fingerprint
from .loose_pieces import skin_and_loose
from .meshes import group_weights, outward_triangles
from .modifiers import after_rig
from .pieces import Kind, is_behind, is_on_skin, material_name, remember, unticked, vertex_slots
from .rig import GROUP_THRESHOLD, Part, Rig, scene_object
from .surfaces import NeutralSurfaces, ObjectState, SurfaceReader

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..sim.geometry.triangle_bvh import TriangleTree
    from ..sim.template import Teeth, Template

# Called after eye or mouth, but no obstacle: what lies around it, covers it, or moves it.
_AROUND = re.compile(r"lid|wear|glass|patch|socket|shell|edge|highlight|target|ctrl|control|bag|cavity|throat|saliva")
_ELSEWHERE = re.compile(r"hair|beard|mou?stache|(?<![a-z])fur|cloth|helmet|pierc|earring")


@dataclass(frozen=True)
class Obstacles:
    """All that skin is kept off. found: also what is not by choice; parts: of objects, to be read in each frame;
    surface: of all parts together at the neutral frame, None without any; teeth: of the volume's skull, None where it
    has none in the mouth, where the character has its own, or by choice."""

    found: tuple[Kind, ...] = ()
    parts: tuple[Part, ...] = ()
    surface: Surface | None = None
    teeth: "Teeth | None" = None

    def fingerprint(self) -> str:
        """Changes with what is kept off; empty without any."""
        values: list = [value for part in self.parts for value in (part.n_vertices, part.indices, part.triangles)]
        if self.teeth is not None:
            values += [self.teeth.vertices, self.teeth.triangles]
        return fingerprint(values) if values else ""


@dataclass(frozen=True)
class Refined:
    """An object with obstacles that modifiers refine after its rig: the preview reads it without them, and shows a copy
    that has them."""

    object_name: str
    n_vertices: int

    def positions(self, state: ObjectState, _tracked: NDArray, _skin: NDArray) -> NDArray[np.float32]:
        """Where its vertices go, (n_vertices, 3): where its own animation puts them."""
        return state.positions


def refined_objects(scene: Any, view_layer: Any, parts: tuple[Part, ...], others: Collection[str]) -> list[Refined]:
    """The visible objects of `parts` that are to be shown as copies, without those named by `others` and the head."""
    counts = {part.object_name: part.n_vertices for part in parts}
    objects = ((scene_object(name), count) for name, count in counts.items())
    return [
        Refined(obj.name, count)
        for obj, count in objects
        if obj.name not in others
        and obj != scene.nephim.head
        and after_rig(obj)
        and obj.visible_get(view_layer=view_layer)
    ]


def find_obstacles(
    scene: Any, rig: Rig, reader: SurfaceReader, surfaces: NeutralSurfaces, template: "Template"
) -> Obstacles:
    """Looks for them, and keeps the list in the scene's settings; the reader reads them from now on.

    reader: open; surfaces: of the neutral frame; template: the volume.
    """
    from ..sim.geometry.triangle_bvh import TriangleTree
    from ..sim.volume.teeth import are_teeth

    head, left = surfaces.head, unticked(scene.nephim.obstacles, "kept_off")
    main, loose = skin_and_loose(scene, rig, reader, head, outward_triangles)
    tree = TriangleTree(head.vertices, main)
    found: list[Kind] = []
    pieces: list[Surface] = []
    parts: list[tuple[Part, NDArray]] = []
    for obj, surface, indices in loose:
        # A head may be called after all that it contains.
        name = "" if obj.name == rig.head.object_name else f"{obj.name} {obj.data.name}"
        parts += _look(obj, surface, indices, name, tree, left, found, pieces)
    remember(scene.nephim.obstacles, found, "kept_off")
    teeth = template.teeth if scene.nephim.skull_teeth else None
    if teeth is not None and are_teeth(pieces, teeth):
        teeth = None
    obstacles = Obstacles(tuple(found), tuple(part for part, _ in parts), _together(parts), teeth)
    reader.follow(obstacles.parts)
    return obstacles


def _look(
    obj: Any,
    surface: Surface,
    indices: NDArray,
    name: str,
    head: "TriangleTree",
    left: tuple[tuple[str, str], ...],
    found: list[Kind],
    pieces: list[Surface],
) -> list[tuple[Part, NDArray[np.float64]]]:
    """The part of an object that skin is kept off, with its vertices, if there is one; adds to what was found, with its
    surface.

    indices: (n,) the vertices of `obj` that the surface has; name: what all of them are called.
    """
    from ..sim.obstacle_pieces import obstacle_pieces

    if not len(surface.triangles) or not np.isfinite(surface.vertices).all():
        return []
    slots = vertex_slots(obj)[indices]
    named, other = _named(obj, name, slots, indices)
    piece, triangles = obstacle_pieces(surface, head, named, other)
    if not len(triangles):
        return []
    pieces.append(Surface(surface.vertices, triangles, obj.name))
    numbers, first = np.unique(piece, return_index=True)
    slot_of = np.where(numbers >= 0, slots[first], -1)  # a piece is of one kind
    used = np.zeros(len(piece), bool)
    for slot in np.unique(slot_of[numbers >= 0]):
        own = np.isin(piece, numbers[slot_of == slot])
        material = material_name(obj, slot)
        found.append(Kind(obj.name, material, int((slot_of == slot).sum()), int(own.sum())))
        used |= own & ((obj.name, material) not in left and (obj.name, "") not in left)
    triangles = triangles[used[triangles[:, 0]]]
    if not len(triangles):
        return []
    rows, local = np.unique(triangles, return_inverse=True)
    local = local.reshape(-1, 3).astype(np.int32)
    part = Part(obj.name, "", indices[rows].astype(np.int32), local, len(obj.data.vertices))
    return [(part, surface.vertices[rows])]


def _named(obj: Any, name: str, slots: NDArray, indices: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Vertices (n,) whose object and material, or bone, is called an obstacle; and those that are called otherwise."""
    named, other = np.zeros(len(slots), bool), np.zeros(len(slots), bool)
    for slot in np.unique(slots):
        material = obj.material_slots[slot].material if slot < len(obj.material_slots) else None
        called = f"{name} {material.name if material is not None else ''}".lower()
        own = slots == slot
        named |= own & _is_obstacle(called)
        other |= own & (is_on_skin(called) or any(bool(kind.search(called)) for kind in (_AROUND, _ELSEWHERE)))
    if obj.parent is not None and obj.parent_type == "BONE" and _is_obstacle(obj.parent_bone):
        named |= ~other
    for group in obj.vertex_groups:
        if _is_obstacle(group.name):
            named |= ~other & (group_weights(obj, group.name)[indices] > GROUP_THRESHOLD)
    return named, other


def _is_obstacle(name: str) -> bool:
    return is_behind(name) and not _AROUND.search(name.lower())


def _together(parts: list[tuple[Part, NDArray]]) -> Surface | None:
    if not parts:
        return None
    start = np.cumsum([0, *(len(part.indices) for part, _ in parts)])
    triangles = [part.triangles + first for (part, _), first in zip(parts, start, strict=False)]
    return Surface(np.concatenate([vertices for _, vertices in parts]), np.concatenate(triangles), "eyes and teeth")
