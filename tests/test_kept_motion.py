# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake leaves the animation as it is, whatever the NLA holds; if it did not, it would be taken back and say so."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake import keyframes  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys, remove_shape_keys  # noqa: E402
from nephim.errors import BakeError  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy

ACTIONS = {
    "extrapolation nothing": {"action_extrapolation": "NOTHING"},
    "half influence": {"action_influence": 0.5},
    "subtract": {"action_blend_type": "SUBTRACT"},
    "all": {"action_extrapolation": "NOTHING", "action_influence": 0.2, "action_blend_type": "ADD"},
}


def values(scene, frames=range(-2, 16)):
    """Values of the user's keys at frames around the shot."""
    found = []
    for frame in frames:
        scene.frame_set(frame)
        blocks = scene.nephim.head.data.shape_keys.key_blocks
        found.append([blocks[name].value for name in ("smile", "open")])
    return np.array(found)


def push_down(scene, **settings):
    """Plays the user's action by an NLA strip instead; returns the strip."""
    data = scene.nephim.head.data.shape_keys.animation_data
    strip = data.nla_tracks.new().strips.new("mine", 1, data.action)
    if hasattr(data, "action_slot"):
        strip.action_slot = data.action_slot
    data.action = None
    for name, value in settings.items():
        setattr(strip, name, value)
    return strip


@pytest.mark.parametrize("case", ACTIONS)
def test_forgotten_settings_of_the_action_do_not_come_to_life(tmp_path, case):
    scene = scenes.build()
    obj = scene.nephim.head
    data = obj.data.shape_keys.animation_data
    for name, value in ACTIONS[case].items():
        setattr(data, name, value)
    expected = values(scene)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    drive(bake_shape_keys(scene, rig, cache))
    np.testing.assert_allclose(values(scene), expected, atol=1e-6)
    drive(bake_shape_keys(scene, rig, cache))  # replaces the first
    np.testing.assert_allclose(values(scene), expected, atol=1e-6)
    remove_shape_keys(obj)
    for name, value in ACTIONS[case].items():
        assert getattr(data, name) == pytest.approx(value)
    np.testing.assert_allclose(values(scene), expected, atol=1e-6)


@pytest.mark.parametrize("muted", [False, True])
@pytest.mark.parametrize("extrapolation", ["NOTHING", "HOLD", "HOLD_FORWARD"])
def test_strips_that_end_in_the_shot(tmp_path, extrapolation, muted):
    scene = scenes.build()
    strip = push_down(scene, action_frame_end=5.0, frame_end=5.0, extrapolation=extrapolation, mute=muted)
    assert strip.frame_end == 5
    expected = values(scene)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    drive(bake_shape_keys(scene, rig, cache))
    np.testing.assert_allclose(values(scene), expected, atol=1e-6)


def test_a_bake_that_changes_the_animation_is_taken_back(tmp_path, monkeypatch):
    scene = scenes.build()
    obj = scene.nephim.head
    data = obj.data.shape_keys.animation_data
    data.action_influence = 0.5
    monkeypatch.setattr(keyframes, "_neutralise_action", lambda obj: None)
    expected, keys = values(scene), list(obj.data.shape_keys.key_blocks.keys())
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    with pytest.raises(BakeError, match=r"'Head', frame \d+: The bake would change its own animation, by up to \d"):
        drive(bake_shape_keys(scene, rig, cache))
    np.testing.assert_allclose(values(scene), expected, atol=1e-6)
    assert list(obj.data.shape_keys.key_blocks.keys()) == keys and not len(data.nla_tracks)
