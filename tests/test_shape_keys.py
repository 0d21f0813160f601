# SPDX-License-Identifier: GPL-3.0-or-later
"""After armature and the user's keys, baked shape keys give the simulated surface; nothing of the user's changes."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.compression import compress  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys, remove_shape_keys  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.compat import fcurves  # noqa: E402
from nephim.errors import BakeError  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy

VARIANTS = {
    "plain": {},
    "centimetres": {"unit": 100.0},
    "scaled": {"object_scale": (1.0, 1.3, 0.8)},
    "parented": {"parent": True},
    "dual quaternions": {"preserve_volume": True},
    "no keys": {"keys": False},
    "subdivision": {"subdivision": True},
}


def evaluated(obj, frame, subframe=0.0):
    scene = bpy.context.scene
    scene.frame_set(frame, subframe=subframe)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", values)
    return values.reshape(-1, 3)


def error_mm(scene, obj, cache):
    """Largest distance in the world of what is shown from the cache, measured here."""
    hidden = [m for m in obj.modifiers if m.type == "SUBSURF"]
    for modifier in hidden:
        modifier.show_viewport = False
    worst = 0.0
    for frame in cache.frames:
        local = evaluated(obj, frame).astype(np.float64) - cache.read(frame)
        world = local @ np.array(obj.matrix_world.to_3x3()).T
        worst = max(worst, np.linalg.norm(world, axis=1).max() * scene.unit_settings.scale_length)
    for modifier in hidden:
        modifier.show_viewport = True
    return worst * 1e3


def bake(scene, rig, cache, **options):
    return drive(bake_shape_keys(scene, rig, cache, **options))


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_exact_after_the_rig(tmp_path, variant, per_frame):
    scene = scenes.build(**VARIANTS[variant])
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    assert error_mm(scene, obj, cache) > 10  # there is something to bake
    result = bake(scene, rig, cache, tolerance=5e-5, per_frame=per_frame)
    measured = error_mm(scene, obj, cache)
    assert measured < 0.05
    assert result.error_max_mm == pytest.approx(measured, abs=1e-4)
    assert (
        scene.nephim.bake_keys
        == len(result.keys)
        == len([k for k in obj.data.shape_keys.key_blocks if "NePHIM" in k.name])
    )
    assert PointCache(cache.path).manifest.results["bake_error_max_mm"] == result.error_max_mm
    for key in result.keys:
        assert obj.data.shape_keys.key_blocks[key].relative_key == obj.data.shape_keys.reference_key


def test_nothing_remains_outside_the_frames_and_without_contact(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    before = {frame: evaluated(obj, frame) for frame in (-5, 0, 1, 10, 11, 30)}
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    bake(scene, rig, cache)
    for frame, expected in before.items():
        assert np.array_equal(evaluated(obj, frame), expected), frame
    assert all(key.value == 0 for key in obj.data.shape_keys.key_blocks if key.name.startswith("NePHIM"))


def test_between_frames_it_interpolates(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    tracked = evaluated(obj, 5, 0.5)
    bake(scene, rig, cache, tolerance=1e-5)
    middle = (cache.read(5) + cache.read(6)) / 2
    deformed = np.abs(middle - tracked).max(axis=1) > 5e-3
    assert deformed.any()
    # The rig turns between the frames, so that the mean of two positions is not exactly between them.
    assert np.abs(evaluated(obj, 5, 0.5) - middle)[deformed].max() < 2e-3


def curves_of(keys):
    return {c.data_path: [tuple(p.co) for p in c.keyframe_points] for c in fcurves(keys.animation_data)}


def everything_of(obj):
    keys = obj.data.shape_keys
    data = keys.animation_data
    return (
        [(k.name, k.mute, k.slider_min, k.slider_max, k.relative_key.name) for k in keys.key_blocks],
        curves_of(keys),
        data.action.name if data and data.action else None,
        [d.data_path for d in data.drivers] if data else [],
        [t.name for t in data.nla_tracks] if data else [],
        sorted(a.name for a in bpy.data.actions),
        obj.active_shape_key_index,
        [(m.name, m.show_viewport) for m in obj.modifiers],
        bpy.context.scene.frame_current,
    )


def add_driven_key(obj):
    driven = obj.shape_key_add(name="driven", from_mix=False)
    driver = driven.driver_add("value").driver
    driver.expression = "frame / 10"
    points = np.array([v.co for v in obj.data.vertices], np.float32)
    points[:, 1] += 0.01 * np.sin(30 * points[:, 2])
    driven.points.foreach_set("co", points.ravel())
    return driven


def test_users_keys_drivers_and_action_stay(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    add_driven_key(obj)
    obj.active_shape_key_index = 2
    before = everything_of(obj)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    result = bake(scene, rig, cache)
    assert result.keys and error_mm(scene, obj, cache) < 0.1
    scene.frame_set(before[-1])
    after = everything_of(obj)
    assert after[1:4] == before[1:4] and after[0][: len(before[0])] == before[0]
    assert after[4] == ["NePHIM"] and after[6:] == before[6:]
    assert remove_shape_keys(obj) == len(result.keys)
    assert everything_of(obj) == before


def test_users_nla_and_no_active_action(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    data = obj.data.shape_keys.animation_data
    track = data.nla_tracks.new()
    action, slot = data.action, getattr(data, "action_slot", None)
    strip = track.strips.new("mine", 1, action)
    if slot is not None:
        strip.action_slot = slot
    data.action = None
    expected = evaluated(obj, 7)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    bake(scene, rig, cache)
    assert error_mm(scene, obj, cache) < 0.1
    remove_shape_keys(obj)
    assert np.array_equal(evaluated(obj, 7), expected) and len(data.nla_tracks) == 1


def test_second_bake_replaces_the_first(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "a" / "simulation.pc2")
    first = bake(scene, rig, cache, per_frame=True)
    with SurfaceReader(scene, rig) as reader:
        tracked = reader.read(5).head
    assert np.abs(tracked - scenes.dent(rig, reader.last, 5)).max() > 0.01  # read as tracked, not as baked
    rig, other = scenes.simulate(
        scene, tmp_path / "b" / "simulation.pc2", job=lambda r, t, f: scenes.dent(r, t, f, depth=-0.01)
    )
    second = bake(scene, rig, other)
    assert error_mm(scene, obj, other) < 0.1
    names = [k.name for k in obj.data.shape_keys.key_blocks]
    assert names == ["Basis", "smile", "open", *second.keys] and len(set(names)) == len(names)
    assert second.keys[0] == first.keys[0] == "NePHIM 001"
    assert [t.name for t in obj.data.shape_keys.animation_data.nla_tracks] == ["NePHIM"]
    assert len([a for a in bpy.data.actions if a.name.startswith("NePHIM")]) == 1


def test_a_further_bake_of_the_same_frames_mutes_the_first(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "a" / "simulation.pc2")
    first = bake(scene, rig, cache)
    rig, other = scenes.simulate(
        scene, tmp_path / "b" / "simulation.pc2", job=lambda r, t, f: scenes.dent(r, t, f, depth=-0.01)
    )
    second = bake(scene, rig, other, existing="add")
    assert error_mm(scene, obj, other) < 0.1
    blocks = obj.data.shape_keys.key_blocks
    assert [k.name for k in blocks] == ["Basis", "smile", "open", *first.keys, *second.keys]
    assert first.keys[0] == "NePHIM 001" and second.keys[0] == "NePHIM 2 001"
    assert [t.name for t in obj.data.shape_keys.animation_data.nla_tracks] == ["NePHIM", "NePHIM 2"]
    assert all(blocks[name].mute for name in first.keys) and not any(blocks[name].mute for name in second.keys)
    assert "'NePHIM'" in second.notes[0]
    for name in first.keys + second.keys:  # the other way round the first bake is there again
        blocks[name].mute = not blocks[name].mute
    assert error_mm(scene, obj, cache) < 0.1
    third = bake(scene, rig, other, existing="add")
    assert third.keys[0] == "NePHIM 3 001"
    assert bake(scene, rig, cache).keys == first.keys  # all are replaced
    assert [k.name for k in blocks] == ["Basis", "smile", "open", *first.keys]
    assert [t.name for t in obj.data.shape_keys.animation_data.nla_tracks] == ["NePHIM"]
    assert len([a for a in bpy.data.actions if a.name.startswith("NePHIM")]) == 1


def test_further_bakes_of_other_frames_play_side_by_side(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    settings = scene.nephim
    settings.use_scene_range, settings.frame_start, settings.frame_end = False, 1, 5
    rig, early = scenes.simulate(scene, tmp_path / "a" / "simulation.pc2")
    first = bake(scene, rig, early)
    settings.frame_start, settings.frame_end = 6, 10
    rig, late = scenes.simulate(scene, tmp_path / "b" / "simulation.pc2")
    second = bake(scene, rig, late, existing="add")
    assert first.keys and second.keys and not second.notes
    assert early.frames.stop == late.frames.start
    for cache in (early, late):
        assert error_mm(scene, obj, cache) < 0.1
    assert remove_shape_keys(obj) == len(first.keys) + len(second.keys)
    assert [k.name for k in obj.data.shape_keys.key_blocks] == ["Basis", "smile", "open"]
    assert not obj.data.shape_keys.animation_data.nla_tracks


def test_a_cancelled_further_bake_leaves_the_first(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    bake(scene, rig, cache)
    baked = everything_of(obj)
    for steps in (5, 18):
        job = bake_shape_keys(scene, rig, cache, existing="add")
        for _ in range(steps):
            next(job)
        job.close()
        assert everything_of(obj) == baked, steps


def test_cancelling_restores_the_scene_and_an_earlier_bake(tmp_path):
    scene = scenes.build(subdivision=True)
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    untouched = everything_of(obj)
    for steps in (1, 5, 12, 18):
        job = bake_shape_keys(scene, rig, cache)
        for _ in range(steps):
            next(job)
        job.close()
        assert everything_of(obj) == untouched, steps
    bake(scene, rig, cache, per_frame=True)
    baked = everything_of(obj)
    for steps in (5, 18):
        job = bake_shape_keys(scene, rig, cache)
        for _ in range(steps):
            next(job)
        job.close()
        assert everything_of(obj) == baked, steps
    assert error_mm(scene, obj, cache) < 0.01


def test_mesh_without_keys_gets_none_from_a_cancelled_bake(tmp_path):
    scene = scenes.build(keys=False)
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    job = bake_shape_keys(scene, rig, cache)
    for _ in range(4):
        next(job)
    job.close()
    assert obj.data.shape_keys is None
    bake(scene, rig, cache)
    remove_shape_keys(obj)
    assert obj.data.shape_keys is None and not bpy.data.actions.get("NePHIM Head")


def test_no_contact_gives_no_keys(tmp_path):
    scene = scenes.build()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2", job=lambda r, t, f: t.head)
    result = bake(scene, rig, cache)
    assert result.keys == [] and result.error_max_mm < 1e-3


def test_head_in_a_body(tmp_path):
    scene = scenes.body()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    bake(scene, rig, cache)
    assert error_mm(scene, scene.nephim.head, cache) < 0.1


def test_non_affine_rig_is_corrected(tmp_path):
    scene = scenes.build()
    obj = scene.nephim.head
    twist = obj.modifiers.new("Twist", "SIMPLE_DEFORM")
    twist.deform_method, twist.angle, twist.deform_axis = "TWIST", 1.0, "Z"
    obj.modifiers.new("Smooth", "SMOOTH").factor = 0.2
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    bake(scene, rig, cache)
    assert error_mm(scene, obj, cache) < 0.1


def test_collapsed_skin_is_told(tmp_path):
    scene = scenes.build(bones=False)
    obj = scene.nephim.head
    arm = bpy.data.objects["HeadRig"]
    arm.pose.bones["head"].scale = (1, 0, 1)  # flattens all of it
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    result = bake(scene, rig, cache)
    assert result.error_max_mm > 0.1 and "flattens" in result.notes[0]
    assert np.isfinite(evaluated(obj, 5)).all()


def test_shared_mesh(tmp_path):
    scene = scenes.build()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    twin = bpy.data.objects.new("Twin", scene.nephim.head.data)
    scene.collection.objects.link(twin)
    with pytest.raises(BakeError, match=r"'Head': Its mesh 'Head' is shared by several.*Single User"):
        bake(scene, rig, cache)


def test_cache_of_another_mesh(tmp_path):
    scene = scenes.build()
    _, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    scene = scenes.build(segments=30)
    with pytest.raises(BakeError, match=r"'Head': It has \d+ vertices, the simulation 385"):
        bake(scene, read_rig(scene), cache)


def test_nla_that_would_not_play(tmp_path):
    scene = scenes.build()
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    data = scene.nephim.head.data.shape_keys.animation_data
    data.nla_tracks.new().is_solo = True
    with pytest.raises(BakeError, match="soloed"):
        bake(scene, rig, cache)


def test_compression_keeps_the_tolerance_with_few_keys():
    rng = np.random.default_rng(0)
    modes, course = rng.normal(size=(5, 200, 3)), rng.normal(size=(40, 5))
    course[:10] = 0
    data = np.tensordot(course, modes, 1).astype(np.float32)
    gain = rng.uniform(0.5, 1.5, (40, 200)).astype(np.float32)
    basis, weights = drive(compress(data, gain, 1e-3))
    assert len(basis) == 5 and np.abs(weights).max() == 1.0
    assert (gain * np.linalg.norm(data - np.tensordot(weights, basis, 1), axis=2)).max() < 1e-3
    noisy = data + rng.normal(size=data.shape).astype(np.float32) * 0.01
    errors = []
    for tolerance in (0.1, 0.03, 0.003):
        basis, weights = drive(compress(noisy, gain, tolerance))
        errors.append(len(basis))
        assert (gain * np.linalg.norm(noisy - np.tensordot(weights, basis, 1), axis=2)).max() <= tolerance * 1.001
    assert errors == sorted(errors) and errors[0] < 40
    assert drive(compress(data * 0, gain, 1e-3))[0].shape == (0, 200, 3)
