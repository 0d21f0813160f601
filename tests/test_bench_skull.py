# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make bench-skull` measures with, on spheres; and its people, where their data have been fetched before."""

from pathlib import Path

import numpy as np
import pytest
from nephim.benchmarks import skull_pairs
from nephim.benchmarks.bench_skull import depth_to, table
from nephim.sim.volume.skull import Skull
from volumes import icosphere

ROOT = Path(__file__).resolve().parent.parent


def test_depth_is_the_distance_to_the_nearer_bone():
    cranium, triangles = icosphere(0.07, 4)
    jaw, jaw_triangles = icosphere(0.02, 3)
    skull = Skull(jaw + [0, -0.06, 0], jaw_triangles, cranium, triangles)
    depth = depth_to(skull, np.array([[0.09, 0, 0], [0, -0.09, 0]]))
    assert depth == pytest.approx([0.02, 0.01], abs=3e-4)


def test_methods_without_corresponding_vertices_leave_their_columns_empty():
    full = {"depth_mean": 1.0, "depth_p95": 2.0, "vertex_mean": 3.0, "vertex_p95": 4.0, "bare_percent": 5.0}
    rows = {"a": full, "b": {k: v for k, v in full.items() if not k.startswith("vertex")}}
    lines = table("Title", rows).splitlines()
    assert lines[-2] == "| a | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 |"
    assert lines[-1] == "| b | 1.00 | 2.00 | – | – | 5.00 |"


def test_an_stl_file_is_read_with_its_corners_joined():
    record = np.zeros(2, [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    record["corners"] = [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 0]]]
    vertices, triangles = skull_pairs._stl(b" " * 80 + (2).to_bytes(4, "little") + record.tobytes())
    assert len(vertices) == 4 and triangles.shape == (2, 3)
    # (front, up, right) → (left, back, up)
    np.testing.assert_allclose(vertices[triangles[0]], [[0, -1, 0], [0, 0, 1], [-1, 0, 0]])


def test_the_people_have_skulls_that_fit():
    folder = ROOT / "build" / "assets"
    if not all((folder / name).is_file() for name in (skull_pairs.assets.WHEEL, skull_pairs._SKULL_WHEEL)):
        pytest.skip("the people's data have not been fetched: make bench-skull does")
    pairs = skull_pairs.build_pairs(folder)
    assert len(pairs.heads) == len(pairs.names) == 54
    head, cranium = pairs.heads, pairs.craniums
    top = head[:, :, 2].max(axis=1) - cranium[:, :, 2].max(axis=1)
    assert (top > 0.002).all() and (top < 0.012).all()
    chin = pairs.jaws[:, :, 2].min(axis=1) - head[:, :, 2].min(axis=1)
    assert (chin > 0).all()
    assert np.abs(pairs.jaws.mean(axis=1)[:, 0]).max() < 0.004  # in the middle
