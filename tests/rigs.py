# SPDX-License-Identifier: GPL-3.0-or-later
"""Small synthetic characters with the bone names and the hierarchy of common rigs, for what recognises them.

One person of 1.8 m, looking along -y, in T-pose: every family names the same joints, and leaves some out or adds some.
"""

from collections.abc import Callable

import bpy
import numpy as np
import scenes

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
# Joint → (head, the joint it hangs on); .L is mirrored to .R.
_MIDDLE = {
    "hips": ((0, 0, 1.0), None),
    "spine": ((0, 0, 1.1), "hips"),
    "chest": ((0, 0, 1.25), "spine"),
    "neck": ((0, 0, 1.5), "chest"),
    "head": ((0, 0, 1.56), "neck"),
    "jaw": ((0, -0.02, 1.58), "head"),
}
_SIDE = {
    "eye.L": ((0.03, -0.08, 1.64), "head"),
    "clavicle.L": ((0.02, 0, 1.46), "chest"),
    "upperarm.L": ((0.16, 0, 1.47), "clavicle.L"),
    "forearm.L": ((0.44, 0, 1.47), "upperarm.L"),
    "hand.L": ((0.68, 0, 1.47), "forearm.L"),
    "thigh.L": ((0.1, 0, 0.95), "hips"),
    "shin.L": ((0.1, 0, 0.5), "thigh.L"),
    "foot.L": ((0.1, 0.02, 0.08), "shin.L"),
    "toe.L": ((0.1, -0.12, 0.02), "foot.L"),
    **{
        f"{finger}{number}.L": (
            (0.72 + 0.035 * number, 0.04 - 0.02 * row, 1.47),
            f"{finger}{number - 1}.L" if number > 1 else "hand.L",
        )
        for row, finger in enumerate(FINGERS)
        for number in (1, 2, 3)
    },
}
Joints = dict[str, tuple[tuple[float, float, float], str | None]]


def person(*, jaw: bool = True, eyes: bool = True, fingers: bool = True, legs: bool = True) -> Joints:
    joints: Joints = {**_MIDDLE, **_SIDE}
    for joint, (place, parent) in _SIDE.items():
        hangs = parent.replace(".L", ".R") if parent else None
        joints[joint.replace(".L", ".R")] = ((-place[0], *place[1:]), hangs)
    dropped = {
        "jaw": not jaw, "eye": not eyes, "thigh": not legs, "shin": not legs, "foot": not legs, "toe": not legs,
        **{f"{finger}{number}": not fingers for finger in FINGERS for number in (1, 2, 3)},
    }  # fmt: skip
    return {joint: value for joint, value in joints.items() if not dropped.get(joint.split(".")[0])}


def bones_of(joints: Joints, name: Callable[[str], str] = str) -> dict:
    """For `scenes.armature`: every bone ends a little way on, at most at the joint below it."""
    bones = {}

    def depth(joint: str) -> int:
        parent = joints[joint][1]
        return 0 if parent is None else 1 + depth(parent)

    # Blender makes bones one after another, so parents come first.
    for joint in sorted(joints, key=depth):
        place, parent = joints[joint]
        below = [other for other, hangs in joints.values() if hangs == joint]
        tail = np.mean(below, axis=0) if below else np.add(place, (0, 0, 0.03))
        if np.allclose(tail, place):
            tail = np.add(place, (0, 0, 0.03))
        bones[name(joint)] = (place, tuple(tail), name(parent) if parent else None)
    return bones


def skin_of(joints: Joints) -> tuple[np.ndarray, list, np.ndarray, np.ndarray]:
    """Vertices, faces, and of each vertex the joint that moves it and the part it is of: head, hand.L, hand.R, rest."""
    vertices, faces, moved, part = [], [], [], []

    def add(points: np.ndarray, polygons: list, joint: np.ndarray, of: str) -> None:
        start = sum(map(len, vertices))
        vertices.append(points)
        faces.extend(tuple(v + start for v in face) for face in polygons)
        moved.append(joint)
        part.append(np.full(len(points), of))

    ball, polygons = scenes.head_arrays(16, 10)
    joint = np.full(len(ball), "head", object)
    joint[ball[:, 2] < 1.52] = "neck" if "neck" in joints else "head"
    if "jaw" in joints:
        joint[(ball[:, 2] < 1.57) & (ball[:, 2] >= 1.52) & (ball[:, 1] < -0.05)] = "jaw"
    add(ball, polygons, joint, "head")
    tube, polygons = scenes.hand_arrays(8, 8)
    along = tube[:, [2, 1, 0]]  # the tube's length becomes x
    inwards = [face[::-1] for face in polygons]
    for side, sign in ((".L", 1), (".R", -1)):
        for finger in FINGERS if f"index1{side}" in joints else ("index",):
            row = FINGERS.index(finger)
            points = (along + (0.69, 0.04 - 0.02 * row, 1.47)) * (sign, 1, 1)
            joint = np.full(len(points), f"hand{side}", object)
            for number in (1, 2, 3):
                if f"{finger}{number}{side}" in joints:
                    joint[abs(points[:, 0]) > 0.72 + 0.035 * number] = f"{finger}{number}{side}"
            add(points, inwards if sign > 0 else polygons, joint, f"hand{side}")
        add((along + (0.3, 0, 1.47)) * (sign, 1, 1), polygons, np.full(len(along), f"forearm{side}", object), "rest")
        if f"shin{side}" in joints:
            add(tube + (sign * 0.1, 0, 0.4), polygons, np.full(len(tube), f"shin{side}", object), "rest")
    add(tube * (4, 4, 2) + (0, 0, 1.1), polygons, np.full(len(tube), "chest", object), "rest")
    return np.concatenate(vertices), faces, np.concatenate(moved), np.concatenate(part)


def build(
    name: Callable[[str], str] = str, joints: Joints | None = None, armature: str = "Rig", bones: Joints | None = None
):
    """A person of one mesh 'Body' in the present scene; returns (body, armature object, part of each vertex).

    bones: the skeleton, with the names that `name` gives to joints; without it, a bone for each joint.
    """
    scene = scenes.fresh()
    joints = person() if joints is None else joints
    vertices, faces, moved, part = skin_of(joints)
    body = scenes.mesh_object(scene, "Body", vertices, faces)
    arm = scenes.armature(scene, armature, bones_of(joints, name) if bones is None else bones_of(bones))
    scenes.bind(body, arm, {name(joint): (moved == joint).astype(float) for joint in dict.fromkeys(moved)})
    return body, arm, part


def parted(body, part: np.ndarray, names: dict[str, str]) -> dict[str, object]:
    """The body's mesh cut into objects of their own, each with the same armature; names: part → object."""
    scene, arm = body.users_scene[0], body.modifiers[0].object
    groups = {group.index: group.name for group in body.vertex_groups}
    made = {}
    for name in dict.fromkeys(names.values()):
        kept = np.flatnonzero([names[of] == name for of in part])
        number = dict(zip(kept.tolist(), range(len(kept)), strict=True))
        faces = [[number[v] for v in p.vertices] for p in body.data.polygons if p.vertices[0] in number]
        made[name] = scenes.mesh_object(scene, name, [body.data.vertices[v].co[:] for v in kept], faces)
        weights = {group: np.zeros(len(kept)) for group in groups.values()}
        for new, old in enumerate(kept):
            for element in body.data.vertices[old].groups:
                weights[groups[element.group]][new] = element.weight
        scenes.bind(made[name], arm, weights)
    bpy.data.objects.remove(body)
    return made


def named(table: dict[str, str], side: Callable[[str, str], str], finger: Callable[[str, int, str], str]):
    """Names joints: from a table where 'hand' etc. stand without a side, `side(word, 'L')`, `finger('index', 1, 'L')`.

    A joint that the table does not know goes by its own name, so that nothing depends on it.
    """

    def name(joint: str) -> str:
        bare, _, letter = joint.partition(".")
        if bare[-1:].isdigit():
            return finger(bare[:-1], int(bare[-1]), letter)
        word = table.get(bare, bare)
        return side(word, letter) if letter else word

    return name


LONG = {"L": "Left", "R": "Right"}
_MIXAMO = {
    "hips": "Hips", "spine": "Spine", "chest": "Spine2", "neck": "Neck", "head": "Head", "clavicle": "Shoulder",
    "upperarm": "Arm", "forearm": "ForeArm", "hand": "Hand", "thigh": "UpLeg", "shin": "Leg", "foot": "Foot",
    "toe": "ToeBase", "eye": "Eye", "jaw": "Jaw",
}  # fmt: skip


def _mixamo_like(prefix: str):
    def name(joint: str) -> str:
        inner = named(
            _MIXAMO,
            lambda word, letter: LONG[letter] + word,
            lambda finger, number, letter: f"{LONG[letter]}Hand{finger.title()}{number}",
        )
        return prefix + inner(joint)

    return name


_JAPANESE = {
    "hips": "センター", "spine": "上半身", "chest": "上半身2", "neck": "首", "head": "頭", "jaw": "あご", "eye": "目",
    "clavicle": "肩", "upperarm": "腕", "forearm": "ひじ", "hand": "手首", "thigh": "足", "shin": "ひざ",
    "foot": "足首", "toe": "つま先",
}  # fmt: skip
_JAPANESE_FINGERS = {"thumb": "親指", "index": "人指", "middle": "中指", "ring": "薬指", "pinky": "小指"}
_JAPANESE_SIDES = {"L": "左", "R": "右"}
_BIPED = {
    "hips": "Bip01 Pelvis", "spine": "Bip01 Spine", "chest": "Bip01 Spine1", "neck": "Bip01 Neck", "head": "Bip01 Head",
    "jaw": "Bip01 Ponytail1", "clavicle": "Clavicle", "upperarm": "UpperArm", "forearm": "Forearm", "hand": "Hand",
    "thigh": "Thigh", "shin": "Calf", "foot": "Foot", "toe": "Toe0", "eye": "Eye",
}  # fmt: skip
_UNREAL = {
    "hips": "pelvis", "spine": "spine_01", "chest": "spine_05", "neck": "neck_01", "clavicle": "clavicle",
    "upperarm": "upperarm", "forearm": "lowerarm", "thigh": "thigh", "shin": "calf", "toe": "ball",
}  # fmt: skip


def _lower(word: str, letter: str) -> str:
    return f"{word}_{letter.lower()}"


# Family → what names its joints.
FAMILIES: dict[str, Callable[[str], str]] = {
    "makehuman": named(
        {"hand": "wrist", "hips": "root", "chest": "spine01", "neck": "neck01"},
        lambda word, letter: f"{word}.{letter}",
        lambda finger, number, letter: f"finger{FINGERS.index(finger) + 1}-{number}.{letter}",
    ),
    "rigify metarig": named(
        {"hips": "spine", "spine": "spine.001", "chest": "spine.003", "neck": "spine.004", "head": "spine.006"},
        lambda word, letter: f"{word}.{letter}",
        lambda finger, number, letter: f"{'' if finger == 'thumb' else 'f_'}{finger}.0{number}.{letter}",
    ),
    "mixamo": _mixamo_like("mixamorig:"),
    "ready player me": _mixamo_like(""),
    "unity-chan": _mixamo_like("Character1_"),
    "unreal": named(_UNREAL, _lower, lambda finger, number, letter: f"{finger}_0{number}_{letter.lower()}"),
    "metahuman": named(
        _UNREAL | {"jaw": "FACIAL_C_Jaw", "eye": "FACIAL_Eye"},
        lambda word, letter: f"FACIAL_{letter}_Eye" if "FACIAL" in word else _lower(word, letter),
        lambda finger, number, letter: f"{finger}_0{number}_{letter.lower()}",
    ),
    "vrm": named(
        {"hips": "J_Bip_C_Hips", "spine": "J_Bip_C_Spine", "chest": "J_Bip_C_UpperChest", "neck": "J_Bip_C_Neck",
         "head": "J_Bip_C_Head", "hand": "Hand", "foot": "Foot", "toe": "ToeBase", "eye": "FaceEye"},
        lambda word, letter: f"J_Bip_{letter}_{word}",
        lambda finger, number, letter: f"J_Bip_{letter}_{finger.title()}{number}",
    ),
    "character creator": named(
        {"hips": "CC_Base_Hip", "spine": "CC_Base_Waist", "chest": "CC_Base_Spine02", "neck": "CC_Base_NeckTwist01",
         "head": "CC_Base_Head", "jaw": "CC_Base_JawRoot", "hand": "Hand", "foot": "Foot", "toe": "ToeBase"},
        lambda word, letter: f"CC_Base_{letter}_{word}",
        lambda finger, number, letter: f"CC_Base_{letter}_{finger.title()}{number}",
    ),
    "daz": named(
        {"hips": "hip", "spine": "abdomenLower", "chest": "chestLower", "neck": "neckLower", "jaw": "lowerJaw",
         "clavicle": "Collar", "upperarm": "ShldrBend", "forearm": "ForearmBend", "hand": "Hand", "thigh": "ThighBend",
         "shin": "Shin", "foot": "Foot", "toe": "Toe", "eye": "Eye"},
        lambda word, letter: letter.lower() + word,
        lambda finger, number, letter: f"{letter.lower()}{finger.title()}{number}",
    ),
    "daz genesis 9": named(
        {"hips": "hip", "spine": "spine1", "chest": "spine4", "neck": "neck1", "jaw": "lowerjaw_root"},
        lambda word, letter: f"{letter.lower()}_{word}",
        lambda finger, number, letter: f"{letter.lower()}_{finger}{number}",
    ),
    "auto-rig pro": named(
        {"hips": "root.x", "spine": "spine_01.x", "chest": "spine_02.x", "neck": "neck.x", "head": "head.x",
         "jaw": "jawbone.x", "eye": "c_eye", "clavicle": "shoulder", "upperarm": "arm_stretch",
         "forearm": "forearm_stretch", "thigh": "thigh_stretch", "shin": "leg_stretch", "toe": "toes_01"},
        lambda word, letter: f"{word}.{letter.lower()}",
        lambda finger, number, letter: f"c_{finger}{number}.{letter.lower()}",
    ),
    "blenrig": named(
        {"head": "head_FK", "neck": "neck_1_FK", "jaw": "jaw", "chest": "spine_3_FK", "hips": "pelvis"},
        lambda word, letter: f"{word}_{letter}",
        lambda finger, number, letter: f"fing_{finger}_{number}_{letter}",
    ),
    "advanced skeleton": named(
        {"hips": "Root_M", "spine": "Spine1_M", "chest": "Chest_M", "neck": "Neck_M", "head": "Head_M", "jaw": "Jaw_M",
         "clavicle": "Scapula", "upperarm": "Shoulder", "forearm": "Elbow", "hand": "Wrist", "thigh": "Hip",
         "shin": "Knee", "foot": "Ankle", "toe": "Toes", "eye": "Eye"},
        lambda word, letter: f"{word}_{letter}",
        lambda finger, number, letter: f"{finger.title()}Finger{number}_{letter}",
    ),
    "mgear": named(
        {"hips": "spine_C0_pelvis_jnt", "spine": "spine_C0_01_jnt", "chest": "spine_C0_02_jnt",
         "neck": "neck_C0_0_jnt", "head": "neck_C0_head_jnt", "jaw": "mouth_C0_jaw_jnt"},
        lambda word, letter: f"{'arm' if word in ('hand', 'forearm', 'upperarm') else 'leg'}_{letter}0_{word}_jnt",
        lambda finger, number, letter: f"finger_{letter}{FINGERS.index(finger)}_{number}_jnt",
    ),
    "mmd": named(
        _JAPANESE,
        lambda word, letter: _JAPANESE_SIDES[letter] + word,
        lambda finger, number, letter: f"{_JAPANESE_SIDES[letter]}{_JAPANESE_FINGERS[finger]}{number}",
    ),
    "3ds max biped": named(
        _BIPED,
        lambda word, letter: f"Bip01 {letter} {word}",
        lambda finger, number, letter: f"Bip01 {letter} Finger{FINGERS.index(finger)}{number}",
    ),
    "smpl-x": named(
        {"hips": "pelvis", "spine": "spine1", "chest": "spine3", "hand": "wrist", "clavicle": "collar",
         "upperarm": "shoulder", "forearm": "elbow", "thigh": "hip", "shin": "knee", "foot": "ankle", "toe": "foot",
         "eye": "eye_smplhf"},
        lambda word, letter: f"{LONG[letter].lower()}_{word}",
        lambda finger, number, letter: f"{LONG[letter].lower()}_{finger}{number}",
    ),
}  # fmt: skip
# What is peculiar to the skeleton of a family.
PERSONS: dict[str, Callable[[], Joints]] = {
    # The collarbones hang on the neck.
    "3ds max biped": lambda: {
        joint: (place, "neck" if joint.startswith("clavicle") else hangs)
        for joint, (place, hangs) in person(jaw=False).items()
    },
    "mixamo": lambda: person(jaw=False),
    "unity-chan": lambda: person(jaw=False, eyes=False),
    # Ring and little finger hang on a bone of the palm.
    "advanced skeleton": lambda: {
        **{
            joint: (place, "cup." + joint[-1] if joint[:-2] in ("ring1", "pinky1") else hangs)
            for joint, (place, hangs) in person().items()
        },
        "cup.L": ((0.7, -0.03, 1.47), "hand.L"),
        "cup.R": ((-0.7, -0.03, 1.47), "hand.R"),
    },
    # Small bones that fill out knuckles and wrist.
    "metahuman": lambda: {
        **person(),
        "wrist_inner.L": ((0.68, 0.02, 1.47), "hand.L"),
        "wrist_inner.R": ((-0.68, 0.02, 1.47), "hand.R"),
        "bulge.L": ((0.74, 0.02, 1.46), "index1.L"),
        "bulge.R": ((-0.74, 0.02, 1.46), "index1.R"),
    },
    "vrm": lambda: person(jaw=False),
}


def nameless() -> Callable[[str], str]:
    """Names that say nothing, in the order of the joints: Bone, Bone.001 …, another for each joint."""
    numbers: dict[str, int] = {}

    def name(joint: str) -> str:
        return f"Bone.{numbers.setdefault(joint, len(numbers)):03d}"

    return name


def quadruped(toes: int = 2, named_head: bool = True) -> Joints:
    """A dog along -y with toes on all paws: the spine lies, legs stand across it."""
    joints: Joints = {
        "hips": ((0, 0.5, 0.6), None),
        "spine": ((0, 0.25, 0.62), "hips"),
        "chest": ((0, -0.1, 0.62), "spine"),
        "neck": ((0, -0.25, 0.7), "chest"),
        "head" if named_head else "top": ((0, -0.4, 0.85), "neck"),
        "tail1": ((0, 0.6, 0.6), "hips"),
        "tail2": ((0, 0.75, 0.55), "tail1"),
        "tail3": ((0, 0.9, 0.5), "tail2"),
    }
    for side, x in ((".L", 0.12), (".R", -0.12)):
        for leg, y, trunk in (("front", -0.12, "chest"), ("hind", 0.5, "hips")):
            above = trunk
            for number, z in enumerate((0.55, 0.4, 0.2, 0.06)):
                joints[f"{leg}{number}{side}"] = ((x, y, z), above)
                above = f"{leg}{number}{side}"
            for toe in range(4):
                hangs = above
                for number in range(toes):
                    joints[f"{leg}toe{toe}{number}{side}"] = ((x + 0.01 * toe, y - 0.03 * (number + 1), 0.02), hangs)
                    hangs = f"{leg}toe{toe}{number}{side}"
    return joints
