# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds head, hands and bones of a character by the names of bones and shape keys in common rigs.

Known: MakeHuman, MPFB and the demo's own rig (head, jaw, wrist.L), Rigify (DEF-spine.006, DEF-jaw, DEF-hand.L),
Mixamo (mixamorig:Head, mixamorig:LeftHand), Unreal and VRM (head, hand_l; J_Bip_C_Head, J_Bip_L_Hand), meshes with
ARKit's expressions, and hands and heads that are separate objects with such names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RigError
from .rig import GROUP_THRESHOLD

GROUPS = {"head": "NePHIM Head", "left": "NePHIM Hand.L", "right": "NePHIM Hand.R"}
# Names without prefixes and separators, in lower case.
_HEAD, _JAW = {"head", "spine006", "face"}, {"jaw", "jawroot", "jawmaster", "lowerjaw", "chin"}
_NECK, _RIGIFY_NECK = re.compile(r"neck(twist)?\d*$"), {"spine004", "spine005"}
_HAND = {
    side: {f"hand{s}", f"{s}hand", f"wrist{s}", f"{s}wrist", f"hand{word}", f"{word}hand", f"{word}wrist"}
    for side, s, word in (("left", "l", "left"), ("right", "r", "right"))
}
_PREFIX = re.compile(r"^(mixamorig\d*[:_]|def-|org-|mch-|bip\d*[ _]|valvebiped\.bip\d*_|cc_base_|j_bip_(?:c_)?)", re.I)
_NO_SKIN = re.compile(r"eye|lash|brow|teeth|tooth|tongue|hair|beard|cloth|glasses|cornea|proxy|helper|coarse", re.I)
_ARKIT = {
    "jawopen", "jawleft", "jawright", "jawforward", "mouthclose", "mouthfunnel", "mouthpucker", "mouthsmileleft",
    "mouthsmileright", "mouthfrownleft", "mouthfrownright", "eyeblinkleft", "eyeblinkright", "browinnerup",
    "browdownleft", "browdownright", "cheekpuff", "nosesneerleft", "nosesneerright", "tongueout",
}  # fmt: skip
_ENOUGH_ARKIT = 5
_WHOLE = 0.95  # a mesh that belongs to the part by at least this fraction is the part as a whole


@dataclass(frozen=True)
class FoundPart:
    """A mesh object; vertices: (k,) of the part, None for the whole object."""

    obj: Any
    vertices: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Found:
    """What was recognised; None where nothing was. Bones are (armature object, bone name)."""

    head: FoundPart | None
    left: FoundPart | None
    right: FoundPart | None
    head_bone: tuple[Any, str] | None
    jaw_bone: tuple[Any, str] | None


def recognise(objects: Iterable[Any]) -> Found:
    """Searches these objects and the armatures that move them. Raises RigError if there is no head or no hand."""
    meshes = [obj for obj in objects if obj.type == "MESH" and len(obj.data.polygons)]
    roles = {mesh: roles_of_bones(_parents(rig)) if (rig := armature_of(mesh)) else {} for mesh in meshes}
    skins = [mesh for mesh in meshes if not _NO_SKIN.search(mesh.name)] or meshes
    parts = {role: _part(role, skins, roles) for role in ("head", "left", "right")}
    if parts["head"] is None:
        raise RigError(
            "No head was recognised among the selected objects.",
            advice="Select the character's meshes and try again, or choose head and hands yourself.",
        )
    if parts["left"] is None and parts["right"] is None:
        raise RigError(
            "No hand was recognised among the selected objects.",
            object=parts["head"].obj.name,
            advice="Select the hands as well and try again, or choose them yourself.",
        )
    rig = armature_of(parts["head"].obj)
    named = _bones(rig) if rig is not None else {}
    head_bone, jaw_bone = (_moving(rig, named.get(role)) for role in ("head", "jaw"))
    return Found(parts["head"], parts["left"], parts["right"], head_bone, jaw_bone)


def plain_name(bone: str) -> str:
    """'mixamorig:LeftHand' → 'lefthand', 'DEF-hand.L' → 'handl', 'J_Bip_L_Hand' → 'lhand'."""
    return re.sub(r"[^a-z0-9]", "", _PREFIX.sub("", bone).lower())


def roles_of_bones(parents: Mapping[str, str | None]) -> dict[str, str]:
    """'head', 'left' or 'right' for every bone of such a part: it, or one of its ancestors, has such a name.

    parents: bone → its parent, or None.
    """
    own = {}
    # The neck belongs to the head: the skin is fixed where the part ends. In Rigify the neck is part of the spine.
    rigify = "spine006" in {plain_name(bone) for bone in parents}
    for bone in parents:
        plain = plain_name(bone)
        head = plain in _HEAD or bool(_NECK.match(plain)) or (rigify and plain in _RIGIFY_NECK)
        role = "head" if head else next((side for side in _HAND if plain in _HAND[side]), None)
        if role is not None:
            own[bone] = role
    roles = {}
    for bone in parents:
        above: str | None = bone
        while above is not None and above not in own:
            above = parents[above]
        if above is not None:
            roles[bone] = own[above]
    return roles


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


def _parents(armature: Any) -> dict[str, str | None]:
    return {bone.name: bone.parent.name if bone.parent is not None else None for bone in armature.data.bones}


def _part(role: str, meshes: list[Any], roles: Mapping[Any, Mapping[str, str]]) -> FoundPart | None:
    """The mesh with most of this role: by weights, else by name, else by expressions."""
    best, most = None, 0
    for mesh in meshes:
        if role in roles[mesh].values():
            mask = _weights(mesh, {bone for bone, of in roles[mesh].items() if of == role}) > GROUP_THRESHOLD
            count = int(mask.sum())
            if count > most:
                whole = count >= _WHOLE * len(mask)
                best, most = FoundPart(mesh, None if whole else np.flatnonzero(mask)), count
    if best is not None:
        return best
    names = _HAND.get(role, {"head", "face"})
    named = [mesh for mesh in meshes if plain_name(mesh.name) in names]
    if role == "head":
        named = named or [mesh for mesh in meshes if _has_expressions(mesh)]
    return FoundPart(max(named, key=lambda mesh: len(mesh.data.vertices))) if named else None


def _weights(mesh: Any, bones: set[str]) -> NDArray[np.float64]:
    """Sum of the weights (n,) of these bones, as a fraction of the vertex's total weight."""
    wanted = {group.index for group in mesh.vertex_groups if group.name in bones}
    share = np.zeros(len(mesh.data.vertices))
    if wanted:
        known = set(_parents(armature_of(mesh)))
        every = {group.index for group in mesh.vertex_groups if group.name in known}
        for vertex in mesh.data.vertices:
            total = sum(g.weight for g in vertex.groups if g.group in every)
            if total > 0:
                share[vertex.index] = sum(g.weight for g in vertex.groups if g.group in wanted) / total
    return share


def _has_expressions(mesh: Any) -> bool:
    keys = mesh.data.shape_keys.key_blocks if mesh.data.shape_keys else ()
    return len({plain_name(key.name) for key in keys} & _ARKIT) >= _ENOUGH_ARKIT


def _bones(armature: Any) -> dict[str, str]:
    """The bones of head and jaw by role; those that deform come first."""
    found: dict[str, str] = {}
    bones = sorted(armature.data.bones, key=lambda bone: (not bone.use_deform, len(bone.name)))
    for role, names in (("head", _HEAD - {"face"}), ("jaw", _JAW)):
        match = next((bone.name for bone in bones if plain_name(bone.name) in names), None)
        if match is not None:
            found[role] = match
    return found


def _moving(armature: Any, bone: str | None) -> tuple[Any, str] | None:
    return None if bone is None else (armature, bone)
