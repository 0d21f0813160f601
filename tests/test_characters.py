# SPDX-License-Identifier: GPL-3.0-or-later
"""Two characters in one scene: each has settings, simulation and bake of its own, and nothing is lost silently."""

import io
import shutil

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
import scenes  # noqa: E402
from nephim import cli  # noqa: E402
from nephim.bridge import characters  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.bridge.modifiers import BAKED  # noqa: E402
from nephim.errors import RigError  # noqa: E402
from nephim.operators import bake, problems, simulate  # noqa: E402
from nephim.operators.characters import choose  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy
APART = 0.6  # [m] between the two heads
FRAMES = (1, 8)


def twin(name):
    """A copy of an object with data of its own."""
    copy = bpy.data.objects[name].copy()
    copy.data = copy.data.copy()
    bpy.context.scene.collection.objects.link(copy)
    return copy


def add_second(scene) -> dict[str, str]:
    """A second character beside the first, moved by a root, with a hand that goes less deep; its roles."""
    root = bpy.data.objects.new("Root", None)
    scene.collection.objects.link(root)
    root.location.x = APART
    copies = {name: twin(name) for name in ("HeadRig", "Head", "LeftRig", "Left")}
    for rig, mesh in (("HeadRig", "Head"), ("LeftRig", "Left")):
        copies[rig].parent = root
        copies[mesh].modifiers["Armature"].object = copies[rig]
    copies["Head"].parent, copies["Left"].parent = root, copies["LeftRig"]
    for rig in ("HeadRig", "LeftRig"):
        copies[rig].animation_data.action = copies[rig].animation_data.action.copy()
    scene.frame_set(6)
    copies["LeftRig"].location.x += 0.004
    copies["LeftRig"].keyframe_insert("location", frame=6)
    return {"head": copies["Head"].name, "left": copies["Left"].name}


@pytest.fixture
def both(tmp_path):
    """The small scene with its volume, and a second character of the list that has just been found."""
    scenes.with_volume(tmp_path)
    scene = bpy.context.scene
    roles = add_second(scene)
    assert bpy.ops.nephim.add_character() == {"FINISHED"}
    settings = scene.nephim
    settings.head, settings.left = (bpy.data.objects[roles[role]] for role in ("head", "left"))
    settings.head_armature, settings.head_bone = bpy.data.objects["HeadRig.001"], "head"
    return scene


def run(scene, to):
    """Volume if there is none, simulation and bake of the chosen character; its cache."""
    from nephim.operators.volume import volume_job

    if not folder(scene).volume.exists():
        drive(volume_job(scene), io.StringIO())
    drive(simulate.simulate_job(scene, FRAMES), io.StringIO())
    drive(bake.bake_job(scene, to=to), io.StringIO())
    return PointCache(folder(scene).cache)


def shown(scene, name, frame):
    """Positions (n, 3) of an object as evaluated, in its space."""
    scene.frame_set(frame)
    mesh = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    positions = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", positions)
    return positions.reshape(-1, 3)


def test_both_are_baked_and_play_together(both, tmp_path):
    """The first to a point cache, the second to another; opened again and moved with their folder they still play."""
    second = run(both, "point-cache")
    both.nephim_cast.active = 0
    first = run(both, "point-cache")
    assert first.path != second.path and first.path.parent == second.path.parent.parent
    expected = {"Head": first.read(6), "Head.001": second.read(6)}
    assert np.abs(expected["Head"] - expected["Head.001"]).max() > 1e-3  # the hand goes less deep
    path = save_blend()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name, positions in expected.items():
        assert shown(both, name, 6) == pytest.approx(positions, abs=1e-6)
    shutil.move(path.with_suffix(".nephim"), moved)
    shutil.move(path, moved)
    bpy.ops.wm.open_mainfile(filepath=str(moved / path.name))
    scene = bpy.context.scene
    for name, positions in expected.items():
        assert shown(scene, name, 6) == pytest.approx(positions, abs=1e-6)
    for index, name in enumerate(expected):  # and each is found valid, without simulating again
        scene.nephim_cast.active = index
        assert scene.nephim.head.name == name
        assert drive(simulate.simulate_job(scene), io.StringIO()).new == 0
    other = save_blend(tmp_path / "other.blend")  # under another name: the results stay where they were, which is said
    assert "stay in" in str(problems.last) and str(other.with_suffix(".nephim")) in str(problems.last)
    assert shown(scene, "Head.001", 6) == pytest.approx(expected["Head.001"], abs=1e-6)
    shutil.rmtree(moved / "face.nephim")
    bpy.ops.wm.open_mainfile(filepath=str(moved / path.name))  # without its folder: both are named
    assert (
        "'Head'" in str(problems.last) and "'Head.001'" in str(problems.last) and "no point cache" in str(problems.last)
    )


def test_the_second_bake_leaves_the_first_and_its_own_settings(both):
    scene = both
    scene.nephim.tissue, scene.nephim.tolerance_mm = "soft", 0.3
    item = scene.nephim.attachments.add()
    item.owner, item.material, item.carried = bpy.data.objects["Left"], "skin", False
    run(scene, "shape-keys")
    keys = len(bpy.data.objects["Head.001"].data.shape_keys.key_blocks)
    choose(scene, "Head")
    assert scene.nephim.tissue == "default" and scene.nephim.tolerance_mm == pytest.approx(0.1)
    assert not len(scene.nephim.attachments) and not scene.nephim.bake_keys
    run(scene, "shape-keys")
    assert len(bpy.data.objects["Head.001"].data.shape_keys.key_blocks) == keys
    bpy.data.objects["Head.001"].name = "Mia"  # renamed: it is still the same character
    choose(scene, "Mia")
    assert scene.nephim.tissue == "soft" and scene.nephim.bake_keys == keys - 3
    assert [(i.owner.name, i.material, i.carried) for i in scene.nephim.attachments] == [("Left", "skin", False)]
    assert drive(simulate.simulate_job(scene), io.StringIO()).new == 0
    assert bpy.ops.nephim.unbake() == {"FINISHED"}
    assert len(bpy.data.objects["Mia"].data.shape_keys.key_blocks) == 3
    assert len(bpy.data.objects["Head"].data.shape_keys.key_blocks) > 3


def test_one_head_is_one_character(both):
    both.nephim.head = bpy.data.objects["Head"]
    with pytest.raises(RigError, match=r"'Head': It is the head of the character 'Head' as well.*another head"):
        drive(simulate.simulate_job(both, FRAMES), io.StringIO())
    with pytest.raises(RuntimeError, match="head of the character 'Head' as well"):
        bpy.ops.nephim.setup()


def test_removed_from_the_list_the_other_one_stays_and_files_are_kept(both):
    folder(both).volume.parent.mkdir(parents=True)
    folder(both).volume.touch()
    of_second = folder(both).path
    assert bpy.ops.nephim.remove_character() == {"FINISHED"}
    assert both.nephim.head.name == "Head" and folder(both).path.name == "face.nephim"
    assert of_second.is_dir()
    assert not bpy.ops.nephim.remove_character.poll()
    assert bpy.ops.nephim.add_character() == {"FINISHED"}
    assert folder(both).path not in (of_second, of_second.parent)  # what was simulated there is not overwritten
    both.nephim.head = bpy.data.objects["Head.001"]
    both.nephim_cast.active = 0
    assert bpy.ops.nephim.remove_character() == {"FINISHED"}  # the first of them
    assert both.nephim.head.name == "Head.001" and folder(both).path.name == "character-3"


def test_undo_and_a_preview_that_runs(both):
    scene = both
    bpy.ops.ed.undo_push(message="before")
    scene.nephim_cast.active = 0
    scene.nephim.preview = "physics"
    scene.nephim_cast.active = 1
    assert scene.nephim.preview == "off" and scene.nephim_cast.shown == 1
    choose(scene, "Head")
    assert scene.nephim.preview == "off"
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert scene.nephim.head.name == "Head.001" and scene.nephim_cast.shown == scene.nephim_cast.active == 1


def test_the_command_line_names_the_character(tmp_path, capsys):
    scenes.with_volume(tmp_path)
    scene = bpy.context.scene
    roles = add_second(scene)
    blend = str(save_blend())
    who = ["--character", "Mia"]
    assert cli.command(["simulate", blend, *who]) == cli.EXIT_FAILED
    assert "There is no character 'Mia'" in capsys.readouterr().err
    arguments = ["--head", roles["head"], "--left", roles["left"], "--head-bone", "HeadRig.001:head"]
    assert cli.command(["setup", blend, *who, *arguments]) == cli.EXIT_OK
    for name, of in (("Head", "Head"), ("Mia", roles["head"])):
        if name == "Mia":
            assert cli.command(["volume", blend, "--character", name]) == cli.EXIT_OK
        assert cli.command(["simulate", blend, "--character", name, "--frames", "1-8"]) == cli.EXIT_OK
        assert cli.command(["bake", blend, "--character", name, "--to", "point-cache"]) == cli.EXIT_OK
        assert BAKED in bpy.data.objects[of].modifiers
    bpy.ops.wm.open_mainfile(filepath=blend)
    assert all(BAKED in bpy.data.objects[name].modifiers for name in ("Head", roles["head"]))
    assert characters.active_label(bpy.context.scene) == "Mia"
    assert cli.command(["report", blend, "--character", "Head", "--json", str(tmp_path / "r.json")]) == cli.EXIT_OK
