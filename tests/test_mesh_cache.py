# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mesh Cache modifier plays the point cache exactly, and only in its frames."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache, remove_mesh_cache  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.errors import BakeError  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.mark.parametrize(
    "variant",
    [{}, {"unit": 100.0}, {"object_scale": (1.0, 1.3, 0.8)}, {"parent": True}],
    ids=["plain", "centimetres", "scaled", "parented"],
)
def test_exact_in_its_frames_and_nothing_outside(tmp_path, variant):
    scene = scenes.build(**variant)
    scene.nephim.use_scene_range = False
    scene.nephim.frame_start, scene.nephim.frame_end = 3, 8
    obj = scene.nephim.head
    outside = {frame: scenes.evaluated(obj, frame) for frame in (-4, 2, 9, 30)}
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    for frame in cache.frames:
        np.testing.assert_allclose(scenes.evaluated(obj, frame), cache.read(frame), atol=1e-6 / rig.scale)
    assert np.abs(cache.read(5) - SurfaceReader(scene, rig).read(5).head / rig.scale).max() > 5e-3
    for frame, expected in outside.items():
        assert np.array_equal(scenes.evaluated(obj, frame), expected), frame


def test_place_in_the_stack_replacement_and_removal(tmp_path):
    scene = scenes.build(subdivision=True)
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    add_mesh_cache(scene, rig, cache)
    assert [m.name for m in obj.modifiers] == ["Armature", "NePHIM", "Subdivision"]
    assert len(obj.animation_data.drivers) == 1
    assert remove_mesh_cache(obj) and not remove_mesh_cache(obj)
    assert [m.name for m in obj.modifiers] == ["Armature", "Subdivision"]
    assert not obj.animation_data or not obj.animation_data.drivers


def test_path_is_relative_to_a_saved_file_and_survives_it(tmp_path):
    scene = scenes.build()
    blend = tmp_path / "film.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    rig, cache = scenes.simulate(scene, tmp_path / "film.nephim" / "simulation.pc2")
    assert add_mesh_cache(scene, rig, cache).filepath.replace("\\", "/") == "//film.nephim/simulation.pc2"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    np.testing.assert_allclose(scenes.evaluated(bpy.data.objects["Head"], 5), cache.read(5), atol=1e-6)


def test_played_result_is_not_read_as_motion(tmp_path):
    scene = scenes.build()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    before = SurfaceReader(scene, rig).read(5).head
    add_mesh_cache(scene, rig, cache)
    assert np.array_equal(SurfaceReader(scene, read_rig(scene)).read(5).head, before)


def test_unfinished_cache(tmp_path):
    scene = scenes.build()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    cache.manifest.truncate(4)
    cache.save_results()
    with pytest.raises(BakeError, match=r"'Head': Only frames 1-4 have been simulated.*Finish"):
        add_mesh_cache(scene, rig, PointCache(cache.path))
