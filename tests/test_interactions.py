# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripted interactions of the benchmark: hands come from outside, touch, and leave."""

import numpy as np
import pytest
from nephim.benchmarks.interactions import FRAME_RATE, Face, Interaction, perform
from nephim.benchmarks.scripts import SCRIPTS
from nephim.demo.character import Character, load_character
from nephim.sim.geometry.topology import fan_caps
from nephim.sim.geometry.triangle_bvh import TriangleTree

_SWIPE_STEP = 0.08  # [m] a hand vertex in one frame; only the swipe moves faster than half of it


@pytest.fixture(scope="module")
def character(demo_assets) -> Character:
    return load_character(demo_assets)


@pytest.fixture(scope="module")
def face(character) -> Face:
    return Face(character)


@pytest.fixture(scope="module", params=SCRIPTS, ids=lambda script: script.name)
def interaction(request, character, face) -> Interaction:
    return perform(request.param, character, face)


def hands(interaction: Interaction, frame: int) -> np.ndarray:
    given = interaction.frames[frame]
    return np.concatenate([hand for hand in (given.left, given.right) if hand is not None]).astype(float)


def test_the_set_has_what_was_asked_for():
    names = [script.name for script in SCRIPTS]
    assert len(set(names)) == len(names) >= 12
    assert sum(script.held is not None for script in SCRIPTS) >= 3
    assert any(len(script.acts) == 2 for script in SCRIPTS)


def test_hands_come_from_outside_touch_and_leave(interaction, face):
    surface = face.surface
    closed = np.concatenate([surface.triangles, fan_caps(surface.triangles)])
    tree = TriangleTree(surface.vertices, closed)

    def depth(frame: int) -> float:
        distance, _, _, sign = tree.closest(hands(interaction, frame), 0.03)
        return float(np.where((sign < 0) & np.isfinite(distance), distance, 0.0).max())

    assert depth(0) == 0.0
    assert depth(len(interaction.frames) - 1) == 0.0
    assert 0.001 < max(depth(k) for k in range(len(interaction.frames))) < 0.02


def test_frames_are_whole_and_move_like_hands(interaction):
    count = len(interaction.frames)
    assert 30 <= count <= 61
    track = np.stack([hands(interaction, k) for k in range(count)])
    assert np.isfinite(track).all()
    step = np.linalg.norm(np.diff(track, axis=0), axis=2).max()
    assert step < (_SWIPE_STEP if interaction.name == "swipe" else _SWIPE_STEP / 2)
    times = np.array([frame.time for frame in interaction.frames])
    assert np.allclose(np.diff(times), 1 / FRAME_RATE)
    if interaction.held is not None:
        assert 0 < interaction.held[0] < interaction.held[1] < count - 1
