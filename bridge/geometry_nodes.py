# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Geometry Nodes modifier keeps the vertices of a mesh, told from its nodes."""

from typing import Any

# Nodes that pass the geometry of their first geometry input on with all its vertices in their order. All others may
# change the number or the order, and are taken to do so.
_KEEPING = {
    "GeometryNodeCaptureAttribute",
    "GeometryNodeRemoveAttribute",
    "GeometryNodeReplaceMaterial",
    "GeometryNodeSetGeometryName",
    "GeometryNodeSetID",
    "GeometryNodeSetMaterial",
    "GeometryNodeSetMaterialIndex",
    "GeometryNodeSetMeshNormal",
    "GeometryNodeSetPosition",
    "GeometryNodeSetSelection",
    "GeometryNodeSetShadeSmooth",
    "GeometryNodeSmoothByAngle",
    "GeometryNodeStoreNamedAttribute",
    "GeometryNodeToolSetFaceSet",
    "GeometryNodeToolSetSelection",
    "GeometryNodeTransform",
    "NodeReroute",
}
_CHOOSING = {"GeometryNodeSwitch", "GeometryNodeIndexSwitch", "GeometryNodeMenuSwitch"}


def keeps_vertices(tree: Any) -> bool:
    """Whether every way from the group's input to its output keeps all vertices in their order; True without nodes."""
    outputs = [node for node in tree.nodes if node.bl_idname == "NodeGroupOutput"] if tree is not None else []
    active = [node for node in outputs if node.is_active_output] or outputs[:1]
    return all(_kept(socket) for node in active for socket in _geometry(node.inputs)[:1])


def _kept(socket: Any) -> bool:
    """Whether what arrives at this input are the vertices of the group's input."""
    links = [link for link in socket.links if not link.is_muted]
    if len(links) != 1:
        return False  # nothing, or joined
    node = links[0].from_node
    if node.bl_idname == "NodeGroupInput":
        return True
    inputs = _geometry(node.inputs)
    if not inputs:
        return False  # it makes geometry of its own
    if node.bl_idname in _CHOOSING and not node.mute:
        return all(_kept(choice) for choice in inputs)
    passes = node.mute or node.bl_idname in _KEEPING
    passes = passes or (node.bl_idname == "GeometryNodeGroup" and keeps_vertices(node.node_tree))
    return passes and _kept(inputs[0])


def _geometry(sockets: Any) -> list[Any]:
    return [socket for socket in sockets if socket.type == "GEOMETRY" and socket.enabled]
