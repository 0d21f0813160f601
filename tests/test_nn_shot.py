# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own shot as sequences: cut, brought in, recorded, and made again only where it has changed."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.errors import CacheError
from nephim.nn.dataset import Recorder, make_plan, record_dataset
from nephim.nn.pipeline import unseen_seeds
from nephim.nn.recording import Recording, record, sequence_path
from nephim.nn.shot import FIRST_SEED, LEAST, ShotPiece, ShotWriter, bounds, piece_path, piece_seeds
from nephim.progress import drive
from nephim.sim.settings import PhysicsSettings
from nephim.sim.tracking import HeadTracking
from small_cast import FINGER, TEMPLATE, cast_folder, finger_at, frame_of

LONGEST = 80
FRAMES = 3 * LONGEST  # three pieces
# Pressing over the cut between the first two pieces, and away in the third.
PRESSED = range(60, 100)


def shot(depth: float = 0.004) -> list:
    return [frame_of(finger_at(depth if k in PRESSED else -0.06), k) for k in range(FRAMES)]


def write(folder, frames, near=PRESSED) -> list[int]:
    writer = ShotWriter(folder, TEMPLATE, len(frames), LONGEST, 24.0)
    for k, frame in enumerate(frames):
        writer.add(frame, k in near)
    return writer.finish()


def test_a_shot_is_cut_into_equal_pieces():
    assert bounds(LEAST - 1, 240) == []
    assert bounds(200, 240) == [(0, 200)]
    assert bounds(500, 240) == [(0, 167), (167, 333), (333, 500)]


def test_pieces_begin_where_no_hand_is_near(tmp_path):
    assert write(tmp_path, shot()) == [FIRST_SEED, FIRST_SEED + 1]  # nothing touches in the third
    first, second = (ShotPiece.load(tmp_path, FIRST_SEED + k) for k in range(2))
    assert (first.lead, len(first)) == (0, LONGEST)
    assert (second.lead, len(second)) == (LONGEST - 59, LONGEST + LONGEST - 59)  # from frame 59, the last one clear
    frames = shot()
    for k in (0, second.lead, len(second) - 1):
        assert np.array_equal(second.frame(k).right, frames[59 + k].right)
        assert np.array_equal(second.frame(k).head, frames[59 + k].head)
        assert second.frame(k).left is None
    with pytest.raises(CacheError, match="no piece"):
        ShotPiece.load(tmp_path, FIRST_SEED + 2)


def test_without_bones_the_motion_of_the_skull_is_fitted(tmp_path):
    frames = [replace(frame, cranium=None, jaw=None) for frame in shot()]
    write(tmp_path, frames)
    pose = HeadTracking(TEMPLATE).pose(frames[70])
    assert np.allclose(ShotPiece.load(tmp_path, FIRST_SEED).cranium[70], pose.cranium)


def test_a_hand_that_never_leaves_leads_in_for_one_piece(tmp_path):
    frames = [frame_of(finger_at(-0.002), k) for k in range(FRAMES)]
    assert len(write(tmp_path, frames, range(FRAMES))) == 3
    assert [ShotPiece.load(tmp_path, FIRST_SEED + k).lead for k in range(3)] == [0, LONGEST, LONGEST]


def test_a_piece_is_recorded_with_its_history(tmp_path):
    folder = cast_folder(tmp_path)
    seeds = write(folder, shot())
    make_plan(folder, LONGEST)
    assert drive(record_dataset(folder, seeds, processes=1)) == seeds
    recording = Recording.load(sequence_path(folder, seeds[1]))
    assert len(recording) == LONGEST and recording.touching[0].any()
    # As the physics has it that is stepped through all of the shot.
    piece = ShotPiece.load(folder, seeds[1])
    whole, _ = record(TEMPLATE, PhysicsSettings.load("default"), 0, piece, {"R": FINGER.triangles})
    assert np.array_equal(recording.deformation, whole.deformation[piece.lead :])
    assert Recorder(folder).sequence(seeds[1])["seconds"] == 0.0  # not made twice


def test_only_what_has_changed_is_made_again(tmp_path):
    seeds = write(tmp_path, shot())
    generated = sequence_path(tmp_path, 3)
    recorded = [sequence_path(tmp_path, seed) for seed in seeds]
    for path in (generated, *recorded):
        path.write_bytes(b"recorded")
    assert write(tmp_path, shot()) == seeds
    assert all(path.exists() for path in (generated, *recorded))
    changed = shot()
    changed[150] = frame_of(finger_at(-0.05), 150)
    write(tmp_path, changed)
    assert [path.exists() for path in (generated, *recorded)] == [True, True, False]
    piece_path(tmp_path, seeds[0]).write_bytes(b"damaged")
    write(tmp_path, changed)
    assert not recorded[0].exists() and ShotPiece.load(tmp_path, seeds[0])
    assert write(tmp_path, changed[: LEAST - 1]) == piece_seeds(tmp_path) == []
    assert generated.exists()


def test_the_network_is_judged_on_generated_sequences_only():
    assert unseen_seeds([0, 1, FIRST_SEED, FIRST_SEED + 1]) == [1]
