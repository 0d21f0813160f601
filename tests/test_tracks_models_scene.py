# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameter tracks become scenes from one command line, with body models that the tests make."""

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
from nephim import cli
from nephim.bridge.takes import CAPTURED, CONTACT
from nephim.errors import CacheError
from nephim.operators.import_take import import_job
from nephim.progress import drive
from scenes import hand_arrays
from synthetic_head import synthetic_head
from test_tracks_pickles import whole
from test_tracks_scene import FRAMES, evaluated, nephim, triangles

pytestmark = pytest.mark.bpy


def model_fields(vertices, faces, weights):
    """A model without directions of shape and pose, whose joints lie in the middle of what they carry."""
    n, j = weights.shape
    regressor = (weights / np.maximum(weights.sum(0), 1e-9)).T
    regressor[weights.sum(0) == 0] = 1 / n
    return {
        "v_template": np.asarray(vertices, float), "shapedirs": np.zeros((n, 3, 10)),
        "posedirs": np.zeros((n, 3, 9 * (j - 1))), "J_regressor": regressor, "weights": weights, "f": np.array(faces),
        "kintree_table": np.stack([[2**32 - 1, *[0] * (j - 1)], range(j)]).astype(np.int64),
    }  # fmt: skip


def carried(n, joints, by):
    weights = np.zeros((n, joints))
    weights[:, by] = 1
    return weights


def models(folder):
    """FLAME's and MANO's stand-ins, y up as the published ones are."""
    head, (finger, faces) = synthetic_head(0.01), hand_arrays()
    y_up = head.vertices[:, [0, 2, 1]] * [1, 1, -1]
    flame = model_fields(y_up, head.triangles, carried(len(y_up), 5, 1))
    mano = model_fields(finger, triangles(faces), carried(len(finger), 16, 0))
    np.savez(folder / "flame.npz", **flame)
    (folder / "MANO_RIGHT.pkl").write_bytes(whole({**mano, "hands_components": np.eye(45), "hands_mean": np.zeros(45)}))
    return head, ["--model", folder / "flame.npz", "--model", folder / "MANO_RIGHT.pkl"]


def decaf(folder, frames=FRAMES, way=(-0.3, 0.01)):
    """Parameters of a still head and a right finger, `way[0] + k way[1]` in x; returns the file."""
    zero = {"global_orient": np.zeros(3), "transl": np.zeros(3)}
    face = {**zero, "shape_params": np.zeros(100), "pose_params": np.zeros(6), "expression_params": np.zeros(50)}
    hand = {**zero, "hand_pose": np.zeros(45), "betas": np.zeros(10)}
    take = {
        k: {"head": face, "right_hand": {**hand, "transl": np.array([way[0] + way[1] * k, 0, 0])}}
        for k in range(frames)
    }
    (folder / "params_smoothed.pkl").write_bytes(whole(take))
    return folder / "params_smoothed.pkl"


def test_decaf_from_one_command_line(tmp_path, capsys):
    head, given = models(tmp_path)
    assert nephim("import", decaf(tmp_path), *given, "--fps", 50, "-o", tmp_path / "a.blend") == cli.EXIT_OK
    assert "right hand Right Hand" in capsys.readouterr().out
    assert np.allclose(evaluated("Head", 3), head.vertices, atol=1e-5)
    assert np.allclose(np.diff([evaluated("Right Hand", k)[0, 0] for k in (1, 2, 6)]), [0.01, 0.04], atol=1e-5)
    assert not bpy.context.scene.timeline_markers and len(bpy.data.objects) == 2


def decaf_labels(folder, head, frames=FRAMES):
    """Deformations that push the first vertex in, and contact of the first three vertices in samples 2 and 3."""
    deforms = np.zeros((frames, *head.vertices.shape), np.float32)
    deforms[2:4, 0] = [0.001, 0.002, 0.003]  # y up, as the parameters
    touched = np.zeros((frames, len(head.vertices)), bool)
    touched[2:4, :3] = True
    np.save(folder / "deforms.npy", deforms)
    np.save(folder / "contacts_head.npy", touched)
    np.save(folder / "contacts_rh.npy", np.zeros((frames, len(hand_arrays()[0]))))


def test_captured_deformations_play_beside_the_head_and_contacts_are_marked(tmp_path):
    head, given = models(tmp_path)
    decaf_labels(tmp_path, head)
    assert nephim("import", decaf(tmp_path), *given, "--fps", 50, "-o", tmp_path / "a.blend") == cli.EXIT_OK
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    scene, obj = bpy.context.scene, bpy.data.objects["Head"]
    other = obj[CAPTURED]
    assert other is bpy.data.objects["Captured Head"]
    assert other.hide_get() and other.hide_render and not obj.hide_get() and not obj.hide_render
    expected = head.vertices.copy()
    for frame, deformed in ((2, False), (3, True), (4, True), (5, False)):
        expected[0] = head.vertices[0] - (np.array([0.001, -0.003, 0.002]) if deformed else 0)
        assert np.allclose(evaluated("Captured Head", frame), expected, atol=1e-6)
        assert np.allclose(evaluated("Head", frame), head.vertices, atol=1e-6)
    share = np.empty(len(head.vertices), np.float32)
    obj.data.attributes[CONTACT].data.foreach_get("value", share)
    assert np.allclose(share[:3], 2 / FRAMES) and not share[3:].any()
    assert bpy.data.objects["Right Hand"].data.attributes[CONTACT].data[0].value == 0
    assert [(m.name, m.frame) for m in scene.timeline_markers] == [("Contact", 3), ("Release", 5)]
    assert (scene.nephim.head, scene.nephim.right) == (obj, bpy.data.objects["Right Hand"])
    assert other.modifiers["Take"].filepath == "//a.captured-head.pc2"


def test_a_take_with_labels_that_does_not_fit_leaves_nothing(tmp_path):
    head, given = models(tmp_path)
    decaf_labels(tmp_path, head)
    scene, blend = bpy.context.scene, tmp_path / "a.blend"
    scene.timeline_markers.new("Mine", frame=7)
    (tmp_path / "a.right-hand.pc2").mkdir()  # cannot be written, after head and captured head were
    with pytest.raises(CacheError):
        drive(import_job(scene, [decaf(tmp_path)], blend, models=given[1::2]))
    assert not bpy.data.objects and not bpy.data.meshes and [m.name for m in scene.timeline_markers] == ["Mine"]
    assert not [path for path in tmp_path.glob("*.pc2") if path.is_file()]


def test_vhap_with_a_hand_from_one_command_line(tmp_path):
    head, given = models(tmp_path)
    sizes = {"translation": 3, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "expr": 100}
    np.savez(tmp_path / "flame_params.npz", shape=np.zeros(300), **{n: np.zeros((4, s)) for n, s in sizes.items()})
    np.savez(
        tmp_path / "right.npz", hand_pose=np.zeros((4, 45)), global_orient=np.zeros((4, 3)), betas=np.zeros(10),
        transl=np.tile([-0.3, 0, 0], (4, 1)),
    )  # fmt: skip
    takes = [tmp_path / "flame_params.npz", tmp_path / "right.npz"]
    assert nephim("import", *takes, *given, "-o", tmp_path / "a.blend") == cli.EXIT_OK
    assert np.allclose(evaluated("Head", 2), head.vertices, atol=1e-5)


@pytest.mark.parametrize(("joints", "wrists"), [(52, (20, 21)), (55, (20, 21))])
def test_a_body_is_one_object_with_three_parts(tmp_path, joints, wrists):
    """AMASS: z up."""
    head, (finger, faces) = synthetic_head(0.01), hand_arrays()
    parts = [(head.vertices + [0, 0, 1.6], head.triangles, 15)]
    parts += [(finger + [x, 0, 0.8], triangles(faces), joint) for x, joint in zip((0.4, -0.4), wrists, strict=True)]
    starts = np.cumsum([0, *(len(p[0]) for p in parts)])
    weights = np.concatenate([carried(len(v), joints, by) for v, _, by in parts])
    fields = model_fields(
        np.concatenate([p[0] for p in parts]),
        np.concatenate([p[1] + s for p, s in zip(parts, starts, strict=False)]),
        weights,
    )
    np.savez(tmp_path / "model.npz", **fields)
    np.savez(
        tmp_path / "take_poses.npz", poses=np.zeros((3, 3 * joints)), trans=np.zeros((3, 3)), betas=np.zeros(10),
        mocap_framerate=60.0,
    )  # fmt: skip
    arguments = ("--model", tmp_path / "model.npz", "-o", tmp_path / "a.blend")
    assert nephim("import", tmp_path / "take_poses.npz", *arguments) == cli.EXIT_OK
    settings = bpy.context.scene.nephim
    assert settings.head == settings.left == settings.right == bpy.data.objects["Body"]
    assert (settings.head_group, settings.left_group, settings.right_group) == ("head", "left", "right")
    assert np.allclose(evaluated("Body", 2), fields["v_template"], atol=1e-5)
