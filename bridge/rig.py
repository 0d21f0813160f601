# SPDX-License-Identifier: GPL-3.0-or-later
"""Head, hands and bones: the scene's settings, checked."""

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..choices import frame_range
from ..errors import RigError
from .masks import masks, seen_triangles
from .meshes import group_weights, outward_triangles
from .modifiers import check_stack

GROUP_THRESHOLD = 0.5  # a vertex belongs to a part if its weight in the part's group is above this


@dataclass(frozen=True)
class Part:
    """A surface: a whole mesh object, or a vertex group of one.

    indices: (k,) int32 into the object's vertices, ascending; vertices without a face, or hidden by a Mask
    modifier, are left out.
    triangles: (m, 3) int32 into `indices`, wound outward even if a negative scale mirrors the object.
    n_vertices: of the whole object.
    """

    object_name: str
    group: str
    indices: NDArray[np.int32]
    triangles: NDArray[np.int32]
    n_vertices: int

    @classmethod
    def of_object(cls, name: str, n_vertices: int) -> "Part":
        """All vertices of an object, without faces: in the place of a head, for what moves along with one."""
        return cls(name, "", np.arange(n_vertices, dtype=np.int32), np.zeros((0, 3), np.int32), n_vertices)

    @property
    def label(self) -> str:
        """For messages: the object and its group."""
        return f"{self.object_name}:{self.group}" if self.group else self.object_name


@dataclass(frozen=True)
class Rig:
    """All roles. Bones are (armature object, bone). scale: metres per Blender unit. frames: what to simulate."""

    head: Part
    left: Part | None
    right: Part | None
    jaw: Part | None
    cranium: Part | None
    head_bone: tuple[str, str] | None
    jaw_bone: tuple[str, str] | None
    neutral_frame: int
    scale: float
    frames: range

    @property
    def moving(self) -> list[Part]:
        """The parts read in every frame."""
        return [part for part in (self.head, self.left, self.right) if part is not None]


def unit_scale(scene: Any) -> float:
    """Metres per Blender unit: the add-on's own, else the scene's, ignored as by Blender if the system is 'None'."""
    if scene.nephim.unit_scale > 0:
        return float(scene.nephim.unit_scale)
    units = scene.unit_settings
    return 1.0 if units.system == "NONE" else float(units.scale_length)


def read_rig(scene: Any) -> Rig:
    """Reads and checks `scene.nephim`. Raises RigError naming the object and the next step."""
    settings = scene.nephim
    head = _part(scene, settings.head, settings.head_group, "head")
    if head is None:
        raise RigError("No head is given.", advice="Choose the head's mesh (setup --head OBJECT[:GROUP]).")
    _check_writable(settings.head)
    left = _part(scene, settings.left, settings.left_group, "left hand")
    right = _part(scene, settings.right, settings.right_group, "right hand")
    if left is None and right is None:
        raise RigError(
            "No hand is given.",
            object=head.object_name,
            advice="Choose at least one hand (setup --left OBJECT[:GROUP] or --right OBJECT[:GROUP]).",
        )
    for one, other in ((head, left), (head, right), (left, right)):
        if one is not None and other is not None:
            _check_disjoint(one, other)
    frames = frame_range(scene)
    if not frames:
        raise RigError(
            f"The frame range {frames.start}-{frames.stop - 1} is empty.", advice="Set the last frame after the first."
        )
    return Rig(
        head=head,
        left=left,
        right=right,
        jaw=_part(scene, settings.jaw, "", "jaw"),
        cranium=_part(scene, settings.cranium, "", "cranium"),
        head_bone=_bone(scene, settings.head_armature, settings.head_bone, "head"),
        jaw_bone=_bone(scene, settings.jaw_armature, settings.jaw_bone, "jaw"),
        neutral_frame=settings.neutral_frame,
        scale=unit_scale(scene),
        frames=frames,
    )


def _check_writable(obj: Any) -> None:
    """The head will receive the result; a library override accepts modifiers, though not shape keys."""
    if obj.library is not None:
        raise RigError(
            f"The head's object is linked from {obj.library.filepath}.",
            object=obj.name,
            advice="Make it local (Object > Relations > Make Local > Selected Objects and Data), or make a library "
            "override of it (Object > Library Override > Make).",
        )


def _check_disjoint(one: Part, other: Part) -> None:
    if one.object_name != other.object_name:
        return
    shared = np.intersect1d(one.indices, other.indices)
    if len(shared):
        raise RigError(
            f"'{one.label}' and '{other.label}' share {len(shared)} vertices.",
            object=one.object_name,
            vertices=shared.tolist(),
            advice="Give each part an object or a vertex group of its own.",
        )


def _part(scene: Any, obj: Any, group: str, role: str) -> Part | None:
    if obj is None:
        return None
    if obj.name not in scene.objects:
        raise RigError(
            f"The {role} is not in the scene '{scene.name}' any more.",
            object=obj.name,
            advice="Choose an object of this scene.",
        )
    if obj.type != "MESH":
        raise RigError(
            f"The {role} must be a mesh, but this is a {obj.type.lower()}.",
            object=obj.name,
            advice="Choose a mesh, or convert it (Object > Convert > Mesh).",
        )
    if obj.mode == "EDIT":
        raise RigError("It is being edited.", object=obj.name, advice="Leave Edit Mode.")
    keys = obj.data.shape_keys
    if keys is not None and not keys.use_relative:
        raise RigError(
            "Its shape keys are absolute.",
            object=obj.name,
            advice="Enable 'Relative' in Object Data > Shape Keys.",
        )
    check_stack(obj)
    triangles = seen_triangles(obj, outward_triangles(obj))
    if not len(triangles) and len(obj.data.polygons):
        raise RigError(
            f"Its masks ({', '.join(repr(m.name) for m in masks(obj))}) hide all faces of the {role}.",
            object=obj.name,
            advice="Choose the mesh that is seen instead, or switch them off in the viewport.",
        )
    if group:
        inside = _in_group(obj, group, role)
        triangles = triangles[inside[triangles].all(axis=1)]
    if not len(triangles):
        where = f"The vertex group '{group}' encloses no faces." if group else "The mesh has no faces."
        raise RigError(
            where,
            object=obj.name,
            advice=f"Give the {role} faces whose vertices have weights above {GROUP_THRESHOLD}."
            if group
            else f"Choose another mesh for the {role}.",
        )
    indices, local = np.unique(triangles, return_inverse=True)
    return Part(
        object_name=obj.name,
        group=group,
        indices=indices.astype(np.int32),
        triangles=local.reshape(-1, 3).astype(np.int32),
        n_vertices=len(obj.data.vertices),
    )


def _in_group(obj: Any, group: str, role: str) -> NDArray[np.bool_]:
    if group not in obj.vertex_groups:
        raise RigError(
            f"There is no vertex group '{group}' for the {role}.",
            object=obj.name,
            advice=f"Its groups are: {', '.join(g.name for g in obj.vertex_groups) or 'none'}.",
        )
    inside = group_weights(obj, group) > GROUP_THRESHOLD
    if not inside.any():
        raise RigError(
            f"The vertex group '{group}' of the {role} is empty.",
            object=obj.name,
            advice=f"Assign the {role}'s vertices to it with weights above {GROUP_THRESHOLD}.",
        )
    return inside


def _bone(scene: Any, armature: Any, bone: str, role: str) -> tuple[str, str] | None:
    if armature is None and not bone:
        return None
    if armature is None:
        raise RigError(
            f"The {role}'s bone '{bone}' has no armature.", advice=f"Choose its armature (setup --{role}-bone A:B)."
        )
    if armature.name not in scene.objects:
        raise RigError(
            f"The {role}'s armature is not in the scene '{scene.name}' any more.",
            object=armature.name,
            advice="Choose an armature of this scene.",
        )
    if not bone:
        raise RigError(f"No bone is given for the {role}.", object=armature.name, advice="Choose one, or no armature.")
    if armature.type != "ARMATURE" or bone not in armature.pose.bones:
        raise RigError(
            f"There is no bone '{bone}' for the {role}.",
            object=armature.name,
            advice="Choose a bone of this armature.",
        )
    return armature.name, bone


def scene_object(name: str) -> Any:
    """The object of this name; the file's own takes precedence over a linked one. Raises RigError if it is gone."""
    obj = bpy.data.objects.get((name, None)) or bpy.data.objects.get(name)
    if obj is None:
        raise RigError("It is gone.", object=name, advice="Run the setup again.")
    return obj
