# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated motions and recorded datasets, with a round head and a finger as performers."""

import importlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from nephim.errors import CacheError, SimulationError
from nephim.motions.cast import load_cast
from nephim.motions.generator import generate
from nephim.motions.skin_map import SkinMap
from nephim.nn import dataset, record_child
from nephim.nn.dataset import MANIFEST, Recorder, finished, make_plan, record_dataset, sequence_path
from nephim.nn.pipeline import read_job, recorded_seeds, tame, unseen_recordings, unseen_seeds
from nephim.nn.recording import Recording
from nephim.progress import drive
from small_cast import cast_folder, recordings

FRAMES = 70  # one gesture fits


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    puppet, template = load_cast(cast_folder(tmp_path_factory.mktemp("cast")))
    return puppet, SkinMap(template)


def test_a_seed_gives_the_same_motion(stage):
    puppet, skin = stage
    a, b, c = (generate(puppet, skin, seed, FRAMES) for seed in (3, 3, 4))
    assert np.array_equal(a.hands["R"], b.hands["R"]) and a.events == b.events
    assert not np.array_equal(a.hands["R"], c.hands["R"])


@pytest.mark.parametrize("seed", range(4))
def test_hands_come_from_outside_touch_and_leave(stage, seed):
    puppet, skin = stage
    clip = generate(puppet, skin, seed, FRAMES)
    assert clip.events and len(clip) == FRAMES

    def deepest(k: int) -> float:
        local = (clip.hands["R"][k] - clip.cranium[k][:3, 3]) @ clip.cranium[k][:3, :3]
        return skin.deepest(local.astype(float))

    depths = np.array([deepest(k) for k in range(len(clip))])
    assert depths[0] == depths[-1] == 0.0
    assert depths.max() < max(e.depth for e in clip.events) * 1e-3 + 0.004
    touched = [depths[e.first : e.last + 1].max() > 1e-4 for e in clip.events]
    assert all(touched)
    for between in range(len(clip)):
        if not any(e.first <= between <= e.last for e in clip.events):
            assert depths[between] == 0.0
    assert np.isfinite(clip.hands["R"]).all() and np.isfinite(clip.heads).all()


def test_a_dataset_is_recorded_in_parallel_and_goes_on(tmp_path):
    folder = cast_folder(tmp_path)
    make_plan(folder, FRAMES)
    assert drive(record_dataset(folder, range(2), processes=2)) == [0, 1]
    first = sequence_path(folder, 0).stat().st_mtime_ns
    assert drive(record_dataset(folder, range(3), processes=2)) == [0, 1, 2]
    assert sequence_path(folder, 0).stat().st_mtime_ns == first  # nothing twice
    manifest = json.loads((folder / MANIFEST).read_text())
    assert [row["seed"] for row in manifest["sequences"]] == [0, 1, 2]
    assert all(row["frames"] == FRAMES for row in manifest["sequences"])
    recording = Recording.load(sequence_path(folder, 2))
    assert recording.deformation.any() and recording.touching.any()
    # The recorded frames are the ones that were simulated.
    again = Recorder(folder)
    clip = generate(again.puppet, SkinMap(again.template), 2, FRAMES)
    rebuilt = recording.frame(again.template, 20)
    assert np.abs(rebuilt.right - clip.hands["R"][20]).max() < 1e-6
    assert np.abs(rebuilt.head - clip.heads[20]).max() < 5e-6
    # Another plan does not fit what was recorded.
    make_plan(folder, FRAMES + 10)
    assert finished(folder, range(3)) == []


def test_closing_the_job_ends_its_processes_and_keeps_what_is_finished(tmp_path):
    folder = cast_folder(tmp_path)
    make_plan(folder, FRAMES)
    job = record_dataset(folder, range(40), processes=1)
    while not finished(folder, range(40)):
        next(job)
    job.close()
    there = finished(folder, range(40))
    assert 1 <= len(there) < 40
    for seed in there:
        assert len(Recording.load(sequence_path(folder, seed))) == FRAMES
    assert drive(record_dataset(folder, range(len(there)), processes=1)) == there


def test_a_failing_process_is_reported(tmp_path):
    folder = cast_folder(tmp_path)
    make_plan(folder, FRAMES)
    (folder / "cast.json").write_text("{}")
    with pytest.raises(SimulationError, match="recording process failed"):
        drive(record_dataset(folder, range(1), processes=1))


def test_a_damaged_sequence_is_refused(tmp_path):
    path = tmp_path / "sequence-000001.npz"
    for content in (b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(CacheError, match="no recorded sequence"):
            Recording.load(path)


def test_the_last_sequences_are_kept_for_judging(tmp_path):
    assert unseen_seeds([0, 1]) == [1]
    assert unseen_seeds(range(40)) == [35, 36, 37, 38, 39]
    with pytest.raises(SimulationError, match="Two"):
        unseen_seeds([0])
    with pytest.raises(CacheError, match="no dataset"):
        recorded_seeds(tmp_path)


def test_only_gestures_in_which_the_skin_was_lost_are_cut_out():
    recording = recordings()[0]
    units = np.zeros((300, *recording.deformation.shape[1:]), np.int16)
    many = {
        name: np.resize(value, (300, *value.shape[1:])) for name, value in vars(recording).items() if np.ndim(value)
    }
    whole = replace(recording, **many | {"deformation": units})
    assert [len(part) for part in tame(whole)[0]] == [300]
    units[20:60, 5] = 4000  # 8 mm
    units[100:130, 7, 1] = -4000
    units[110, 7, 1] = -11000  # 22 mm
    units[180:200, 5] = 4000
    units[250:255, 5] = 10500  # what is left behind it is too short
    parts, cut = tame(whole)
    assert cut == 2 and [len(part) for part in parts] == [100, 120]
    assert np.array_equal(parts[1].deformation, units[130:250]) and np.array_equal(parts[1].hands, whole.hands[130:250])
    assert len(tame(recording)[0][0]) == len(recording)  # however short, as long as nothing is cut out of it


def test_what_is_evaluated_was_not_trained_on_where_the_physics_lost_the_skin(tmp_path):
    """Also when the last sequences, which are kept for judging, are in part cut out."""
    folder = cast_folder(tmp_path)
    make_plan(folder, 240)
    recording = recordings()[0]
    for seed in range(16):
        columns = {name: value for name, value in vars(recording).items() if np.ndim(value)}
        longer = {name: np.resize(value, (240, *value.shape[1:])) for name, value in columns.items()}
        longer["deformation"] = np.zeros((240, *recording.deformation.shape[1:]), np.int16)
        longer["deformation"][10 + seed : 12 + seed] = 11000 if seed == 15 else 400  # 22 mm, 0.8 mm
        replace(recording, seed=seed, **longer).save(sequence_path(folder, seed))
    recorded = drive(read_job([folder], range(16)))
    assert [len(sample) for sample in recorded.unseen] == [len(part) for part in unseen_recordings(folder)]
    assert {part.seed for part in unseen_recordings(folder)} == set(unseen_seeds(range(16)))


def test_recording_processes_know_the_package_by_the_name_it_has_here(tmp_path, monkeypatch):
    """Else what they compile is cached under a module that no other process finds."""
    started = []
    monkeypatch.setattr(dataset.subprocess, "Popen", lambda command, **_: started.append(command))
    dataset._start(tmp_path, [7], 0)
    assert started[0][-3:] == ["nephim", str(tmp_path), "7"]
    record_child.load_package("bl_ext.somewhere.nephim")
    try:
        found = importlib.import_module("bl_ext.somewhere.nephim.nn.recording")
        assert found.record.__module__ == "bl_ext.somewhere.nephim.nn.recording"
    finally:
        for name in [name for name in sys.modules if name.startswith("bl_ext.somewhere")]:
            del sys.modules[name]
