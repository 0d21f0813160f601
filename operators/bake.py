# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake: writes the simulation into the character, as shape keys or as a point cache played by a modifier."""

from dataclasses import dataclass
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty

from ..bridge.attachments import AttachedObject, find_attachments
from ..bridge.cache.moved import HandCaches, MovedObject
from ..bridge.cache.point_cache import PointCache
from ..bridge.plan import read_plan
from ..bridge.rig import read_rig, scene_object
from ..bridge.surfaces import SurfaceReader
from ..choices import EXISTING, POINT_CACHE, REPLACE, SHAPE_KEYS
from ..progress import Job
from .jobs import JobOperator
from .preview import switch_off
from .simulate import finished_cache_job
from .volume import load_volume, needs_setup


@dataclass(frozen=True)
class Baked:
    """What a bake did, in one sentence."""

    text: str


def bake_job(
    scene: Any,
    *,
    to: str,
    tolerance_mm: float | None = None,
    per_frame: bool = False,
    existing: str = REPLACE,
    fade: int | None = None,
) -> Job[Baked]:
    """Bakes to 'shape-keys' or 'point-cache'. Raises NephimError.

    tolerance_mm, fade: stored in the scene; None: the scene's own. existing: whether shape keys 'replace' those of
    earlier bakes or are 'add'ed beside them; a point cache leaves keys alone and uses a single modifier. The file is
    not saved.
    """
    from ..bridge.bake.kept_motion import check_kept, motion_job
    from ..bridge.bake.mesh_cache import add_mesh_cache, remove_mesh_cache
    from ..bridge.bake.shape_keys import bake_shape_keys

    if fade is not None:
        scene.nephim.bake_fade = fade
    fade = scene.nephim.bake_fade
    switch_off(scene)  # show the baked result instead
    cache = yield from finished_cache_job(scene)
    rig = read_rig(scene)
    name = rig.head.object_name
    if to == POINT_CACHE:
        motion = yield from motion_job(scene, rig, cache)
        add_mesh_cache(scene, rig, cache, fade)
        kept = False
        try:
            check_kept(motion, (yield from motion_job(scene, rig, cache)))
            kept = True
        finally:
            if not kept:
                remove_mesh_cache(scene_object(name))
        notes = yield from _along_job(scene, cache, fade, None)
        return Baked(" ".join([f"'{name}' plays {cache.path.name} through its modifier.", *notes]))
    if tolerance_mm is not None:
        scene.nephim.tolerance_mm = tolerance_mm
    # Blender stores the tolerance in single precision: 0.1 mm must not become 0.100000001 mm.
    tolerance = round(1e-3 * scene.nephim.tolerance_mm, 9)
    options = {"tolerance": tolerance, "per_frame": per_frame, "existing": existing, "fade": fade}
    result = yield from bake_shape_keys(scene, rig, cache, **options)
    remove_mesh_cache(scene_object(name))  # it would override the shape keys
    keys = f"'{name}' has {len(result.keys)} shape keys for {result.frames} frames"
    text = f"{keys}, error at most {result.error_max_mm:.3f} mm."
    notes = yield from _along_job(scene, cache, fade, options)
    return Baked(" ".join([text, *result.notes, *notes]))


def _along_job(scene: Any, cache: PointCache, fade: int, key_options: dict[str, Any] | None) -> Job[list[str]]:
    """Bakes the objects that hang on the skin, and hands that yield. Returns notes."""
    from ..bridge.bake.attached import attached_caches_job, bake_along_job

    plan = read_plan(scene)
    with SurfaceReader(scene, plan.rig) as reader:
        surfaces = reader.neutral()
        found = find_attachments(scene, plan.rig, reader, surfaces, load_volume(surfaces, plan)).objects
        caches = yield from attached_caches_job(scene, plan.rig, reader, found, cache, plan.folder.attached)
    along: list[tuple[AttachedObject | MovedObject, PointCache]] = [*zip(found, caches, strict=True)]
    along += HandCaches(plan.rig, cache).moved
    notes = yield from bake_along_job(scene, plan.rig, along, fade, key_options)
    carried = f"Carried along: {', '.join(repr(one.object_name) for one in found)}."
    return [carried, *notes] if found else notes


def summary(result: Baked) -> str:
    return result.text


class NEPHIM_OT_bake(JobOperator, bpy.types.Operator):
    """Bake the simulation into the character"""

    bl_idname = "nephim.bake"
    bl_label = "Bake"
    bl_options = {"REGISTER", "UNDO"}

    to: EnumProperty(  # type: ignore[valid-type]
        name="To",
        items=[
            (SHAPE_KEYS, "Shape Keys", "A few shape keys with animated weights; plays without the add-on"),
            (POINT_CACHE, "Point Cache", "A Mesh Cache modifier that plays the simulation from disk"),
        ],
        default=SHAPE_KEYS,
    )
    tolerance: FloatProperty(  # type: ignore[valid-type]
        name="Tolerance", description="Largest error in mm; 0: as set in the scene", default=0.0, min=0.0
    )
    per_frame: BoolProperty(name="One Key a Frame", description="One shape key per frame, without compression")  # type: ignore[valid-type]
    existing: EnumProperty(  # type: ignore[valid-type]
        name="Earlier Keys", description="What to do with shape keys of earlier bakes", items=EXISTING, default=REPLACE
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return bake_job(
            context.scene,
            to=self.to,
            tolerance_mm=self.tolerance or None,
            per_frame=self.per_frame,
            existing=self.existing,
        )

    def summary(self, result: Any) -> str:
        return summary(result)
