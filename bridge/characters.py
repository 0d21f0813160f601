# SPDX-License-Identifier: GPL-3.0-or-later
"""Several characters in one scene: each has settings and results of its own; one at a time is worked on.

`scene.nephim` holds the settings of the chosen character, which everything else reads. `scene.nephim_cast` lists all of
them and keeps the settings of the others. A scene with one character needs no list.
"""

from typing import Any

import bpy

from ..errors import RigError
from .cache.folder import folder_beside

# What a new character takes over: the shot is the same.
_OF_THE_SHOT = (
    "use_scene_range",
    "frame_start",
    "frame_end",
    "neutral_frame",
    "unit_scale",
    "target_edge_mm",
    "version",
)


def settings_of(scene: Any, index: int) -> Any:
    """The settings of the character `index` of the list."""
    cast = scene.nephim_cast
    return scene.nephim if index == cast.shown else cast.characters[index].settings


def label(scene: Any, index: int) -> str:
    """What a character is called: its own name, else its head's."""
    head = settings_of(scene, index).head
    return scene.nephim_cast.characters[index].name or ("New Character" if head is None else head.name)


def active_label(scene: Any) -> str:
    """The name of the chosen character; empty if the scene has no list."""
    return label(scene, scene.nephim_cast.shown) if len(scene.nephim_cast.characters) else ""


def add(scene: Any, name: str = "") -> None:
    """Adds a character and chooses it; what was set up so far becomes the first one."""
    cast = scene.nephim_cast
    if not len(cast.characters):
        cast.characters.add()
        cast.shown = cast.active = 0
    new = cast.characters.add()
    new.name, new.folder = name, _free_folder(cast)
    for key in _OF_THE_SHOT:
        setattr(new.settings, key, getattr(scene.nephim, key))
    show(scene, len(cast.characters) - 1)


def show(scene: Any, index: int) -> None:
    """Makes `scene.nephim` the settings of a character; those it held are kept in the list."""
    cast = scene.nephim_cast
    if index != cast.shown:
        _copy(scene.nephim, cast.characters[cast.shown].settings)
        _copy(cast.characters[index].settings, scene.nephim)
        cast.shown = index
    if cast.active != index:
        cast.active = index


def remove(scene: Any) -> str:
    """Takes the chosen character off the list, and chooses its neighbour; returns what it was called.

    What is baked into it and its folder stay as they are.
    """
    cast = scene.nephim_cast
    gone, name = cast.shown, active_label(scene)
    show(scene, gone - 1 if gone else 1)
    cast.characters.remove(gone)
    cast.shown = max(0, gone - 1)
    cast.active = cast.shown
    return name


def choose(scene: Any, name: str, *, may_add: bool = False) -> None:
    """Chooses the character of this name. Raises RigError if there is none, or more than one."""
    cast = scene.nephim_cast
    names = [label(scene, index) for index in range(len(cast.characters))]
    if names.count(name) > 1:
        raise RigError(f"{names.count(name)} characters are called '{name}'.", advice="Rename all but one of them.")
    if name in names:
        show(scene, names.index(name))
    elif not names and scene.nephim.head is not None and scene.nephim.head.name == name:
        return  # the only one
    elif not may_add:
        known = f"The scene's characters are: {', '.join(names)}." if names else "The scene has no list of characters."
        raise RigError(f"There is no character '{name}'.", advice=f"{known} Add it with setup --character.")
    elif not names and scene.nephim.head is None:
        first = cast.characters.add()
        first.name, cast.shown, cast.active = name, 0, 0
    else:
        add(scene, name)


def check_own_head(scene: Any) -> None:
    """Raises RigError if another character of the scene has the same object as its head: bakes would replace each
    other."""
    cast, head = scene.nephim_cast, scene.nephim.head
    for index in range(len(cast.characters)):
        if index != cast.shown and head is not None and settings_of(scene, index).head == head:
            raise RigError(
                f"It is the head of the character '{label(scene, index)}' as well, whose bake it would replace.",
                object=head.name,
                advice="Choose another head, or remove one of the two characters from the list.",
            )


def _free_folder(cast: Any) -> str:
    """A folder that no character has, nor had: what was simulated there before is kept."""
    taken = {character.folder for character in cast.characters}
    number = 2
    while (name := f"character-{number}") in taken or (
        bpy.data.filepath and (folder_beside(bpy.data.filepath).path / name).exists()
    ):
        number += 1
    return name


def _copy(source: Any, target: Any) -> None:
    """All properties of a group of settings, also that some were never set."""
    for prop in source.bl_rna.properties:
        name = prop.identifier
        if name in ("rna_type", "name"):
            continue
        value = getattr(source, name)
        if prop.type == "COLLECTION":
            items = getattr(target, name)
            items.clear()
            for item in value:
                _copy(item, items.add())
        elif isinstance(value, bpy.types.PropertyGroup):
            _copy(value, getattr(target, name))
        elif source.is_property_set(name):
            setattr(target, name, value)
        else:
            target.property_unset(name)
