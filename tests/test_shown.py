# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scene shows against what was simulated: found by looking, named with the next step."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.bake.shown import obstacles, shown_job  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def baked(tmp_path):
    def make(to):
        scene = scenes.build(subdivision=True)
        rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
        if to == "cache":
            add_mesh_cache(scene, rig, cache)
        else:
            drive(bake_shape_keys(scene, rig, cache))
        return scene, rig, cache

    return make


@pytest.mark.parametrize("to", ["cache", "keys"])
def test_a_bake_that_plays_is_not_remarked_upon(baked, to):
    scene, rig, cache = baked(to)
    shown = drive(shown_job(scene, rig, cache))
    assert shown.error < 1e-4 and not shown.note and not obstacles(scene.nephim.head)


def test_nothing_baked(tmp_path):
    scene = scenes.build()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    assert drive(shown_job(scene, rig, cache)) is None


def test_our_modifier_above_the_armature(baked):
    scene, rig, cache = baked("cache")
    obj = scene.nephim.head
    obj.modifiers.move(1, 0)
    assert [m.name for m in obj.modifiers][:2] == ["NePHIM", "Armature"]
    shown = drive(shown_job(scene, rig, cache))
    assert shown.error > 0.02  # far from what was simulated
    assert f"At frame {shown.frame} the scene shows 'Head' {1e3 * shown.error:.1f} mm from the simulation" in shown.note
    assert (
        "'Armature' comes after the modifier 'NePHIM'" in shown.note and "Bake to the point cache again" in shown.note
    )
    add_mesh_cache(scene, rig, cache)  # what the sentence says
    assert not drive(shown_job(scene, rig, cache)).note and not obstacles(obj)


def test_a_further_armature_after_ours(baked):
    scene, rig, cache = baked("cache")
    obj = scene.nephim.head
    obj.modifiers.new("Second", "ARMATURE").object = bpy.data.objects["HeadRig"]
    obj.modifiers.move(len(obj.modifiers) - 1, 2)
    shown = drive(shown_job(scene, rig, cache))
    assert shown.error > 0.02 and "'Second' comes after" in shown.note


def test_a_cache_that_is_gone_and_a_modifier_that_is_off(baked):
    scene, _, cache = baked("cache")
    obj = scene.nephim.head
    obj.modifiers["NePHIM"].show_render = False
    assert "switched off in renders" in obstacles(obj)[0]
    obj.modifiers["NePHIM"].show_render = True
    cache.path.rename(cache.path.with_name("elsewhere.pc2"))
    assert "finds no point cache at" in obstacles(obj)[0]


def test_a_muted_track(baked):
    scene, rig, cache = baked("keys")
    obj = scene.nephim.head
    obj.data.shape_keys.animation_data.nla_tracks["NePHIM"].mute = True
    shown = drive(shown_job(scene, rig, cache))
    assert shown.error > 5e-3 and "The NLA track 'NePHIM' is muted. Unmute it" in shown.note


def test_keys_that_were_changed_by_hand(baked):
    scene, rig, cache = baked("keys")
    block = scene.nephim.head.data.shape_keys.key_blocks["NePHIM 001"]
    positions = np.zeros(3 * len(block.points), np.float32)
    block.points.foreach_set("co", positions)
    assert "Something else moves the head since it was baked. Bake again." in drive(shown_job(scene, rig, cache)).note
