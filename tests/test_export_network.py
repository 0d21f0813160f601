# SPDX-License-Identifier: GPL-3.0-or-later
"""The exported network: a replay from its files alone agrees with ours, and its notes are complete."""

import importlib.util
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from engine_replay import Replay
from nephim.errors import CacheError, SimulationError
from nephim.nn import onnx_model
from nephim.nn.contact_field import NEAR
from nephim.nn.controls import make_controls
from nephim.nn.export import ARRAYS, NETWORK, NOTE, export_job
from nephim.nn.features import COUNT, STATE_UNIT
from nephim.nn.recurrence import plain_phi
from nephim.nn.runtime import Network
from nephim.progress import drive
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from small_cast import FINGER, finger_at, random_weights, turned
from volumes import round_head

EXACT = 1e-6  # [m] 0.001 mm
PAGE = Path(__file__).resolve().parent.parent / "docs" / "export-network.md"
ONNX = importlib.util.find_spec("onnx") is not None and importlib.util.find_spec("onnxruntime") is not None
needs_onnx = pytest.mark.skipif(not ONNX, reason="needs the packages onnx and onnxruntime")
TEMPLATE = round_head(4)  # 6 mm between its vertices, so that there are several controls around a fingertip


def small_weights(seed: int = 0):
    """They move the skin by some millimetres, and do not amplify rounding."""
    return replace(random_weights(seed, size=0.1), heads=(TEMPLATE.n_head,))


WEIGHTS = small_weights()


@cache
def controls():
    return make_controls(TEMPLATE)


def network(weights=WEIGHTS, frame_rate: float = 24.0, left: bool = False) -> Network:
    other = Surface(FINGER.vertices, FINGER.triangles, "Left") if left else None
    return Network(TEMPLATE, weights, left=other, right=FINGER, frame_rate=frame_rate, controls=controls())


def exported(made: Network, folder) -> None:
    mesh = {"head": np.arange(TEMPLATE.n_head), **dict.fromkeys(("left", "right"), np.arange(len(FINGER.vertices)))}
    drive(export_job(made, folder, mesh, objects={"head": "Head"}))


@pytest.fixture
def without_onnx(monkeypatch):
    """Writes no model, so that all the rest is tested without the package."""
    if not ONNX:
        monkeypatch.setattr("nephim.nn.export.onnx_model", lambda weights: b"")


def ours(weights):
    """Φ in metres as the model has it, in our own arithmetic."""
    phi = plain_phi(weights)
    return lambda rows: STATE_UNIT * phi(np.clip(rows, weights.low, weights.high))


def session(folder):
    """Φ by onnxruntime, from the exported file."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    loaded = runtime.InferenceSession(str(folder / NETWORK), options, providers=["CPUExecutionProvider"])
    return lambda rows: loaded.run(["push"], {"features": rows})[0]


def motion():
    """A finger presses, drags along the skin, hovers, presses again and leaves; meanwhile the head turns, travels, and
    its skin swells."""
    keys = {0: -0.02, 3: 0.006, 14: 0.006, 17: -3e-3, 45: -3e-3, 48: 5e-3, 51: 5e-3, 55: -0.05, 59: -0.05}
    depths = np.interp(np.arange(60), list(keys), list(keys.values()))
    for t, depth in enumerate(depths):
        angle = 0.13 + 0.015 * max(0, min(t, 14) - 3)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turned(0.02 * t), [0.01 * t, -0.3, 1.5]
        swollen = TEMPLATE.head_vertices * (1 + 0.01 * np.sin(0.2 * t))
        hand = finger_at(depth, angle).astype(float)
        head, hand = ((v @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32) for v in (swollen, hand))
        yield TrackedFrame(head, None, hand, pose, pose, t, t / 24)


def worst(made: Network, replay: Replay) -> tuple[float, float]:
    """Largest distance [m] of the two over the motion, and of the skin from the tracked one."""
    error = moved = 0.0
    for frame in motion():
        result = made.step(frame)
        skin = replay.step(frame.head, frame.right.astype(float), frame.cranium)
        error = max(error, float(np.abs(skin - result.skin).max()))
        moved = max(moved, float(np.abs(result.skin - result.tracked).max()))
    return error, moved


@pytest.mark.parametrize("frame_rate", [24.0, 30.0])
def test_a_replay_from_the_arrays_agrees(frame_rate, tmp_path, without_onnx):
    made = network(frame_rate=frame_rate)
    exported(made, tmp_path)
    error, moved = worst(made, Replay(tmp_path, ours(WEIGHTS)))
    assert moved > 1e-3 and error < EXACT


@needs_onnx
@pytest.mark.parametrize("seed", [0, 1])
def test_a_replay_with_onnxruntime_agrees(seed, tmp_path):
    weights = small_weights(seed)
    made = network(weights)
    exported(made, tmp_path)
    error, moved = worst(made, Replay(tmp_path, session(tmp_path)))
    assert moved > 1e-3 and error < EXACT


def test_a_hand_is_found_on_skin_that_was_pulled_far(tmp_path, without_onnx):
    """14 mm off the tracked skin, beyond the margin, but in the skin as the last frame left it."""
    made = network()
    exported(made, tmp_path)
    frame = next(motion())
    hand = finger_at(-0.014, 0.13)
    frame = replace(frame, head=TEMPLATE.head_vertices.astype(np.float32), right=hand, cranium=np.eye(4))
    skins = []
    for followed in (None, 1.0):
        replay = Replay(tmp_path, ours(WEIGHTS))
        replay.c["followed"] = followed or replay.c["followed"]
        made.reset()
        near = np.linalg.norm(replay.points - hand[hand[:, 0].argmin()], axis=1) < 0.04
        pulled = near[:, None] * 0.012 * replay.frames[:, 2]
        made.state[:], replay.z[:] = pulled, pulled
        result = made.step(frame)
        skins.append(replay.step(frame.head, frame.right.astype(float), frame.cranium))
    assert made.field.values[:, NEAR].max() > 1e-3
    assert np.abs(skins[0] - result.skin).max() < EXACT < np.abs(skins[1] - result.skin).max()


@needs_onnx
def test_the_model_is_valid_and_clips_its_input(tmp_path):
    import onnx

    exported(network(), tmp_path)
    onnx.checker.check_model(str(tmp_path / NETWORK), full_check=True)
    phi, random = session(tmp_path), np.random.default_rng(0)
    for count in (1, 300):
        rows = (10 * random.standard_normal((count, COUNT))).astype(np.float32)
        assert (np.abs(rows) > WEIGHTS.high).any()
        assert np.abs(phi(rows) - ours(WEIGHTS)(rows)).max() < 1e-7
        assert np.array_equal(phi(rows), phi(np.clip(rows, WEIGHTS.low, WEIGHTS.high)))


def test_the_notes_name_every_array(tmp_path, without_onnx):
    exported(network(left=True), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((NETWORK, ARRAYS, NOTE))
    note = json.loads((tmp_path / NOTE).read_text(encoding="utf-8"))
    with np.load(tmp_path / ARRAYS, allow_pickle=False) as stored:
        assert set(stored.files) == set(note["arrays"])
        for name, said in note["arrays"].items():
            assert said["shape"] == list(stored[name].shape) and said["dtype"] == str(stored[name].dtype)
            assert said["dtype"] in ("float32", "int32", "int16") and said["meaning"]
            assert stored[name].dtype.kind != "f" or np.isfinite(stored[name]).all()
        count = len(FINGER.vertices)
        assert stored["hand_side"].tolist() == [0] * count + [1] * count
        assert np.array_equal(stored["hand_mesh_vertices"], np.tile(np.arange(count), 2))
    assert all(entry["meaning"] for entry in note["constants"].values())
    assert note["frame_rate"] == 24 and note["frame_rates"] == [16, 45] and note["objects"] == {"head": "Head"}
    assert note["counts"]["features"] == COUNT and note["network"]["origin"] == {"test": True}


def test_the_page_explains_every_array_and_constant(tmp_path, without_onnx):
    exported(network(), tmp_path)
    note = json.loads((tmp_path / NOTE).read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in [*note["arrays"], *note["constants"]] if f"`{name}`" not in page]
    assert not missing


def test_without_the_package_the_next_step_is_said(tmp_path, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else known(name, *more))
    with pytest.raises(SimulationError, match="package onnx") as error:
        exported(network(), tmp_path / "out")
    assert "pip install onnx" in error.value.advice and not (tmp_path / "out").exists()
    with pytest.raises(SimulationError):
        onnx_model.onnx_model(WEIGHTS)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, without_onnx):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="could not be written"):
        exported(network(), tmp_path / "file")
