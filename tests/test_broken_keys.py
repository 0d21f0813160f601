# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape keys with positions that are not numbers: named where they play, harmless where they do not."""

import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.errors import SurfaceError  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy


def broken(scene, name, vertices=(3, 200)):
    key = scene.nephim.head.data.shape_keys.key_blocks[name]
    for vertex in vertices:
        key.points[vertex].co.x = float("nan")
    return key


def test_a_key_that_turns_on_in_the_shot_is_named_with_its_frame():
    scene = scenes.build()
    broken(scene, "open")  # off up to frame 3
    with SurfaceReader(scene, read_rig(scene)) as reader:
        reader.read(3)
        with pytest.raises(SurfaceError, match=r"'Head', frame 4, vertices 3, 200: Its shape key 'open' moved.*Mute"):
            reader.read(4)


@pytest.mark.parametrize("how", ["muted", "zero"])
def test_a_key_that_does_not_play_is_harmless(tmp_path, how):
    scene = scenes.build()
    key = broken(scene, "open")
    if how == "muted":
        key.mute = True
    else:
        for frame in (3, 7):
            key.keyframe_delete("value", frame=frame)
        key.value = 0.0
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    result = drive(bake_shape_keys(scene, rig, cache))
    assert result.keys and result.error_max_mm < 0.1
