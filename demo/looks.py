# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours, materials, lights and camera of the demo; no image files."""

from typing import Any

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from .. import compat
from .character import Eye
from .meshes import TINT

# Linear colours.
_SKIN, _FLUSH, _LIPS = np.array([0.60, 0.34, 0.25]), np.array([0.58, 0.24, 0.18]), np.array([0.42, 0.12, 0.10])
_HAIR = np.array([0.055, 0.032, 0.022])
_NAIL = np.array([0.62, 0.36, 0.30])


def head_tint(rest: NDArray) -> NDArray[np.float64]:
    """Colours (n, 3) of the head's vertices from their rest positions (n, 3) [m]: flush, lips, brows and short hair."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    colour = np.tile(_SKIN, (len(rest), 1))

    def paint(tone: NDArray, mask: NDArray) -> None:
        colour[:] = colour + np.clip(mask, 0, 1)[:, None] * (tone - colour)

    front = _step(-0.03, -0.06, y)
    paint(_FLUSH, 0.55 * front * np.exp(-(((x - 0.043) / 0.018) ** 2) - ((z - 0.093) / 0.016) ** 2))
    paint(_FLUSH, 0.45 * _step(-0.118, -0.128, y))  # tip of the nose
    paint(_LIPS, 0.8 * _step(1.15, 0.85, np.hypot(x / 0.025, (z - 0.067) / 0.0105)) * _step(-0.085, -0.095, y))
    brow = 0.1478 - 5.0 * (x - 0.032) ** 2  # the arch, highest above the outer edge of the iris
    ends = _step(0.007, 0.012, x) * _step(0.052, 0.044, x) * front
    paint(_HAIR, 0.9 * _step(0.0046, 0.0022, np.abs(z - brow)) * ends)
    # The hair line: a surface that rises from the nape over the ears to the top of the forehead.
    back = [-0.11, -0.085, -0.06, -0.035, -0.02, 0.02, 0.06]
    line = np.interp(y, back, [0.200, 0.192, 0.186, 0.165, 0.135, 0.105, 0.085])
    line = line + 0.10 * np.clip(x - 0.045, 0, None) * _step(-0.03, -0.08, y)
    ear = _step(0.074, 0.077, x)
    paint(_HAIR, 0.9 * _step(-0.004, 0.006, z - line) * (1 - ear))
    return colour


def hand_tint(weights: NDArray, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Colours (n, 3): fingertips are a little redder than the hand."""
    tips = weights[:, [i for i, n in enumerate(names) if n.split(".")[0].endswith("-3")]].sum(1)
    return _SKIN + 0.35 * tips[:, None] * (_FLUSH - _SKIN)


def _step(low: float, high: float, value: NDArray) -> NDArray[np.float64]:
    """0 at `low`, 1 at `high` (which may be the smaller one), smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def skin_material() -> Any:
    """Vertex colour with fine mottling, uneven gloss, some scattering below the surface."""
    material, nodes, link, surface = _principled("Skin", roughness=0.5)
    tint = nodes.new("ShaderNodeVertexColor")
    tint.layer_name = TINT
    coordinates = nodes.new("ShaderNodeTexCoord")
    mottle = nodes.new("ShaderNodeTexNoise")
    mottle.inputs["Scale"].default_value = 90.0  # blotches of about a centimetre
    mottle.inputs["Detail"].default_value = 4.0
    link(coordinates.outputs["UV"], mottle.inputs["Vector"])
    light = nodes.new("ShaderNodeHueSaturation")
    link(tint.outputs["Color"], light.inputs["Color"])
    for target, low, high in ((light.inputs["Value"], 0.9, 1.1), (surface.inputs["Roughness"], 0.42, 0.62)):
        spread = nodes.new("ShaderNodeMapRange")
        spread.inputs["To Min"].default_value, spread.inputs["To Max"].default_value = low, high
        link(mottle.outputs[0], spread.inputs["Value"])
        link(spread.outputs["Result"], target)
    link(light.outputs["Color"], surface.inputs["Base Color"])
    surface.inputs["Subsurface Weight"].default_value = 0.15
    surface.inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
    surface.inputs["Subsurface Scale"].default_value = 0.004
    return material


def plain_material(name: str, colour: tuple[float, float, float], roughness: float) -> Any:
    """One colour."""
    material, _, _, surface = _principled(name, roughness)
    surface.inputs["Base Color"].default_value = (*colour, 1.0)
    material.diffuse_color = (*colour, 1.0)
    return material


def _principled(name: str, roughness: float) -> tuple[Any, Any, Any, Any]:
    material = bpy.data.materials.new(name)
    if not material.node_tree:  # Blender 5 gives every material its nodes
        material.use_nodes = True
    nodes = material.node_tree.nodes
    surface = next(n for n in nodes if n.type == "BSDF_PRINCIPLED")
    surface.inputs["Roughness"].default_value = roughness
    material.diffuse_color = (0.72, 0.52, 0.43, 1.0)
    return material, nodes, material.node_tree.links.new, surface


def add_eye(name: str, eye: Eye) -> Any:
    """An eyeball of rings around the gaze (-y): pupil, iris and white are faces of their own material."""
    iris = np.arcsin(0.0065 / eye.radius)  # an iris is 12 mm wide; MakeHuman's eyes are a little large
    rings = np.concatenate([[0.35, 0.40, 0.7, 0.95, 1.0], np.linspace(1.25, np.pi / iris, 14)[:-1]]) * iris
    segments = 32
    around = 2 * np.pi * np.arange(segments) / segments
    radius = eye.radius + 0.0008 * np.clip(1 - (rings / (1.1 * iris)) ** 2, 0, None)  # the cornea stands out a little
    circle = np.stack([np.cos(around), np.zeros(segments), np.sin(around)], axis=-1)
    axis = np.array([0.0, -1.0, 0.0])
    body = radius[:, None, None] * (np.sin(rings)[:, None, None] * circle + np.cos(rings)[:, None, None] * axis)
    front, back = axis * (eye.radius + 0.0008), -axis * eye.radius
    vertices = np.concatenate([body.reshape(-1, 3), [front, back]]) + eye.centre
    quads, material = [], []
    for ring in range(len(rings) - 1):
        for k in range(segments):
            a, b = ring * segments + k, ring * segments + (k + 1) % segments
            quads.append((a, b, b + segments, a + segments))
            material.append(0 if ring < 1 else 1 if ring < 4 else 2)
    tips = [(len(vertices) - 2, k, (k + 1) % segments, 0) for k in range(segments)]
    last = (len(rings) - 1) * segments
    tips += [(len(vertices) - 1, last + (k + 1) % segments, last + k, 2) for k in range(segments)]
    mesh = bpy.data.meshes.new(name)
    # -y seen from the front turns the circle's sense round, so quads and tips are wound against their loops.
    mesh.from_pydata(vertices.tolist(), [], [q[::-1] for q in quads] + [(a, c, b) for a, b, c, _ in tips])
    mesh.polygons.foreach_set("material_index", np.array(material + [t[3] for t in tips], np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    mesh.update()
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def add_studio() -> None:
    """Key, fill and rim light, camera, backdrop and render settings."""
    scene = bpy.context.scene
    focus = Vector((0.0, -0.09, 0.065))
    for name, place, watts, size, colour in (
        ("Key", (-0.9, -1.1, 0.9), 22.0, 0.6, (1.0, 0.95, 0.9)),
        ("Fill", (1.1, -0.9, 0.2), 8.0, 1.0, (0.88, 0.93, 1.0)),
        ("Rim", (0.5, 1.0, 0.9), 20.0, 0.5, (1.0, 1.0, 1.0)),
    ):
        light = bpy.data.lights.new(name, "AREA")
        light.energy, light.size, light.color = watts, size, colour
        _aim(name, light, Vector(place), focus)
    camera = bpy.data.cameras.new("Camera")
    camera.lens = 85.0
    camera.clip_start = 0.01
    scene.camera = _aim("Camera", camera, Vector((-0.27, -1.24, 0.13)), focus)
    scene.world = _world()
    scene.render.engine = compat.eevee_engine()
    scene.render.resolution_x, scene.render.resolution_y = 960, 960
    scene.view_settings.view_transform = "AgX"


def _world() -> Any:
    """Soft light from all around, and a plain, darker ground behind the character."""
    world = bpy.data.worlds.new("World")
    if not world.node_tree:  # Blender 5 gives every world its nodes
        world.use_nodes = True
    nodes, link = world.node_tree.nodes, world.node_tree.links.new
    light = next(n for n in nodes if n.type == "BACKGROUND")
    light.inputs["Color"].default_value = (0.35, 0.38, 0.42, 1.0)
    light.inputs["Strength"].default_value = 0.5
    ground = nodes.new("ShaderNodeBackground")
    ground.inputs["Color"].default_value = (0.075, 0.09, 0.105, 1.0)
    seen, mix = nodes.new("ShaderNodeLightPath"), nodes.new("ShaderNodeMixShader")
    link(seen.outputs["Is Camera Ray"], mix.inputs[0])
    link(light.outputs[0], mix.inputs[1])
    link(ground.outputs[0], mix.inputs[2])
    link(mix.outputs[0], next(n for n in nodes if n.type == "OUTPUT_WORLD").inputs["Surface"])
    return world


def _aim(name: str, data: Any, place: Vector, focus: Vector) -> Any:
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    obj.location = place
    obj.rotation_euler = (focus - place).to_track_quat("-Z", "Y").to_euler()
    return obj
