# SPDX-License-Identifier: GPL-3.0-or-later
"""A skull model as the source of jaw and cranium, through the command line."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.sim.geometry.triangle_bvh import TriangleTree  # noqa: E402
from nephim.sim.template import Template  # noqa: E402
from nephim.sim.volume.skull_model import SkullModel  # noqa: E402
from volumes import icosphere  # noqa: E402

pytestmark = pytest.mark.bpy


def saved_model(path, head):
    """A model whose cranium is a ball and whose jaw is a small one, in the middle of any such head."""
    centre = head.vertices.mean(0)
    ball, triangles = icosphere(0.06, 3)
    small, small_triangles = icosphere(0.012, 2)
    sizes = (0.9, 1.0, 1.1)
    model = SkullModel.fit(
        np.stack([head.vertices * k for k in sizes]),
        np.stack([(small + centre - [0, 0.06, 0.06]) * k for k in sizes]),
        np.stack([(ball + centre) * k for k in sizes]),
        head.triangles, small_triangles, triangles,
    )  # fmt: skip
    model.save(path)
    return model


def test_the_model_gives_the_bones(tmp_path, capsys):
    scene = scenes.build(segments=32, rings=24)
    scene.nephim.target_edge_mm = 12.0  # the volume is built in a second or two
    path = save_blend(tmp_path / "face.blend")
    head = SurfaceReader(scene, read_rig(scene)).neutral().head
    model = saved_model(tmp_path / "skull.npz", head)
    setup = ["setup", str(path), "--head", "Head", "--left", "Left", "--skull-model"]
    assert cli.command([*setup, str(tmp_path / "skull.npz")]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_OK
    assert "tissue thickness" not in capsys.readouterr().out
    template = Template.load(tmp_path / "face.nephim" / "volume.npz")
    wanted = model.predict(head.vertices, head.triangles)
    tree = TriangleTree(wanted.cranium_vertices, wanted.cranium_triangles)
    assert np.median(tree.closest(template.cranium_vertices)[0]) < 0.002
    assert cli.command(["simulate", str(path), "--frames", "1-3"]) == cli.EXIT_OK

    assert cli.command([*setup, str(tmp_path / "none.npz")]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_FAILED
    assert "There is no skull model at" in capsys.readouterr().err
    other, triangles = icosphere(0.09, 3)
    saved_model(tmp_path / "skull.npz", type(head)(other, triangles))
    assert cli.command([*setup, str(tmp_path / "skull.npz")]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_FAILED
    assert "'Head': the skull model is for heads of another topology" in capsys.readouterr().err


def test_a_registered_skull_is_chosen_and_what_it_does_not_fit_is_said(tmp_path, capsys):
    scene = scenes.build(segments=32, rings=24)
    scene.nephim.target_edge_mm = 12.0
    path = save_blend(tmp_path / "face.blend")
    setup = ["setup", str(path), "--head", "Head", "--left", "Left", "--skull"]
    assert cli.command([*setup, "own"]) == cli.EXIT_USAGE
    assert cli.command([*setup, "registered"]) == cli.EXIT_OK
    assert bpy.context.scene.nephim.skull == "registered"
    assert cli.command(["volume", str(path)]) == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "No real skull was used, because" in said and "Placed by tissue thickness: jaw and cranium." in said
    assert cli.command(["simulate", str(path), "--frames", "1-2"]) == cli.EXIT_OK
    assert cli.command(["setup", str(path), "--head", "Head", "--left", "Left"]) == cli.EXIT_OK
    assert bpy.context.scene.nephim.skull == "registered"
    assert cli.command(["setup", str(path), "--head", "Head", "--left", "Left", "--skull", "thickness"]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "real skull" not in said and "Placed by tissue thickness: jaw and cranium." in said
