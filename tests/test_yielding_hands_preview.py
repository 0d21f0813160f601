# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that yield in the live preview: the vertices of the bake, and nothing left of them when it is switched off."""

import io
from functools import partial

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.cache.moved import HandCaches  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.report import report_job  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.operators import preview, simulate, volume  # noqa: E402
from nephim.operators.bake import bake_job  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402
from yielding import DENT, YieldingPhysics, scene_with_volume  # noqa: E402

pytestmark = pytest.mark.bpy

PRESSED = 6


@pytest.fixture()
def scene(tmp_path, monkeypatch):
    yield scene_with_volume(tmp_path, monkeypatch)
    preview.forget_all()


def stand_in(obj):
    """The copy that is shown instead of a hand."""
    (copy,) = [child for child in obj.children if child.name.startswith("NePHIM Preview")]
    return copy


def evaluated(obj):
    return scenes.positions(obj.evaluated_get(bpy.context.view_layer.depsgraph))


def tracked(scene, frame):
    scene.frame_set(frame)
    return {obj.name: evaluated(obj).copy() for obj in (scene.nephim.left, scene.nephim.right)}


def test_preview_and_bake_show_the_same_hands(scene):
    drive(simulate.simulate_job(scene), io.StringIO())
    drive(bake_job(scene, to="shape-keys", tolerance_mm=0.05), io.StringIO())
    baked = tracked(scene, PRESSED)
    caches = HandCaches(read_rig(scene), PointCache(folder().cache)).objects
    hands = [scene.nephim.left, scene.nephim.right]
    assert bpy.ops.nephim.preview(mode="physics") == {"FINISHED"}
    assert all(obj.hide_get() for obj in hands)
    for frame in range(1, 8):
        scene.frame_set(frame)
        assert not preview.message(scene)
        for moved, cache in caches:
            shown = scenes.positions(stand_in(bpy.data.objects[moved.object_name]))
            assert np.abs(shown - cache.read(frame)).max() < 1e-6
    scene.frame_set(2)  # scrubbing back
    for moved, cache in caches:
        assert np.abs(scenes.positions(stand_in(bpy.data.objects[moved.object_name])) - cache.read(2)).max() < 1e-6
    assert bpy.ops.nephim.preview(mode="off") == {"FINISHED"}
    assert not [obj for obj in bpy.data.objects if obj.name.startswith("NePHIM")]
    assert not any(obj.hide_get() for obj in hands)
    again = tracked(scene, PRESSED)
    assert all(np.array_equal(again[name], baked[name]) for name in baked)  # the bake plays as before


def test_renamed_hands_go_on_and_hidden_ones_stay_hidden(scene):
    scene.nephim.right.hide_set(True)
    assert bpy.ops.nephim.preview(mode="physics") == {"FINISHED"}
    assert not [child for child in scene.nephim.right.children if "NePHIM" in child.name]
    scene.nephim.left.name = "Paw"
    for frame in range(2, PRESSED + 1):
        scene.frame_set(frame)
    assert not preview.message(scene)
    still = evaluated(scene.nephim.left)
    assert np.abs(scenes.positions(stand_in(scene.nephim.left)) - still).max() > 0.5 * DENT
    preview.put_away()  # as when the file is saved
    assert not scene.nephim.left.hide_get() and scene.nephim.right.hide_get()
    preview.take_out()
    assert stand_in(scene.nephim.left) is not None
    bpy.ops.nephim.preview(mode="off")
    assert scene.nephim.right.hide_get() and not scene.nephim.left.hide_get()


def test_modes_whose_hands_stay_show_the_hands_themselves(scene):
    assert bpy.ops.nephim.preview(mode="surface") == {"FINISHED"}
    scene.frame_set(2)
    assert not preview.message(scene)
    assert not scene.nephim.left.hide_get() and not scene.nephim.left.children


def test_the_setting_begins_anew(scene):
    assert bpy.ops.nephim.preview(mode="physics") == {"FINISHED"}
    scene.nephim.yielding_hands = False
    assert not scene.nephim.left.hide_get() and not scene.nephim.left.children
    scene.nephim.yielding_hands = True
    assert scene.nephim.left.hide_get() and stand_in(scene.nephim.left) is not None
    bpy.ops.nephim.preview(mode="off")


def test_head_and_hands_of_one_mesh(tmp_path, monkeypatch):
    """Simulated, previewed and baked as one object."""
    monkeypatch.setattr("yielding.NEAR", 2.0)  # the hands of this body hang far from its head
    monkeypatch.setattr("nephim.sim.physics.Physics", YieldingPhysics)
    monkeypatch.setattr(scenes, "head_arrays", partial(scenes.head_arrays, 32, 24))  # fine enough for a volume
    scene = scenes.body()
    scene.nephim.yielding_hands, scene.nephim.target_edge_mm, scene.frame_end = True, 20.0, 3
    body = scene.nephim.head
    save_blend(tmp_path / "body.blend")
    drive(volume.volume_job(scene), io.StringIO())
    scene.frame_set(2)
    still = evaluated(body).copy()
    drive(simulate.simulate_job(scene), io.StringIO())
    cache = PointCache(folder().cache)
    assert cache.manifest.hands == ["left", "right"] and not HandCaches(read_rig(scene), cache).objects
    hand = read_rig(scene).left.indices
    assert 0.5 * DENT < np.linalg.norm(cache.read(2)[hand] - still[hand], axis=1).max() <= 1.01 * DENT
    drive(bake_job(scene, to="shape-keys", tolerance_mm=0.05), io.StringIO())
    scene.frame_set(2)
    assert np.abs(evaluated(body) - cache.read(2)).max() < 5e-5
    assert bpy.ops.nephim.preview(mode="physics") == {"FINISHED"}
    scene.frame_set(1)
    scene.frame_set(2)
    assert not preview.message(scene)
    assert np.abs(scenes.positions(scene.nephim.preview_object) - cache.read(2)).max() < 1e-6
    assert [child.name for child in body.children if "NePHIM" in child.name] == ["NePHIM Preview"]
    bpy.ops.nephim.preview(mode="off")
    report = drive(report_job(scene, tmp_path / "report.json"), io.StringIO())
    assert 0.5 * DENT < 1e-3 * report["hand_displacement_max_mm"] <= 1.01 * DENT


def test_colours_show_how_far_hands_are_moved(scene):
    scene.nephim.left.data.materials.append(bpy.data.materials.new("Own"))
    assert bpy.ops.nephim.preview(mode="physics") == {"FINISHED"}
    copy, own = stand_in(scene.nephim.left), bpy.data.materials["Own"]
    assert copy.material_slots[0].material == own
    for frame in range(2, PRESSED + 1):
        scene.frame_set(frame)
    scene.nephim.preview_scale_mm = 1000 * DENT
    scene.nephim.preview_colour = "displacement"
    assert not preview.message(scene) and copy.material_slots[0].material.name == "NePHIM Preview"
    values = np.empty(4 * len(copy.data.vertices), np.float32)
    copy.data.attributes["NePHIM"].data.foreach_get("color", values)
    values = values.reshape(-1, 4)
    moved = np.linalg.norm(scenes.positions(copy) - evaluated(scene.nephim.left), axis=1)
    assert np.ptp(values[moved == 0], axis=0).max() < 1e-6
    assert np.abs(values[moved.argmax()] - values[moved.argmin()]).max() > 0.2
    for what in ("contact", "none"):
        scene.nephim.preview_colour = what
        assert copy.material_slots[0].material == own
    bpy.ops.nephim.preview(mode="off")
