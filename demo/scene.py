# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the demo scene: the character as an animator would have it, with its motion, lights and camera."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.refine import refine
from . import looks, meshes, motion
from .character import Character, Part, Skeleton, load_character
from .cutting import triangulate
from .keying import animate, quaternions

# All names passed to `nephim setup`.
HEAD, HEAD_COARSE, LEFT, RIGHT, BODY = "Head", "Head.coarse", "Hand.L", "Hand.R", "Body"
RIG, LEFT_RIG, RIGHT_RIG = "Rig", "Hand.L.rig", "Hand.R.rig"
HEAD_BONE, JAW_BONE = f"{RIG}:head", f"{RIG}:jaw"
# Vertex groups of the single body. Capitals keep them apart from the bone `head`, whose weights are a group as well.
GROUPS = {"head": "Head", "left": "Hand.L", "right": "Hand.R"}
NEUTRAL_FRAME = motion.FIRST_FRAME

FACE_EDGE, OTHER_EDGE = 4e-3, 8e-3  # wished edge lengths [m] where hands can touch, and elsewhere


@dataclass(frozen=True)
class FineHead:
    """The head at simulation resolution: triangles (m, 3), uv (m, 3, 2); arrays per vertex as in `Part`."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float64]
    weights: NDArray[np.float64]
    keys: dict[str, NDArray[np.float64]]


def build_demo_scene(assets: Path, *, single_body: bool = False) -> None:
    """Fills the current, empty file. assets: the result of `fetch_character_data`.

    Separate objects Head, Head.coarse (hidden), Hand.L and Hand.R with an armature each; or, with `single_body`, one
    object Body with one armature, in which `GROUPS` name the vertex groups of head and hands. Raises NephimError when
    the assets are missing.
    """
    character = load_character(assets)
    authored = motion.author(character)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = motion.FRAME_RATE, 1.0
    scene.frame_start, scene.frame_end = motion.FIRST_FRAME, motion.LAST_FRAME
    fine = refine_head(character.head)
    skin = looks.skin_material()
    if single_body:
        keyed, rig = _build_body(character, fine, authored, skin)
    else:
        keyed, rig = _build_parts(character, fine, authored, skin)
    _build_inside(character, rig, keyed)
    frames = authored.frames
    shapes = {f'key_blocks["{name}"].value': values for name, values in authored.expressions.items()}
    animate([obj.data.shape_keys for obj in keyed], "KEY", "Expressions", frames, shapes)
    looks.add_studio()
    for segment in motion.SEGMENTS:  # pictures take the gestures' names from the markers
        scene.timeline_markers.new(segment.name, frame=segment.first)
    scene.frame_set(NEUTRAL_FRAME)


def refine_head(head: Part) -> FineHead:
    """The head subdivided to `FACE_EDGE` on the face and `OTHER_EDGE` elsewhere; its own vertices stay the first."""
    triangles, corners = triangulate(head.vertices, head.quads)
    # Hands reach the face; behind the ears and on the neck a coarser skin does.
    face = (head.vertices[:, 1] < -0.03) & (head.vertices[:, 2] > 0.04)
    fine = refine(head.vertices, triangles, np.where(face, FACE_EDGE, OTHER_EDGE))
    # Corners of a fine triangle lie in its coarse triangle: their barycentric coordinates there carry the UVs along.
    corner_uv = np.take_along_axis(np.repeat(head.uv, 2, axis=0), corners[:, :, None], axis=1)[fine.parent]
    rows, columns = np.broadcast_arrays(fine.triangles[:, :, None], triangles[fine.parent][:, None, :])
    barycentric = np.asarray(fine.linear[rows.ravel(), columns.ravel()]).reshape(rows.shape)
    return FineHead(
        fine.matrix @ head.vertices,
        fine.triangles,
        barycentric @ corner_uv,
        fine.linear @ head.weights,  # plain means: the faired matrix has negative entries
        {name: fine.matrix @ delta for name, delta in head.keys.items()},
    )


def _build_parts(character: Character, fine: FineHead, authored: motion.Motion, skin: Any) -> tuple[list[Any], Any]:
    rig = meshes.add_armature(RIG, [character.head_skeleton])
    head = meshes.add_mesh(HEAD, fine.vertices, fine.triangles, fine.uv)
    coarse = meshes.add_mesh(HEAD_COARSE, character.head.vertices, character.head.quads, character.head.uv)
    for obj, part in ((head, fine), (coarse, character.head)):
        _dress_head(obj, part, skin)
        meshes.add_groups(obj, character.head_skeleton.names, part.weights)
        meshes.add_shape_keys(obj, part.keys)
        meshes.bind(obj, rig)
    coarse.hide_render = True
    coarse.hide_set(True)
    animate([rig], "OBJECT", "Head motion", authored.frames, _head_curves(authored))
    for side, name, rig_name in (("L", LEFT, LEFT_RIG), ("R", RIGHT, RIGHT_RIG)):
        hand, skeleton = character.hands[side], character.hand_skeletons[side]
        armature = meshes.add_armature(rig_name, [skeleton])
        obj = meshes.add_mesh(name, hand.vertices, hand.quads, hand.uv)
        meshes.add_tint(obj, looks.hand_tint(hand.weights, skeleton.names))
        obj.data.materials.append(skin)
        meshes.add_groups(obj, skeleton.names, hand.weights)
        meshes.bind(obj, armature)
        curves = _hand_curves(authored, side, skeleton)
        animate([armature], "OBJECT", f"{name} motion", authored.frames, curves)
    return [head, coarse], rig


def _build_body(character: Character, fine: FineHead, authored: motion.Motion, skin: Any) -> tuple[list[Any], Any]:
    """Head and hands in one mesh of triangles, with one armature of all bones."""
    skeletons = {"head": character.head_skeleton, **character.hand_skeletons}
    rig = meshes.add_armature(RIG, list(skeletons.values()))
    parts: dict[str, FineHead | Part] = {"head": fine, "L": character.hands["L"], "R": character.hands["R"]}
    faces, uv, tint, offset = [], [], [], 0
    counts = {name: len(part.vertices) for name, part in parts.items()}
    for name, part in parts.items():
        if isinstance(part, FineHead):
            faces.append(part.triangles)
            uv.append(part.uv)
            tint.append(looks.head_tint(part.vertices))
        else:
            triangles, corners = triangulate(part.vertices, part.quads)
            faces.append(triangles + offset)
            uv.append(np.take_along_axis(np.repeat(part.uv, 2, axis=0), corners[:, :, None], axis=1))
            tint.append(looks.hand_tint(part.weights, skeletons[name].names))
        offset += counts[name]
    body = meshes.add_mesh(
        BODY, np.concatenate([p.vertices for p in parts.values()]), np.concatenate(faces), np.concatenate(uv)
    )
    meshes.add_tint(body, np.concatenate(tint))
    body.data.materials.append(skin)
    rows = np.cumsum([0, *counts.values()])
    for (name, part), first, group in zip(parts.items(), rows, GROUPS.values(), strict=False):
        weights = np.zeros((offset, len(skeletons[name].names)))
        weights[first : first + counts[name]] = part.weights
        meshes.add_groups(body, skeletons[name].names, weights)
        member = np.zeros((offset, 1))
        member[first : first + counts[name]] = 1.0
        meshes.add_groups(body, [group], member)
    padding = np.zeros((offset - counts["head"], 3))
    meshes.add_shape_keys(body, {name: np.concatenate([delta, padding]) for name, delta in fine.keys.items()})
    meshes.bind(body, rig)
    curves = _head_curves(authored)
    for side in "LR":
        curves |= _hand_curves(authored, side, character.hand_skeletons[side])
    animate([rig], "OBJECT", "Motion", authored.frames, curves)
    return [body], rig


def _build_inside(character: Character, rig: Any, keyed: list[Any]) -> None:
    """Eyes, teeth and tongue: visible through the openings of the skin."""
    whites = looks.plain_material("Eye white", (0.80, 0.77, 0.74), 0.15)
    iris = looks.plain_material("Iris", (0.11, 0.16, 0.14), 0.15)
    pupil = looks.plain_material("Pupil", (0.004, 0.004, 0.004), 0.1)
    for side, eye in character.eyes.items():
        obj = looks.add_eye(f"Eye.{side}", eye)
        for material in (pupil, iris, whites):
            obj.data.materials.append(material)
        meshes.add_groups(obj, [f"eye.{side}"], np.ones((len(obj.data.vertices), 1)))
        meshes.bind(obj, rig)
    teeth = looks.plain_material("Teeth", (0.75, 0.70, 0.60), 0.25)
    tongue = looks.plain_material("Tongue", (0.45, 0.14, 0.13), 0.4)
    for name, part, material in (("Teeth", character.teeth, teeth), ("Tongue", character.tongue, tongue)):
        obj = meshes.add_mesh(name, part.vertices, part.quads, part.uv)
        obj.data.materials.append(material)
        meshes.add_groups(obj, character.head_skeleton.names, part.weights)
        meshes.add_shape_keys(obj, part.keys)
        meshes.bind(obj, rig)
        keyed.append(obj)


def _dress_head(obj: Any, part: FineHead | Part, skin: Any) -> None:
    meshes.add_tint(obj, looks.head_tint(part.vertices))
    obj.data.materials.append(skin)


def _head_curves(authored: motion.Motion) -> dict[str, NDArray[np.float64]]:
    return {f'pose.bones["{b}"].rotation_quaternion': quaternions(turns) for b, turns in authored.head_turns.items()}


def _hand_curves(authored: motion.Motion, side: str, skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    wrist = f'pose.bones["wrist.{side}"]'
    basis = np.linalg.inv(skeleton.matrices[0]) @ authored.wrists[side]
    fingers = authored.finger_turns[side].items()
    return {
        f"{wrist}.location": basis[:, :3, 3],
        f"{wrist}.rotation_quaternion": quaternions(basis[:, :3, :3]),
        **{f'pose.bones["{bone}"].rotation_quaternion': quaternions(turns) for bone, turns in fingers},
    }
