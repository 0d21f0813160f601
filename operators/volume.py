# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume: the tetrahedral template of the head at the neutral frame, beside the .blend."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import bpy

from ..bridge.attachments import find_attachments
from ..bridge.obstacles import find_obstacles
from ..bridge.plan import Plan, read_plan
from ..bridge.size import check_size
from ..bridge.surfaces import SurfaceReader
from ..errors import CacheError
from ..progress import Job, aside
from .jobs import JobOperator, is_free
from .looked_at import look

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..sim.template import Template


def volume_job(scene: Any) -> Job["Template"]:
    """Builds the template and writes `FILE.nephim/volume.npz`; returns it. Raises NephimError."""
    from ..sim.volume.build import build_template

    plan = read_plan(scene)
    with SurfaceReader(scene, plan.rig) as reader:
        surfaces = reader.neutral()
        check_size(surfaces, plan.rig)
        look(scene, plan.rig, surfaces)
    jaw, cranium = bones(surfaces, plan)
    job = build_template(
        surfaces.head,
        jaw,
        cranium,
        settings=plan.volume_settings(),
        groups=surfaces.groups,
        hints=surfaces.hints,
    )
    template = yield from aside(job)
    template.save(plan.folder.volume)
    with SurfaceReader(scene, plan.rig) as reader:
        surfaces = reader.neutral()
        find_attachments(scene, plan.rig, reader, surfaces, template)
        obstacles = find_obstacles(scene, plan.rig, reader, surfaces, template)
    if obstacles.teeth is not None:  # said, not stored: it holds no longer once 'Its Teeth' is unticked
        template.notes.append("Lips are kept off the teeth of the registered skull; the character has none of its own.")
    return template


def bones(surfaces: Any, plan: Plan) -> tuple[Any, Any]:
    """Jaw and cranium as surfaces: the artist's own, else the skull model's, else None. Raises NephimError."""
    from ..sim.geometry.surface import Surface
    from ..sim.volume.skull_model import SkullModel

    jaw, cranium = surfaces.jaw, surfaces.cranium
    if plan.skull_model is not None and (jaw is None or cranium is None):
        model = SkullModel.load(plan.skull_model)
        found = model.predict(surfaces.head.vertices, surfaces.head.triangles, surfaces.head.name)
        jaw = jaw or Surface(found.jaw_vertices, found.jaw_triangles, "jaw of the skull model")
        cranium = cranium or Surface(found.cranium_vertices, found.cranium_triangles, "cranium of the skull model")
    return jaw, cranium


def load_volume(surfaces: Any, plan: Plan) -> "Template":
    """The stored template. Raises CacheError if there is none or the neutral head has changed since."""
    from ..sim.template import Template
    from ..sim.volume.build import fingerprint

    template = Template.load(plan.folder.volume)
    jaw, cranium = bones(surfaces, plan)
    now = fingerprint([surfaces.head, jaw, cranium], plan.volume_settings(), surfaces.groups, surfaces.hints)
    if template.fingerprint != now:
        raise CacheError(
            "The volume was built from another mesh, skull, neutral pose, stiffness or edge length.",
            object=surfaces.head.name,
            advice="Build the volume again.",
        )
    return template


def summary(template: "Template") -> str:
    """What was built, with its notes."""
    kind = "" if template.conforming else ", embedded in its closed envelope"
    size = (
        f"{template.n_skin} skin vertices ({template.n_head} of them the mesh's own), {len(template.tets)} tetrahedra"
    )
    return " ".join([f"Volume: {size}{kind}.", *template.notes])


def carried(scene: Any) -> str:
    """What follows the skin that it lies on, and what skin is kept off, in a sentence each; empty if there is none."""
    along = _listed(item for item in scene.nephim.attachments if item.carried and item.pieces)
    off = _listed(item for item in scene.nephim.obstacles if item.kept_off and item.pieces)
    sentences = [f"Carried along with the skin: {along}." if along else "", f"Skin is kept off {off}." if off else ""]
    return " ".join(filter(None, sentences))


def _listed(items: Iterable[Any]) -> str:
    found = (item for item in items if item.owner is not None)
    return ", ".join(f"'{item.owner.name}{f':{item.material}' if item.material else ''}'" for item in found)


class NEPHIM_OT_volume(JobOperator, bpy.types.Operator):
    """Build the volume of the head at the neutral frame: skin, soft tissue, jaw and cranium"""

    bl_idname = "nephim.volume"
    bl_label = "Build Volume"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return volume_job(context.scene)

    def summary(self, result: Any) -> str:
        return f"{summary(result)} {carried(bpy.context.scene)}".rstrip()


def needs_setup(cls: Any, context: bpy.types.Context) -> bool:
    """For `poll`: quick checks that apply to every step after the setup."""
    settings = context.scene.nephim
    if not is_free(cls):
        return False
    if not bpy.data.filepath:
        cls.poll_message_set("Save the .blend first: results are stored beside it")
    elif settings.head is None:
        cls.poll_message_set("Choose a head")
    elif settings.left is None and settings.right is None:
        cls.poll_message_set("Choose at least one hand")
    else:
        return True
    return False
