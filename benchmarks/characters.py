# SPDX-License-Identifier: GPL-3.0-or-later
"""The characters of `make bench-characters`: each a transformation of a person, and what has to come of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from mathutils import Matrix
from nephim.demo.posing import euler

from . import scene_changes as scene
from . import transformations as mesh
from .person import Person, placed, with_stiff_hand
from .transformations import with_hand, with_head

DEMO = "caucasian_female_young"


@dataclass(frozen=True)
class Limits:
    """What a simulated character must keep. tilt: of the skull against that of the untouched person [°]; skull_mm: mean
    distance between the two; depth_mm: median difference of the tissue's depth; avoidable: p95 and max of the
    penetration that bone permits to resolve [mm]; least_mm: how far the skin moves at least; None: not asked."""

    tilt: float | None = 6.0
    skull_mm: float | None = 3.0
    depth_mm: float = 3.0
    avoidable: tuple[float, float] = (0.5, 2.0)
    least_mm: float = 2.0


@dataclass(frozen=True)
class Refusal:
    """object: the name that the message starts from; advice: a pattern for the next step; step: carries it out, if that
    is not another bake."""

    object: str
    advice: str
    step: Callable[[Any], None] = lambda scene: None


@dataclass(frozen=True)
class Row:
    """person and scene are changed one after the other. bones: whether head and jaw bones are given; find: roles are
    found by *Find for Me*; notes: patterns of what must be said; bake: to what, the last one after a refusal."""

    name: str
    text: str
    person: Callable[[Person], Person] = lambda person: person
    scene: Callable[[Any], None] = lambda scene: None
    identity: str = DEMO
    bones: bool = True
    find: bool = False
    notes: tuple[str, ...] = ()
    refusal: Refusal | None = None
    bake: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


# A shell's skull ends where the shell does: it is compared by how deep it lies under the skin.
_SHELL = Limits(tilt=10.0, skull_mm=None)
# The skin of a head without a mouth, or whose lips are pressed together, leaves other room for teeth and jaw.
_MOUTH = Limits(skull_mm=4.0)
_WELDED, _TURNED = r"joined \d+ vertices along seams", r"faces point inwards"
_APART = r"faces of separate parts"
_FIT = r"[Ff]it [Ss]ize|unit scale"

ROWS = (
    Row("plain", "the person as it is"),
    Row("child", "a child", identity="caucasian_male_child"),
    Row("old", "an old woman", identity="asian_female_old"),
    Row("thin", "a thin face with a large nose", identity="caucasian_female_thin_oval"),
    Row(
        "seams",
        "head and hand split at seams",
        lambda p: with_hand(mesh.split_at_planes)(with_head(mesh.split_at_planes)(p)),
        notes=(f"'Head': {_WELDED}", f"'Hand.R': {_WELDED}"),
    ),
    Row("half_flipped", "half of the head inside out", with_head(mesh.half_flipped), notes=(f"'Head': .*{_TURNED}",)),
    Row("all_flipped", "the head inside out", with_head(mesh.all_flipped), notes=(f"'Head': .*{_TURNED}",)),
    Row(
        "mixed_hand", "every second face of the hand inside out", with_hand(mesh.every_second_flipped), notes=(_TURNED,)
    ),
    Row("shell", "the front of the head alone", with_head(mesh.front_only), limits=_SHELL),
    Row(
        "mask", "a mask with holes for mouth and eyes, without bones", with_head(mesh.mask), bones=False, limits=_SHELL
    ),
    Row("no_neck", "a head that ends at the jaw", with_head(mesh.ends_at_jaw), bones=False),
    Row("closed_mouth", "a mouth without inside", with_head(mesh.mouth_without_inside), limits=_MOUTH),
    Row("inside", "eyeballs, teeth and tongue in the same mesh", mesh.with_eyes_and_teeth, notes=(_APART,)),
    Row("hair", "hair cards in the same mesh", with_head(mesh.with_hair_cards), notes=(_APART,)),
    Row("brows", "brows as strips in the same mesh", with_head(mesh.with_brows), notes=(_APART,)),
    Row("second_layer", "a cheek whose faces lie there twice", with_head(mesh.with_second_layer), notes=(_APART,)),
    Row("collapsed", "faces whose corners coincide", with_head(mesh.collapsed)),
    Row("crossing", "lips and lids that cross", with_head(mesh.crossing_lips_and_lids), limits=_MOUTH),
    Row("tilted", "tilted by 30°, without bones", lambda p: placed(p, euler(y=30)), bones=False),
    Row("turned", "turned by 35°, without bones", lambda p: placed(p, euler(z=35)), bones=False),
    Row("turned_bones", "turned by 35°, with bones", lambda p: placed(p, euler(z=35))),
    Row("lying", "lying on the side, without bones", lambda p: placed(p, euler(y=90)), bones=False),
    Row("y_up", "y up, without bones", lambda p: placed(p, euler(x=-90)), bones=False),
    Row("mirrored", "on a root of negative scale", scene=scene.root(Matrix.Diagonal((-1, 1, 1, 1)))),
    *(
        Row(
            name,
            text,
            partial(placed, rotation=np.eye(3), scale=factor),
            refusal=Refusal("Head", _FIT, scene.size_fitted),
        )
        for name, text, factor in (
            ("centimetres", "100 times too large", 100.0),
            ("hundredth", "100 times too small", 0.01),
            ("giant", "four times too large", 4.0),
        )
    ),
    Row(
        "fbx",
        "rigs scaled by 0.01 and turned, not applied",
        lambda p: placed(p, euler(x=-90), 100.0),
        scene.rigs_in_centimetres,
    ),
    Row(
        "helpers",
        "helper geometry under a mask",
        with_head(lambda h: mesh.layer(h, np.ones(len(h.faces), bool), 0.006)),
        scene.masked_helper,
    ),
    Row("outline", "outlines by Solidify", scene=scene.outlined),
    Row("collar", "subdivision and a mask after the rig", scene=scene.masked_neck),
    Row(
        "mirror_modifier",
        "Mirror before the rig",
        with_head(mesh.without_keys),
        scene.mirrored_before_the_rig,
        refusal=Refusal("Head", r"[Aa]pply", scene.mirror_applied),
    ),
    Row("coarse", "a coarse head", with_head(mesh.without_keys), scene.decimated(0.25), limits=Limits(skull_mm=5.0)),
    Row("rigless_hand", "a hand that is an object without a rig", with_stiff_hand, scene.hand_without_rig, find=True),
    Row("two_rigs", "head and hand with an armature each, found", find=True),
    Row("baked", "baked into shape keys", bake=("shape-keys",)),
    Row("smoothed", "a light corrective smooth, baked into shape keys", scene=scene.smoothed(1), bake=("shape-keys",)),
    Row(
        "smoothed_much",
        "a strong corrective smooth, which hides what shape keys do",
        scene=scene.smoothed(5),
        bake=("shape-keys", "point-cache"),
        refusal=Refusal("Head", "To Point Cache"),
    ),
    Row(
        "negative_frames",
        "frames from -12 on, neutral at -30",
        lambda p: _from_frame(p, -12),
        scene.negative_frames(-12, -30),
    ),
    Row("triangles", "triangles alone", with_head(mesh.triangulated)),
    Row("ngons", "faces of six corners", with_head(mesh.with_ngons)),
)


def _from_frame(person: Person, first: int) -> Person:
    from dataclasses import replace

    return replace(person, first=first)
