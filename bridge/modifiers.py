# SPDX-License-Identifier: GPL-3.0-or-later
"""Modifier stacks: which can be read, and the state in which they are read."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..compat import fcurves, strip_fcurves
from ..errors import RigError
from .geometry_nodes import keeps_vertices

BAKED = "NePHIM"  # our modifier has this name, our NLA tracks and shape keys begin with it

SUBDIVISION = {"SUBSURF", "MULTIRES"}
SMOOTHING = {"CORRECTIVE_SMOOTH", "LAPLACIANSMOOTH", "SMOOTH"}
OVERWRITING = {"MESH_CACHE", "MESH_SEQUENCE_CACHE"}
# Modifiers that deform the mesh with a rig: where the vertices have been changed, they see others than the object's.
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
# Modifiers that change the number or the order of the vertices. Geometry nodes may, too.
_GENERATIVE = SUBDIVISION | {
    "ARRAY", "BEVEL", "BOOLEAN", "BUILD", "DECIMATE", "EDGE_SPLIT", "EXPLODE", "MASK", "MESH_TO_VOLUME", "MIRROR",
    "OCEAN", "PARTICLE_INSTANCE", "REMESH", "SCREW", "SKIN", "SOLIDIFY", "VOLUME_TO_MESH", "WELD", "WIREFRAME",
}  # fmt: skip
# Moved below the rig, these would no longer mean the same: they would mirror, repeat or rebuild the posed mesh.
_OTHERWISE = {"ARRAY", "BOOLEAN", "MIRROR", "REMESH", "SCREW", "SKIN"}


_tracked = 0  # number of open `tracked_state` contexts


def is_tracked() -> bool:
    """Whether the tracked surfaces are currently being read, frame by frame."""
    return _tracked > 0


def is_baked_name(name: str) -> bool:
    """Whether a shape key or NLA track of this name is ours: 'NePHIM 001', 'NePHIM 2' …"""
    return name == BAKED or name.startswith(BAKED + " ")


def kind_of(modifier: Any) -> str:
    """What users call its type: 'Solidify'."""
    return "Geometry Nodes" if modifier.type == "NODES" else str(modifier.bl_rna.name).removesuffix(" Modifier")


def changes_count(modifier: Any) -> bool:
    """Whether it may change the number or the order of the vertices."""
    if modifier.type == "NODES":
        return not keeps_vertices(modifier.node_group)
    return modifier.type in _GENERATIVE


def check_stack(obj: Any) -> None:
    """Raises RigError, naming the modifier, if the tracked surface cannot have the object's own vertices."""
    changing = None
    for modifier in obj.modifiers:
        if modifier.name == BAKED:
            continue
        if changes_count(modifier) and _switched(obj, modifier):
            raise RigError(
                f"the visibility of its modifier '{modifier.name}' ({kind_of(modifier)}) is animated, so the number of "
                "vertices changes over time.",
                object=obj.name,
                advice="Clear the keyframes or the driver of its display in the viewport (right-click > Clear "
                "Keyframes); those of its display in renders may stay.",
            )
        if not modifier.show_viewport:
            continue
        if changes_count(modifier):
            changing = changing or modifier
        elif changing is not None and modifier.type in RIGGING:
            raise RigError(
                f"its modifier '{modifier.name}' ({kind_of(modifier)}) comes after '{changing.name}' "
                f"({kind_of(changing)}), which changes the number or the order of the vertices, so the skin cannot be "
                "followed.",
                object=obj.name,
                advice=_below(obj, changing, modifier),
            )


def _below(obj: Any, changing: Any, rigging: Any) -> str:
    """What to do about a modifier that changes the vertices before the rig."""
    if changing.type not in _OTHERWISE:
        return f"Move '{changing.name}' below '{rigging.name}' in the modifier stack, or apply it."
    if obj.data.shape_keys is None:
        return f"Apply '{changing.name}' (in the menu of the modifier), or switch it off in the viewport."
    return (
        f"Blender does not apply '{changing.name}' to a mesh with shape keys: move it below '{rigging.name}' if it may "
        "act on the posed mesh."
    )


def _switched(obj: Any, modifier: Any) -> bool:
    """Whether an action or a driver switches its display in the viewport."""
    data = obj.animation_data
    if data is None:
        return False
    path = f'modifiers["{modifier.name}"].show_viewport'
    curves = [*fcurves(data), *data.drivers]
    curves += [
        curve for track in data.nla_tracks for strip in track.strips if strip.action for curve in strip_fcurves(strip)
    ]
    return any(curve.data_path == path for curve in curves)


def after_rig(obj: Any) -> list[Any]:
    """The modifiers from the first that changes the vertices after the rig: they refine the display, in the viewport or
    in renders, and are not part of the tracked surface."""
    others = [m for m in obj.modifiers if m.name != BAKED]
    rigging = [k for k, m in enumerate(others) if m.type in RIGGING and _is_on(m)]
    for position in range(rigging[-1] + 1 if rigging else 0, len(others)):
        if _is_on(others[position]) and changes_count(others[position]):
            return others[position:]
    return []


def place_after_rig(obj: Any) -> int:
    """Where in the stack the last modifier, a new one, belongs: after the rig, and before our cache, what changes the
    vertices and what is pinned."""
    behind = {BAKED, *(modifier.name for modifier in after_rig(obj))}
    others = list(obj.modifiers)[:-1]
    found = (i for i, m in enumerate(others) if m.name in behind or getattr(m, "use_pin_to_last", False))
    return next(found, len(others))


def may_vary(obj: Any) -> bool:
    """Whether the number of vertices may differ from frame to frame, although the stack can be read."""
    return any(m.type in {"MESH_SEQUENCE_CACHE", "NODES"} and m.show_viewport for m in obj.modifiers)


def _is_on(modifier: Any) -> bool:
    return bool(modifier.show_viewport or modifier.show_render)


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
    """The objects as tracked: what refines them off, our own earlier results muted, nothing hidden or pinned.

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
