# SPDX-License-Identifier: GPL-3.0-or-later
"""How the head stands at the neutral frame, as far as bones, hands and the user tell."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SurfaceError
from ..sim.geometry.surface import Surface
from ..sim.volume.hints import Hints
from .bones import posed_bone
from .meshes import matrix_array
from .rig import Rig, scene_object

_EYE = re.compile(r"(^|[^a-z])(l|r|left|right)?_?eye(ball)?s?([^a-z]|l$|r$|left|right|$)", re.I)
_NO_EYE = re.compile(r"brow|lid|lash|target|look|aim|ctrl|control|ik", re.I)
_ONE_HAND = 0.4  # how sure one hand tells left from right, against two


def read_hints(
    scene: Any, rig: Rig, depsgraph: Any, head: Surface, left: Surface | None, right: Surface | None
) -> Hints:
    """Hints from an evaluated neutral frame. Raises SurfaceError for a head bone that is scaled to zero."""
    chosen = scene.nephim
    upright = neck = eyes = None
    if rig.head_bone is not None:
        upright = _upright(rig.head_bone, depsgraph, scene.frame_current)
        neck = _neck(rig.head_bone, depsgraph)
        eyes = _eyes(rig, depsgraph)
    return Hints(upright, neck, _left(head, left, right), eyes, axis_of(chosen.up_axis), axis_of(chosen.front_axis))


def _upright(bone: tuple[str, str], depsgraph: Any, frame: int) -> NDArray[np.float64]:
    """Rotation of a bone from rest to its pose (3, 3), with the reflection of a mirrored character."""
    rest = matrix_array(scene_object(bone[0]).data.bones[bone[1]].matrix_local)[:3, :3]
    u, stretch, v = np.linalg.svd(posed_bone(bone, depsgraph, 1.0)[:3, :3] @ np.linalg.inv(rest))
    if not stretch[-1] > np.finfo(np.float32).eps * stretch[0]:
        raise SurfaceError(
            f"The bone '{bone[1]}' is scaled to zero.",
            object=bone[0],
            frame=frame,
            advice="Restore its scale, or choose another bone.",
        )
    return u @ v


def _neck(bone: tuple[str, str], depsgraph: Any) -> NDArray[np.float64] | None:
    """From the bone above it in the hierarchy to the head bone, (3,)."""
    parent = scene_object(bone[0]).data.bones[bone[1]].parent
    if parent is None:
        return None
    base, top = (posed_bone((bone[0], name), depsgraph, 1.0)[:3, 3] for name in (parent.name, bone[1]))
    return top - base if (top != base).any() else None


def _eyes(rig: Rig, depsgraph: Any) -> NDArray[np.float64] | None:
    """Between the two bones of the eyes below the head bone [m], (3,)."""
    assert rig.head_bone is not None
    armature, name = rig.head_bone
    below = scene_object(armature).data.bones[name].children_recursive
    found = [bone.name for bone in below if _EYE.search(bone.name) and not _NO_EYE.search(bone.name)]
    if len(found) != 2:
        return None
    return np.mean([posed_bone((armature, eye), depsgraph, rig.scale)[:3, 3] for eye in found], axis=0)


def _left(head: Surface, left: Surface | None, right: Surface | None) -> NDArray[np.float64] | None:
    """Towards the person's left (3,); its length says how sure that is."""
    middle = head.vertices.mean(0)
    hands = [sign * (hand.vertices.mean(0) - middle) for sign, hand in ((1, left), (-1, right)) if hand is not None]
    towards = np.sum(hands, axis=0)
    length = float(np.linalg.norm(towards))
    if not np.isfinite(length) or length == 0:
        return None
    return towards / length * (1.0 if len(hands) == 2 else _ONE_HAND)


def axis_of(chosen: str) -> NDArray[np.float64] | None:
    """'-Y' as a direction (3,); None for 'AUTO'."""
    if chosen == "AUTO":
        return None
    return (-1.0 if chosen[0] == "-" else 1.0) * np.eye(3)["XYZ".index(chosen[-1])]
