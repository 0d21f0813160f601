# SPDX-License-Identifier: GPL-3.0-or-later
"""Setup: the head and the hands, given by name and stored in the scene."""

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from ..bridge.characters import check_own_head
from ..bridge.painted_stiffness import stiffness_groups
from ..bridge.pieces import untick
from ..bridge.rig import Rig, read_rig
from ..bridge.size import check_size, fitting_scale
from ..bridge.surfaces import SurfaceReader
from ..choices import REGIONS, SKULL
from ..errors import NephimError, RigError
from . import problems
from .jobs import is_free
from .looked_at import look, notes

# Everything that `setup` writes; a failed setup leaves these unchanged.
_DECIDED = (
    "head", "head_group", "left", "left_group", "right", "right_group", "jaw", "cranium",
    "head_armature", "head_bone", "jaw_armature", "jaw_bone", "neutral_frame",
    "skull_model", "skull", "skull_teeth", "unit_scale", "up_axis", "front_axis",
    *(f"{region}_group" for region in REGIONS),
)  # fmt: skip


def setup(
    scene: Any,
    *,
    head: str,
    left: str | None = None,
    right: str | None = None,
    jaw: str | None = None,
    cranium: str | None = None,
    head_bone: str | None = None,
    jaw_bone: str | None = None,
    neutral_frame: int | None = None,
    stiffness: Mapping[str, str] | None = None,
    skull_model: str | None = None,
    skull: str = SKULL,
    unit_scale: float | None = None,
    left_behind: Sequence[str] = (),
    no_obstacle: Sequence[str] = (),
    skull_teeth: bool = True,
    up: str | None = None,
    front: str | None = None,
) -> Rig:
    """Writes the roles into `scene.nephim` and checks them; a RigError leaves the settings unchanged.

    head, left, right: OBJECT[:VERTEX_GROUP]; jaw, cranium: OBJECT; bones: ARMATURE:BONE; None clears a role.
    neutral_frame: default the first frame of the scene. stiffness: region → vertex group or float attribute.
    skull_model: path of a `sim.skull_model.SkullModel`; skull: see `choices.SKULLS`; unit_scale: metres per unit;
    None: as in the scene. up, front: axes of the scene to which the head's top and its face point, of `choices.AXES`;
    None: found.
    left_behind: OBJECT[:MATERIAL] of what hangs on the skin but is not carried along; all else is.
    no_obstacle: the same of eyes, teeth and tongue that skin is not kept off. skull_teeth: whether it is kept off those
    of a registered skull.
    """
    settings = scene.nephim
    before = {name: getattr(settings, name) for name in _DECIDED}
    try:
        for role, text in (("head", head), ("left", left), ("right", right)):
            obj, group = _object_and_rest(scene, text, role)
            setattr(settings, role, obj)
            setattr(settings, f"{role}_group", group)
        for role, text in (("jaw", jaw), ("cranium", cranium)):
            obj, rest = _object_and_rest(scene, text, role)
            if rest:
                raise RigError(f"There is no object '{text}' for the {role}.", advice=_known(scene, "MESH"))
            setattr(settings, role, obj)
        for role, text in (("head", head_bone), ("jaw", jaw_bone)):
            armature, bone = _object_and_rest(scene, text, f"{role} bone")
            setattr(settings, f"{role}_armature", armature)
            setattr(settings, f"{role}_bone", bone)
        settings.neutral_frame = scene.frame_start if neutral_frame is None else neutral_frame
        settings.skull_model = skull_model or ""
        settings.skull, settings.skull_teeth = skull, skull_teeth
        settings.unit_scale = unit_scale or 0.0
        settings.up_axis, settings.front_axis = up or "AUTO", front or "AUTO"
        for region in REGIONS:
            setattr(settings, f"{region}_group", (stiffness or {}).get(region, ""))
        rig = checked_rig(scene)
        stiffness_groups(scene, rig.head)
        behind = _pieces(scene, left_behind, "to leave behind")
        untick(scene.nephim.attachments, behind, "carried")
        untick(scene.nephim.obstacles, _pieces(scene, no_obstacle, "that is no obstacle"), "kept_off")
        return rig
    except NephimError:
        for name, value in before.items():
            setattr(settings, name, value)
        raise


def checked_rig(scene: Any) -> Rig:
    """The rig, once its neutral frame has been read and its head is as large as a person's. Raises NephimError."""
    rig = read_rig(scene)
    check_own_head(scene)
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        check_size(surfaces, rig)
        look(scene, rig, surfaces)
    return rig


def fit_size(scene: Any) -> float:
    """Sets the add-on's unit scale so that the head is as large as a person's; returns it. Raises NephimError."""
    rig = read_rig(scene)
    scale = fitting_scale(SurfaceReader(scene, rig).neutral(), rig)
    if scale != rig.scale:
        scene.nephim.unit_scale = scale
    return scale


def _pieces(scene: Any, texts: Sequence[str], which: str) -> list[tuple[Any, str]]:
    """Objects and materials of OBJECT[:MATERIAL]; which: 'to leave behind', for messages. Raises RigError."""
    chosen = [_object_and_rest(scene, text, f"mesh {which}") for text in texts]
    for obj, material in chosen:
        names = [slot.material.name for slot in obj.material_slots if slot.material is not None]
        if material and material not in names:
            raise RigError(
                f"There is no material '{material}' {which}.",
                object=obj.name,
                advice=f"Its materials are: {', '.join(names) or 'none'}.",
            )
    return chosen


def _object_and_rest(scene: Any, text: str | None, role: str) -> tuple[Any, str]:
    """'Body:hand.L' as (object, 'hand.L'). Names may contain colons: the longest object name wins."""
    if not text:
        return None, ""
    parts = text.split(":")
    for count in range(len(parts), 0, -1):
        obj = scene.objects.get(":".join(parts[:count]))
        if obj is not None:
            return obj, ":".join(parts[count:])
    raise RigError(
        f"There is no object '{parts[0]}' for the {role}.",
        advice=_known(scene, "ARMATURE" if "bone" in role else "MESH"),
    )


def _known(scene: Any, kind: str) -> str:
    names = sorted(obj.name for obj in scene.objects if obj.type == kind)
    what = "armatures" if kind == "ARMATURE" else "meshes"
    return f"The scene's {what} are: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}." if names else (
        f"The scene '{scene.name}' has no {what}."
    )  # fmt: skip


def summary(rig: Rig, noted: Sequence[str] = ()) -> str:
    """One sentence on what was found, and the notes of the check."""
    hands = " and ".join(
        f"{side} hand {part.label} ({len(part.indices)} vertices)"
        for side, part in (("left", rig.left), ("right", rig.right))
        if part is not None
    )
    frames = f"frames {rig.frames[0]}-{rig.frames[-1]}, neutral {rig.neutral_frame}"
    found = f"Head {rig.head.label} ({len(rig.head.indices)} vertices), {hands}; {frames}."
    return " ".join([found, *noted])


class NEPHIM_OT_setup(bpy.types.Operator):
    """Check head and hands; names given here replace those of the sidebar first"""

    bl_idname = "nephim.setup"
    bl_label = "Check Setup"
    bl_options = {"REGISTER", "UNDO"}

    head: StringProperty(name="Head", description="OBJECT[:VERTEX_GROUP]")  # type: ignore[valid-type]
    left: StringProperty(name="Left Hand", description="OBJECT[:VERTEX_GROUP]")  # type: ignore[valid-type]
    right: StringProperty(name="Right Hand", description="OBJECT[:VERTEX_GROUP]")  # type: ignore[valid-type]
    jaw: StringProperty(name="Jaw", description="OBJECT")  # type: ignore[valid-type]
    cranium: StringProperty(name="Cranium", description="OBJECT")  # type: ignore[valid-type]
    head_bone: StringProperty(name="Head Bone", description="ARMATURE:BONE")  # type: ignore[valid-type]
    jaw_bone: StringProperty(name="Jaw Bone", description="ARMATURE:BONE")  # type: ignore[valid-type]
    neutral_frame: IntProperty(name="Neutral Frame", description="Frame with the face at rest and untouched")  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        try:
            if self.head:
                rig = setup(
                    scene,
                    head=self.head,
                    left=self.left,
                    right=self.right,
                    jaw=self.jaw,
                    cranium=self.cranium,
                    head_bone=self.head_bone,
                    jaw_bone=self.jaw_bone,
                    neutral_frame=self.neutral_frame if self.properties.is_property_set("neutral_frame") else None,
                )
            else:
                rig = checked_rig(scene)
        except NephimError as error:
            return problems.refuse(self, error)
        problems.forget()
        self.report({"INFO"}, summary(rig, notes(scene)))
        return {"FINISHED"}


class NEPHIM_OT_neutral_here(bpy.types.Operator):
    """Use the current frame as the neutral one: a relaxed face, parted lips and no hand near it"""

    bl_idname = "nephim.neutral_here"
    bl_label = "Neutral Here"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.nephim.neutral_frame = context.scene.frame_current
        return {"FINISHED"}


class NEPHIM_OT_fit_size(bpy.types.Operator):
    """Set the unit scale of NePHIM alone so that the head is as large as a person's; the scene stays as it is"""

    bl_idname = "nephim.fit_size"
    bl_label = "Fit Size"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            scale = fit_size(context.scene)
        except NephimError as error:
            return problems.refuse(self, error)
        problems.forget()
        self.report({"INFO"}, f"A unit counts as {scale:g} m for NePHIM")
        return {"FINISHED"}
