# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface-only baseline as a mode of `simulate`: kept in the file, part of what makes a cache stale, reported."""

import io
import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.errors import CacheError, SimulationError  # noqa: E402
from nephim.operators import simulate  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy


def test_three_modes_on_one_file(tmp_path, capsys):
    scene = scenes.build(segments=32, rings=24)
    scene.nephim.target_edge_mm = 12.0  # the volume is built in a second or two
    path = save_blend(tmp_path / "face.blend")
    cache = path.with_suffix(".nephim") / "simulation.pc2"
    setup = ["--head", "Head", "--left", "Left", "--head-bone", "HeadRig:head"]
    assert cli.command(["setup", str(path), *setup]) == cli.EXIT_OK
    assert cli.command(["volume", str(path)]) == cli.EXIT_OK
    results = {}
    for mode in ("physics", "reduced", "surface"):
        assert cli.command(["simulate", str(path), "--frames", "1-6", "--mode", mode]) == cli.EXIT_OK
        assert bpy.context.scene.nephim.mode == mode
        stored = PointCache(cache)
        results[mode] = np.array([stored.read(frame) for frame in stored.frames])
        assert np.isfinite(results[mode]).all()
        assert ("skin alone" in capsys.readouterr().out) == (mode == "surface")
    assert not np.array_equal(results["physics"], results["surface"])
    assert not np.array_equal(results["physics"], results["reduced"])

    report = tmp_path / "report.json"
    assert cli.command(["report", str(path), "--json", str(report)]) == cli.EXIT_OK
    written = json.loads(report.read_text())
    assert (written["mode"], written["tissue"], written["interaction"]) == ("surface", "default", "touch")
    assert written["volume_ratio"] == {"p1": 1.0, "p50": 1.0, "p99": 1.0}

    # The mode was stored: the same command without it has nothing to do, and the other mode is another result.
    assert drive(simulate.simulate_job(bpy.context.scene), io.StringIO()).new == 0
    bpy.context.scene.nephim.mode = "physics"
    with pytest.raises(CacheError):
        drive(simulate.finished_cache_job(bpy.context.scene), io.StringIO())


def test_an_unknown_mode_is_named():
    with pytest.raises(SimulationError, match=r"no mode 'cloth'.*physics, reduced, network, surface"):
        simulate.choose(bpy.context.scene, mode="cloth")
