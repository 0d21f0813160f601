# SPDX-License-Identifier: GPL-3.0-or-later
"""The chosen character as a kinematic chain at rest, for fitting landmarks to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RigError
from ..progress import Job, Progress, aside
from ..sim.volume.hints import Hints
from ..tracks.face_capture import keys_for
from .hints import axis_of
from .meshes import matrix_array, mesh_positions, to_world, world_matrix
from .modifiers import is_baked_name
from .recognise import armature_of, rest_bones, skin_weights
from .rig import Part, read_rig, scene_object
from .roles import HAND, roles_of

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..fit.face_points import Face
    from ..fit.kinematics import Bones
    from ..fit.rig import Rig, Skin

_ARM = 2  # bones from the wrist up, itself included, which are no arm yet
_LINE = 5  # bones of neck and spine that turn with the head, counted from it
_UNIFORM = 1e-3  # scales of an armature's axes may differ by so much, as a fraction
_WEIGHT = 1e-6  # less moves nothing
_INFLUENCES = 8  # bones that move a vertex; more change a place by less than a hair's breadth
_FEW_ARKIT = 5  # keys with ARKit's names, from which on the others are taken for something else than expressions


@dataclass(frozen=True)
class Chain:
    """The fit's rig and where its unknowns are in the scene. armature, scale: (j,) of each bone, its armature object
    and metres per unit of its location; keys: the fit's expressions; head: the object that has them."""

    rig: "Rig"
    armatures: list[Any]
    scale: NDArray[np.float64]
    head: Any
    notes: list[str] = field(default_factory=list)


def read_chain_job(scene: Any, face: bool = True) -> Job[Chain]:
    """Reads head, hands and the armatures that move them; face: whether landmarks are sought on the head, which takes
    some seconds. Raises RigError, or VolumeError for a head whose face is not
    recognised."""
    from ..fit.anatomy import find_hand
    from ..fit.rig import SIDES, Rig

    chosen = read_rig(scene)
    every = {"head": chosen.head, "left": chosen.left, "right": chosen.right}
    parts = {role: part for role, part in every.items() if part is not None}
    objects = {role: scene_object(part.object_name) for role, part in parts.items()}
    rigs = {role: _armature(obj, role) for role, obj in objects.items()}
    moving = {name for role, obj in objects.items() for name in skin_weights(obj, rigs[role]).bones}
    bones, armatures, scale = _bones(list(dict.fromkeys(rigs.values())), chosen.scale, moving)
    number = {(armature.name, name): k for k, (armature, name) in enumerate(zip(armatures, bones.names, strict=True))}
    notes: list[str] = []

    head, jaw = _face_bones(scene, rigs["head"], objects["head"], number)
    hands = {}
    for side in SIDES:
        if side in rigs:
            wrist = _wrist(rigs[side], objects[side], side, number)
            hand = None if wrist is None else find_hand(bones, wrist, side)
            if hand is None:
                notes.append(f"{objects[side].name}: no fingers are among its bones; the {side} hand is left out.")
            else:
                hands[side] = hand
    names, deltas = _expressions(objects["head"], parts["head"], chosen.scale)
    read = None
    if face:
        skin = _skin(objects["head"], parts["head"], chosen.scale, bones, number, rigs["head"], head, deltas)
        read = yield from aside(_face_job(skin, _hints(scene, bones, hands), parts["head"].label))
    keys = _keys(objects["head"], names)
    meet = {part: bones.line(bone) for part, bone in [("head", head), *((s, h.wrist) for s, h in hands.items())]}
    own = {
        part: [b for b in line if not any(b in other for name, other in meet.items() if name != part)]
        for part, line in meet.items()
    }
    located = _located(meet, own, lambda bone: armatures[bone].data.bones[bones.names[bone]].use_connect)
    arms = {side: tuple(own[side][1:]) for side in hands}
    rig = Rig(
        bones=bones,
        head=head,
        jaw=jaw,
        neck=tuple(bones.line(head)[1:][:_LINE]),
        hands=hands,
        arms=arms,
        located=located,
        keys=tuple(names),
        low=keys[0],
        high=keys[1],
        face=None if read is None else read.skin,
        face_points=None if read is None else read.points,
        face_indices=np.zeros(0, np.int64) if read is None else read.indices,
        lateral=np.array([1.0, 0.0, 0.0]) if read is None else read.lateral,
        hand_skins={
            side: _skin(objects[side], parts[side], chosen.scale, bones, number, rigs[side], hands[side].wrist, None)
            for side in hands
        },
    )
    chain = Chain(rig, armatures, scale, objects["head"], notes)
    _check_free(chain)
    return chain


def _located(
    lines: dict[str, list[int]], own: dict[str, list[int]], connected: Callable[[int], bool]
) -> dict[str, int]:
    """The bone that places each part: the topmost that it shares with no other. None on a body, whose hands have arms;
    lines, own: the bones from each part's up to the root, and those of them that are not shared."""
    free = {part for part in lines if own[part] == lines[part]}
    free |= {side for side in lines if side != "head" and len(own[side]) <= _ARM}
    if all(side in free for side in lines if side != "head"):
        free.add("head")
    return {part: own[part][-1] for part in lines if part in free and own[part] and not connected(own[part][-1])}


def _face_job(skin: "Skin", hints: Hints, name: str) -> Job["Face"]:
    from ..fit.face_points import read_face

    yield Progress("Finding landmarks on the face", 0.0)
    return read_face(skin, hints, name)


def _armature(obj: Any, role: str) -> Any:
    armature = armature_of(obj)
    if armature is None:
        raise RigError(f"No armature moves the {role}.", object=obj.name, advice="Bind it to one: the fit turns bones.")
    return armature


def _bones(armatures: list[Any], unit: float, moving: set[str]) -> tuple["Bones", list[Any], NDArray[np.float64]]:
    """All bones at rest, in metres in the world, parents first; without ends that move nothing."""
    from ..fit.kinematics import Bones

    names: list[str] = []
    parents: list[int] = []
    rest, lengths, owners, scales = [], [], [], []
    for armature in armatures:
        place = matrix_array(armature.matrix_world)
        size = np.linalg.norm(place[:3, :3], axis=0)
        if not (np.ptp(size) < _UNIFORM * size.max() and np.linalg.det(place[:3, :3]) > 0):
            raise RigError(
                "Its scale differs between its axes, or mirrors it.",
                object=armature.name,
                advice="Apply its scale (Object > Apply > Scale).",
            )
        kept = [bone for bone in armature.data.bones if bone.children or bone.name in moving]
        ordered = sorted(kept, key=lambda bone: len(bone.parent_recursive))
        index = {bone.name: k + len(names) for k, bone in enumerate(ordered)}
        for bone in ordered:
            frame = place @ matrix_array(bone.matrix_local)
            frame[:3, :3] /= np.linalg.norm(frame[:3, :3], axis=0)
            frame[:3, 3] *= unit
            names.append(bone.name)
            parents.append(index[bone.parent.name] if bone.parent else -1)
            rest.append(frame)
            lengths.append(_length(bone) * float(size.mean()) * unit)
            owners.append(armature)
            scales.append(float(size.mean()) * unit)
    bones = Bones(tuple(names), np.array(parents, np.int64), np.array(rest), np.array(lengths))
    return bones, owners, np.array(scales)


def _length(bone: Any) -> float:
    """To where its only child starts, if that lies along it: imported bones often end somewhere else."""
    if len(bone.children) == 1:
        along = bone.children[0].head_local - bone.head_local
        if along.length > 0 and along.normalized().dot((bone.tail_local - bone.head_local).normalized()) > 0.9:
            return float(along.length)
    return float(bone.length)


def _face_bones(scene: Any, armature: Any, obj: Any, number: dict[tuple[str, str], int]) -> tuple[int, int | None]:
    """Head and jaw: the chosen bones, else those that the skeleton's shape and names tell."""
    settings = scene.nephim
    roles = roles_of(rest_bones(armature), set(skin_weights(obj, armature).bones) or None)
    found = []
    for chosen, bone, known in (
        (settings.head_armature, settings.head_bone, roles.head),
        (settings.jaw_armature, settings.jaw_bone, roles.jaw),
    ):
        name = bone if chosen == armature and bone else known
        found.append(number.get((armature.name, name)) if name else None)
    if found[0] is None:
        raise RigError(
            "No bone of its armature is known as the head.",
            object=armature.name,
            advice="Choose the head bone (Character > Bones and Skull, or setup --head-bone ARMATURE:BONE).",
        )
    return found[0], found[1]


def _wrist(armature: Any, obj: Any, side: str, number: dict[tuple[str, str], int]) -> int | None:
    """The topmost bone of the hand."""
    roles = roles_of(rest_bones(armature), set(skin_weights(obj, armature).bones) or None)
    mine = {bone for bone, part in roles.parts.items() if part == side}
    mine = mine or {bone for bone, part in roles.parts.items() if part == HAND}
    bones = armature.data.bones
    top = [bone for bone in mine if not any(up.name in mine for up in bones[bone].parent_recursive)]
    # What hangs beside the hand, such as a twist bone of the forearm, has no fingers.
    best = max(top, key=lambda bone: len(bones[bone].children_recursive), default=None)
    return None if best is None else number[armature.name, best]


def _skin(
    obj: Any,
    part: Part,
    unit: float,
    bones: "Bones",
    number: dict[tuple[str, str], int],
    armature: Any,
    base: int,
    deltas: NDArray | None,
) -> "Skin":
    """A part's surface at rest; vertices without weights move with the bone `base`."""
    from ..fit.rig import Skin

    rows = part.indices
    vertices = to_world(mesh_positions(obj.data), world_matrix(obj, unit))[rows]
    found = skin_weights(obj, armature)
    numbers = np.array([number[armature.name, name] for name in found.bones], np.int64)
    dense = np.zeros((len(rows), len(bones.names)))
    row = np.full(found.count, -1)
    row[rows] = np.arange(len(rows))
    kept = row[found.vertex] >= 0
    np.add.at(dense, (row[found.vertex[kept]], numbers[found.bone[kept]]), found.weight[kept])
    dense[dense.sum(1) < _WEIGHT, base] = 1.0
    width = min(_INFLUENCES, max(1, int((dense > 0).sum(1).max())))
    order = np.argsort(-dense, axis=1, kind="stable")[:, :width]
    weights = np.take_along_axis(dense, order, 1)
    deltas = np.zeros((len(rows), 0, 3)) if deltas is None else deltas
    return Skin(vertices, part.triangles, order, weights / weights.sum(1, keepdims=True), deltas)


def _expressions(obj: Any, part: Part, unit: float) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the shape keys that may be solved, and what each moves, (n, k, 3) [m] in the world."""
    shapes = obj.data.shape_keys
    blocks = [] if shapes is None else [b for b in shapes.key_blocks[1:] if not b.mute and not is_baked_name(b.name)]
    driven = set()
    if shapes is not None and shapes.animation_data:
        driven = {driver.data_path for driver in shapes.animation_data.drivers}
    blocks = [block for block in blocks if block.path_from_id("value") not in driven]
    arkit = {name for found in keys_for(block.name for block in blocks).values() for name in found}
    if len(arkit) >= _FEW_ARKIT:
        blocks = [block for block in blocks if block.name in arkit]
    linear = world_matrix(obj, unit)[:3, :3]
    count = len(obj.data.vertices)
    deltas = np.zeros((len(part.indices), len(blocks), 3), np.float32)

    def read(block: Any) -> NDArray[np.float32]:
        values = np.empty(3 * count, np.float32)
        block.data.foreach_get("co", values)
        return values.reshape(-1, 3)[part.indices]

    for column, block in enumerate(blocks):
        deltas[:, column] = (read(block) - read(block.relative_key)) @ linear.T
    return [block.name for block in blocks], deltas.astype(np.float64)


def _keys(obj: Any, names: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    blocks = obj.data.shape_keys.key_blocks if names else {}
    low = np.array([blocks[name].slider_min for name in names], float)
    return low, np.array([blocks[name].slider_max for name in names], float)


def _left(bones: "Bones", hands: dict[str, Any]) -> NDArray[np.float64] | None:
    """From the right to the left wrist at rest, if both are there."""
    if len(hands) < 2:
        return None
    across = bones.rest[hands["left"].wrist, :3, 3] - bones.rest[hands["right"].wrist, :3, 3]
    length = float(np.linalg.norm(across))
    return across / length if length > 0 else None


def _hints(scene: Any, bones: "Bones", hands: dict[str, Any]) -> Hints:
    return Hints(left=_left(bones, hands), up=axis_of(scene.nephim.up_axis), front=axis_of(scene.nephim.front_axis))


def _check_free(chain: Chain) -> None:
    """Raises RigError if something else than keys moves a bone that is to be keyed."""
    rig, bones = chain.rig, chain.rig.bones
    ends = [rig.head, rig.jaw, *(bone for hand in rig.hands.values() for f in hand.fingers if f for bone in f)]
    needed = sorted({bone for end in ends if end is not None for bone in bones.line(end)})
    for bone in needed:
        armature, name = chain.armatures[bone], bones.names[bone]
        posed = armature.pose.bones[name]
        held = [c for c in posed.constraints if not c.mute and c.influence > 0]
        paths = {d.data_path for d in armature.animation_data.drivers} if armature.animation_data else set()
        driven = any(posed.path_from_id(channel) in paths for channel in ("location", posed_channel(posed)))
        if held or driven:
            what = f"the constraint '{held[0].name}'" if held else "a driver"
            raise RigError(
                f"{what[0].upper()}{what[1:]} moves its bone '{name}'.",
                object=armature.name,
                advice="The fit keys bones that only their keys move. Mute such constraints and drivers, or fit a copy "
                "of the armature without controls and let the rig follow it.",
            )


def posed_channel(posed: Any) -> str:
    """The channel that turns a pose bone."""
    mode = posed.rotation_mode
    return {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
