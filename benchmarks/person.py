# SPDX-License-Identifier: GPL-3.0-or-later
"""A person as arrays that can be transformed, and as objects of a Blender scene: a head, and a right hand whose index
finger presses the cheek."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np
from nephim.demo import gestures, meshes
from nephim.demo.character import Character, Part, Skeleton
from nephim.demo.keying import animate, quaternions
from nephim.demo.posing import pose_matrices, skin
from numpy.typing import NDArray

from .interactions import Face, Hand, pad

HEAD, HAND, RIG, HAND_RIG = "Head", "Hand.R", "Rig", "Hand.R.rig"
TRUTH = "truth"  # the attribute that tells where a vertex lies in the upright person
# How deep the finger's pad lies below the cheek, frame by frame [m]: 7 mm are half of the tissue there.
DEPTHS = np.array([-30, -16, -6, 0, 4, 7, 7, 3, -8, -25]) * 1e-3
# The cheek: degrees from the front and share of the head's height; on the demo's head, in front of the jaw's corner.
_CHEEK, _HEIGHT = -52.0, 0.32
_ALONG, _LIFT = np.array([0.6, 0.1, 0.8]), -42.0  # the index finger, steep on the skin


@dataclass(frozen=True)
class Polygons:
    """vertices: (n, 3) [m]; faces of any number of corners; weights: (n, b) of its skeleton's bones; keys: name →
    displacement (n, 3) [m]; truth: (n, 3) where each vertex lies in the upright person [m]."""

    vertices: NDArray[np.float64]
    faces: Sequence[Sequence[int]]
    weights: NDArray[np.float64]
    truth: NDArray[np.float64]
    keys: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Part) -> "Polygons":
        return cls(part.vertices, part.quads.tolist(), part.weights, part.vertices, dict(part.keys))

    def taken(self, chosen: NDArray, faces: Sequence[Sequence[int]]) -> "Polygons":
        """The vertices `chosen` (k,), which may repeat, with new faces."""
        keys = {name: delta[chosen] for name, delta in self.keys.items()}
        return Polygons(self.vertices[chosen], faces, self.weights[chosen], self.truth[chosen], keys)

    def triangles(self) -> NDArray[np.int32]:
        """Fans of the faces, (m, 3)."""
        return np.array([(f[0], f[k], f[k + 1]) for f in self.faces for k in range(1, len(f) - 1)], np.int32)

    def centres(self) -> NDArray[np.float64]:
        """Middle of each face in the upright person, (m, 3)."""
        return np.array([self.truth[list(face)].mean(axis=0) for face in self.faces])


@dataclass(frozen=True)
class Person:
    """head and hand with their skeletons; wrists: (f, 4, 4) frames of the hand's root; turns: of the fingers' bones.

    character: where all of it comes from.
    """

    character: Character
    head: Polygons
    head_bones: Skeleton
    hand: Polygons
    hand_bones: Skeleton
    wrists: NDArray[np.float64]
    turns: dict[str, NDArray[np.float64]]
    first: int = 1  # frame

    @property
    def frames(self) -> NDArray[np.int64]:
        return self.first + np.arange(len(self.wrists))


def make_person(character: Character) -> Person:
    """The upright person, whose right index finger presses the cheek."""
    face, hand = Face(character), Hand(character, "R")
    turns = gestures.finger_turns(gestures.POINT, "R")
    posed = hand.posed(gestures.POINT)
    top = character.head.vertices[:, 2].max()
    point, normal = face.around(_CHEEK, _HEIGHT * top)
    spot = pad("finger2-3", 0.75)(hand, posed)
    wrists = [gestures.place(spot, gestures.Spot(point, normal, _ALONG), depth, _LIFT) for depth in DEPTHS]
    return Person(
        character,
        Polygons.of(character.head),
        character.head_skeleton,
        Polygons.of(character.hands["R"]),
        character.hand_skeletons["R"],
        np.array(wrists),
        turns,
    )


def with_stiff_hand(person: Person) -> Person:
    """The pointing hand as its mesh at rest, in the frame of its wrist, which is that of its only bone."""
    posed = pose_matrices(person.hand_bones, person.turns, np.eye(4))
    vertices = skin(person.hand.vertices, person.hand.weights, person.hand_bones, posed)
    bones = person.hand_bones
    root = Skeleton(bones.names[:1], bones.parents[:1], np.eye(4)[None], bones.lengths[:1])
    hand = replace(person.hand, vertices=vertices, weights=np.ones((len(vertices), 1)))
    return replace(person, hand=hand, hand_bones=root, turns={})


def placed(person: Person, rotation: NDArray, scale: float = 1.0) -> Person:
    """All of the person turned by rotation (3, 3) and scaled about the origin."""

    def mesh(part: Polygons) -> Polygons:
        keys = {name: scale * delta @ rotation.T for name, delta in part.keys.items()}
        return replace(part, vertices=scale * part.vertices @ rotation.T, keys=keys)

    def frames(matrices: NDArray) -> NDArray[np.float64]:
        result = matrices.copy()
        result[:, :3, :3] = rotation @ matrices[:, :3, :3]
        result[:, :3, 3] = scale * matrices[:, :3, 3] @ rotation.T
        return result

    def bones(skeleton: Skeleton) -> Skeleton:
        return replace(skeleton, matrices=frames(skeleton.matrices), lengths=scale * skeleton.lengths)

    return replace(
        person,
        head=mesh(person.head),
        head_bones=bones(person.head_bones),
        hand=mesh(person.hand),
        hand_bones=bones(person.hand_bones),
        wrists=frames(person.wrists),
    )


def add_person(person: Person) -> Any:
    """Fills the current, empty file; returns its scene. The head's bones are at rest."""
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.frame_start, scene.frame_end = int(person.frames[0]), int(person.frames[-1])
    rig = meshes.add_armature(RIG, [person.head_bones])
    head = add_polygons(HEAD, person.head, person.head_bones.names)
    meshes.bind(head, rig)
    hand_rig = meshes.add_armature(HAND_RIG, [person.hand_bones])
    hand = add_polygons(HAND, person.hand, person.hand_bones.names)
    meshes.bind(hand, hand_rig)
    wrist = f'pose.bones["{person.hand_bones.names[0]}"]'
    basis = np.linalg.inv(person.hand_bones.matrices[0]) @ person.wrists
    fingers = {
        f'pose.bones["{bone}"].rotation_quaternion': np.repeat(quaternions(turn[None]), len(basis), axis=0)
        for bone, turn in person.turns.items()
    }
    curves = {f"{wrist}.location": basis[:, :3, 3], f"{wrist}.rotation_quaternion": quaternions(basis[:, :3, :3])}
    animate([hand_rig], "OBJECT", "Press", person.frames, curves | fingers)
    scene.frame_set(int(person.frames[0]))
    return scene


def add_polygons(name: str, part: Polygons, bones: Sequence[str]) -> Any:
    """A smooth mesh object with vertex groups, shape keys, and the attribute `TRUTH`."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(part.vertices.tolist(), [], [list(face) for face in part.faces])
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    truth = mesh.attributes.new(TRUTH, "FLOAT_VECTOR", "POINT")
    truth.data.foreach_set("vector", part.truth.astype(np.float32).ravel())
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    meshes.add_groups(obj, bones, part.weights)
    if part.keys:
        meshes.add_shape_keys(obj, part.keys)
    return obj
