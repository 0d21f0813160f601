# SPDX-License-Identifier: GPL-3.0-or-later
"""Loose pieces on and behind the skin, by object and material: what names say, and how they are listed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .meshes import mesh_triangles

# What these names say stands behind lids and lips, however near the skin it lies, unless they say that it is on them.
_BEHIND = re.compile(r"(?<![a-z])eyes?(?![a-z])|eyeball|cornea|sclera|iris|pupil|teeth|tooth|tongue|(?<![a-z])gums?")
_ON_SKIN = re.compile(r"lash|brow|tear|occlusion|meniscus|shadow")


@dataclass(frozen=True)
class Kind:
    """Pieces that are chosen together: those of one material of one object; material: its name, empty if there is only
    one. pieces, vertices: how many."""

    object_name: str
    material: str
    pieces: int
    vertices: int


def is_behind(name: str) -> bool:
    """Whether a name says that something stands behind lids or lips."""
    return bool(_BEHIND.search(name.lower())) and not is_on_skin(name)


def is_on_skin(name: str) -> bool:
    """Whether a name says that something lies on lids or brows, though it may be called after the eye."""
    return bool(_ON_SKIN.search(name.lower()))


def vertex_slots(obj: Any) -> NDArray[np.int32]:
    """The material slot (n,) of each vertex: that of its last face."""
    mesh = obj.data
    triangles, slots = mesh_triangles(mesh), np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("material_index", slots)
    of_vertex = np.zeros(len(mesh.vertices), np.int32)
    of_vertex[triangles] = slots[:, None]
    return of_vertex


def material_name(obj: Any, slot: int) -> str:
    """Of a slot, empty where the object has no choice of materials."""
    slots = obj.material_slots
    if len(slots) < 2 or slot >= len(slots) or slots[slot].material is None:
        return ""
    return str(slots[slot].material.name)


def unticked(items: Any, tick: str) -> tuple[tuple[str, str], ...]:
    """Object and material of what the user does not want, sorted; an empty material stands for all. tick: the
    property of an item that says so."""
    return tuple(sorted((item.owner.name, item.material) for item in items if item.owner and not getattr(item, tick)))


def remember(items: Any, found: Sequence[Kind], tick: str) -> None:
    """Lists what was found in the settings; what the user has chosen stays chosen."""
    left = unticked(items, tick)
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
        elif item.owner is None or getattr(item, tick):
            items.remove(number)
        else:  # left out before it was found
            item.pieces = item.vertices = 0
    for (name, material), kind in kinds.items():
        item = items.add()
        item.owner, item.material = bpy.data.objects[name], material
        item.pieces, item.vertices = kind.pieces, kind.vertices


def untick(items: Any, chosen: Sequence[tuple[Any, str]], tick: str) -> None:
    """Leaves out these objects with materials, and nothing else; *Build Volume* lists again what it finds."""
    items.clear()
    for obj, material in chosen:
        item = items.add()
        item.owner, item.material = obj, material if len(obj.material_slots) > 1 else ""
        setattr(item, tick, False)
