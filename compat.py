# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that handles Blender versions, by testing for features rather than numbers."""

from typing import Any

import bpy


def new_fcurves(action: Any, id_type: str) -> tuple[Any, Any]:
    """The F-curve collection of a new, empty action for an ID of `id_type` ('KEY', 'OBJECT' …), and its slot.

    Since Blender 4.4 actions have slots, and since 5.0 `Action.fcurves` is gone; before 4.4 the slot is None.
    """
    if not hasattr(action, "slots"):
        return action.fcurves, None
    slot = action.slots.new(id_type=id_type, name="NePHIM")
    strip = action.layers.new("NePHIM").strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves, slot


def fcurves(animation_data: Any) -> list[Any]:
    """The F-curves that the active action of this animation data plays for its ID; empty without an action."""
    action = animation_data.action if animation_data else None
    if action is None:
        return []
    if not hasattr(action, "slots"):
        return list(action.fcurves)
    slot = animation_data.action_slot
    bags = [strip.channelbag(slot) for layer in action.layers for strip in layer.strips] if slot else []
    return [curve for bag in bags if bag for curve in bag.fcurves]


def assign_slot(strip: Any, slot: Any) -> None:
    """Lets an NLA strip play `slot` of its action; nothing to do before Blender 4.4."""
    if slot is not None:
        strip.action_slot = slot


def strip_fcurves(strip: Any) -> list[Any]:
    """The F-curves that an NLA strip plays."""
    action = strip.action
    if not hasattr(action, "slots"):
        return list(action.fcurves)
    bags = [part.channelbag(strip.action_slot) for layer in action.layers for part in layer.strips]
    return [curve for bag in bags if bag for curve in bag.fcurves]


def eevee_engine() -> str:
    """EEVEE's identifier: `BLENDER_EEVEE_NEXT` in Blender 4.2 to 4.5, `BLENDER_EEVEE` before and after."""
    return "BLENDER_EEVEE_NEXT" if (4, 2) <= bpy.app.version < (5, 0) else "BLENDER_EEVEE"


def is_module() -> bool:
    """Whether this is the bpy module and not the program; Blender 4.2 has no `bpy.app.module`."""
    return bool(getattr(bpy.app, "module", not bpy.app.binary_path))


# From Blender 5.2, inputs of geometry nodes are no custom properties of their modifier.
NODE_INPUTS_ARE_PROPERTIES = bpy.app.version < (5, 2, 0)


def node_inputs(modifier: Any) -> dict[str, Any]:
    """The inputs of a geometry nodes modifier by identifier, for `set_node_inputs`."""
    if NODE_INPUTS_ARE_PROPERTIES:
        return {name: modifier[name] for name in list(modifier.keys())}
    inputs = modifier.properties.inputs
    sockets = {p.identifier: getattr(inputs, p.identifier) for p in inputs.bl_rna.properties if p.type == "POINTER"}
    return {
        name: {p.identifier: getattr(socket, p.identifier) for p in socket.bl_rna.properties if not p.is_readonly}
        for name, socket in sockets.items()
        if name != "rna_type"
    }


def set_node_inputs(modifier: Any, values: dict[str, Any]) -> None:
    """Sets inputs as `node_inputs` returns them; in Blender 5.2, a dictionary of 'type', 'value' and 'attribute_name'
    for each."""
    for name, value in values.items():
        if NODE_INPUTS_ARE_PROPERTIES:
            modifier[name] = value
            continue
        socket = getattr(modifier.properties.inputs, name)
        for key, one in value.items():
            setattr(socket, key, one)
