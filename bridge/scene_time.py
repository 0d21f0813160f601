# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of a scene: where its animation is at a frame, and how long a frame lasts.

Time remapping (Output > Frame Range > Time Stretching) shows the animation slower or faster. Blender evaluates
F-curves, drivers, the NLA and point caches at the remapped time, and so do its own simulations: slow motion slows the
tissue too.
"""

from typing import Any


def stretch(scene: Any) -> float:
    """Frames of animation that pass in one frame of the scene; 1 without time remapping."""
    return float(scene.render.frame_map_old / scene.render.frame_map_new)


def playback_rate(scene: Any) -> float:
    """Frames of the scene that are shown in a second [1/s]."""
    return float(scene.render.fps / scene.render.fps_base)


def frame_rate(scene: Any) -> float:
    """Frames of the scene in a second of the animation [1/s]: the inverse of the time between simulated frames."""
    return playback_rate(scene) / stretch(scene)


def seconds(scene: Any) -> float:
    """Where the animation is at the scene's current frame [s]."""
    frame = scene.frame_current + scene.frame_subframe
    return float(frame * stretch(scene) * scene.render.fps_base / scene.render.fps)
