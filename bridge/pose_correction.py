# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer of a pose correction: a hand's mesh is shifted after its rig, by what an object of our own is keyed to.

Whatever moves a hand, bones, constraints, the object itself or a cache, its mesh is shifted last, so that none of it
has to be known or touched. Three Displace modifiers, one for each axis of the object's space, take their strength from
the location of an Empty, through drivers that need no Python. At 0 Blender skips them: frames without a correction
stay exactly as animated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..compat import new_fcurves
from ..errors import RigError
from .meshes import mesh_positions, mesh_triangles, world_matrix
from .modifiers import place_after_rig
from .own_action import add_keys
from .rig import Part, Rig, scene_object
from .scene_time import stretch
from .surfaces import view_layer_of

NAME = "NePHIM Pose Correction"
_FADES = 0.08  # [m] of the forearm of a body's mesh: what a hand is shifted by, that skin is stretched by
_FIGURES = "nephim_correction"  # on the Empty: largest shift and what remains too deep [mm]
_OWN_DATA = "nephim_own_animation_data"  # on the Empty: whether the hand's object had none before


def _layer(side: str) -> str:
    """The name of a hand's layer: of its Empty, action, vertex group, and, with the axis, of its modifiers."""
    return f"{NAME} {side.title()}"


def _modifiers(obj: Any, side: str) -> list[Any]:
    names = {f"{_layer(side)} {axis}" for axis in "XYZ"}
    return [modifier for modifier in obj.modifiers if modifier.name in names]


def _drivers(obj: Any, side: str) -> list[Any]:
    data = obj.animation_data
    start = f'modifiers["{_layer(side)} '
    return [curve for curve in data.drivers if curve.data_path.startswith(start)] if data is not None else []


def _control(obj: Any, side: str) -> Any:
    """The Empty of a hand's layer; None if it has been deleted, or there is no layer."""
    targets = (t.id for c in _drivers(obj, side) for v in c.driver.variables for t in v.targets)
    return next((target for target in targets if target is not None), None)


def hands_of(settings: Any) -> dict[str, Any]:
    """The hands' objects of `scene.nephim` by side."""
    return {side: obj for side in ("left", "right") if (obj := getattr(settings, side)) is not None}


def corrected(settings: Any) -> list[str]:
    """The sides whose hands have a correction."""
    return [side for side, obj in hands_of(settings).items() if _modifiers(obj, side)]


def figures(settings: Any) -> dict[str, dict[str, float]]:
    """Of the corrected hands by side, the largest shift and how much too deep they remain [mm], as when corrected."""
    found = {}
    for side in corrected(settings):
        control = _control(hands_of(settings)[side], side)
        if control is not None and _FIGURES in control:
            found[side] = dict(zip(("shift_max_mm", "too_deep_mm"), map(float, control[_FIGURES]), strict=True))
    return found


@contextmanager
def as_animated(scene: Any) -> Iterator[None]:
    """The hands without their corrections, which may be replaced or removed meanwhile."""
    hands = hands_of(scene.nephim)
    shown = [(obj, m.name) for side, obj in hands.items() for m in _modifiers(obj, side) if m.show_viewport]
    try:
        for obj, name in shown:
            obj.modifiers[name].show_viewport = False
        yield
    finally:
        for obj, name in shown:
            if name in obj.modifiers:
                obj.modifiers[name].show_viewport = True
        view_layer_of(scene).update()


def check_correctable(rig: Rig) -> None:
    """Raises RigError if a hand cannot have a layer."""
    for part in filter(None, (rig.left, rig.right)):
        obj = scene_object(part.object_name)
        if obj.library is not None:
            raise RigError(
                f"It is linked from {obj.library.filepath}, so its pose cannot be corrected here.",
                object=obj.name,
                advice="Make it local, or make a library override of it (Object > Library Override > Make).",
            )
        if part.group and (obj.data.library is not None or obj.data.override_library is not None):
            raise RigError(
                "Its mesh is linked, and the hand is a part of it, which needs a vertex group to be shifted.",
                object=obj.name,
                advice="Make it local (Object > Relations > Make Local > Selected Objects and Data), or move the hand.",
            )


def add_correction(
    scene: Any, rig: Rig, side: str, frames: range, offsets: NDArray[np.float64], found: tuple[float, float]
) -> Any:
    """Adds, or replaces, the layer of a hand; returns its Empty.

    offsets: (f, 3) in the space of the hand's object, Blender units, one for each of `frames`; before and after, the
    first and the last hold. found: to remember, the largest shift and how much too deep the hand is nevertheless [m].
    Call `check_correctable` first.
    """
    part = getattr(rig, side)
    obj = scene_object(part.object_name)
    remove_correction(obj, side)
    control = _new_control(scene, side, frames, offsets)
    state = world_matrix(obj, rig.scale)
    control[_OWN_DATA] = obj.animation_data is None
    group = _new_group(obj, rig, side, state) if part.group else ""
    active = obj.modifiers.active
    for index, axis in enumerate("XYZ"):
        modifier = obj.modifiers.new(f"{_layer(side)} {axis}", "DISPLACE")
        modifier.direction, modifier.space, modifier.mid_level, modifier.strength = axis, "LOCAL", 0.0, 0.0
        modifier.vertex_group = group
        modifier.show_expanded = False
        obj.modifiers.move(len(obj.modifiers) - 1, place_after_rig(obj))
        driver = obj.driver_add(f'modifiers["{modifier.name}"].strength').driver
        driver.type = "SUM"  # of one: evaluated without Python, which users may have switched off
        variable = driver.variables.new()
        variable.targets[0].id, variable.targets[0].data_path = control, f"location[{index}]"
    if active is not None:
        obj.modifiers.active = active
    control[_FIGURES] = [1e3 * number for number in found]
    return control


def _new_control(scene: Any, side: str, frames: range, offsets: NDArray[np.float64]) -> Any:
    control = bpy.data.objects.new(_layer(side), None)
    control.empty_display_size = 0.02
    control.hide_render = control.hide_select = True
    scene.collection.objects.link(control)
    action = bpy.data.actions.new(_layer(side))
    curves, slot = new_fcurves(action, "OBJECT")
    data = control.animation_data_create()
    data.action = action
    if slot is not None:
        data.action_slot = slot
    times = np.array(frames) * stretch(scene)
    for index in range(3):
        add_keys(curves, "location", index, times, offsets[:, index])
    layer = view_layer_of(scene)
    layer.update()  # knows the Empty only then
    control.hide_set(True, view_layer=layer)  # found in the Outliner and the graph editor, not in the way
    return control


def _new_group(obj: Any, rig: Rig, side: str, state: NDArray[np.float64]) -> str:
    """A vertex group of the hand that fades along the forearm; head and other hand stay."""
    from ..sim.geometry.fading import fading  # scipy loads on first use, so that enabling the add-on stays fast

    part: Part = getattr(rig, side)
    vertices = mesh_positions(obj.data).astype(np.float64) @ state[:3, :3].T
    weights = fading(vertices, mesh_triangles(obj.data), part.indices, _FADES)
    for other in rig.moving:
        if other is not part and other.object_name == part.object_name:
            weights[other.indices] = 0.0
    active = obj.vertex_groups.active_index
    group = obj.vertex_groups.new(name=_layer(side))
    group.add(np.flatnonzero(weights == 1.0).tolist(), 1.0, "REPLACE")
    for vertex in np.flatnonzero((weights > 0.0) & (weights < 1.0)):
        group.add([int(vertex)], float(weights[vertex]), "REPLACE")
    obj.vertex_groups.active_index = active
    return str(group.name)


def remove_correction(obj: Any, side: str) -> bool:
    """Removes the layer of a hand with all that belongs to it; returns whether there was one."""
    modifiers, control = _modifiers(obj, side), _control(obj, side)
    if not modifiers:
        return False
    groups = {modifier.vertex_group for modifier in modifiers} - {""}
    for modifier in modifiers:
        obj.driver_remove(f'modifiers["{modifier.name}"].strength')
        obj.modifiers.remove(modifier)
    active = obj.vertex_groups.active_index
    for name in groups & set(obj.vertex_groups.keys()):
        obj.vertex_groups.remove(obj.vertex_groups[name])
    obj.vertex_groups.active_index = min(active, len(obj.vertex_groups) - 1) if len(obj.vertex_groups) else -1
    if control is None:
        return True
    data = obj.animation_data
    if control.get(_OWN_DATA) and data is not None and not (data.action or len(data.drivers) or len(data.nla_tracks)):
        obj.animation_data_clear()
    actions = [control.animation_data.action] if control.animation_data and control.animation_data.action else []
    bpy.data.batch_remove([*actions, control])
    return True
