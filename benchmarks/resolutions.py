# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo character's head at several resolutions."""

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from nephim.bridge.meshes import mesh_positions, mesh_triangles
from nephim.demo.character import Character
from nephim.demo.meshes import add_mesh
from nephim.sim.geometry.surface import Surface
from nephim.sim.template import Template

from .bench_interactions import cached_template


@dataclass(frozen=True)
class Resolution:
    """name; edge: wished edge length on face and ears [m]; kept: share of the head's own faces, for a head coarser than
    the character's own."""

    name: str
    edge: float
    kept: float = 1.0


# The character's own head has 4284 vertices: refinement alone makes no head of 2500. Its edges stay then.
COARSE, MIDDLE, FINE = Resolution("2.5k", 0.03, 0.58), Resolution("10k", 0.0042), Resolution("40k", 0.0019)
RESOLUTIONS = {r.name: r for r in (COARSE, MIDDLE, FINE)}


def head_template(character: Character, resolution: Resolution, folder: Path) -> Template:
    """The volume of the neutral head, kept in `folder`."""
    head = Surface(character.head.vertices, character.head.triangles, "Head")
    if resolution.kept < 1:
        head = _decimated(head, resolution.kept)
    return cached_template(head, folder / f"head-{resolution.name}.npz", resolution.edge)


def _decimated(head: Surface, kept: float) -> Surface:
    """Fewer faces, by Blender's Decimate modifier."""
    obj = add_mesh(head.name, head.vertices, head.triangles)
    modifier = obj.modifiers.new("Decimate", "DECIMATE")
    modifier.ratio = kept
    bpy.context.view_layer.update()
    mesh = obj.evaluated_get(bpy.context.view_layer.depsgraph).data
    result = Surface(mesh_positions(mesh).astype(np.float64), mesh_triangles(mesh), head.name)
    bpy.data.objects.remove(obj)
    return result
