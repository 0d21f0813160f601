# SPDX-License-Identifier: GPL-3.0-or-later
"""Modifier stacks: which can be read, and the state in which they are read."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import RigError

BAKED = "NePHIM"  # our modifier has this name, our NLA tracks and shape keys begin with it

SUBDIVISION = {"SUBSURF", "MULTIRES"}
SMOOTHING = {"CORRECTIVE_SMOOTH", "LAPLACIANSMOOTH", "SMOOTH"}
OVERWRITING = {"MESH_CACHE", "MESH_SEQUENCE_CACHE"}
# Modifiers that deform the mesh with a rig: after a subdivision they see vertices that the object does not have.
RIGGING = {
    "ARMATURE",
    "CURVE",
    "HOOK",
    "LATTICE",
    "MESH_CACHE",
    "MESH_DEFORM",
    "MESH_SEQUENCE_CACHE",
    "SURFACE_DEFORM",
}
# Modifiers that change the number or the order of the vertices.
_GENERATIVE = {
    "ARRAY", "BEVEL", "BOOLEAN", "BUILD", "DECIMATE", "EDGE_SPLIT", "EXPLODE", "MASK", "MESH_TO_VOLUME", "MIRROR",
    "OCEAN", "PARTICLE_INSTANCE", "REMESH", "SCREW", "SKIN", "SOLIDIFY", "VOLUME_TO_MESH", "WELD", "WIREFRAME",
}  # fmt: skip


_tracked = 0  # number of open `tracked_state` contexts


def is_tracked() -> bool:
    """Whether the tracked surfaces are currently being read, frame by frame."""
    return _tracked > 0


def is_baked_name(name: str) -> bool:
    """Whether a shape key or NLA track of this name is ours: 'NePHIM 001', 'NePHIM 2' …"""
    return name == BAKED or name.startswith(BAKED + " ")


def check_stack(obj: Any) -> None:
    """Raises RigError, naming the modifier, if the evaluated mesh cannot have the object's own vertices."""
    subdivided = None
    for modifier in obj.modifiers:
        if not modifier.show_viewport or modifier.name == BAKED:
            continue
        kind = modifier.bl_rna.name.removesuffix(" Modifier")
        if modifier.type in _GENERATIVE:
            raise RigError(
                f"its modifier '{modifier.name}' ({kind}) changes the number or the order of the vertices, so the "
                "skin cannot be followed.",
                object=obj.name,
                advice="Apply it, or switch it off in the viewport.",
            )
        if modifier.type in SUBDIVISION:
            subdivided = modifier
        elif subdivided is not None and modifier.type in RIGGING:
            raise RigError(
                f"its modifier '{modifier.name}' ({kind}) comes after '{subdivided.name}', which subdivides the mesh.",
                object=obj.name,
                advice=f"Move '{subdivided.name}' below '{modifier.name}', or apply it.",
            )


def after_rig(obj: Any) -> list[Any]:
    """The modifiers from the first subdivision on: they refine the display and are not part of the tracked surface."""
    for position, modifier in enumerate(obj.modifiers):
        if modifier.type in SUBDIVISION and modifier.show_viewport:
            return [m for m in obj.modifiers[position:] if m.name != BAKED]
    return []


class Changes:
    """Temporary changes of attributes, undone in reverse order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Sets `owner.name` unless it already has the value."""
        before = getattr(owner, name)
        if before != value:
            setattr(owner, name, value)
            self._undo.append(lambda: setattr(owner, name, before))

    def call(self, do: Callable[[], None], undo: Callable[[], None]) -> None:
        """Makes a change that is not an attribute."""
        do()
        self._undo.append(undo)

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def _unhide(changes: Changes, obj: Any, view_layer: Any) -> None:
    # Blender does not evaluate the mesh of an invisible object.
    changes.set(obj, "hide_viewport", False)
    if view_layer.objects.get(obj.name) is None:
        raise RigError(
            f"it is not in the view layer '{view_layer.name}', so it is not evaluated.",
            object=obj.name,
            advice="Enable its collection in the Outliner.",
        )
    if obj.hide_get(view_layer=view_layer):
        changes.call(
            lambda: obj.hide_set(False, view_layer=view_layer), lambda: obj.hide_set(True, view_layer=view_layer)
        )


@contextmanager
def tracked_state(
    scene: Any, view_layer: Any, objects: Iterable[Any], shown: Iterable[str] = (), play_cache: bool = False
) -> Iterator[None]:
    """The objects as tracked: subdivision off, our own earlier results muted, nothing hidden or pinned.

    `shown`: names of our shape keys that stay active, to measure them; `play_cache`: our modifier too. Everything is
    restored at the end, including the scene's frame. Shape keys and modifiers must not be removed inside.
    Raises RigError for an object that the view layer cannot evaluate.
    """
    global _tracked
    changes, shown = Changes(), set(shown)
    frame, subframe = scene.frame_current, scene.frame_subframe
    _tracked += 1
    try:
        for obj in objects:
            _unhide(changes, obj, view_layer)
            for modifier in after_rig(obj):
                changes.set(modifier, "show_viewport", False)
            ours = obj.modifiers.get(BAKED)
            if ours is not None and not play_cache:
                changes.set(ours, "show_viewport", False)
            if obj.data.shape_keys is not None:
                changes.set(obj, "show_only_shape_key", False)
                for key in obj.data.shape_keys.key_blocks:
                    if is_baked_name(key.name) and key.name not in shown:
                        changes.set(key, "mute", True)
        view_layer.update()
        yield
    finally:
        _tracked -= 1
        changes.undo()
        if (scene.frame_current, scene.frame_subframe) != (frame, subframe):
            scene.frame_set(frame, subframe=subframe)
        else:
            view_layer.update()
