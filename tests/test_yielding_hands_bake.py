# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that yield in both bakes, as objects of their own and in the head's mesh; what is baked goes again."""

import io
from dataclasses import replace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge import characters  # noqa: E402
from nephim.bridge.bake.attached import baked_with  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.bake.shown import all_obstacles, shown_job  # noqa: E402
from nephim.bridge.cache.moved import HandCaches, MovedWriter, hand_path, moved_objects  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.cache.results import ResultReader  # noqa: E402
from nephim.bridge.modifiers import is_baked_name  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.compat import fcurves  # noqa: E402
from nephim.operators import simulate  # noqa: E402
from nephim.operators.bake import bake_job  # noqa: E402
from nephim.progress import drive  # noqa: E402
from yielding import DENT, YieldingPhysics, copy_of, simulated_file, swollen  # noqa: E402

pytestmark = pytest.mark.bpy

PRESSED = 6


def run(job):
    return drive(job, io.StringIO())


def keys(obj):
    blocks = obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()
    return [key.name for key in blocks if is_baked_name(key.name)]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, registered):
    return simulated_file(tmp_path_factory.mktemp("hands") / "x")


@pytest.fixture()
def scene(simulated, tmp_path):
    return copy_of(simulated, tmp_path / "x")


def caches(scene):
    return {one.object_name: cache for one, cache in HandCaches(read_rig(scene), PointCache(folder().cache)).objects}


def worst(scene):
    """The largest distance of what hands show from their caches, Blender units."""
    return max(
        np.abs(scenes.evaluated(bpy.data.objects[name], frame) - cache.read(frame)).max()
        for name, cache in caches(scene).items()
        for frame in cache.frames
    )


@pytest.mark.parametrize("to", ["shape-keys", "point-cache"])
def test_hands_are_baked_with_the_head_and_removed_with_it(scene, to):
    hands = [scene.nephim.left, scene.nephim.right]
    tracked = {(obj.name, frame): scenes.evaluated(obj, frame) for obj in hands for frame in (PRESSED, 30)}
    assert worst(scene) > 0.5 * DENT  # there is something to bake
    result = run(bake_job(scene, to=to, tolerance_mm=0.05))
    said = "'Left' has" if to == "shape-keys" else "'Left' plays simulation-left.pc2 through its modifier."
    assert said in result.text and "Carried along" not in result.text
    assert worst(scene) < 5e-5
    assert not all_obstacles([scene.nephim.head, *hands])
    shown = run(shown_job(scene, read_rig(scene), PointCache(folder().cache)))
    assert shown.error < 5e-5 and not shown.note
    for obj in hands:
        assert bool(keys(obj)) == (to == "shape-keys") and ("NePHIM" in obj.modifiers) == (to == "point-cache")
        assert np.abs(scenes.evaluated(obj, 30) - tracked[obj.name, 30]).max() < 1e-6  # outside the bake
    assert run(simulate.simulate_job(scene)).new == 0  # the bake is no part of the motion

    assert bpy.ops.nephim.unbake() == {"FINISHED"}
    for obj in hands:
        assert not keys(obj) and "NePHIM" not in obj.modifiers and obj.data.shape_keys is None
        assert np.array_equal(scenes.evaluated(obj, PRESSED), tracked[obj.name, PRESSED])
    assert not bpy.ops.nephim.unbake.poll()


def test_a_hand_that_never_moved_is_left_alone(scene, monkeypatch):
    def left_alone(tracked):
        return {"left": swollen(tracked)["left"]}

    run(bake_job(scene, to="point-cache"))
    monkeypatch.setattr("nephim.sim.physics.Physics", YieldingPhysics)
    monkeypatch.setattr("yielding.swollen", left_alone)
    bpy.ops.nephim.clear()
    run(simulate.simulate_job(scene))
    assert sorted(caches(scene)) == ["Left", "Right"]  # a frame more may move it
    result = run(bake_job(scene, to="point-cache"))
    assert "'Right'" not in result.text and "NePHIM" not in scene.nephim.right.modifiers
    assert [obj.name for obj in baked_with(scene, scene.nephim.head)] == ["Left"]


def test_the_other_bake_takes_the_place_of_one(scene):
    run(bake_job(scene, to="point-cache"))
    run(bake_job(scene, to="shape-keys"))
    assert keys(scene.nephim.left) and "NePHIM" not in scene.nephim.left.modifiers
    run(bake_job(scene, to="shape-keys", per_frame=True))
    assert worst(scene) < 1e-5
    run(bake_job(scene, to="shape-keys", existing="add", fade=3))
    assert any(name.startswith("NePHIM 2 ") for name in keys(scene.nephim.left))


def test_a_bake_of_rigid_hands_removes_that_of_hands(scene):
    run(bake_job(scene, to="shape-keys"))
    assert len(baked_with(scene, scene.nephim.head)) == 2
    scene.nephim.yielding_hands = False
    run(simulate.simulate_job(scene))
    run(bake_job(scene, to="shape-keys"))
    assert not baked_with(scene, scene.nephim.head) and not keys(scene.nephim.left)


def test_what_stands_in_the_way_of_a_hand_is_said(scene):
    run(bake_job(scene, to="shape-keys"))
    scene.nephim.left.data.shape_keys.animation_data.use_nla = False
    (text,) = all_obstacles([scene.nephim.head, scene.nephim.left])
    assert text.startswith("'Left': The NLA of its shape keys is switched off")
    shown = run(shown_job(scene, read_rig(scene), PointCache(folder().cache)))
    assert shown.error > 0.5 * DENT and "'Left'" in shown.note and "NLA" in shown.note


def test_meshes_that_take_no_keys_play_their_cache(scene):
    other = scene.nephim.left.copy()  # shares the mesh
    scene.collection.objects.link(other)
    run(bake_job(scene, to="shape-keys"))
    assert "NePHIM" in scene.nephim.left.modifiers and keys(scene.nephim.right)
    assert worst(scene) < 1e-4


def mark(scene):
    """Another character has baked the left hand."""
    scene.nephim.left["nephim_attached"] = scenes.mesh_object(scene, "Neighbour", np.eye(3), [(0, 1, 2)])
    return "Neighbour"


def list_as_head(scene):
    """The left hand belongs to the body that is another character's head."""
    left = scene.nephim.left
    characters.add(scene)
    scene.nephim.head = left
    characters.show(scene, 0)
    return "Left"


@pytest.mark.parametrize("owned", [mark, list_as_head])
def test_the_bake_of_another_character_stays(scene, owned):
    name = owned(scene)
    result = run(bake_job(scene, to="shape-keys"))
    assert "The hand stays as animated: 'Left'" in result.text and f"another character, '{name}'" in result.text
    assert not keys(scene.nephim.left) and keys(scene.nephim.right)


def test_hands_in_the_mesh_of_the_head_share_its_keys(tmp_path):
    scene = scenes.body()
    rig = read_rig(scene)
    (whole,) = moved_objects(rig, ("left", "right"))
    path = tmp_path / "simulation.pc2"
    with (
        SurfaceReader(scene, rig) as reader,
        MovedWriter(path, [whole], frames=rig.frames, topology="t", settings="s") as writer,
    ):
        for frame in rig.frames:
            tracked = reader.read(frame)
            near = replace(tracked, head=tracked.left)  # swollen about its own middle
            resolved = replace(tracked, head=scenes.dent(rig, tracked, frame), left=swollen(near)["left"])
            state = reader.states[whole.object_name]
            writer.write(frame, [whole.positions(state, tracked, resolved)], f"{frame}", {})
    cache = PointCache(path)
    body = scene.nephim.head
    rows = {role: part.indices for role, part in whole.parts.items()}
    before = {frame: scenes.evaluated(body, frame) for frame in cache.frames}
    moved = {role: max(np.abs(cache.read(f) - before[f])[rows[role]].max() for f in cache.frames) for role in rows}
    assert moved["head"] > 0.005 and moved["left"] > 0.5 * DENT and moved["right"] == 0
    result = run(bake_shape_keys(scene, rig, cache, tolerance=5e-5))
    assert result.error_max_mm < 0.05
    assert max(np.abs(scenes.evaluated(body, frame) - cache.read(frame)).max() for frame in cache.frames) < 5e-5
    assert not hand_path(path, "left").exists()


def shrink(obj, arm):
    """Shrinks a hand to nothing."""
    arm.scale = (0, 0, 0)


def lose(obj, arm):
    """Gives a hand no position that is a number."""
    obj.data.shape_keys.key_blocks["gone"].value = 1.0


@pytest.mark.parametrize("gap", [shrink, lose])
def test_gaps_in_a_hand_stay_gaps(scene, monkeypatch, gap):
    monkeypatch.setattr("nephim.sim.physics.Physics", YieldingPhysics)
    hand, arm = scene.nephim.left, scene.nephim.left.parent
    hand.shape_key_add(name="Basis")
    key = hand.shape_key_add(name="gone")
    key.points.foreach_set("co", np.full(3 * len(hand.data.vertices), np.nan, np.float32))
    for frame in (1, 4, 7):
        arm.scale, key.value = (1, 1, 1), 0.0
        if frame == 4:
            gap(hand, arm)
        arm.keyframe_insert("scale", frame=frame)
        key.keyframe_insert("value", frame=frame)
    for curve in (*fcurves(arm.animation_data), *fcurves(hand.data.shape_keys.animation_data)):
        for point in curve.keyframe_points:
            point.interpolation = "CONSTANT"
    before = {frame: scenes.evaluated(hand, frame) for frame in (5, 30)}
    run(simulate.simulate_job(scene))
    with ResultReader(scene) as result:
        assert [sorted(result.read(frame).hands) for frame in (3, 5, 8)] == [
            ["left", "right"],
            ["right"],
            ["left", "right"],
        ]
    assert all(np.isfinite(cache.read(frame)).all() for cache in caches(scene).values() for frame in cache.frames)
    result = run(bake_job(scene, to="shape-keys"))
    assert "stays as animated" not in result.text and keys(hand)
    for frame, expected in before.items():
        assert np.array_equal(scenes.evaluated(hand, frame), expected, equal_nan=True)
    for frame in (2, 3, 8, 9):
        assert np.abs(scenes.evaluated(hand, frame) - caches(scene)["Left"].read(frame)).max() < 1e-4
    run(bake_job(scene, to="point-cache"))
    assert np.abs(scenes.evaluated(hand, 3) - caches(scene)["Left"].read(3)).max() < 1e-6
