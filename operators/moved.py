# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to results when files are renamed or moved: it is said as soon as it can be seen."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bpy

from ..bridge.bake.shown import missing_cache
from ..bridge.cache.folder import folder_beside
from ..errors import CacheError, NephimError
from . import problems


def say(error: NephimError | None) -> None:
    """Shows it in the sidebar; without a window, where a farm renders, in the log."""
    if error is None:
        return
    problems.remember(error)
    if bpy.app.background:
        print(f"nephim: {error}", file=sys.stderr)


def saved_elsewhere(before: str, after: str) -> CacheError | None:
    """What to say when a file that was `before` has been saved as `after`; both may be empty."""
    if not before or not after or Path(before) == Path(after):
        return None
    old, new = folder_beside(before).path, folder_beside(after).path
    if new.exists() or not old.is_dir() or not any(old.iterdir()):
        return None
    return CacheError(
        f"The volume and the simulation stay in {old}, with the file's former name; what is baked goes on playing.",
        advice=f"To go on with them here, copy that folder to {new}.",
    )


def missing_caches(scenes: Iterable[Any]) -> CacheError | None:
    """What to say when a file is opened without the point caches that characters in it play."""
    found = {obj.name: path for scene in scenes for obj in scene.objects if (path := missing_cache(obj)) is not None}
    if not found:
        return None
    (name, path), *others = found.items()
    also = f" The same holds for {', '.join(repr(other) for other, _ in others)}." if others else ""
    return CacheError(
        f"Its modifier 'NePHIM' finds no point cache at {path}, so it shows no contact.{also}",
        object=name,
        advice="Move the folder along with the .blend, or simulate and bake again.",
    )
