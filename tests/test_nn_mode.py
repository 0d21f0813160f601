# SPDX-License-Identifier: GPL-3.0-or-later
"""The network as a mode of `simulate`, and `train` and `evaluate` from the command line on a small scene."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge import plan  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.errors import SimulationError  # noqa: E402
from nephim.motions.cast import load_cast  # noqa: E402
from nephim.nn.pipeline import hand_surfaces, unseen_recordings  # noqa: E402
from nephim.nn.weights import Weights  # noqa: E402
from nephim.operators import modes  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.sim.template import Template  # noqa: E402
from small_cast import random_weights  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def blend(tmp_path) -> Path:
    """A saved scene with its volume, and no network that came with the add-on."""
    return scenes.with_volume(tmp_path)


def test_without_weights_there_is_no_network(blend, monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "SHIPPED", tmp_path / "none.npz")
    with pytest.raises(SimulationError, match="no trained network"):
        modes.simulation_maker("network")
    assert cli.command(["simulate", str(blend), "--frames", "1-3", "--mode", "network"]) == cli.EXIT_FAILED


def test_the_weights_of_another_character_are_refused(blend, capsys):
    random_weights().save(blend.with_suffix(".nephim") / "network.npz")
    assert cli.command(["simulate", str(blend), "--frames", "1-3", "--mode", "network"]) == cli.EXIT_FAILED
    assert "trained for other heads" in capsys.readouterr().err


def test_the_mode_simulates_with_the_weights_beside_the_file(blend, capsys):
    template = Template.load(folder().volume)
    hand = bpy.data.objects["Left"].data
    own = replace(random_weights(size=0.02), heads=(template.n_head,), hands=(len(hand.vertices),))
    results = []
    for seed in (0, 1):
        weights = replace(own, layers=random_weights(seed, 0.02).layers)
        weights.save(folder().path / "network.npz")
        assert cli.command(["simulate", str(blend), "--frames", "1-6", "--mode", "network"]) == cli.EXIT_OK
        assert "by the network" in capsys.readouterr().out  # other weights: simulated anew
        stored = PointCache(folder().path / "simulation.pc2")
        results.append(np.array([stored.read(frame) for frame in stored.frames]))
        assert np.isfinite(results[-1]).all()
    assert cli.command(["simulate", str(blend)]) == cli.EXIT_OK
    assert "Nothing to do" in capsys.readouterr().out
    report = blend.parent / "report.json"
    assert cli.command(["report", str(blend), "--json", str(report)]) == cli.EXIT_OK
    measured = json.loads(report.read_text())
    assert measured["mode"] == "network" and measured["all_finite"]
    assert measured["frames_with_contact"] >= 1 and measured["displacement_max_mm"] > 0


def test_training_without_torch_is_refused_before_anything_is_recorded(blend, monkeypatch, capsys):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torch" else known(name, *more)
    )
    assert cli.command(["train", str(blend)]) == cli.EXIT_FAILED
    said = capsys.readouterr().err
    assert said.startswith("nephim: Training needs PyTorch") and "0.9 GB" in said and said.count("\n") == 1
    assert not (folder().path / "network").exists()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="a device is chosen through torch")
def test_the_device_changes_nothing_in_the_result(blend, capsys):
    head, hand = Template.load(folder().volume).n_head, len(bpy.data.objects["Left"].data.vertices)
    replace(random_weights(size=0.02), heads=(head,), hands=(hand,)).save(folder().path / "network.npz")
    results = []
    for device in ([], ["--device", "cpu"]):
        (folder().path / "simulation.json").unlink(missing_ok=True)
        assert cli.command(["simulate", str(blend), "--frames", "1-8", "--mode", "network", *device]) == cli.EXIT_OK
        stored = PointCache(folder().path / "simulation.pc2")
        results.append(np.array([stored.read(frame) for frame in stored.frames]))
    assert np.ptp(results[0], axis=0).max() > 1e-3
    assert np.abs(results[0] - results[1]).max() < 2e-6
    (folder().path / "simulation.json").unlink()
    capsys.readouterr()
    for options, reason in (
        (["--device", "toaster"], "cannot compute on"),
        (["--mode", "physics", "--device", "cpu"], "Only the network"),
    ):
        assert cli.command(["simulate", str(blend), *options]) == cli.EXIT_FAILED
        assert reason in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="training needs torch: pip install nephim[train]")
def test_train_and_evaluate_from_the_command_line(blend, capsys):
    bpy.context.scene.frame_end = 80  # long enough to be trained on itself
    save_blend()
    train = ["train", str(blend), "--minutes", "0.1", "--sequences", "2", "--processes", "2", "--scratch"]
    assert cli.command(train) == cli.EXIT_OK, capsys.readouterr().err
    weights = Weights.load(folder().path / "network.npz")
    assert weights.origin["frames"] == 2 * 240 + 80 and weights.origin["character"] == "face"
    assert weights.origin["shot_pieces"] == 1
    puppet, _ = load_cast(folder().path / "network")
    assert list(hand_surfaces(puppet, unseen_recordings(folder().path / "network")[0])) == ["L"]
    assert cli.command(["evaluate", str(blend)]) == cli.EXIT_OK
    figures = json.loads((folder().path / "network.json").read_text())
    assert figures["rest_error_mm"] < 0.02 and figures["frames"] == 240
    assert cli.command(["simulate", str(blend), "--frames", "1-4", "--mode", "network"]) == cli.EXIT_OK
