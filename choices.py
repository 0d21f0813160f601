# SPDX-License-Identifier: GPL-3.0-or-later
"""Choices and defaults, defined once for the sidebar, the operators and the command line."""

import re
from typing import Any

# The volume with its history; the same with less work per frame; a network trained on it; the skin alone, a baseline.
PHYSICS, REDUCED, NETWORK, SURFACE = MODES = ("physics", "reduced", "network", "surface")
VOLUMETRIC = (PHYSICS, REDUCED)  # they know what lies behind the skin, and moments between frames
YIELDING = (PHYSICS, REDUCED)  # modes in which hands may yield
YIELDING_HANDS = True  # the default
# What is compared, in the order in which it is shown, and how it is called there.
TRACKED = "tracked"
METHODS = {
    TRACKED: "tracked",
    SURFACE: "surface only",
    PHYSICS: "physics",
    REDUCED: "reduced physics",
    NETWORK: "network",
}
# What people vote on unless told, and how many contacts of a file: 36 pairs, five to ten minutes. With the reduced
# physics there would be 60, and it is hard to tell from the physics.
STUDIED, STUDY_CLIPS = (TRACKED, SURFACE, PHYSICS, NETWORK), 6

# Where jaw and cranium come from unless the artist has modelled them: a real skull that is registered to the skin, or
# usual depths of tissue.
REGISTERED, THICKNESS = "registered", "thickness"
SKULL = REGISTERED  # the default
SKULLS = [  # files store their numbers: the order stays
    (THICKNESS, "Tissue Thickness", "Placed under the skin by the usual depths of tissue"),
    (
        REGISTERED,
        "Registered",
        "A real skull with its jaw, registered to the skin; heads it cannot fit get theirs by tissue thickness, and a "
        "note says so",
    ),
]

REGIONS = ("cheek", "lips", "scalp", "cartilage")  # kinds of tissue, each with a setting `REGION_group`

AXES = ("X", "-X", "Y", "-Y", "Z", "-Z")  # of the scene, to which a head's top and face may point

SHAPE_KEYS, POINT_CACHE = "shape-keys", "point-cache"  # targets of a bake
REPLACE, ADD = "replace", "add"  # what to do with shape keys of earlier bakes
EXISTING = [
    (REPLACE, "Replace", "Remove the shape keys of all earlier bakes"),
    (
        ADD,
        "Add",
        "Add a further set of shape keys beside those of earlier bakes; sets for other frames play together, sets for "
        "the same frames are kept but muted",
    ),
]
# What the import finds out by itself unless told, as items of Blender's enums.
AUTO = "auto"
TRACK_ROLES = [
    (AUTO, "Automatic", "As names in the file, or the number of vertices, say"),
    ("head", "Head", "The head"),
    ("left", "Left Hand", "The left hand"),
    ("right", "Right Hand", "The right hand"),
]
UNITS = [
    (AUTO, "Automatic", "The unit in which the head has the size of a head"),
    ("mm", "Millimetres", ""),
    ("cm", "Centimetres", ""),
    ("m", "Metres", ""),
]
UP_AXES = [(AUTO, "Automatic", "Away from the cut of the neck"), ("y", "Y", ""), ("z", "Z", "")]

TOLERANCE_MM = 0.1  # of shape keys: a tenth of a millimetre is invisible on a face

TRAINING_MINUTES, TRAINING_SEQUENCES = 20.0, 40  # more hardly improves a network for one person


def parse_frames(text: str) -> tuple[int, int]:
    """`A-B` as (A, B), both included; either may be negative. Raises ValueError with a message to show."""
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
