# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads in the wrong unit: refused with the right factor, and simulated like the original once it is set."""

import io

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.errors import SizeError  # noqa: E402
from nephim.operators import setup, simulate, volume  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.geometry.surface import Surface  # noqa: E402
from nephim.sim.volume.size import fitting_unit, head_height  # noqa: E402
from synthetic_head import synthetic_head  # noqa: E402

pytestmark = pytest.mark.bpy
ROLES = {"head": "Head", "left": "Left", "head_bone": "HeadRig:head"}


def scene_of(unit: float):
    """The small scene with `unit` units per metre, in a file whose unit is said to be a metre."""
    scene = scenes.build(unit=unit, segments=32, rings=24)
    scene.unit_settings.scale_length = 1.0
    scene.nephim.target_edge_mm = 12.0
    scene.frame_end = 6
    return scene


@pytest.mark.parametrize(("factor", "unit"), [(1, 1.0), (100, 0.01), (0.01, 100.0), (1 / 0.0254, 0.0254)])
def test_common_units_are_recognised(factor, unit):
    head = synthetic_head(0.012)
    height = head_height(Surface(factor * head.vertices, head.triangles))
    assert height == pytest.approx(0.23 * factor, rel=0.1)
    assert fitting_unit(height) == unit


def test_other_sizes_become_human():
    for height in (0.92, 5.06, 0.031):
        assert height * fitting_unit(height) == pytest.approx(0.23, rel=0.03)


@pytest.mark.parametrize(("unit", "says"), [(100, "23 m"), (0.01, "2.3 mm"), (4, "92 cm")])
def test_the_check_names_the_size_and_the_unit(unit, says):
    scene = scene_of(unit)
    with pytest.raises(SizeError, match=rf"'Head', frame 1: .* measures {says}; .*Fit Size.*--unit-scale") as error:
        setup.setup(scene, **ROLES)
    assert error.value.unit_scale == pytest.approx(1 / unit, rel=0.05)
    setup.setup(scene, **ROLES, unit_scale=error.value.unit_scale)
    assert read_rig(scene).scale == pytest.approx(error.value.unit_scale)
    assert scene.unit_settings.scale_length == 1.0


def test_a_large_head_is_refused_before_its_volume_is_built(tmp_path, capsys):
    scene_of(100)
    path = str(save_blend(tmp_path / "face.blend"))
    assert cli.command(["volume", path]) == cli.EXIT_FAILED
    assert "--unit-scale 0.01" in capsys.readouterr().err
    roles = ["--head", "Head", "--left", "Left", "--unit-scale"]
    assert cli.command(["setup", path, *roles, "0"]) == cli.EXIT_USAGE
    assert cli.command(["setup", path, *roles, "0.01"]) == cli.EXIT_OK
    assert bpy.context.scene.nephim.unit_scale == pytest.approx(0.01)


def test_the_button_leaves_a_human_head_and_sets_the_others(registered):
    scene = scene_of(1)
    assert bpy.ops.nephim.fit_size() == {"FINISHED"} and scene.nephim.unit_scale == 0.0
    scene = scene_of(100)
    assert bpy.ops.nephim.fit_size() == {"FINISHED"} and scene.nephim.unit_scale == pytest.approx(0.01)
    assert bpy.ops.nephim.setup() == {"FINISHED"}


@pytest.mark.parametrize("unit", [100, 0.01, 4])
def test_the_displacement_in_head_units_is_the_original_one(tmp_path, unit):
    def displacement(name, unit, scale=None):
        """(n, 3) of the deepest frame, as a fraction of a person's head, and the scale."""
        scene = scene_of(unit)
        save_blend(tmp_path / f"{name}.blend")
        if scale is None:
            scale = setup.fit_size(scene)
        scene.nephim.unit_scale = scale
        drive(volume.volume_job(scene), io.StringIO())
        drive(simulate.simulate_job(scene), io.StringIO())
        rest = np.array([v.co for v in scene.nephim.head.data.vertices])
        cache = PointCache(folder().cache)
        return (cache.read(6) - cache.read(1)) / unit, scale, rest / unit

    moved, scale, rest = displacement("scaled", unit)
    expected, _, same = displacement("original", 1, scale * unit)
    assert rest == pytest.approx(same, abs=1e-6)
    assert np.linalg.norm(expected, axis=1).max() > 0.005
    off = np.linalg.norm(moved - expected, axis=1)
    if unit == 4:  # a power of two: nothing is rounded differently
        assert off.max() < 1e-6
    assert np.sqrt((off**2).mean()) < 2e-4  # single precision rounds the mesh, which then gets other tetrahedra
