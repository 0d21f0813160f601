# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds head, hands and bones of a character: in the skeletons that move its meshes, then by the names of objects.

The shape of a skeleton comes first (`skeleton.py`), then what its bones are called (`rig_names.py`); `roles.py` joins
both. Meshes without a skeleton are known by their own names, faces by ARKit's expressions, hands by their fingers.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RigError
from .hand_shape import hands_by_shape
from .meshes import matrix_array, mesh_positions, to_world
from .rig import GROUP_THRESHOLD
from .rig_names import (
    ENOUGH_EXPRESSIONS,
    FACE,
    HAND,
    HEAD,
    LEFT,
    RIGHT,
    count_expressions,
    is_no_skin,
    is_worn,
    read_name,
)
from .roles import Roles, roles_of
from .skeleton import Bone

GROUPS = {HEAD: "NePHIM Head", LEFT: "NePHIM Hand.L", RIGHT: "NePHIM Hand.R"}
_WHOLE = 0.95  # a mesh that belongs to the part by at least this fraction is the part as a whole
_SKULL = 0.2  # a head is more than neck by at least this fraction of its vertices; the demo's is by four fifths
_ABOVE_NECK = "above the neck"
_NAMED = 4  # objects that a message names; of more it gives the number


@dataclass(frozen=True)
class FoundPart:
    """A mesh object; vertices: (k,) of the part, None for the whole object."""

    obj: Any
    vertices: NDArray[np.intp] | None = None

    @property
    def count(self) -> int:
        return len(self.obj.data.vertices) if self.vertices is None else len(self.vertices)


@dataclass(frozen=True)
class Found:
    """What was recognised; None where nothing was. Bones are (armature object, bone name)."""

    head: FoundPart | None
    left: FoundPart | None
    right: FoundPart | None
    head_bone: tuple[Any, str] | None
    jaw_bone: tuple[Any, str] | None


@dataclass
class _Mesh:
    """A mesh and the skeleton that moves it. shares: (n,) of each role, and of the head without its neck, in the weight
    of each vertex."""

    obj: Any
    rig: Any
    roles: Roles | None = None
    shares: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def part(self, role: str) -> FoundPart | None:
        if role not in self.shares:
            return None
        mask = self.shares[role] > GROUP_THRESHOLD
        # A body whose head is an object of its own ends in a neck, which is no head.
        above = self.shares.get(_ABOVE_NECK)
        skull = None if above is None else above[mask] > GROUP_THRESHOLD
        if not mask.any() or (role == HEAD and (skull is None or skull.mean() < _SKULL)):
            return None
        return FoundPart(self.obj, None if mask.sum() >= _WHOLE * len(mask) else np.flatnonzero(mask))


def recognise(objects: Iterable[Any], others: Iterable[Any] = ()) -> Found:
    """Searches these objects and the armatures that move them; what is missing is sought among the others.

    Raises RigError, which says what was looked at, if there is no head or no hand.
    """
    chosen = _meshes(objects)
    rest = [obj for obj in _meshes(others) if obj not in chosen]
    read = _read(chosen)
    head, left, right = _search(read, ())
    if rest and None in (head, left, right):
        read = _read([*chosen, *rest])
        head, left, right = _search(read, rest)
    if head is None:
        raise RigError(
            f"No head was found. {_looked_at(chosen, rest)} No bone is known as a head by its shape or name.",
            advice="Select the character's meshes and press Find for Me again, or choose head and hands yourself.",
        )
    if left is None and right is None:
        raise _no_hand(head, chosen, rest, read)
    roles = next(mesh.roles for mesh in read if mesh.obj == head.obj)
    rig = armature_of(head.obj)
    names = (None, None) if roles is None else (roles.head, roles.jaw)
    head_bone, jaw_bone = (None if name is None else (rig, name) for name in names)
    return Found(head, left, right, head_bone, jaw_bone)


def _search(read: list[_Mesh], rest: Collection[Any]) -> tuple[FoundPart | None, ...]:
    """Head, left and right hand, if they are there: those that are not among `rest` first."""
    far = _skin([mesh for mesh in read if mesh.obj in rest])
    near = _skin([mesh for mesh in read if mesh.obj not in rest])
    head = _best_head(near) or _best_head(far)
    if head is None:
        return None, None, None
    left, right = _hands(head, _like(head.obj, near))
    if left is None or right is None:
        mine = _like(head.obj, far)
        # One hand is enough: the other is completed by the same person's, not by somebody else's.
        more = _hands(head, mine if left is right else mine[: len(mine) // 2])
        left, right = left or more[0], right or more[1]
    return head, left, right


def armature_of(mesh: Any) -> Any:
    """The armature object that deforms a mesh object, or None."""
    for modifier in mesh.modifiers:
        if modifier.type == "ARMATURE" and modifier.object is not None:
            return modifier.object
    return mesh.parent if mesh.parent is not None and mesh.parent.type == "ARMATURE" else None


def write_group(part: FoundPart, role: str) -> str:
    """Makes the part a vertex group of its object, replacing an earlier one; returns its name, '' for the whole."""
    if part.vertices is None:
        return ""
    groups = part.obj.vertex_groups
    old = groups.get(GROUPS[role])
    if old is not None:
        groups.remove(old)
    groups.new(name=GROUPS[role]).add(part.vertices.tolist(), 1.0, "REPLACE")
    return GROUPS[role]


# Reading


def _meshes(objects: Iterable[Any]) -> list[Any]:
    return [obj for obj in objects if obj.type == "MESH" and len(obj.data.polygons)]


def _read(objects: Sequence[Any]) -> list[_Mesh]:
    """Meshes with the roles of their vertices. A skeleton is read once, with the weights of all that it moves."""
    meshes = [_Mesh(obj, armature_of(obj)) for obj in objects]
    for rig in dict.fromkeys(mesh.rig for mesh in meshes if mesh.rig is not None):
        mine = [mesh for mesh in meshes if mesh.rig == rig]
        weights = [skin_weights(mesh.obj, rig) for mesh in mine]
        weighted = {bone for each in weights for bone in each.bones}
        roles = roles_of(rest_bones(rig), weighted or None)
        for mesh, each in zip(mine, weights, strict=True):
            mesh.roles = roles
            mesh.shares = each.shares(roles.parts) | each.shares(dict.fromkeys(roles.skull, _ABOVE_NECK))
    return meshes


def rest_bones(rig: Any) -> list[Bone]:
    """The rest bones of an armature object, in world space."""
    place = rig.matrix_world
    return [
        Bone(
            bone.name,
            bone.parent.name if bone.parent is not None else None,
            np.array(place @ bone.head_local, np.float64),
            np.array(place @ bone.tail_local, np.float64),
            bone.use_deform,
        )
        for bone in rig.data.bones
    ]


@dataclass(frozen=True)
class SkinWeights:
    """bones: those that move vertices; of (m,) entries: the vertex, the number of its bone, the weight."""

    bones: list[str]
    vertex: NDArray[np.intp]
    bone: NDArray[np.intp]
    weight: NDArray[np.float64]
    count: int

    def shares(self, parts: dict[str, str]) -> dict[str, NDArray[np.float64]]:
        """The share (count,) of each role in the weights of each vertex."""
        total = np.bincount(self.vertex, self.weight, self.count)
        found = {}
        for role in set(parts.values()):
            mine = np.array([parts.get(bone) == role for bone in self.bones], bool)[self.bone]
            sums = np.bincount(self.vertex[mine], self.weight[mine], self.count)
            if sums.any():
                found[role] = np.divide(sums, total, out=np.zeros(self.count), where=total > 0)
        return found


def skin_weights(obj: Any, rig: Any) -> SkinWeights:
    """The weights of the rig's deforming bones; an object that hangs on a bone as a whole moves with it alone."""
    count = len(obj.data.vertices)
    if obj.parent == rig and obj.parent_type == "BONE" and obj.parent_bone in rig.data.bones:
        return SkinWeights([obj.parent_bone], np.arange(count), np.zeros(count, np.intp), np.ones(count), count)
    deforming = {bone.name for bone in rig.data.bones if bone.use_deform}
    groups = {group.index: group.name for group in obj.vertex_groups if group.name in deforming}
    numbers = {index: number for number, index in enumerate(groups)}
    entries = [
        (vertex.index, numbers[element.group], element.weight)
        for vertex in obj.data.vertices
        for element in vertex.groups
        if element.group in numbers and element.weight > 0
    ]
    table = np.array(entries, np.float64).reshape(-1, 3)
    numbered = table[:, 1].astype(np.intp)
    used = np.unique(numbered)
    names = list(groups.values())
    return SkinWeights(
        [names[number] for number in used],
        table[:, 0].astype(np.intp),
        np.searchsorted(used, numbered),
        table[:, 2],
        count,
    )


def _skin(meshes: list[_Mesh]) -> list[list[_Mesh]]:
    """Groups of meshes, to be searched one after another: skin, what is worn over it, and last eyes, teeth and hair."""
    inside = [mesh for mesh in meshes if is_no_skin(mesh.obj.name)]
    worn = [mesh for mesh in meshes if mesh not in inside and is_worn(mesh.obj.name)]
    skin = [mesh for mesh in meshes if mesh not in inside and mesh not in worn]
    return [skin, worn] if skin or worn else [inside]


# Choosing


def _largest(parts: Iterable[FoundPart | None]) -> FoundPart | None:
    return max((part for part in parts if part is not None), key=lambda part: part.count, default=None)


def _best_head(tiers: list[list[_Mesh]]) -> FoundPart | None:
    """The mesh with most of the head: by its skeleton, else by its own name, else by its expressions."""
    for meshes in tiers:
        named = [FoundPart(mesh.obj) for mesh in meshes if read_name(mesh.obj.name, True).part in (HEAD, FACE)]
        faces = [FoundPart(mesh.obj) for mesh in meshes if _has_expressions(mesh.obj)]
        found = _largest(mesh.part(HEAD) for mesh in meshes) or _largest(named) or _largest(faces)
        if found is not None:
            return found
    return None


def _hands(head: FoundPart, tiers: list[list[_Mesh]]) -> tuple[FoundPart | None, FoundPart | None]:
    """The left and the right hand: by skeletons, else by the names of objects, else by their own shapes; never the head
    itself as a whole."""
    hands: dict[str, FoundPart | None] = {LEFT: None, RIGHT: None}
    for meshes in tiers:
        for side in hands:
            hands[side] = hands[side] or _largest(mesh.part(side) for mesh in meshes)
    loose = [part for meshes in tiers for mesh in meshes if (part := _loose_hand(mesh)) and part.obj != head.obj]
    for part in sorted(loose, key=lambda part: -part.count):
        called = _side_of_object(part.obj)
        if called is not None:
            hands[called] = hands[called] or part
    open_ones = [part for part in loose if _side_of_object(part.obj) is None]
    if not loose and hands[LEFT] is hands[RIGHT]:
        bare = [mesh.obj for meshes in tiers for mesh in meshes if not mesh.shares and mesh.obj != head.obj]
        open_ones = [FoundPart(obj) for obj in hands_by_shape(head.obj, bare)]
    _by_place(head, hands, sorted(open_ones, key=lambda part: -part.count)[:2])
    return hands[LEFT], hands[RIGHT]


def _loose_hand(mesh: _Mesh) -> FoundPart | None:
    """A hand of which the skeleton does not tell the side, or a mesh that is called a hand."""
    part = mesh.part(HAND)
    if part is None and not {LEFT, RIGHT} & mesh.shares.keys() and read_name(mesh.obj.name, True).part == HAND:
        return FoundPart(mesh.obj)
    return part


def _side_of_object(obj: Any) -> str | None:
    """The side that the names of a mesh, its data, and what it hangs on agree to call it."""
    rig = armature_of(obj)
    owners = [obj, rig, obj.parent, obj.data, rig.data if rig is not None else None, *obj.users_collection]
    sides = [read_name(owner.name, True).side for owner in owners if owner is not None]
    return next((side for side in sides if side is not None), None)


def _by_place(head: FoundPart, hands: dict[str, FoundPart | None], parts: list[FoundPart]) -> None:
    """Gives hands without a side to those sides that are free: the person's left is +x for one who looks along -y."""
    free = [side for side in hands if hands[side] is None]
    if not parts or not free:
        return
    rig = armature_of(head.obj)
    left = _left_of(head, rig)
    across = [float((_middle(part) - _middle(head)) @ left) for part in parts]
    if len(free) == 1:
        hands[free[0]] = parts[0]
    elif len(parts) == 1:
        hands[LEFT if across[0] >= 0 else RIGHT] = parts[0]
    else:
        first = int(across[1] > across[0])
        hands[LEFT], hands[RIGHT] = parts[first], parts[1 - first]


def _left_of(head: FoundPart, rig: Any) -> NDArray[np.float64]:
    """The direction of the person's left, in the world: as the skeleton says, else the head object's own x."""
    if rig is None:
        return matrix_array(head.obj.matrix_world)[:3, 0]
    return roles_of(rest_bones(rig)).left


def _middle(part: FoundPart) -> NDArray[np.float64]:
    points = mesh_positions(part.obj.data)
    middle = (points if part.vertices is None else points[part.vertices]).mean(axis=0)
    return to_world(middle[None], matrix_array(part.obj.matrix_world))[0]


def _like(obj: Any, tiers: list[list[_Mesh]]) -> list[list[_Mesh]]:
    """The same meshes, those of the same character before others: a scene may hold several people."""
    mine = (armature_of(obj), _root(obj))

    def related(mesh: _Mesh) -> bool:
        return (mesh.rig is not None and mesh.rig == mine[0]) or _root(mesh.obj) == mine[1]

    return [[mesh for mesh in meshes if related(mesh) == wanted] for wanted in (True, False) for meshes in tiers]


def _root(obj: Any) -> Any:
    while obj.parent is not None:
        obj = obj.parent
    return obj


def _has_expressions(obj: Any) -> bool:
    keys = obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()
    return count_expressions([key.name for key in keys]) >= ENOUGH_EXPRESSIONS


# Saying


def _listed(objects: Sequence[Any]) -> str:
    shown = ", ".join(f"'{obj.name}'" for obj in objects[:_NAMED])
    return shown + (f" and {len(objects) - _NAMED} more" if len(objects) > _NAMED else "")


def _looked_at(chosen: Sequence[Any], rest: Sequence[Any]) -> str:
    """'Looked at the meshes 'Body', 'Eyes', then at 'Table', which is also visible.'"""
    if not chosen and not rest:
        return "There is no visible mesh."
    if not chosen or not rest:
        return f"Looked at {_listed(chosen or rest)}."
    return f"Looked at {_listed(chosen)}, then at what else is visible: {_listed(rest)}."


def _no_hand(head: FoundPart, chosen: Sequence[Any], rest: Sequence[Any], read: list[_Mesh]) -> RigError:
    rigs = list(dict.fromkeys(mesh.rig for mesh in read if mesh.rig is not None))
    animals = list(dict.fromkeys(mesh.rig for mesh in read if mesh.roles is not None and mesh.roles.animal))
    handed = list(dict.fromkeys(mesh.rig for mesh in read if mesh.roles is not None and mesh.roles.has_hand()))
    if animals:
        why = f"{_listed(animals)} stands on four legs, and paws are not taken for hands."
    elif handed:
        why = f"{_listed(handed)} has bones of hands, but no vertex of these meshes follows them by more than half."
    elif rigs:
        why = f"{_listed(rigs)} has no bones from which fingers branch off, and none called hand or wrist."
    else:
        why = "No armature moves them, and none is called a hand."
    what = "the whole mesh" if head.vertices is None else f"{head.count} of its vertices"
    return RigError(
        f"This is the head ({what}), but no hand was found. {_looked_at(chosen, rest)} {why}",
        object=head.obj.name,
        advice="Make the hands visible and press Find for Me again, or choose at least one hand yourself.",
    )
