# SPDX-License-Identifier: GPL-3.0-or-later
"""What users bring stays theirs: heads and hands from Alembic, USD and point caches, actions with slots, NLA, drivers.

They are read as they are, baked after, and nothing of them is changed by a bake or by its removal.
"""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache, remove_mesh_cache  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys, remove_shape_keys  # noqa: E402
from nephim.bridge.bake.shown import obstacles, shown_job  # noqa: E402
from nephim.bridge.cache.point_cache import PointCacheWriter  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.compat import fcurves, strip_fcurves  # noqa: E402
from nephim.errors import BakeError  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy

FRAMES = range(scenes.FRAMES[0], scenes.FRAMES[1] + 1)
SIDES = ("head", "left", "right")
_OTHER = {"execution_time", "is_active", "rna_type"}  # of a modifier: not what it does


def alembic(path):
    if "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    bpy.ops.wm.alembic_export(filepath=path, start=FRAMES[0], end=FRAMES[-1])
    scenes.fresh()
    bpy.ops.wm.alembic_import(filepath=path, as_background_job=False)


def usd(path):
    if "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    bpy.ops.wm.usd_export(filepath=path, export_animation=True, export_armatures=False, export_shapekeys=False)
    scenes.fresh()
    bpy.ops.wm.usd_import(filepath=path)


@pytest.mark.parametrize(("through", "name"), [(alembic, "shot.abc"), (usd, "shot.usdc")])
def test_a_character_from_a_geometry_cache(tmp_path, through, name):
    scene = scenes.build(keys=False)
    with SurfaceReader(scene, read_rig(scene)) as reader:
        expected = {frame: reader.read(frame) for frame in FRAMES}
    through(str(tmp_path / name))
    scene = bpy.context.scene
    head, left, right = (bpy.data.objects[name] for name in ("Head", "Left", "Right"))
    settings = scene.nephim
    settings.head, settings.left, settings.right = head, left, right
    own = [m.name for m in head.modifiers]
    with SurfaceReader(scene, read_rig(scene)) as reader:
        for frame in FRAMES:
            tracked = reader.read(frame)
            for side in SIDES:
                np.testing.assert_allclose(getattr(tracked, side), getattr(expected[frame], side), atol=1e-6)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    with pytest.raises(BakeError, match=r"its modifier '\w+' puts every vertex where its file says.*To Point Cache"):
        drive(bake_shape_keys(scene, rig, cache))
    assert [m.name for m in head.modifiers] == own and head.data.shape_keys is None
    add_mesh_cache(scene, rig, cache)
    assert drive(shown_job(scene, rig, cache)).error < 1e-5
    head.modifiers.move(len(own), 0)
    assert f"'{own[0]}' comes after the modifier 'NePHIM'" in drive(shown_job(scene, rig, cache)).note
    remove_mesh_cache(head)
    assert [m.name for m in head.modifiers] == own


def play(obj, path, positions, start):
    """Lets a Mesh Cache modifier of the user's play positions (f, n, 3), the first one at frame `start`."""
    count = positions.shape[1]
    frames = range(len(positions))
    with PointCacheWriter(
        path, object_name=obj.name, n_vertices=count, frames=frames, topology="", settings=""
    ) as writer:
        for frame in frames:
            writer.write(frame, positions[frame], "")
    modifier = obj.modifiers.new("Crowd", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", str(path)
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"
    modifier.frame_start = start
    return modifier


def test_a_point_cache_of_the_users_own_with_an_offset(tmp_path):
    scene = scenes.build(keys=False)
    head = scene.nephim.head
    positions = []
    with SurfaceReader(scene, read_rig(scene)) as reader:
        for frame in FRAMES:
            reader.read(frame)
            positions.append(reader.head.positions)
    own = play(head, tmp_path / "own.pc2", np.array(positions), 3.0)
    with SurfaceReader(scene, read_rig(scene)) as reader:
        for frame in range(3, 11):  # two frames late
            reader.read(frame)
            np.testing.assert_allclose(reader.head.positions, positions[frame - 3], atol=1e-6)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    assert [m.name for m in head.modifiers] == ["Armature", "Crowd", "NePHIM"]
    assert drive(shown_job(scene, rig, cache)).error < 1e-5 and not obstacles(head)
    assert (own.frame_start, own.frame_scale, own.factor) == (3.0, 1.0, 1.0)


def push_down(data, extrapolation):
    """Plays an action by an NLA strip that ends in the shot."""
    strip = data.nla_tracks.new().strips.new("mine", 1, data.action)
    if hasattr(data, "action_slot"):
        strip.action_slot = data.action_slot
    data.action = None
    strip.action_frame_end, strip.frame_end, strip.extrapolation = 6.0, 6.0, extrapolation


def plain(scene):
    return scene


def with_strips(scene):
    push_down(scene.nephim.head.data.shape_keys.animation_data, "NOTHING")
    push_down(bpy.data.objects["HeadRig"].animation_data, "NOTHING")


def with_one_action(scene):
    """One action with a slot for the rig, one for the shape keys and one for a hand."""
    if not hasattr(bpy.data.objects["HeadRig"].animation_data, "action_slot"):
        pytest.skip("actions have no slots before Blender 4.4")
    shared = bpy.data.actions.new("Shot")
    layer = shared.layers.new("Layer")
    strip = layer.strips.new(type="KEYFRAME")
    for owner in (bpy.data.objects["HeadRig"], scene.nephim.head.data.shape_keys, bpy.data.objects["LeftRig"]):
        data = owner.animation_data
        slot = shared.slots.new(id_type=owner.id_type, name=owner.name)
        into = strip.channelbag(slot, ensure=True).fcurves
        for curve in fcurves(data):
            copy = into.new(curve.data_path, index=curve.array_index)
            for point in curve.keyframe_points:
                copy.keyframe_points.insert(*point.co)
        data.action = shared
        data.action_slot = slot


def with_drivers(scene):
    head = scene.nephim.head
    driven = head.shape_key_add(name="driven", from_mix=False)
    driven.driver_add("value").driver.expression = "frame / 10"
    head.driver_add("location", 0).driver.expression = "0.001 * frame"
    head.modifiers.new("Smooth", "SMOOTH").factor = 0.0
    head.driver_add('modifiers["Smooth"].factor').driver.expression = "0 * frame"


def curve_of(curve):
    points = [(*p.co, *p.handle_left, *p.handle_right, p.interpolation) for p in curve.keyframe_points]
    return curve.data_path, curve.array_index, curve.extrapolation, curve.mute, points


def animation_of(data):
    """Everything an ID's animation data says, without what is ours."""
    if data is None:
        return None, [], [], []
    settings = ("action_blend_type", "action_extrapolation", "action_influence", "use_nla")
    ours = "NePHIM"
    of_strip = ("name", "frame_start", "frame_end", "action_frame_start", "action_frame_end", "extrapolation", "mute")
    tracks = [
        (
            track.name,
            track.mute,
            [
                ([getattr(strip, name) for name in of_strip], [curve_of(curve) for curve in strip_fcurves(strip)])
                for strip in track.strips
            ],
        )
        for track in data.nla_tracks
        if not track.name.startswith(ours)
    ]
    drivers = [(d.data_path, d.array_index, d.driver.expression) for d in data.drivers if ours not in d.data_path]
    action = (data.action.name, *(getattr(data, name) for name in settings)) if data.action else None
    return action, [curve_of(curve) for curve in fcurves(data)], tracks, drivers


def everything(scene):
    found = {}
    for obj in scene.objects:
        keys = getattr(obj.data, "shape_keys", None)
        found[obj.name] = animation_of(obj.animation_data)
        found[f"keys of {obj.name}"] = animation_of(keys.animation_data if keys else None)
        found[f"modifiers of {obj.name}"] = [
            {p.identifier: str(getattr(m, p.identifier)) for p in m.bl_rna.properties if p.identifier not in _OTHER}
            for m in obj.modifiers
            if m.name != "NePHIM"
        ]
        if keys:
            blocks = [block for block in keys.key_blocks if not block.name.startswith("NePHIM")]
            found[f"key blocks of {obj.name}"] = [(b.name, b.mute, b.slider_min, b.slider_max) for b in blocks]
    return found


def shown(scene):
    """The head as evaluated at frames and between them, before, in and after the shot."""
    found = []
    for frame in (-1, 1, 4, 8, 13):
        for subframe in (0.0, 0.5):
            scene.frame_set(frame, subframe=subframe)
            mesh = scene.nephim.head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
            positions = np.empty(3 * len(mesh.vertices), np.float32)
            mesh.attributes["position"].data.foreach_get("vector", positions)
            found.append(positions)
    scene.frame_set(1)
    return np.array(found)


@pytest.mark.parametrize("to", ["keys", "cache"])
@pytest.mark.parametrize("case", [plain, with_strips, with_one_action, with_drivers])
def test_nothing_of_the_users_changes(tmp_path, case, to):
    scene = scenes.build()
    head = scene.nephim.head
    case(scene)
    scene.frame_set(1)
    expected, actions, looks = everything(scene), sorted(a.name for a in bpy.data.actions), shown(scene)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    if to == "keys":
        assert drive(bake_shape_keys(scene, rig, cache)).error_max_mm < 0.1
    else:
        add_mesh_cache(scene, rig, cache)
    assert drive(shown_job(scene, rig, cache)).error < 1e-4
    scene.frame_set(1)
    assert everything(scene) == expected
    remove_shape_keys(head) if to == "keys" else remove_mesh_cache(head)
    assert everything(scene) == expected
    assert sorted(a.name for a in bpy.data.actions) == actions
    np.testing.assert_array_equal(shown(scene), looks)
