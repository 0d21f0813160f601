# SPDX-License-Identifier: GPL-3.0-or-later
"""Several characters in one file: the folder beside it holds the simulation of one, which others must not lose."""

from pathlib import Path

import bpy

from ...errors import CacheError
from ..cache.manifest import HANDS, Manifest
from ..cache.moved import hand_path
from ..cache.point_cache import manifest_path
from ..modifiers import BAKED
from ..rig import Rig


def check_not_played(rig: Rig, path: Path) -> str:
    """Raises CacheError if another character plays the point cache at `path`, which a simulation would overwrite.

    Otherwise returns a note if it is another character's, or an empty string.
    """
    own = {part.object_name for part in rig.moving}
    written = [each.resolve() for each in (path, *(hand_path(path, side) for side in HANDS))]
    for obj in bpy.data.objects:
        modifier = obj.modifiers.get(BAKED) if obj.name not in own and obj.library is None else None
        if modifier is not None and modifier.type == "MESH_CACHE" and played_path(obj) in written:
            raise CacheError(
                f"It plays its own simulation from {played_path(obj)}, which simulating '{rig.head.object_name}' would "
                "overwrite.",
                object=obj.name,
                advice=f"Bake '{obj.name}' to shape keys first, or give each character a .blend of its own.",
            )
    if not manifest_path(path).exists():
        return ""
    try:
        owner = Manifest.load(manifest_path(path)).object
    except CacheError:
        return ""  # damaged: nothing that could be lost
    if owner == rig.head.object_name or owner not in bpy.data.objects:  # the same, or the same under a former name
        return ""
    return f"This replaces the simulation of '{owner}'; what is baked into it stays."


def played_path(obj: bpy.types.Object) -> Path:
    """The point cache that our modifier on this object plays."""
    return Path(bpy.path.abspath(obj.modifiers[BAKED].filepath, library=obj.library)).resolve()
