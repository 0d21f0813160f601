# SPDX-License-Identifier: GPL-3.0-or-later
"""Physics beside network on a small scene: figures, picture, and networks that do not fit."""

import struct
from dataclasses import replace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.cache.results import ResultReader  # noqa: E402
from nephim.operators.compare_network import compare_job, compare_summary  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.template import Template  # noqa: E402
from small_cast import random_weights  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def simulated(tmp_path):
    """A scene with its volume and physics; returns the number of vertices of head and hand."""
    path = str(scenes.with_volume(tmp_path))
    assert cli.command(["simulate", path]) == cli.EXIT_OK
    return Template.load(folder().volume).n_head, len(bpy.data.objects["Left"].data.vertices)


def still(head: int, hand: int):
    """A network that moves nothing."""
    weights = random_weights()
    layers = tuple((0 * matrix, 0 * bias) for matrix, bias in weights.layers)
    return replace(weights, layers=layers, skip=0 * weights.skip, heads=(head,), hands=(hand,))


def test_figures_and_picture(simulated, tmp_path):
    still(*simulated).save(tmp_path / "still.npz")
    found = drive(compare_job(bpy.context.scene, tmp_path / "strip.png", tmp_path / "still.npz"))
    # A network that moves nothing is wrong by all that the physics moves.
    with ResultReader(bpy.context.scene) as result:
        read = [result.read(frame) for frame in result.frames]
    truth = [1000 * np.linalg.norm(r.skin - r.tracked.head, axis=1).max() for r in read]
    cache = PointCache(folder().cache)
    assert max(truth) > 3
    assert found["max_mm"] == pytest.approx(max(truth), rel=0.02)
    assert 0 < found["rmse_mm"]["all"] < found["rmse_mm"]["deformed"] < max(truth)
    assert found["rmse_mm"]["all"] < found["rmse_mm"]["contact"] < max(truth)
    assert found["frames"] == len(cache.frames) and 0 < found["ms_per_frame"]["p50"] <= found["ms_per_frame"]["p95"]
    width, height = struct.unpack(">II", (tmp_path / "strip.png").read_bytes()[16:24])
    assert width > 4 * 400 and height > 3 * 400
    assert "touching vertices" in compare_summary(found)
    assert np.isfinite([*found["rmse_mm"].values(), found["p95_mm"]]).all()


def test_a_network_that_does_not_fit_is_left_out_with_a_word(simulated, tmp_path):
    random_weights().save(tmp_path / "other.npz")
    for name, reason in (("other.npz", "trained for other heads"), ("none.npz", "no network at")):
        found = drive(compare_job(bpy.context.scene, tmp_path / "strip.png", tmp_path / name))
        assert reason in found["skipped"] and reason in compare_summary(found)
        assert not (tmp_path / "strip.png").exists()
