# SPDX-License-Identifier: GPL-3.0-or-later
"""A character that is linked from a library and overridden: setup, preview, simulation, bake, and the saved file."""

import io

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.errors import BakeError  # noqa: E402
from nephim.operators import bake, preview, setup, simulate, volume  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture()
def scene(tmp_path):
    """A shot that links a collection with head, hands and rigs, and overrides all of it."""
    made = scenes.build(segments=32, rings=24, subdivision=True)
    character = bpy.data.collections.new("Character")
    made.collection.children.link(character)
    for obj in list(made.collection.objects):
        made.collection.objects.unlink(obj)
        character.objects.link(obj)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))

    shot = scenes.fresh()
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.collections = ["Character"]
    bpy.data.collections["Character"].override_hierarchy_create(shot, bpy.context.view_layer)
    shot.frame_end = 6
    shot.nephim.target_edge_mm, shot.nephim.mode = 12.0, "surface"
    setup.setup(shot, head="Head", left="Left", right="Right", head_bone="HeadRig:head", jaw_bone="HeadRig:jaw")
    assert shot.nephim.head.override_library is not None and shot.nephim.head.data.library is not None
    save_blend(tmp_path / "shot.blend")
    drive(volume.volume_job(shot), io.StringIO())
    yield shot
    preview.forget_all()


def shown(obj, frame):
    """Positions (n, 3) of the evaluated head, without what refines it."""
    bpy.context.scene.frame_set(frame)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", values)
    return values.reshape(-1, 3)


def test_preview_shows_what_the_simulation_gives_and_leaves_nothing(scene):
    drive(simulate.simulate_job(scene), io.StringIO())
    cache = PointCache(folder().cache)
    head = scene.nephim.head
    assert bpy.ops.nephim.preview(mode="surface") == {"FINISHED"}
    preview_object = scene.nephim.preview_object
    assert head.hide_get() and preview_object.name in scene.objects
    for level in [m for m in preview_object.modifiers if m.type == "SUBSURF"]:
        level.show_viewport = False
    for frame in cache.frames:
        assert np.abs(shown(preview_object, frame) - cache.read(frame)).max() < 1e-6
        assert not preview.message(scene)
    assert bpy.ops.nephim.preview(mode="off") == {"FINISHED"}
    assert not head.hide_get() and head.modifiers["Subdivision"].show_viewport
    assert not [obj for obj in bpy.data.objects if obj.name.startswith("NePHIM")]


def test_point_cache_survives_saving_and_shape_keys_say_what_to_do(scene, tmp_path):
    drive(simulate.simulate_job(scene), io.StringIO())
    with pytest.raises(BakeError, match=r"adds no shape keys to such meshes.*Bake to a point cache"):
        drive(bake.bake_job(scene, to=bake.SHAPE_KEYS), io.StringIO())
    tracked = shown(scene.nephim.head, 6)
    drive(bake.bake_job(scene, to=bake.POINT_CACHE), io.StringIO())
    save_blend(tmp_path / "shot.blend")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    head = bpy.context.scene.nephim.head
    assert [m.type for m in head.modifiers] == ["ARMATURE", "MESH_CACHE", "SUBSURF"]
    assert np.abs(shown(head, 6) - tracked).max() > 0.002
    head.modifiers["Subdivision"].show_viewport = False
    cache = PointCache(folder().cache)
    for frame in cache.frames:
        assert np.abs(shown(head, frame) - cache.read(frame)).max() < 1e-6
    assert bpy.ops.nephim.unbake() == {"FINISHED"}
    assert [m.type for m in head.modifiers] == ["ARMATURE", "SUBSURF"]
