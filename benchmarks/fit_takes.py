# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo character as a rig to fit, and takes of landmarks made from its own motion."""

import numpy as np
from nephim.demo.character import Character, Part
from nephim.demo.motion import Motion as Authored
from nephim.fit.anatomy import find_hand
from nephim.fit.face_points import on_head
from nephim.fit.kinematics import Bones, Motion
from nephim.fit.rig import Rig, Skin
from nephim.sim.volume.landmarks import find_landmarks
from numpy.typing import NDArray

SIDES = {"left": "L", "right": "R"}


def demo_rig(character: Character) -> Rig:
    """The demo's three skeletons as one forest of bones."""
    skeletons = [character.head_skeleton, *(character.hand_skeletons[s] for s in SIDES.values())]
    starts = np.cumsum([0, *(len(s.names) for s in skeletons)])
    parents = np.concatenate(
        [np.where(s.parents < 0, -1, s.parents + k) for s, k in zip(skeletons, starts, strict=False)]
    )
    bones = Bones(
        tuple(name for s in skeletons for name in s.names),
        parents.astype(np.int64),
        np.concatenate([s.matrices for s in skeletons]),
        np.concatenate([s.lengths for s in skeletons]),
    )
    keys = tuple(character.head.keys)
    deltas = np.stack([character.head.keys[k] for k in keys], 1)
    face = _skin(character.head, 0, deltas)
    landmarks = find_landmarks(face.vertices, face.triangles, [0, 0, 1], [0, -1, 0])
    indices, triangle, barycentric = on_head(face.vertices, face.triangles, landmarks)
    hands = {}
    for (side, _), start in zip(SIDES.items(), starts[1:], strict=False):
        hand = find_hand(bones, int(start), side)
        assert hand is not None
        hands[side] = hand
    index = character.head_skeleton.index
    return Rig(
        bones,
        head=index("head"),
        jaw=index("jaw"),
        neck=(index("neck03"), index("neck02"), index("neck01")),
        hands=hands,
        arms={side: () for side in SIDES},
        located={"head": 0, **{side: hand.wrist for side, hand in hands.items()}},
        keys=keys,
        low=np.zeros(len(keys)),
        high=np.ones(len(keys)),
        face=face,
        face_points=face.points_on(triangle, barycentric),
        face_indices=np.array(indices),
        lateral=np.array([1.0, 0.0, 0.0]),
        hand_skins={side: _skin(character.hands[s], start, np.zeros((len(character.hands[s].vertices), 0, 3)))
                    for (side, s), start in zip(SIDES.items(), starts[1:], strict=False)},
    )  # fmt: skip


def _skin(part: Part, start: int, deltas: NDArray) -> Skin:
    order = np.argsort(-part.weights, axis=1)[:, :4]
    weights = np.take_along_axis(part.weights, order, 1)
    return Skin(part.vertices, part.triangles, order + start, weights / weights.sum(1, keepdims=True), deltas)


def true_motion(rig: Rig, character: Character, authored: Authored) -> Motion:
    """The demo's authored motion on that rig."""
    motion = Motion.at_rest(len(authored.frames), len(rig.bones.names), len(rig.keys))
    for bone, turns in authored.head_turns.items():
        motion.turns[:, rig.bones.names.index(bone)] = turns
    for name, values in authored.expressions.items():
        motion.expressions[:, rig.keys.index(name)] = values
    for side, letter in SIDES.items():
        wrist = rig.hands[side].wrist
        basis = np.linalg.inv(rig.bones.rest[wrist]) @ authored.wrists[letter]
        motion.turns[:, wrist], motion.places[:, wrist] = basis[:, :3, :3], basis[:, :3, 3]
        for bone, turns in authored.finger_turns[letter].items():
            motion.turns[:, rig.bones.names.index(bone)] = turns
    return motion
