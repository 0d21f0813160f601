# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer of a pose correction: it moves any hand by what is asked, touches no key, and leaves nothing behind."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.pose_correction import (  # noqa: E402
    NAME,
    add_correction,
    as_animated,
    check_correctable,
    corrected,
    figures,
    remove_correction,
)
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.bridge.takes import write_point_cache  # noqa: E402
from nephim.compat import fcurves, strip_fcurves  # noqa: E402
from nephim.errors import RigError  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402

pytestmark = pytest.mark.bpy

FRAMES = range(scenes.FRAMES[0], scenes.FRAMES[1] + 1)
SHIFT = np.array([0.004, -0.002, 0.003])  # [m] at its largest


def course():
    """World shifts (f, 3) [m]: none in the first two and the last two frames."""
    share = np.sin(np.pi * np.clip((np.arange(len(FRAMES)) - 1) / (len(FRAMES) - 3), 0, 1))
    share[share < 1e-9] = 0.0
    return share[:, None] * SHIFT


def read(scene):
    """Head and hands in each frame."""
    with SurfaceReader(scene, read_rig(scene)) as reader:
        return [reader.read(frame) for frame in FRAMES]


def correct(scene, side="left", shifts=None):
    """Shifts a hand in the world as `correct_pose` does; returns its Empty."""
    rig = read_rig(scene)
    name = getattr(rig, side).object_name
    with SurfaceReader(scene, rig) as reader:
        matrices = []
        for frame in FRAMES:
            reader.read(frame)
            matrices.append(reader.states[name].matrix[:3, :3])
    shifts = course() if shifts is None else shifts
    offsets = np.einsum("fij,fj->fi", np.linalg.inv(matrices), shifts) + 0.0
    return add_correction(scene, rig, side, FRAMES, offsets, (float(np.linalg.norm(shifts, axis=1).max()), 0.0))


def curves_of(data):
    """All keys of an ID's animation: path, index and the points with all that they have."""
    found = []
    strips = [strip for track in data.nla_tracks for strip in track.strips]
    for curve in [*fcurves(data), *(c for strip in strips for c in strip_fcurves(strip))]:
        points = [(*p.co, *p.handle_left, *p.handle_right, p.interpolation, p.easing) for p in curve.keyframe_points]
        found.append((curve.data_path, curve.array_index, curve.extrapolation, points))
    return found


def everything():
    """What a scene holds, as far as a layer could change it."""
    found = {}
    for obj in bpy.data.objects:
        for owner in (obj, obj.data, getattr(obj.data, "shape_keys", None)):
            data = getattr(owner, "animation_data", None)
            key = (obj.name, type(owner).__name__)
            found[key] = None if data is None else (curves_of(data), [d.data_path for d in data.drivers])
        if obj.type == "MESH":
            values = np.empty(3 * len(obj.data.vertices), np.float32)
            obj.data.attributes["position"].data.foreach_get("vector", values)
            weights = [[(g.group, g.weight) for g in v.groups] for v in obj.data.vertices]
            active = obj.modifiers.active
            found[obj.name] = (
                values.tobytes(),
                weights,
                [group.name for group in obj.vertex_groups],
                obj.vertex_groups.active_index,
                [(m.name, m.type, m.show_viewport) for m in obj.modifiers],
                active and active.name,
                sorted(obj.keys()),
            )
    return found | {"actions": sorted(a.name for a in bpy.data.actions), "objects": sorted(bpy.data.objects.keys())}


def rigged(folder):
    return scenes.build()


def in_centimetres(folder):
    return scenes.build(unit=100.0, parent=True)


def moved_as_object(folder):
    """A hand without a rig, whose object is keyed, turned and scaled."""
    scene = scenes.build()
    obj = scenes.mesh_object(scene, "Glove", *scenes.hand_arrays())
    for frame, x, angle, size in ((1, 0.3, 0.0, 1.0), (6, 0.22, 0.4, 1.2), (10, 0.3, 1.1, 0.9)):
        obj.location, obj.rotation_euler, obj.scale = (x, 0, 1.5), (angle, 0.3, -angle), (size, 1.0, 2 * size)
        for channel in ("location", "rotation_euler", "scale"):
            obj.keyframe_insert(channel, frame=frame)
    scene.nephim.left = obj
    return scene


def from_a_take(folder):
    """A hand that plays a point cache."""
    scene = scenes.build()
    vertices, faces = scenes.hand_arrays()
    obj = scenes.mesh_object(scene, "Take", vertices, faces)
    played = [vertices + (0.3 - 0.01 * k, 0, 1.5) for k in range(len(FRAMES))]
    write_point_cache(folder / "take.pc2", np.array(played, np.float32))
    modifier = obj.modifiers.new("Take", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", str(folder / "take.pc2")
    modifier.frame_start = 1.0
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"
    scene.nephim.left = obj
    return scene


def part_of_a_body(folder):
    return scenes.body()


def with_subdivision(folder):
    scene = scenes.build()
    scene.nephim.left.modifiers.new("Subdivision", "SUBSURF").levels = 1
    return scene


EVERY = [rigged, in_centimetres, moved_as_object, from_a_take, part_of_a_body, with_subdivision]


@pytest.mark.parametrize("made", EVERY)
def test_any_hand_is_shifted_and_nothing_else(tmp_path, made):
    scene = made(tmp_path)
    before, held = read(scene), everything()
    control = correct(scene)
    after, shifts = read(scene), course()
    moved = np.flatnonzero(shifts.any(axis=1))
    for k, (one, other) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(one.head, other.head) and np.array_equal(one.right, other.right)
        if k in moved:
            assert np.abs(other.left - one.left - shifts[k]).max() < 2e-6
        else:
            assert np.array_equal(one.left, other.left)  # bit for bit
    assert corrected(scene.nephim) == ["left"]
    assert figures(scene.nephim)["left"]["shift_max_mm"] == pytest.approx(1e3 * np.linalg.norm(shifts, axis=1).max())
    now = everything()
    keys = {key: value for key, value in held.items() if isinstance(key, tuple) and value is not None}
    assert keys and all(now[key][0] == value[0] for key, value in keys.items())  # the animator's keys
    assert control.name not in held["objects"]
    with as_animated(scene):
        assert all(np.array_equal(a.left, b.left) for a, b in zip(before, read(scene), strict=True))
    assert np.array_equal(read(scene)[4].left, after[4].left)  # which ends with it

    assert remove_correction(scene.nephim.left, "left")
    assert everything() == held
    assert all(np.array_equal(a.left, b.left) for a, b in zip(before, read(scene), strict=True))
    assert not remove_correction(scene.nephim.left, "left") and not corrected(scene.nephim)


def test_a_second_correction_replaces_the_first_and_hands_are_apart(tmp_path):
    scene = scenes.body()
    before = read(scene)
    correct(scene, shifts=2 * course())
    correct(scene, "right", -course())
    with as_animated(scene):  # as `correct_pose` reads the scene
        correct(scene)
    after = read(scene)
    for one, other, shift in zip(before, after, course(), strict=True):
        assert np.abs(other.left - one.left - shift).max() < 2e-6
        assert np.abs(other.right - one.right + shift).max() < 2e-6
        assert np.array_equal(one.head, other.head)
    assert len([obj for obj in bpy.data.objects if obj.name.startswith(NAME)]) == 2
    assert len([action for action in bpy.data.actions if action.name.startswith(NAME)]) == 2
    assert remove_correction(scene.nephim.left, "left") and corrected(scene.nephim) == ["right"]
    assert all(np.array_equal(a.left, b.left) for a, b in zip(before, read(scene), strict=True))


def test_the_forearm_of_a_body_follows_less_and_less():
    """A body whose left hand is the end of a longer arm."""
    scene = scenes.body()
    obj = scene.nephim.left
    group, whole = obj.vertex_groups["hand.L"], read_rig(scene).left.indices
    low = scenes.positions(obj)[whole, 2]
    group.remove([int(v) for v in whole[low < low.max() - 0.03]])
    hand = read_rig(scene).left.indices
    still = scenes.evaluated(obj, 5)
    correct(scene)
    moved = np.linalg.norm(scenes.evaluated(obj, 5) - still, axis=1)
    largest = np.linalg.norm(course()[4])
    away = low.max() - scenes.positions(obj)[whole, 2]
    assert moved[hand] == pytest.approx(largest, abs=2e-6)
    assert (moved[whole[away > 0.12]] == 0).all()
    beyond = whole[(away > 0.03) & (away < 0.11)]
    order = np.argsort(low.max() - scenes.positions(obj)[beyond, 2])
    assert (np.diff(moved[beyond][order]) < 1e-6).all() and 0 < moved[beyond].min() < moved[beyond].max() < largest


def test_time_stretching_moves_the_keys_along():
    scene = scenes.build()
    scene.render.frame_map_old, scene.render.frame_map_new = 100, 50
    before = read(scene)
    correct(scene)
    for one, other, shift in zip(before, read(scene), course(), strict=True):
        assert np.abs(other.left - one.left - shift).max() < 2e-6


def test_it_goes_before_a_cache_that_is_baked(tmp_path):
    scene = scenes.build()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    scene = bpy.context.scene
    rig, cache = scenes.simulate(scene, tmp_path / "a.nephim" / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    left = scene.nephim.left
    left.modifiers.new("NePHIM", "MESH_CACHE")
    left.modifiers.new("Subdivision", "SUBSURF")
    correct(scene)
    names = [modifier.name for modifier in left.modifiers]
    assert names == ["Armature", *(f"{NAME} Left {axis}" for axis in "XYZ"), "NePHIM", "Subdivision"]


def test_a_saved_file_keeps_it(tmp_path):
    scene = scenes.build()
    before = read(scene)
    correct(scene)
    after = read(scene)
    path = save_blend(tmp_path / "a.blend")
    bpy.ops.wm.open_mainfile(filepath=str(path))
    scene = bpy.context.scene
    assert all(np.array_equal(a.left, b.left) for a, b in zip(after, read(scene), strict=True))
    assert remove_correction(scene.nephim.left, "left")
    assert all(np.array_equal(a.left, b.left) for a, b in zip(before, read(scene), strict=True))


def overridden(folder):
    """A shot with the whole character linked from a library and overridden."""
    made = scenes.build()
    character = bpy.data.collections.new("Character")
    made.collection.children.link(character)
    for obj in list(made.collection.objects):
        made.collection.objects.unlink(obj)
        character.objects.link(obj)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "library.blend"))
    shot = scenes.fresh()
    with bpy.data.libraries.load(str(folder / "library.blend"), link=True) as (_, wanted):
        wanted.collections = ["Character"]
    bpy.data.collections["Character"].override_hierarchy_create(shot, bpy.context.view_layer)
    for side, name in (("head", "Head"), ("left", "Left")):
        setattr(shot.nephim, side, next(obj for obj in shot.objects if obj.name == name))
    return shot


def test_a_library_override_is_corrected(tmp_path):
    scene = overridden(tmp_path)
    rig = read_rig(scene)
    check_correctable(rig)
    before = read(scene)
    correct(scene)
    for one, other, shift in zip(before, read(scene), course(), strict=True):
        assert np.abs(other.left - one.left - shift).max() < 2e-6
    assert remove_correction(scene.nephim.left, "left")
    assert all(np.array_equal(a.left, b.left) for a, b in zip(before, read(scene), strict=True))


def test_a_part_of_a_linked_mesh_is_refused(tmp_path):
    scene = overridden(tmp_path)
    scene.nephim.left_group = "palm"
    with pytest.raises(RigError, match=r"'Left': Its mesh is linked, .* Make it local"):
        check_correctable(read_rig(scene))


def test_a_linked_hand_is_refused(tmp_path):
    scenes.build()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    scene = scenes.build(left=False, right=False)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.objects = ["Left", "LeftRig"]
    for obj in bpy.data.objects:
        if obj.library is not None:
            scene.collection.objects.link(obj)
            scene.nephim.left = obj if obj.type == "MESH" else scene.nephim.left
    with pytest.raises(RigError, match=r"'Left': It is linked from .* make a library override"):
        check_correctable(read_rig(scene))
