# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo character as plain arrays: head, hands, eyes, teeth and tongue with their skeletons, metres, z up.

The face looks towards -y and +x is the character's left. The origin lies in the middle of the cut of the neck, so that
coordinates stay small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import eyelids, makehuman
from .assets import EXPRESSIONS, read_file
from .cutting import edge_loop, part_beyond, triangulate

# Edges of the base mesh: the loop at the root of the neck, and those on the forearms 4 cm behind the wrist joint.
NECK_EDGE = (757, 772)
WRIST_EDGES = {"L": (10166, 10176), "R": (3498, 3504)}
CROWN_VERTEX = 881  # any vertex of the head's skin
# The lips of the base touch; this much of `jawOpen` parts them, so that the surface does not meet itself.
REST_JAW_OPEN = 0.05
# The neck follows three bones, the face the skull; MakeHuman's finer face bones are added to the bone they hang on.
HEAD_BONES = ("neck01", "neck02", "neck03", "head", "jaw", "eye.L", "eye.R")
_FINGERS = tuple(f"finger{i}-{k}" for i in range(1, 6) for k in (1, 2, 3))
HAND_BONES = ("wrist", *(f"metacarpal{i}" for i in (1, 2, 3, 4)), *_FINGERS)
TEETH_GROUPS = ("helper-upper-teeth", "helper-lower-teeth")
TONGUE_GROUP = "helper-tongue"
BLINKS = {"L": "eyeBlinkLeft", "R": "eyeBlinkRight"}
# Keys move lids on straight lines, which cut through the bulge of the eye; it is smaller by this much [m].
LID_ROOM = 1.5e-3
EYE_GROUPS = {"L": "helper-l-eye", "R": "helper-r-eye"}


@dataclass(frozen=True)
class Skeleton:
    """Bones in an order where parents come first.

    matrices: (b, 4, 4) rest frames with the origin at the bone's head and y along it. In hands x is the axis of
    flexion: turning by a positive angle about x curls the finger towards the palm. parents: (b,) index or -1.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int32]
    matrices: NDArray[np.float64]
    lengths: NDArray[np.float64]

    def index(self, name: str) -> int:
        return self.names.index(name)


@dataclass(frozen=True)
class Part:
    """A mesh of quads. vertices: (n, 3) [m]; quads: (m, 4); uv: (m, 4, 2) per corner; weights: (n, b), rows sum to 1;
    keys: name → displacement (n, 3) [m]; source: (n,) index of each vertex in the base mesh."""

    vertices: NDArray[np.float64]
    quads: NDArray[np.int32]
    uv: NDArray[np.float64]
    weights: NDArray[np.float64]
    keys: dict[str, NDArray[np.float64]]
    source: NDArray[np.int32]

    @property
    def triangles(self) -> NDArray[np.int32]:
        """The quads cut along their shorter diagonals, (2m, 3)."""
        return triangulate(self.vertices, self.quads)[0]

    def at(self, base_vertex: int) -> int:
        """Index here of a vertex of the base mesh."""
        return int(np.flatnonzero(self.source == base_vertex)[0])


@dataclass(frozen=True)
class Eye:
    """A sphere: centre (3,) and radius [m]."""

    centre: NDArray[np.float64]
    radius: float


@dataclass(frozen=True)
class Character:
    """Everything of the demo character; sides are keyed "L" and "R"."""

    head: Part
    head_skeleton: Skeleton
    hands: dict[str, Part]
    hand_skeletons: dict[str, Skeleton]
    eyes: dict[str, Eye]
    teeth: Part
    tongue: Part


def load_character(
    archive: Path, identity: Sequence[tuple[bytes, float]] = (), rest_jaw_open: float = REST_JAW_OPEN
) -> Character:
    """Reads what `assets.fetch_character_data` left. Raises NephimError when it is missing or of another version.

    identity: MakeHuman targets with their weights that make another person of the base; empty: the demo's.
    """
    base = makehuman.parse_base(read_file(archive, "base.obj"))
    count = len(base.vertices)
    identity = identity or [(read_file(archive, f"identity/{k}.target.gz"), 1.0) for k in (1, 2)]
    person = base.vertices + sum(weight * makehuman.parse_target(target, count) for target, weight in identity)
    keys = {name: makehuman.parse_target(read_file(archive, f"expression/{name}"), count) for name in EXPRESSIONS}
    bones = makehuman.parse_rig(read_file(archive, "rig.json"), base, person)
    person = person + rest_jaw_open * keys["jawOpen"]
    weights = makehuman.parse_weights(read_file(archive, "weights.json"))

    body = base.groups == "body"
    neck = edge_loop(base.quads[body], *NECK_EDGE)
    origin = person[neck].mean(0)
    person = person - origin
    bones = {n: makehuman.RigBone(b.parent, b.head - origin, b.tail - origin) for n, b in bones.items()}

    def cut(chosen: NDArray[np.bool_], names: tuple[str, ...], with_keys: bool) -> Part:
        source, corner = np.unique(base.quads[chosen], return_inverse=True)
        return Part(
            person[source],
            corner.reshape(-1, 4).astype(np.int32),
            base.uv[base.uv_quads[chosen]],
            _gather_weights(weights, bones, names, count)[source],
            {n: d[source] for n, d in keys.items()} if with_keys else {},
            source.astype(np.int32),
        )

    body_quads = np.where(body[:, None], base.quads, -1)
    hands, hand_skeletons = {}, {}
    for side, edge in WRIST_EDGES.items():
        names = tuple(f"{n}.{side}" for n in HAND_BONES)
        tip = int(weights[f"finger3-3.{side}"][0][0])
        hands[side] = cut(_beyond(body_quads, edge, tip), names, False)
        hand_skeletons[side] = _hand_skeleton(bones, names, side)
    head = cut(_beyond(body_quads, NECK_EDGE, CROWN_VERTEX), HEAD_BONES, True)
    eyes = {side: _fit_sphere(person[base.group_vertices(group)]) for side, group in EYE_GROUPS.items()}
    for side, name in BLINKS.items():
        head.keys[name] = eyelids.meeting(head.vertices, head.triangles, head.keys[name], eyes[side].centre)
    return Character(
        head,
        _skeleton(bones, HEAD_BONES, {n: np.array([1.0, 0.0, 0.0]) for n in HEAD_BONES}),
        hands,
        hand_skeletons,
        {side: Eye(eye.centre, eye.radius - LID_ROOM) for side, eye in eyes.items()},
        cut(np.isin(base.groups, TEETH_GROUPS), HEAD_BONES, True),
        cut(base.groups == TONGUE_GROUP, HEAD_BONES, True),
    )


def _beyond(quads: NDArray, edge: tuple[int, int], seed: int) -> NDArray[np.bool_]:
    chosen = np.zeros(len(quads), bool)
    valid = quads[:, 0] >= 0
    chosen[valid] = part_beyond(quads[valid], edge_loop(quads[valid], *edge), seed)
    return chosen


def _gather_weights(weights, bones, names: tuple[str, ...], count: int) -> NDArray[np.float64]:
    """Dense weights (count, b): a bone that is not kept gives its weight to the nearest kept one above, or the root."""
    dense = np.zeros((count, len(names)))
    for bone, (index, weight) in weights.items():
        kept: str | None = bone
        while kept is not None and kept not in names:
            kept = bones[kept].parent
        dense[index, names.index(kept) if kept else 0] += weight
    total = dense.sum(1, keepdims=True)
    unskinned = total[:, 0] <= 0
    dense[unskinned, 0], total[unskinned] = 1.0, 1.0
    return dense / total


def _skeleton(bones, names: tuple[str, ...], flexion: dict[str, NDArray]) -> Skeleton:
    parents = []
    for name in names:
        above = bones[name].parent
        while above is not None and above not in names:
            above = bones[above].parent
        parents.append(names.index(above) if above else -1)
    matrices = np.tile(np.eye(4), (len(names), 1, 1))
    for matrix, name in zip(matrices, names, strict=True):
        along = _unit(bones[name].tail - bones[name].head)
        axis = _unit(flexion[name] - (flexion[name] @ along) * along)
        matrix[:3, :3] = np.column_stack([axis, along, np.cross(axis, along)])
        matrix[:3, 3] = bones[name].head
    lengths = np.array([np.linalg.norm(bones[n].tail - bones[n].head) for n in names])
    return Skeleton(names, np.array(parents, np.int32), matrices, lengths)


def _hand_skeleton(bones, names: tuple[str, ...], side: str) -> Skeleton:
    """Frames from the hand's own anatomy: fingers bend about the axis of the slight bend they have at rest."""

    def joint(name: str) -> NDArray:
        return bones[f"{name}.{side}"].head

    along = _unit(joint("finger3-1") - joint("wrist"))
    to_thumb = _unit(joint("finger2-1") - joint("finger5-1"))
    bend_of_palm = to_thumb if side == "R" else -to_thumb  # turns `along` towards the palm
    flexion = {name: bend_of_palm for name in names}
    for finger in range(1, 6):
        root, tip = bones[f"finger{finger}-1.{side}"], bones[f"finger{finger}-3.{side}"]
        own = _unit(np.cross(_unit(root.tail - root.head), _unit(tip.tail - tip.head)))
        # The bend of a nearly straight finger is a poor measure of its axis; the knuckles' line steadies it.
        axis = own if finger == 1 else _unit(own + bend_of_palm)
        flexion |= {f"finger{finger}-{k}.{side}": axis for k in (1, 2, 3)}
    wrist = bones[f"wrist.{side}"]
    straight = makehuman.RigBone(wrist.parent, wrist.head, wrist.head + along * np.linalg.norm(wrist.tail - wrist.head))
    return _skeleton(bones | {f"wrist.{side}": straight}, names, flexion)


def _fit_sphere(points: NDArray) -> Eye:
    """Least squares: |p|² = 2 p·c + (r² − |c|²) is linear in the centre c and the bracket."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    return Eye(solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3])))


def _unit(vector: NDArray) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)
