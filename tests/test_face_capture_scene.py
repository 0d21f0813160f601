# SPDX-License-Identifier: GPL-3.0-or-later
"""A face capture keys the head's shapes and what moves with it; the animator's actions stay as they are."""

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
import scenes
from mathutils import Matrix, Vector
from nephim import cli
from nephim.compat import fcurves
from nephim.tracks.face_capture import EXPRESSIONS
from test_face_capture import table, timecodes
from test_tracks_scene import nephim

pytestmark = pytest.mark.bpy
ROWS = 61  # a second at 60


def capture(tmp_path, rotation=None, name="take.csv"):
    values = np.zeros((ROWS, 52))
    values[:, :4] = np.linspace(0, 1, ROWS)[:, None]  # blinks and looks down
    values[:, 36] = np.linspace(0.5, 0.2, ROWS)  # jawForward
    (tmp_path / name).write_text(table(timecodes(ROWS, 60), values, rotation))
    return tmp_path / name


def add_keys(obj, *names):
    if obj.data.shape_keys is None:
        obj.shape_key_add(name="Basis")
    for name in names:
        key = obj.shape_key_add(name=name)
        key.value = 0.0  # Blender 5.2 starts with 1
        key.points.foreach_set("co", np.random.default_rng(0).random(3 * len(key.points)).astype(np.float32))


def character(tmp_path, start=1001):
    scene = scenes.build(segments=12, rings=8)
    scene.frame_start, scene.frame_end = start, start + 9
    head = scene.nephim.head
    add_keys(head, "eyeBlinkLeft", "eyeblink_R", "JawForward", "eyeLookDownLeft")
    driver = head.data.shape_keys.key_blocks["eyeLookDownLeft"].driver_add("value")
    driver.driver.expression = "0.25"
    teeth = scenes.mesh_object(scene, "Teeth", *scenes.hand_arrays())
    scenes.bind(teeth, bpy.data.objects["HeadRig"], {"jaw": np.ones(len(teeth.data.vertices))})
    add_keys(teeth, "jawForward")
    other = scenes.mesh_object(scene, "Other Person", *scenes.head_arrays(12, 8))
    add_keys(other, "jawForward", "eyeBlinkLeft")
    path = tmp_path / "face.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def value(obj, key, frame):
    bpy.context.scene.frame_set(frame)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    return bpy.data.objects[obj].evaluated_get(depsgraph).data.shape_keys.key_blocks[key].value


def curve_points():
    return {
        (action.name, c.data_path, c.array_index): [tuple(p.co) for p in c.keyframe_points]
        for owner in (*bpy.data.shape_keys, *bpy.data.objects)
        if owner.animation_data and owner.animation_data.action
        for action in [owner.animation_data.action]
        for c in fcurves(owner.animation_data)
    }


def test_expressions_are_keyed_above_the_animators_own_action(tmp_path, capsys):
    path = character(tmp_path)
    smile = [value("Head", "smile", f) for f in range(1, 12)]
    before = curve_points()
    assert nephim("import", capture(tmp_path), "--onto", path) == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "3 of 52 expressions keyed on Head, Teeth" in said and "no key for eyeLookDownRight, " in said
    assert "left to the drivers of the rig: eyeLookDownLeft" in said and "frames 1001-1025, at 60 rows" in said
    bpy.ops.wm.open_mainfile(filepath=str(path))
    scene = bpy.context.scene
    assert scene.frame_end == 1025 and scene.render.fps == 24
    for frame in (1001, 1010, 1025):
        share = (frame - 1001) / 24
        assert np.isclose(value("Head", "eyeBlinkLeft", frame), share, atol=1e-4)
        assert np.isclose(value("Head", "eyeblink_R", frame), share, atol=1e-4)
        assert np.isclose(value("Teeth", "jawForward", frame), 0.5 - 0.3 * share, atol=1e-4)
        assert np.isclose(value("Head", "eyeLookDownLeft", frame), 0.25)
        assert value("Other Person", "eyeBlinkLeft", frame) == 0
    assert np.allclose([value("Head", "smile", f) for f in range(1, 12)], smile, atol=1e-6)
    strip = bpy.data.objects["Head"].data.shape_keys.animation_data.nla_tracks[0].strips[0]
    own = {k: v for k, v in before.items() if k[0] == strip.action.name}
    from nephim.compat import strip_fcurves

    assert own and own == {
        (strip.action.name, c.data_path, c.array_index): [tuple(p.co) for p in c.keyframe_points]
        for c in strip_fcurves(strip)
    }
    # Once more: the first import's action is kept, and no further strip is made.
    assert nephim("import", capture(tmp_path, name="second.csv"), "--onto", path, "-o", tmp_path / "b.blend") == 0
    data = bpy.data.objects["Head"].data.shape_keys.animation_data
    assert (
        len(data.nla_tracks) == 1 and data.action.name == "second Head" and bpy.data.actions["take Head"].use_fake_user
    )


def test_a_cyclic_action_below_goes_on(tmp_path):
    path = character(tmp_path, start=1)
    keys = bpy.data.objects["Head"].data.shape_keys
    next(c for c in fcurves(keys.animation_data) if "smile" in c.data_path).modifiers.new("CYCLES")
    bpy.ops.wm.save_mainfile()
    before = [value("Head", "smile", f) for f in range(1, 60)]
    assert nephim("import", capture(tmp_path), "--onto", path) == cli.EXIT_OK
    assert np.allclose([value("Head", "smile", f) for f in range(1, 60)], before, atol=1e-6)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_the_head_bone_turns_only_if_asked(tmp_path, mode):
    path = character(tmp_path, start=1)
    rig = bpy.data.objects["HeadRig"]
    for bone in ("head", "neck", "jaw"):
        rig.pose.bones[bone].rotation_mode = mode
    rig.animation_data_clear()
    for bone in rig.pose.bones:
        bone.matrix_basis = Matrix.Identity(4)
    bpy.ops.wm.save_mainfile()
    rotation = np.zeros((ROWS, 3)) + [0.1, 0, 0]
    rotation[:, 1] = np.linspace(0, 0.4, ROWS)  # nods
    csv = capture(tmp_path, rotation)
    assert nephim("import", csv, "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    assert bpy.data.objects["HeadRig"].animation_data is None
    assert nephim("import", csv, "--onto", path, "--turn-head", "-o", tmp_path / "b.blend") == cli.EXIT_OK

    def pose(frame):
        bpy.context.scene.frame_set(frame)
        rig = bpy.data.objects["HeadRig"].evaluated_get(bpy.context.evaluated_depsgraph_get())
        return rig.pose.bones["head"].matrix.to_3x3()

    front = pose(25) @ pose(1).inverted() @ Vector((0, -1, 0))
    yawed = Matrix.Rotation(-0.1, 3, "Z")
    expected = yawed @ Matrix.Rotation(0.4, 3, "X") @ yawed.inverted() @ Vector((0, -1, 0))
    assert front[2] < -0.3  # downwards
    assert np.allclose(front, expected, atol=2e-3)


def test_a_yaw_to_the_right_turns_the_head_object_to_its_right(tmp_path):
    scene = scenes.fresh()
    head = scenes.mesh_object(scene, "Head", *scenes.head_arrays(12, 8))
    parent = bpy.data.objects.new("Root", None)
    scene.collection.objects.link(parent)
    parent.rotation_euler, head.parent = (0.4, 0.1, 1.0), parent
    add_keys(head, "jawOpen", "jawForward")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    start = head.matrix_world.to_3x3()
    rotation = np.zeros((ROWS, 3))
    rotation[:, 0] = np.linspace(0, 0.5, ROWS)
    assert nephim("import", capture(tmp_path, rotation), "--onto", tmp_path / "a.blend", "--turn-head") == cli.EXIT_OK
    bpy.context.scene.frame_set(25)
    turn = bpy.data.objects["Head"].matrix_world.to_3x3() @ start.inverted()
    assert np.allclose(turn, Matrix.Rotation(-0.5, 3, "Z"), atol=1e-3)  # -y towards -x


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: [o.shape_key_clear() for o in bpy.data.objects if o.type == "MESH"], "no shape keys are named"),
        (lambda: setattr(bpy.data.objects["Head"].data.shape_keys.animation_data, "use_nla", False), "switched off"),
    ],
)
def test_what_cannot_be_keyed_is_refused_and_left_alone(tmp_path, capsys, spoil, message):
    path = character(tmp_path)
    spoil()
    bpy.ops.wm.save_mainfile()
    before, data = curve_points(), path.read_bytes()
    assert nephim("import", capture(tmp_path), "--onto", path) == cli.EXIT_FAILED
    assert message in capsys.readouterr().err
    assert curve_points() == before and path.read_bytes() == data


def test_a_capture_without_a_character_says_what_it_needs(tmp_path, capsys):
    assert nephim("import", capture(tmp_path), "-o", tmp_path / "a.blend") == cli.EXIT_FAILED
    assert "--onto" in capsys.readouterr().err
    assert nephim("import", capture(tmp_path), "--onto", tmp_path / "none.blend") == cli.EXIT_FAILED
    scenes.build(segments=12, rings=8)
    add_keys(bpy.context.scene.nephim.head, "jawForward")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    assert nephim("import", capture(tmp_path), "--onto", tmp_path / "a.blend", "--turn-head") == cli.EXIT_FAILED
    assert "records no rotation" in capsys.readouterr().err


def looking(tmp_path, sign=1):
    """A take in which both eyes turn 0.4 to their right, and then look down; angles of some apps have other signs."""
    values = np.zeros((ROWS, 52))
    share = np.linspace(0, 1, ROWS)
    values[:, EXPRESSIONS.index("eyeLookInLeft")] = values[:, EXPRESSIONS.index("eyeLookOutRight")] = share
    values[:, EXPRESSIONS.index("eyeLookDownLeft")] = values[:, EXPRESSIONS.index("eyeLookDownRight")] = share**2
    lines = table(timecodes(ROWS, 60), values).splitlines()
    for k in range(ROWS):
        angles = [sign * 0.4 * share[k], sign * 0.2 * share[k] ** 2, 0.0]
        lines[k + 1] = ",".join([*lines[k + 1].split(",")[:-6], *(f"{a:.6f}" for a in angles + angles)])
    (tmp_path / "take.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "take.csv"


def with_eyes(path, names=("eye.L", "DEF-eye.R")):
    rig = bpy.data.objects["HeadRig"]
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name, x in zip(names, (0.03, -0.03), strict=False):
        bone = rig.data.edit_bones.new(name)
        bone.head, bone.tail, bone.parent = (x, -0.07, 1.62), (x, -0.09, 1.63), rig.data.edit_bones["head"]
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.wm.save_mainfile()


@pytest.mark.parametrize("sign", [1, -1])
def test_eye_bones_turn_with_the_eyes(tmp_path, capsys, sign):
    path = character(tmp_path, start=1)
    with_eyes(path)
    assert nephim("import", looking(tmp_path, sign), "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "rotation of the left eye keyed on eye.L" in said and "right eye keyed on DEF-eye.R" in said
    rig = bpy.data.objects["HeadRig"]
    for name in ("eye.L", "DEF-eye.R"):
        bpy.context.scene.frame_set(25)
        pose = rig.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
        rest = {bone: rig.data.bones[bone].matrix_local.to_3x3() for bone in (name, "head")}
        # In the head, which goes on turning by the animator's own action.
        turn = {bone: pose[bone].matrix.to_3x3() @ rest[bone].inverted() for bone in rest}
        gaze = turn["head"].inverted() @ turn[name] @ Vector((0, -1, 0))
        expected = Matrix.Rotation(-0.4, 3, "Z") @ Matrix.Rotation(0.2, 3, "X") @ Vector((0, -1, 0))
        assert np.allclose(gaze, expected, atol=2e-3) and gaze[0] < 0 and gaze[2] < 0


def test_head_and_eyes_share_an_action(tmp_path):
    path = character(tmp_path, start=1)
    with_eyes(path)
    rotation = np.zeros((ROWS, 3))
    rotation[:, 0] = np.linspace(0, 0.3, ROWS)
    lines, turned = looking(tmp_path).read_text().splitlines(), rotation
    for k in range(ROWS):
        cells = lines[k + 1].split(",")
        lines[k + 1] = ",".join([*cells[:-9], *(f"{a:.6f}" for a in turned[k]), *cells[-6:]])
    (tmp_path / "take.csv").write_text("\n".join(lines) + "\n")
    assert nephim("import", tmp_path / "take.csv", "--onto", path, "--turn-head", "-o", tmp_path / "b.blend") == 0
    data = bpy.data.objects["HeadRig"].animation_data
    turned = {curve.data_path.split('"')[1] for curve in fcurves(data)}
    assert turned == {"head", "eye.L", "DEF-eye.R"}


def test_eyes_that_cannot_be_turned_are_named(tmp_path, capsys):
    path = character(tmp_path, start=1)
    assert nephim("import", looking(tmp_path), "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    assert "no bone or empty of the head is called an eye" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(path))
    with_eyes(path, ("eye.L", "eyelid.R"))
    bpy.data.objects["HeadRig"].pose.bones["eye.L"].constraints.new("DAMPED_TRACK")
    bpy.ops.wm.save_mainfile()
    assert nephim("import", looking(tmp_path), "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "'eye.L' follows a constraint" in said and "called the right eye: its angles are left out" in said
    # Eyeballs with keys of their own.
    bpy.ops.wm.open_mainfile(filepath=str(path))
    ball = scenes.mesh_object(bpy.context.scene, "Eye.L", *scenes.hand_arrays())
    add_keys(ball, "eyeLookInLeft")
    scenes.bind(ball, bpy.data.objects["HeadRig"], {"head": np.ones(len(ball.data.vertices))})
    bpy.ops.wm.save_mainfile()
    assert nephim("import", looking(tmp_path), "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    assert "shape keys of their own" in capsys.readouterr().out


def test_empties_that_hang_on_the_head_turn_where_there_are_no_eye_bones(tmp_path):
    path = character(tmp_path, start=1)
    for name, x in (("Eye.L", 0.03), ("Eye.R", -0.03)):
        empty = bpy.data.objects.new(name, None)
        bpy.context.scene.collection.objects.link(empty)
        empty.parent, empty.location = bpy.data.objects["HeadRig"], (x, -0.08, 1.62)
    bpy.ops.wm.save_mainfile()
    assert nephim("import", looking(tmp_path), "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    bpy.context.scene.frame_set(25)
    gaze = bpy.data.objects["Eye.R"].matrix_world.to_3x3() @ Vector((0, -1, 0))
    expected = Matrix.Rotation(-0.4, 3, "Z") @ Matrix.Rotation(0.2, 3, "X") @ Vector((0, -1, 0))
    assert np.allclose(gaze, expected, atol=2e-3)


@pytest.mark.parametrize(("neutral", "said"), [(1001, "jawForward is 0.50"), (990, "Forward is 0.50"), (1025, "1.00")])
def test_a_capture_that_moves_the_face_in_the_neutral_frame_says_so(tmp_path, capsys, neutral, said):
    path = character(tmp_path)
    bpy.context.scene.nephim.neutral_frame = neutral
    bpy.ops.wm.save_mainfile()
    assert nephim("import", capture(tmp_path), "--onto", path, "-o", tmp_path / "b.blend") == cli.EXIT_OK
    text = capsys.readouterr().out
    assert f"{said} in the neutral frame {neutral}; the face is most relaxed in frame 1001" in text
