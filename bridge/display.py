# SPDX-License-Identifier: GPL-3.0-or-later
"""The object that shows the live preview in place of the head, and the scene's state meanwhile.

The head itself is only hidden from the viewport: its rig still moves it, and the preview's object copies its transform
and its materials. All changes are recorded in the scene, so that they can be reverted after undo or loading.
"""

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..sim.frame import SimulatedFrame
from .attachments import AttachedObject
from .cache.moved import MovedObject
from .colours import displacement_colours
from .copied_modifiers import copy_modifier
from .modifiers import BAKED, after_rig, is_baked_name
from .obstacles import Refined

NAME = "NePHIM Preview"
COLOURS = "NePHIM"
_NUMBER = "nephim_number"  # on copies of other objects than the head
_HAND = "nephim_hand"  # on those of hands that yield
_PLAIN = (0.56, 0.31, 0.22)  # linear, of untouched skin
_CONTACT = (0.9, 0.05, 0.02)


def show(
    scene: Any, view_layer: Any, objects: list[Any], copied: Sequence[AttachedObject | Refined | MovedObject] = ()
) -> Any:
    """Hides the head (the first of `objects`, the others being hands and obstacles) and shows a copy of it; returns the
    copy.

    copied: objects that hang on the skin, are refined, or are hands that yield; visible ones are hidden and shown as
    copies as well.
    """
    settings, head = scene.nephim, objects[0]
    hide(scene)
    preview = _stand_in(scene, NAME, head, objects)
    settings.preview_object = preview
    hold(scene, view_layer, objects)
    for number, one in enumerate(copied):
        obj = scene.objects.get(one.object_name)
        if obj is not None and obj.visible_get(view_layer=view_layer):
            copy = _stand_in(scene, f"{NAME} {obj.name}", obj, [obj])
            copy[_NUMBER] = number
            copy[_HAND] = isinstance(one, MovedObject)
            hold(scene, view_layer, [obj])
            _note(settings, copy, "STAND-IN", "")
    colour_by(scene, settings.preview_colour)
    return preview


def stand_ins(scene: Any) -> list[tuple[Any, int]]:
    """The copies of such objects, whose parents are the objects, and their numbers among those that `show` got."""
    notes = (note for note in scene.nephim.preview_changes if note.kind == "STAND-IN")
    return [(n.owner, n.owner[_NUMBER]) for n in notes if n.owner is not None and n.owner.parent is not None]


def _stand_in(scene: Any, name: str, original: Any, followed: list[Any]) -> Any:
    """A copy of an object, which looks like it but is moved by us alone."""
    refining = [m for m in after_rig(original) if m.show_viewport]
    copy = bpy.data.objects.new(name, _plain_copy(original))
    for slot, own in zip(copy.material_slots, original.material_slots, strict=False):
        slot.link, slot.material = "OBJECT", own.material
    _collection_for(scene, original).objects.link(copy)
    copy.parent = original
    copy.hide_render = True
    copy.hide_select = True
    for obj in followed:  # transfers nothing: Blender evaluates a hidden mesh only if something depends on it
        modifier = copy.modifiers.new(f"Follows {obj.name}", "DATA_TRANSFER")
        modifier.object = obj
    for modifier in refining:
        copy_modifier(modifier, copy)
    return copy


def hold(scene: Any, view_layer: Any, objects: list[Any]) -> None:
    """The objects as tracked: vertices unchanged, no result of ours, the first hidden. Records its changes."""
    settings = scene.nephim
    for obj in objects:
        ours = obj.modifiers.get(BAKED)
        for modifier in [*after_rig(obj), *([ours] if ours is not None else [])]:
            if modifier.show_viewport:
                modifier.show_viewport = False
                _note(settings, obj, "MODIFIER", modifier.name)
        for key in obj.data.shape_keys.key_blocks if obj.data.shape_keys else ():
            if is_baked_name(key.name) and not key.mute:
                key.mute = True
                _note(settings, obj, "KEY", key.name)
    if view_layer.objects.get(objects[0].name) is not None and not objects[0].hide_get(view_layer=view_layer):
        objects[0].hide_set(True, view_layer=view_layer)
        _note(settings, objects[0], "HIDDEN", view_layer.name)


def release(scene: Any) -> None:
    """Reverts what `hold` changed; ignores what no longer exists."""
    for note in scene.nephim.preview_changes:
        obj = note.owner
        if obj is None:
            continue
        if note.kind == "MODIFIER" and note.name in obj.modifiers:
            obj.modifiers[note.name].show_viewport = True
        elif note.kind == "KEY" and obj.data.shape_keys and note.name in obj.data.shape_keys.key_blocks:
            obj.data.shape_keys.key_blocks[note.name].mute = False
        elif note.kind == "HIDDEN":
            layer = scene.view_layers.get(note.name)
            if layer is not None and layer.objects.get(obj.name) is not None:
                obj.hide_set(False, view_layer=layer)
        elif note.kind == "STAND-IN":
            _delete(obj)
    scene.nephim.preview_changes.clear()


def mute_results(scene: Any, mute: bool) -> None:
    """Mutes or unmutes the baked shape keys, for a render while the preview runs."""
    for note in scene.nephim.preview_changes:
        keys = note.owner.data.shape_keys if note.kind == "KEY" and note.owner is not None else None
        if keys is not None and note.name in keys.key_blocks:
            keys.key_blocks[note.name].mute = mute


def hide(scene: Any) -> None:
    """Removes the preview's object and restores everything."""
    preview = scene.nephim.preview_object
    release(scene)
    if preview is not None:
        _delete(preview)


def _delete(obj: Any) -> None:
    """Removes an object of ours with its mesh."""
    mesh = obj.data
    bpy.data.objects.remove(obj)
    if mesh is not None and not mesh.users:
        bpy.data.meshes.remove(mesh)


def write(preview: Any, positions: NDArray[np.float32], colours: NDArray[np.float32] | None) -> None:
    """Moves the preview's vertices to positions (n, 3), object space, Blender units; colours (n, 4) linear or None."""
    mesh = preview.data
    mesh.attributes["position"].data.foreach_set("vector", np.ascontiguousarray(positions, np.float32).ravel())
    if colours is not None:
        mesh.attributes[COLOURS].data.foreach_set("color", colours.ravel())
    # Setting one vertex the slow way tells Blender that all have moved: up to 4.5 the attribute alone leaves normals
    # unchanged.
    mesh.vertices[0].co = mesh.vertices[0].co


def colour_by(scene: Any, what: str) -> None:
    """Gives the preview its own materials ('none') or the material that shows `COLOURS`; copies of hands the latter for
    'displacement' alone, which is all that is known of them."""
    preview = scene.nephim.preview_object
    if preview is None:
        return
    _colour(preview, what != "none")
    for copy, _ in stand_ins(scene):
        if copy[_HAND]:
            _colour(copy, what == "displacement")


def _colour(preview: Any, coloured: bool) -> None:
    original = preview.parent
    attribute = preview.data.attributes.get(COLOURS)
    if coloured and attribute is None:
        attribute = preview.data.color_attributes.new(COLOURS, "FLOAT_COLOR", "POINT")
        plain = np.tile(np.array([*_PLAIN, 1.0], np.float32), len(preview.data.vertices))
        attribute.data.foreach_set("color", plain)
        preview.data.color_attributes.active_color = attribute
    if not preview.data.materials:
        preview.data.materials.append(None)
    for index, slot in enumerate(preview.material_slots):
        slot.link = "OBJECT"
        has = original is not None and index < len(original.material_slots)
        slot.material = _colour_material() if coloured else original.material_slots[index].material if has else None


class Painter:
    """Vertex colours of a frame. refinement: (n_skin, n_head) sparse; head: (n_head,) its vertices in its object."""

    def __init__(self, refinement: Any, head: NDArray[np.int32], n_vertices: int):
        self.head, self.n_vertices, self.n_skin = head, n_vertices, refinement.shape[0]
        self._spread = abs(refinement).T.tocsr()  # fairing has negative entries

    def paint(
        self, what: str, result: SimulatedFrame, end: float, hands: Sequence[tuple[NDArray, NDArray]] = ()
    ) -> NDArray[np.float32] | None:
        """Linear RGBA (n_vertices, 4) by 'displacement', with `end` [m] as the end of the scale, or by 'contact'; None
        for 'none'. hands: those in the head's object, see `MovedObject.hand_offsets`."""
        if what == "none":
            return None
        if what == "displacement":
            offset = result.skin[: len(self.head)] - result.tracked[: len(self.head)]
            return displacement_paint(self.n_vertices, [(self.head, offset), *hands], end)
        touched = np.zeros(self.n_skin, np.float32)
        touched[result.contacts] = 1.0
        share = np.minimum(self._spread @ touched, 1.0)
        some = np.flatnonzero(share)
        painted = _painted(self.n_vertices, _PLAIN)
        painted[self.head[some], :3] += share[some, None] * (np.array(_CONTACT) - _PLAIN)
        return painted


def displacement_paint(n_vertices: int, parts: Sequence[tuple[NDArray, NDArray]], end: float) -> NDArray[np.float32]:
    """Linear RGBA (n_vertices, 4) by displacement, with `end` [m] as the end of the scale. parts: vertices (k,) and how
    far each was moved (k, 3) [m]; the others were not."""
    painted = _painted(n_vertices, displacement_colours(np.zeros(1))[0])
    for indices, offset in parts:
        share = np.sqrt(np.einsum("ij,ij->i", offset, offset)) / end
        some = np.flatnonzero(share)
        painted[indices[some], :3] = displacement_colours(share[some])
    return painted


def _painted(n_vertices: int, colour: Any) -> NDArray[np.float32]:
    painted = np.empty((n_vertices, 4), np.float32)
    painted[:] = (*colour, 1.0)
    return painted


def _plain_copy(head: Any) -> Any:
    """The head's mesh without shape keys and animation."""
    mesh = bpy.data.meshes.new_from_object(head)
    mesh.name = NAME
    return mesh


def _collection_for(scene: Any, head: Any) -> Any:
    """The collection for the preview's object: the head's own, unless that belongs to another file."""
    own = (c for c in head.users_collection if c.library is None and c.override_library is None)
    return next(own, scene.collection)


def _note(settings: Any, obj: Any, kind: str, name: str) -> None:
    note = settings.preview_changes.add()
    note.owner, note.kind, note.name = obj, kind, name


def _colour_material() -> Any:
    material = bpy.data.materials.get(NAME)
    if material is None:
        material = bpy.data.materials.new(NAME)
        material.use_nodes = True
        nodes = material.node_tree.nodes
        colour = nodes.new("ShaderNodeVertexColor")
        colour.layer_name = COLOURS
        surface = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
        material.node_tree.links.new(colour.outputs["Color"], surface.inputs["Base Color"])
    return material
