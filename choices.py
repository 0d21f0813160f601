# SPDX-License-Identifier: GPL-3.0-or-later
"""What users choose among and the defaults, said once for the sidebar, the operators and the command line."""

import re
from typing import Any

# The volume with its history; a network trained from it; the skin alone, a baseline.
PHYSICS, NETWORK, SURFACE = MODES = ("physics", "network", "surface")

REGIONS = ("cheek", "lips", "scalp", "cartilage")  # kinds of tissue, each with a setting `REGION_group`

SHAPE_KEYS, POINT_CACHE = "shape-keys", "point-cache"  # what is baked to
REPLACE, ADD = "replace", "add"  # what becomes of shape keys of earlier bakes
EXISTING = [
    (REPLACE, "Replace", "The shape keys of all earlier bakes are removed"),
    (
        ADD,
        "Add",
        "A further set of shape keys beside those of earlier bakes. Sets of other frames play side by side; those of "
        "the same frames are kept, but muted",
    ),
]
TOLERANCE_MM = 0.1  # of shape keys: a tenth of a millimetre is not seen on a face

TRAINING_MINUTES, TRAINING_SEQUENCES = 20.0, 40  # beyond which a network of one person hardly improves


def parse_frames(text: str) -> tuple[int, int]:
    """`A-B` as (A, B), both included; either may be negative. Raises ValueError with a message for people."""
    match = re.fullmatch(r"\s*(-?\d+)\s*-\s*(-?\d+)\s*", text)
    if match is None:
        raise ValueError(f"'{text}' is not a frame range such as 1-150")
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise ValueError(f"the frame range {text} ends before it begins")
    return first, last


def frame_range(scene: Any) -> range:
    """The frames to simulate, both ends included, as chosen in `scene.nephim`."""
    settings = scene.nephim
    if settings.use_scene_range:
        return range(scene.frame_start, scene.frame_end + 1)
    return range(settings.frame_start, settings.frame_end + 1)
