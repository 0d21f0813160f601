# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameter tracks become scenes from one command line, with body models that the tests make."""

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
from nephim import cli
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


def test_decaf_from_one_command_line(tmp_path, capsys):
    head, given = models(tmp_path)
    zero = {"global_orient": np.zeros(3), "transl": np.zeros(3)}
    face = {**zero, "shape_params": np.zeros(100), "pose_params": np.zeros(6), "expression_params": np.zeros(50)}
    hand = {**zero, "hand_pose": np.zeros(45), "betas": np.zeros(10)}
    take = {
        k: {"head": face, "right_hand": {**hand, "transl": np.array([-0.3 + 0.01 * k, 0, 0])}} for k in range(FRAMES)
    }
    (tmp_path / "params_smoothed.pkl").write_bytes(whole(take))
    assert (
        nephim("import", tmp_path / "params_smoothed.pkl", *given, "--fps", 50, "-o", tmp_path / "a.blend")
        == cli.EXIT_OK
    )
    assert "right hand Right Hand" in capsys.readouterr().out
    assert np.allclose(evaluated("Head", 3), head.vertices, atol=1e-5)
    assert np.allclose(np.diff([evaluated("Right Hand", k)[0, 0] for k in (1, 2, 6)]), [0.01, 0.04], atol=1e-5)


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
