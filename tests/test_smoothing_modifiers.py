# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape keys through modifiers that smooth what the armature has moved: within the tolerance, or refused."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.meshes import mesh_positions  # noqa: E402
from nephim.errors import BakeError  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy

SMOOTHING = {
    "corrective": ("CORRECTIVE_SMOOTH", {}),
    "corrective by length": ("CORRECTIVE_SMOOTH", {"smooth_type": "LENGTH_WEIGHTED"}),
    "smooth": ("SMOOTH", {}),
    "smooth five times": ("SMOOTH", {"iterations": 5}),
}


def smoothed(kind, settings, **options):
    scene = scenes.build(**options)
    modifier = scene.nephim.head.modifiers.new("Soften", kind)
    for name, value in settings.items():
        setattr(modifier, name, value)
    return scene


def error_mm(scene, cache):
    worst = 0.0
    for frame in cache.frames:
        scene.frame_set(frame)
        mesh = scene.nephim.head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        worst = max(worst, np.linalg.norm(mesh_positions(mesh) - cache.read(frame), axis=1).max())
    return 1e3 * worst


@pytest.mark.parametrize("case", SMOOTHING)
def test_keys_are_exact_behind_smoothing(tmp_path, case):
    scene = smoothed(*SMOOTHING[case], segments=40, rings=30)
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    result = drive(bake_shape_keys(scene, rig, cache))
    assert error_mm(scene, cache) < 0.1 and not result.notes
    blocks = scene.nephim.head.data.shape_keys.key_blocks
    for name in result.keys:  # in proportion to a dent of 15 mm: no noise that the modifier happens to smooth away
        moved = [(a.co - b.co).length for a, b in zip(blocks[name].points, blocks[0].points, strict=True)]
        assert max(moved) < 0.06


def test_what_cannot_be_got_past_the_smoothing_is_refused(tmp_path):
    scene = smoothed("CORRECTIVE_SMOOTH", {"iterations": 20})
    obj = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    with pytest.raises(BakeError, match=r"'Head', frame \d+: Shape keys miss .* mm, .*'Soften' smooths.*Point Cache"):
        drive(bake_shape_keys(scene, rig, cache))
    assert list(obj.data.shape_keys.key_blocks.keys()) == ["Basis", "smile", "open"]
    add_mesh_cache(scene, rig, cache)
    assert error_mm(scene, cache) < 1e-3
