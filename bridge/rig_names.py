# SPDX-License-Identifier: GPL-3.0-or-later
"""What bones and objects of common rigs are called, as data, and how such a name is read.

A name is cut into words ('CC_Base_L_Hand' → cc, base, l, hand); words that only say what program made it, or what kind
of bone it is, are dropped. What remains must be a known part and nothing else: 'headband' and 'hand_ik' are no parts.
"""

import re
from dataclasses import dataclass

HEAD, NECK, FACE, JAW, CHIN, HAND, FINGER = "head", "neck", "face", "jaw", "chin", "hand", "finger"
LEFT, RIGHT = "left", "right"

_SIDES = {
    **dict.fromkeys(("l", "left", "lf", "lft", "左", "ひだり", "左側"), LEFT),
    **dict.fromkeys(("r", "right", "rt", "rgt", "右", "みぎ", "右側"), RIGHT),
}
_PARTS = {
    **dict.fromkeys(("head", "skull", "頭", "あたま"), HEAD),
    **dict.fromkeys(("neck", "首", "くび"), NECK),
    **dict.fromkeys(("face", "顔"), FACE),
    **dict.fromkeys(("jaw", "jawbone", "lowerjaw", "mandible", "顎", "下顎", "あご"), JAW),
    **dict.fromkeys(("chin",), CHIN),
    **dict.fromkeys(("hand", "wrist", "palm", "手首", "手", "てくび"), HAND),
    **dict.fromkeys(("finger", "thumb", "index", "middle", "ring", "pinky", "little", "metacarpal"), FINGER),
    **dict.fromkeys(("親指", "人指", "中指", "薬指", "小指"), FINGER),
}
# Words that may stand before or after a part without making it another one: 'lowerJaw', 'neckUpper', and mGear's
# 'neck_C0_head_jnt', where the first word names the module.
_BESIDE = {
    HEAD: {"neck"},
    NECK: {"lower", "upper", "twist", "mid"},
    JAW: {"lower", "root", "master", "mouth", "face", "facial"},
    HAND: {"arm"},
    FINGER: {"hand", "tip", "proximal", "intermediate", "distal", "phalanx", "meta"},
}  # fmt: skip
# What says who made the rig, or what kind of bone it is.
_IGNORED = {
    "def", "deform", "org", "mch", "ctl", "ctrl", "control", "jnt", "joint", "jt", "bind", "bone", "bn", "b", "skn",
    "fk", "mixamorig", "mixamo", "bip", "biped", "valve", "valvebiped", "cc", "base", "j", "character", "chr", "char",
    "rig", "c", "m", "x", "center", "centre", "sk", "smplx", "facial",
}  # fmt: skip
# What objects are called besides.
_IGNORED_OF_OBJECTS = {
    "geo", "mesh", "low", "high", "lod", "wolf", "d", "model", "obj", "object", "shape", "skin", "male", "female",
    "human", "avatar", "armature", "skeleton", "the", "my",
}  # fmt: skip
# Bones from which chains branch off as from a hand, and which are none.
_NO_HAND = {
    "foot", "feet", "toe", "toes", "ankle", "leg", "thigh", "shin", "calf", "knee", "hip", "hips", "pelvis", "paw",
    "hoof", "eye", "eyes", "lid", "eyelid", "brow", "ear", "hair", "tail", "wing", "feather", "mouth", "lip", "lips",
    "tongue", "teeth", "nose", "cheek", "facial", "face", "head", "jaw", "neck", "skirt", "cape", "horn", "antler",
    "足", "足首", "つま先", "髪", "頭", "目", "舌", "口", "スカート", "しっぽ",
}  # fmt: skip
_EYE = {"eye", "eyeball", "目"}
# Objects that are no skin, as parts of names and as words, and those that cover it; 'hat' is also a part of 'that'.
_NO_SKIN = re.compile(r"eye|lash|brow|teeth|tooth|tongue|hair|beard|glasses|cornea|proxy|helper|coarse", re.I)
_NO_SKIN_WORDS = {"tear", "tears", "tearline", "saliva", "cartilage", "gum", "gums"}
_WORN = {
    "cloth", "clothes", "clothing", "outfit", "shirt", "top", "bottom", "pants", "trousers", "dress", "jacket", "coat",
    "shoe", "shoes", "footwear", "headwear", "facewear", "hat", "cap", "helmet", "mask", "glove", "gloves", "suit",
}  # fmt: skip

# Rigify's spine goes on into neck and head, if a rig has as many bones as its human one.
RIGIFY_HEAD, RIGIFY_NECK = "spine006", {"spine004", "spine005"}

# At least so many of ARKit's expressions make a mesh a face.
ENOUGH_EXPRESSIONS = 5
_ARKIT = {
    "jawopen", "jawleft", "jawright", "jawforward", "mouthclose", "mouthfunnel", "mouthpucker", "mouthsmileleft",
    "mouthsmileright", "mouthfrownleft", "mouthfrownright", "eyeblinkleft", "eyeblinkright", "browinnerup",
    "browdownleft", "browdownright", "cheekpuff", "nosesneerleft", "nosesneerright", "tongueout",
}  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_SIDE_WITHIN = re.compile(r"(left|right|左|右|ひだり|みぎ)?(.+?)(left|right|左|右|ひだり|みぎ)?$")


@dataclass(frozen=True)
class Name:
    """part: one of the constants above, or None; side: LEFT, RIGHT or None."""

    part: str | None
    side: str | None


def read_name(name: str, of_object: bool = False) -> Name:
    """What a bone, or an object, of this name is: 'mixamorig:LeftHand', 'l_hand', 'hand_L0_jnt' → a left hand."""
    words, side = _words(name)
    ignored = _IGNORED | _IGNORED_OF_OBJECTS if of_object else _IGNORED
    core = [word for word in words if word not in ignored]
    parts = [_PARTS[word] for word in core if word in _PARTS]
    part = None
    for candidate in reversed(parts):
        others = [word for word in core if _PARTS.get(word) != candidate]
        if set(others) <= _BESIDE.get(candidate, set()):
            part = candidate
            break
    # What lies in the middle has no side: 'jaw.L' is one of several bones along the jaw's edge.
    return Name(None if side and part in (HEAD, NECK, FACE, JAW, CHIN) else part, side)


def is_no_hand(name: str) -> bool:
    """Whether the name says that this is something else from which chains branch off: a foot, an eye, hair."""
    return not _NO_HAND.isdisjoint(_words(name)[0])


def eye_side(name: str) -> str | None:
    """The side of a bone or object that is an eye and nothing else: 'eye.L', 'CC_Base_L_Eye' → left; None for lids."""
    words, side = _words(name)
    core = {word for word in words if word not in _IGNORED}
    return side if core and core <= _EYE else None


def is_no_skin(name: str) -> bool:
    """Whether an object of this name is something in, or on, a face that is not its skin: eyes, teeth, hair."""
    return bool(_NO_SKIN.search(name)) or not _NO_SKIN_WORDS.isdisjoint(_words(name)[0])


def is_worn(name: str) -> bool:
    """Whether an object of this name is something that covers skin, and only stands for it where there is none."""
    return not _WORN.isdisjoint(_words(name)[0])


def plain_name(name: str) -> str:
    """Without what says who made it, and without separators, in lower case: 'DEF-spine.006' → 'spine006'."""
    bare = re.sub(r"^(def|org|mch)-", "", name.rsplit(":", 1)[-1], flags=re.I)
    return re.sub(r"[^a-z0-9]", "", bare.lower())


def count_expressions(names: list[str]) -> int:
    """How many of ARKit's expressions these shape keys are."""
    return len({plain_name(name) for name in names} & _ARKIT)


def _words(name: str) -> tuple[list[str], str | None]:
    """The words in lower case without numbers and sides, and the side."""
    words: list[str] = []
    side = None
    for found in _WORD.findall(name.rsplit(":", 1)[-1].rsplit("|", 1)[-1]):
        word = found.lower()
        if word.isdigit():
            continue
        if word not in _SIDES:
            word, within = _side_within(word)
            side = within or side
            words.append(word)
        else:
            side = _SIDES[word]
    return words, side


def _side_within(word: str) -> tuple[str, str | None]:
    """'lefthand' → 'hand' and the left side, '左手首' → '手首'; 'handl' and 'lhand' too, as nothing else ends so."""
    match = _SIDE_WITHIN.fullmatch(word)
    if match and (match[1] or match[3]):
        return match[2], _SIDES[match[1] or match[3]]
    for bare, letter in ((word[1:], word[:1]), (word[:-1], word[-1:])):
        if letter in ("l", "r") and _PARTS.get(bare) == HAND:
            return bare, _SIDES[letter]
    return word, None
