# SPDX-License-Identifier: GPL-3.0-or-later
"""`export-network` from the command line on a small scene."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from engine_replay import Replay  # noqa: E402
from nephim import cli  # noqa: E402
from nephim.bridge import plan  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.plan import read_plan  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.nn.runtime import Network  # noqa: E402
from nephim.sim.template import Template  # noqa: E402
from small_cast import random_weights  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def blend(tmp_path):
    return scenes.with_volume(tmp_path)


def own_weights():
    """Of the scene's character, beside the file."""
    head, hand = Template.load(folder().volume).n_head, len(bpy.data.objects["Left"].data.vertices)
    weights = replace(random_weights(size=0.02), heads=(head,), hands=(hand,))
    weights.save(folder().weights)
    return weights


def test_the_exported_network_computes_what_the_mode_does(blend, tmp_path, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    weights, out = own_weights(), tmp_path / "engine" / "face"
    assert cli.command(["export-network", str(blend), "-o", str(out)]) == cli.EXIT_OK
    assert f"Exported network.onnx, arrays.npz and arrays.json to {out}" in capsys.readouterr().out
    note = json.loads((out / "arrays.json").read_text(encoding="utf-8"))
    assert note["objects"] == {"head": "Head", "left": "Left", "head_bone": "HeadRig:head"}

    scene = bpy.context.scene
    rig = read_plan(scene).rig
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        frames = [reader.read(frame) for frame in range(1, 9)]
    network = Network(Template.load(folder().volume), weights, left=surfaces.left, frame_rate=note["frame_rate"])
    loaded = runtime.InferenceSession(str(out / "network.onnx"), providers=["CPUExecutionProvider"])
    replay = Replay(out, lambda rows: loaded.run(["push"], {"features": rows})[0])
    assert np.allclose(replay.a["head_neutral"], surfaces.head.vertices, atol=1e-6)
    mesh = bpy.data.objects["Left"].data
    edges = {tuple(sorted(edge.vertices)) for edge in mesh.edges}
    faces = replay.a["hand_mesh_vertices"][replay.a["hand_triangles"]]
    assert len(edges & {tuple(sorted(pair)) for pair in faces[:, :2].tolist()}) > 0.5 * len(edges) / 3
    moved = 0.0
    for frame in frames:
        result = network.step(frame)
        skin = replay.step(frame.head, frame.left.astype(float), frame.cranium)
        assert np.abs(skin - result.skin).max() < 1e-6
        moved = max(moved, float(np.abs(result.skin - result.tracked).max()))
    assert moved > 1e-4


def test_without_a_network_the_next_step_is_said(blend, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plan, "SHIPPED", tmp_path / "none.npz")
    assert cli.command(["export-network", str(blend), "-o", str(tmp_path / "out")]) == cli.EXIT_FAILED
    said = capsys.readouterr().err
    assert "no trained network" in said and "Train it" in said and not (tmp_path / "out").exists()


def test_without_the_package_the_next_step_is_said(blend, tmp_path, monkeypatch, capsys):
    own_weights()
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else known(name, *more))
    assert cli.command(["export-network", str(blend), "-o", str(tmp_path / "out")]) == cli.EXIT_FAILED
    said = capsys.readouterr().err
    assert "package onnx" in said and "pip install onnx" in said and not (tmp_path / "out").exists()


def test_the_network_of_another_character_is_refused(blend, tmp_path, capsys):
    pytest.importorskip("onnx")
    random_weights().save(folder().weights)
    assert cli.command(["export-network", str(blend), "-o", str(tmp_path / "out")]) == cli.EXIT_FAILED
    assert "trained for other heads" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_folder_is_asked_for(blend, capsys):
    assert cli.command(["export-network", str(blend)]) == cli.EXIT_USAGE
    assert "-o" in capsys.readouterr().err
