# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of modifiers on another object."""

from typing import Any

from ..compat import node_inputs, set_node_inputs

# Simulations: a copy would start one of its own, without the past of the original.
_SIMULATIONS = {
    "CLOTH", "COLLISION", "DYNAMIC_PAINT", "EXPLODE", "FLUID", "PARTICLE_INSTANCE", "PARTICLE_SYSTEM", "SOFT_BODY",
    "SURFACE",
}  # fmt: skip
_OWN = {"name", "type", "is_active", "show_expanded", "execution_time", "persistent_uid"}


def copy_modifier(modifier: Any, obj: Any) -> Any:
    """Adds a modifier with the same settings to `obj`, whose mesh has the same vertex groups; None for simulations.

    Keyframes, drivers and binding data are not copied.
    """
    if modifier.type in _SIMULATIONS:
        return None
    copy = obj.modifiers.new(modifier.name, modifier.type)
    if modifier.type == "NODES":
        copy.node_group = modifier.node_group
        set_node_inputs(copy, node_inputs(modifier))
    for prop in modifier.bl_rna.properties:
        if prop.is_readonly or prop.identifier in _OWN:
            continue
        value = getattr(modifier, prop.identifier)
        if value != "" and value != getattr(copy, prop.identifier):  # '': a choice among items that are not there
            setattr(copy, prop.identifier, value)
    return copy
