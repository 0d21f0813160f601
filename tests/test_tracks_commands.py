# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines of docs/tracks.md, run as they stand there: a take of each family plays, simulates and bakes."""

import re
import shlex
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("bpy")
import bpy
import takes
from nephim import cli
from nephim.operators import volume
from nephim.sim.volume import build
from test_tracks_scene import ROOT, evaluated

pytestmark = pytest.mark.bpy
BUILD = build.build_template
PAGE = (ROOT / "docs" / "tracks.md").read_text(encoding="utf-8")
# What lies in the folder in which a command of the page is typed.
FILES = {
    "nephim import take.npz --bake -o face.blend": takes.arrays,
    "nephim import folder --bake -o face.blend": takes.meshes,
    "nephim import head.pc2 left_hand.pc2 --model head.obj --model hand.obj --bake -o face.blend": takes.pc2,
    "nephim import head.npy left_hand.mdd --model head.obj --model hand.obj --bake -o face.blend": takes.mdd,
    "nephim import take.abc --fps 24 --bake -o face.blend": lambda folder: takes.scene_file(folder / "take.abc"),
    "nephim import take.usdc --fps 24 --bake -o face.blend": lambda folder: takes.scene_file(folder / "take.usdc"),
    "nephim import exported.npz --bake -o face.blend": takes.exported,
    "nephim import head.npz hands.npz --model MANO_RIGHT.pkl --bake -o face.blend": takes.detections,
    "nephim import take_poses.npz --model SMPLH_male.npz --bake -o body.blend": takes.amass,
    "nephim import take_stageii.npz --model SMPLX_NEUTRAL.npz --bake -o body.blend": takes.stageii,
    "nephim import take.npz --model SMPLX_NEUTRAL.npz --bake -o body.blend": takes.smplx,
    "nephim import face.npz right.npz --model generic_model.pkl --model MANO_RIGHT.pkl --bake -o face.blend":
        takes.flame_take,
    "nephim import tracked_flame_params.npz right.npz --model flame2023.pkl --model MANO_RIGHT.pkl --bake "
    "-o face.blend": takes.vhap,
    "nephim import head.npz right.npz --model MANO_RIGHT.pkl --bake -o face.blend": takes.mano_take,
    "nephim import test/params/S3/params_smoothed.pkl --model generic_model.pkl --model MANO_RIGHT.pkl --fps 50 --bake "
    "-o face.blend": takes.decaf,
    "nephim import head.npz landmarks.npz --bake -o face.blend": takes.landmarks,
    "nephim import take.csv --onto character.blend --bake": takes.character,
}  # fmt: skip


@pytest.fixture(scope="module")
def built():
    """Volumes of the head that all takes have, whose rounding alone differs: built once."""
    return []


def volume_once(kept, head, *rest, settings, groups, hints, **more):
    found = next((t for t in kept if t.head_vertices.shape == head.vertices.shape), None)
    if found is None:
        kept.append((yield from BUILD(head, *rest, settings=settings, groups=groups, hints=hints)))
        return kept[-1]
    assert np.allclose(found.head_vertices, head.vertices, atol=1e-4)
    return replace(found, fingerprint=build.fingerprint([head, *rest], settings, groups, hints))


def test_every_command_of_the_page_that_bakes_is_run_here():
    written = re.findall(r"`(nephim import [^`]*--bake[^`]*)`|^    (nephim import .*--bake.*)$", PAGE, re.M)
    assert {one or other for one, other in written} == set(FILES)


@pytest.mark.parametrize("command", FILES)
def test_a_take_plays_simulates_and_bakes_from_one_command_line(tmp_path, monkeypatch, built, command):
    if re.search(r"\.(abc|usdc) ", command) and "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    FILES[command](tmp_path)
    monkeypatch.chdir(tmp_path)
    original = volume.volume_job

    def coarse(scene):
        scene.nephim.target_edge_mm = 20.0
        with monkeypatch.context() as patch:
            patch.setattr(build, "build_template", partial(volume_once, built))
            return (yield from original(scene))

    monkeypatch.setattr(volume, "volume_job", coarse)
    assert cli.command(shlex.split(command)[1:]) == cli.EXIT_OK
    monkeypatch.undo()
    (blend,) = {*tmp_path.glob("*.blend")} - {tmp_path / "source.blend"}
    bpy.ops.wm.open_mainfile(filepath=str(blend))  # what is on disk
    scene = bpy.context.scene
    vertices = takes.head()[0]
    count = len(vertices)
    name = scene.nephim.head.name
    first, last = evaluated(name, 1)[:count], evaluated(name, takes.FRAMES)[:count]
    cheek = vertices[:, 2] < 0.08
    assert np.linalg.norm(first - vertices, axis=1)[cheek].max() < 1e-4
    dent = np.linalg.norm(last - vertices, axis=1)[cheek]
    assert 0.002 < dent.max() < 0.02  # pressed in, and dragged along where the finger swings
    assert scene.frame_end == takes.FRAMES
