# SPDX-License-Identifier: GPL-3.0-or-later
"""What artists paint changes the volume's stiffness; a head bone tells how a tilted head stands."""

import io

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.plan import read_plan  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.choices import REGIONS  # noqa: E402
from nephim.errors import CacheError, RigError  # noqa: E402
from nephim.operators import volume  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.operators.setup import setup  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.template import CARTILAGE  # noqa: E402
from nephim.sim.volume.regions import STIFFNESS  # noqa: E402

pytestmark = pytest.mark.bpy
ROLES = {"head": "Head", "left": "Left", "head_bone": "HeadRig:head"}


def scene_file(folder):
    scene = scenes.build(segments=32, rings=24)
    scene.nephim.target_edge_mm = 12.0  # the volume is built in a second or two
    save_blend(folder / "face.blend")
    return bpy.context.scene


def paint(name: str, *, attribute: bool = False) -> np.ndarray:
    """Weights 1 on the upper half of the head; returns which vertices."""
    obj = bpy.data.objects["Head"]
    upper = np.array([v.co.z > 1.62 for v in obj.data.vertices])
    if attribute:
        obj.data.attributes.new(name, "FLOAT", "POINT").data.foreach_set("value", upper.astype(np.float32))
    else:
        obj.vertex_groups.new(name=name).add(np.flatnonzero(upper).tolist(), 1.0, "REPLACE")
    return upper


@pytest.mark.parametrize("attribute", [False, True])
def test_a_painted_group_changes_the_stiffness(tmp_path, attribute):
    scene = scene_file(tmp_path)
    plain = drive(volume.volume_job(scene), io.StringIO())
    paint("horn", attribute=attribute)
    setup(scene, **ROLES, stiffness={"cartilage": "horn"})
    with (
        pytest.raises(CacheError, match=r"stiffness.*Build the volume again"),
        SurfaceReader(scene, read_rig(scene)) as reader,
    ):
        volume.load_volume(reader.neutral(), read_plan(scene))
    painted = drive(volume.volume_job(scene), io.StringIO())
    height = painted.vertices[painted.tets].mean(1)[:, 2]
    assert (painted.tet_stiffness[height > 1.65] == STIFFNESS[CARTILAGE]).all()
    assert (plain.tet_stiffness[height > 1.65] < STIFFNESS[CARTILAGE]).all()
    low = height < 1.59
    assert np.array_equal(painted.tet_stiffness[low], plain.tet_stiffness[low])


def test_a_group_that_is_not_there_or_empty_is_refused_and_the_setup_stays(tmp_path):
    scene = scene_file(tmp_path)
    setup(scene, **ROLES)
    with pytest.raises(RigError, match=r"'Head': There is no vertex group or float attribute 'horn'"):
        setup(scene, **ROLES, stiffness={"lips": "horn"})
    bpy.data.objects["Head"].vertex_groups.new(name="empty")
    with pytest.raises(RigError, match=r"'empty' is 0 on the whole head"):
        setup(scene, **ROLES, stiffness={"scalp": "empty"})
    assert all(getattr(scene.nephim, f"{region}_group") == "" for region in REGIONS)


def test_the_command_line_takes_regions(tmp_path, capsys):
    scene_file(tmp_path)
    paint("horn")
    path = save_blend(tmp_path / "face.blend")
    arguments = ["setup", str(path), "--head", "Head", "--left", "Left"]
    assert cli.command([*arguments, "--stiffness", "bone=horn"]) == cli.EXIT_USAGE
    assert "cheek, lips, scalp, cartilage" in capsys.readouterr().err
    assert cli.command([*arguments, "--stiffness", "cartilage=horn", "--stiffness", "lips=horn"]) == cli.EXIT_OK
    assert (bpy.context.scene.nephim.cartilage_group, bpy.context.scene.nephim.lips_group) == ("horn", "horn")


def test_a_tilted_head_stands_as_its_bone_says(tmp_path):
    scene = scene_file(tmp_path)
    arm = bpy.data.objects["HeadRig"]
    pose = arm.pose.bones["head"]
    pose.rotation_euler = (0.9, 0.4, 0.2)
    pose.keyframe_insert("rotation_euler", frame=1)
    scene.frame_set(1)
    turned = SurfaceReader(scene, read_rig(scene)).neutral().hints.upright
    rest, posed = (np.array(m.to_3x3()) for m in (arm.data.bones["head"].matrix_local, pose.matrix))
    np.testing.assert_allclose(turned, posed @ rest.T, atol=1e-5)
    assert np.degrees(np.arccos(turned[2, 2])) > 20
    scene.nephim.head_armature, scene.nephim.head_bone = None, ""
    assert SurfaceReader(scene, read_rig(scene)).neutral().hints.upright is None
