# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scene tells about how a head stands: bones, also of mirrored characters, hands, and the user's choice."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402

pytestmark = pytest.mark.bpy


def hints(scene):
    return SurfaceReader(scene, read_rig(scene)).neutral().hints


def test_bones_and_hands_tell_up_and_left():
    known = hints(scenes.build())
    assert known.upright == pytest.approx(np.eye(3), abs=1e-6)
    assert known.neck / np.linalg.norm(known.neck) == pytest.approx([0, 0, 1], abs=1e-6)
    assert known.left == pytest.approx([1, 0, 0], abs=0.1)
    assert known.up is None and known.front is None


def test_one_hand_is_less_sure():
    assert np.linalg.norm(hints(scenes.build(right=False)).left) < 0.5


@pytest.mark.parametrize("scale", [(-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_a_mirrored_character_is_reflected_and_not_tilted(scale):
    scene = scenes.build(bones=True)
    root = bpy.data.objects.new("Root", None)
    scene.collection.objects.link(root)
    for obj in [o for o in scene.objects if o.parent is None and o is not root]:
        obj.parent = root
    root.scale = scale
    bpy.context.view_layer.update()
    assert hints(scene).upright == pytest.approx(np.diag(np.sign(scale).astype(float)), abs=1e-5)


def test_the_command_line_sets_up_and_front(tmp_path, capsys):
    scenes.build()
    path = str(save_blend(tmp_path / "face.blend"))
    roles = ["setup", path, "--head", "Head", "--left", "Left"]
    assert cli.command([*roles, "--up", "U"]) == cli.EXIT_USAGE
    assert cli.command([*roles, "--up", "Z", "--front=-X"]) == cli.EXIT_OK
    known = hints(bpy.context.scene)
    assert (known.up == [0, 0, 1]).all() and (known.front == [-1, 0, 0]).all()
    assert cli.command(roles) == cli.EXIT_OK
    assert bpy.context.scene.nephim.front_axis == "AUTO"
