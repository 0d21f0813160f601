# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that an older version of the add-on has stored in a file.

`scene.nephim.version` says which version its values are meant for; 0 stands for files from before there was one, whose
values mean the same as those of version 1. A change of a property's meaning, unit or name raises `VERSION` and adds a
step to `STEPS`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .choices import THICKNESS

VERSION = 3


def _skull_stays(settings: Any) -> None:
    """Until version 1, jaw and cranium came from tissue thickness by default: what was made with them stays valid."""
    if settings.head is not None and not settings.is_property_set("skull"):
        settings.skull = THICKNESS


def _hands_stay(settings: Any) -> None:
    """Until version 2, hands were rigid: what was simulated with them stays valid."""
    if settings.head is not None and not settings.is_property_set("yielding_hands"):
        settings.yielding_hands = False


# Version → what turns its values into those of the next one; a version without a step changed nothing.
STEPS: Mapping[int, Callable[[Any], None]] = {1: _skull_stays, 2: _hands_stay}

NEWER = "This file was set up by a newer version of NePHIM, so some settings may be ignored. Update the add-on."


def migrate(settings: Any, version: int = VERSION, steps: Mapping[int, Callable[[Any], None]] = STEPS) -> str:
    """Brings `scene.nephim` up to `version`, one step at a time; returns a note for the user, or an empty string."""
    if settings.version > version:
        return NEWER
    for old in range(settings.version, version):
        steps.get(old, lambda _: None)(settings)
    if settings.version != version:
        settings.version = version
    return ""
