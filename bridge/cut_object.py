# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume cut open, as an object in the scene."""

from typing import Any

import bpy
import numpy as np

from ..sim.template import CRANIUM, JAW, TISSUE, Template
from ..sim.volume.cutaway import SKIN, cut_volume

NAME = "NePHIM Cutaway"
# Linear viewport colours, the same as in the cut picture.
_LOOKS = {
    TISSUE: ("NePHIM Soft Tissue", (0.52, 0.11, 0.09)),
    JAW: ("NePHIM Jaw", (0.20, 0.38, 0.56)),
    CRANIUM: ("NePHIM Cranium", (0.66, 0.60, 0.46)),
    SKIN: ("NePHIM Skin", (0.54, 0.31, 0.22)),
}
_AXES = {"sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, -1.0, 0.0), "transverse": (0.0, 0.0, 1.0)}
_ASIDE = 1.3  # head widths between the object and the head


def add_cutaway(scene: Any, template: Template, plane: str, scale: float) -> Any:
    """Adds, or replaces, the object 'NePHIM Cutaway' beside the head; plane: 'sagittal', 'coronal' or 'transverse'.

    scale: metres per Blender unit. It is not rendered.
    """
    remove_cutaway()
    skin = template.skin_vertices
    # Halfway through the tissue between skin and bone, where the cut shows all of them.
    bones = template.jaw_vertices if len(template.jaw_vertices) else skin
    point = (bones.min(axis=0) + bones.max(axis=0)) / 2
    cut = cut_volume(template, point, _AXES[plane])
    mesh = bpy.data.meshes.new(NAME)
    vertices = (cut.vertices + [_ASIDE * np.ptp(skin[:, 0]), 0, 0]) / scale
    mesh.from_pydata(vertices.astype(np.float32).tolist(), [], cut.triangles.tolist())
    order = list(_LOOKS)
    for region in order:
        mesh.materials.append(_material(*_LOOKS[region]))
    slots = np.array([order.index(int(region)) for region in cut.colour], np.int32)
    mesh.polygons.foreach_set("material_index", slots)
    mesh.polygons.foreach_set("use_smooth", cut.colour == SKIN)
    obj = bpy.data.objects.new(NAME, mesh)
    obj.hide_render = True
    scene.collection.objects.link(obj)
    return obj


def remove_cutaway() -> bool:
    """Removes the object; returns whether there was one."""
    obj = bpy.data.objects.get(NAME)
    if obj is None:
        return False
    mesh = obj.data
    bpy.data.objects.remove(obj)
    bpy.data.meshes.remove(mesh)
    return True


def _material(name: str, colour: tuple[float, float, float]) -> Any:
    material = bpy.data.materials.get(name) or bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)
    return material
