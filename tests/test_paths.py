# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders, files and objects whose names have spaces, letters beyond ASCII, and signs that shells and URLs read."""

import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.mark.parametrize("name", ["ü 日本 語", "100 % #1 & 'more'"])
def test_the_whole_job_where_names_are_not_plain(tmp_path, name):
    folder = tmp_path / f"ä b {name}"
    folder.mkdir()
    scene = scenes.build(segments=32, rings=24, right=False)
    scene.nephim.target_edge_mm = 12.0
    bpy.data.objects["Head"].name = f"Köpfchen {name}"
    path = save_blend(folder / f"{name}.blend")
    head, report = bpy.data.objects[f"Köpfchen {name}"], folder / f"{name}.json"
    for arguments in (
        ["setup", "--head", head.name, "--left", "Left", "--head-bone", "HeadRig:head"],
        ["volume"],
        ["simulate", "--frames", "5-6"],
        ["bake", "--to", "point-cache"],
        ["bake", "--to", "shape-keys"],
        ["report", "--json", str(report)],
    ):
        assert cli.command([arguments[0], str(path), *arguments[1:]]) == cli.EXIT_OK, arguments
    assert np.isfinite(PointCache(path.with_suffix(".nephim") / "simulation.pc2").read(6)).all()
    assert json.loads(report.read_text(encoding="utf-8"))["bake_error_mm"] <= 0.1
    assert sorted(p.name for p in folder.iterdir() if p.suffix in (".blend", ".nephim", ".json")) == sorted(
        f"{name}{suffix}" for suffix in (".blend", ".nephim", ".json")
    )
    bpy.ops.wm.open_mainfile(filepath=str(path))
    keys = bpy.data.objects[f"Köpfchen {name}"].data.shape_keys.key_blocks
    assert any(key.name.startswith("NePHIM") for key in keys)
