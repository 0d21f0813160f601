# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for hands that yield: the physics, whose hands are swollen where they are near the head's middle, so that
penetration tells them from the tracked ones, which the physics keeps the skin off."""

import io
import shutil
from dataclasses import replace

import bpy
import numpy as np
import pytest
import scenes
from nephim.operators import simulate
from nephim.progress import drive
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics

DENT = 0.006  # [m] largest displacement of a hand
NEAR = 0.12  # [m] from the middle of the head: hands farther away stay as tracked


def swollen(tracked: TrackedFrame) -> dict[str, np.ndarray]:
    """The hands of a frame, by side: moved towards the middle of the head where they are near it."""
    middle = tracked.head.mean(axis=0, dtype=np.float64)
    found = {}
    for side in ("left", "right"):
        hand = getattr(tracked, side)
        if hand is not None:
            towards = middle - hand
            length = np.linalg.norm(towards, axis=1, keepdims=True)
            pressed = np.clip((NEAR - length) / 0.02, 0, 1)
            found[side] = (hand + DENT * pressed * towards / length).astype(np.float32)
    return found


class YieldingPhysics(Physics):
    """`Physics` whose hands are `swollen` when they yield."""

    def __init__(self, *given, yielding_hands=False, **others):
        super().__init__(*given, **others)
        self.yields = yielding_hands

    def step(self, frame, between=()):
        result = super().step(frame, between)
        return replace(result, **swollen(frame)) if self.yields else result


def scene_with_volume(folder, monkeypatch):
    """A scene of face.blend in a folder, with its volume and two hands, which yield as `swollen` says."""
    monkeypatch.setattr("nephim.sim.physics.Physics", YieldingPhysics)
    scenes.with_volume(folder)
    scene = bpy.context.scene
    scene.nephim.right, scene.nephim.yielding_hands = bpy.data.objects["Right"], True
    return scene


def simulated_file(folder):
    """A new folder with face.blend and its simulation, both hands of which yield; returns the folder."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        drive(simulate.simulate_job(scene_with_volume(folder, patch)), io.StringIO())
        bpy.ops.wm.save_mainfile()
    return folder


def copy_of(folder, new):
    """Opens a copy of such a folder; returns the scene."""
    shutil.copytree(folder, new)
    bpy.ops.wm.open_mainfile(filepath=str(new / "face.blend"))
    return bpy.context.scene
