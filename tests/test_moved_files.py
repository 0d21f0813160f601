# SPDX-License-Identifier: GPL-3.0-or-later
"""Renamed and moved files, renamed heads, two characters: what can be kept is kept, and nothing is lost in silence."""

import io
import shutil

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.bake.other_characters import check_not_played  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys, remove_shape_keys  # noqa: E402
from nephim.bridge.bake.shown import obstacles, shown_job  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.errors import CacheError  # noqa: E402
from nephim.operators import problems  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def film(tmp_path):
    """A saved file whose head plays a point cache; returns (path, cache)."""
    scene = scenes.build()
    path = save_blend(tmp_path / "a" / "film.blend")
    rig, cache = scenes.simulate(scene, tmp_path / "a" / "film.nephim" / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    save_blend()
    problems.forget()
    return path, cache


def plays(cache):
    scene = bpy.context.scene
    return drive(shown_job(scene, read_rig(scene), cache), io.StringIO()).note == ""


@pytest.mark.parametrize("place", ["a/other.blend", "b/film.blend"])
def test_saved_under_another_name(film, tmp_path, place):
    _, cache = film
    save_blend(tmp_path / place)
    new = (tmp_path / place).with_suffix(".nephim")
    assert "The volume and the simulation stay in" in str(problems.last) and str(new) in str(problems.last)
    assert plays(cache)
    shutil.copytree(tmp_path / "a" / "film.nephim", new)  # what the sentence says
    assert "plays" in obstacles(bpy.context.scene.nephim.head)[0]
    problems.forget()
    save_blend()
    assert problems.last is None


@pytest.mark.parametrize("along", [True, False])
def test_moved_with_and_without_its_folder(film, tmp_path, along, capsys):
    path, cache = film
    bpy.ops.wm.read_factory_settings(use_empty=True)
    target = tmp_path / "elsewhere"
    target.mkdir()
    shutil.move(path, target / "film.blend")
    if along:
        shutil.move(path.with_suffix(".nephim"), target / "film.nephim")
        cache.path = target / "film.nephim" / "simulation.pc2"
    problems.forget()
    bpy.ops.wm.open_mainfile(filepath=str(target / "film.blend"))
    if along:
        assert problems.last is None and plays(cache)
    else:
        assert "'Head': Its modifier 'NePHIM' finds no point cache at" in str(problems.last)
        assert "finds no point cache" in capsys.readouterr().err  # a farm has no sidebar


def test_a_renamed_head_keeps_everything(film):
    _, cache = film
    scene = bpy.context.scene
    scene.nephim.head.name = scene.nephim.head.data.name = "Bob"
    rig = read_rig(scene)
    assert plays(cache) and not check_not_played(rig, cache.path)
    result = drive(bake_shape_keys(scene, rig, cache), io.StringIO())
    scene.nephim.head.name = "Alice"
    assert remove_shape_keys(scene.nephim.head) == len(result.keys)


def test_two_characters_in_one_scene(film):
    _, cache = film
    scene = bpy.context.scene
    first = scene.nephim.head
    first.name = "Bob"
    cache.manifest.object = "Bob"
    cache.save_results()
    second, _ = scenes.head(scene, segments=30)
    scene.nephim.head, scene.nephim.head_armature, scene.nephim.jaw_armature = second, None, None
    scene.nephim.head_bone = scene.nephim.jaw_bone = ""
    rig = read_rig(scene)
    with pytest.raises(
        CacheError, match=r"'Bob': It plays its own simulation from .* 'Head' would overwrite.*shape keys"
    ):
        check_not_played(rig, cache.path)
    first.modifiers.remove(first.modifiers["NePHIM"])
    assert "replaces the simulation of 'Bob'" in check_not_played(rig, cache.path)
    assert np.isfinite(cache.read(5)).all()
