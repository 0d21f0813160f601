# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of landmarks: read back to their numbers; damaged and hostile ones refused."""

import json

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks.landmarks import read_landmarks
from test_tracks_meshes import BIG, OBJECTS, zipped

RANDOM = np.random.default_rng(0)
LEFT, FACE = RANDOM.random((5, 21, 3)), RANDOM.random((5, 468, 3))


def test_npz_and_npy(tmp_path):
    np.savez(tmp_path / "take.npz", left_hand=LEFT, face_landmarks=FACE.astype(np.float32), fps=25, other=np.zeros(3))
    read = read_landmarks(tmp_path / "take.npz")
    assert set(read.points) == {"left", "face"} and read.frame_rate == 25
    assert np.array_equal(read.points["left"], LEFT) and np.allclose(read.points["face"], FACE, atol=1e-6)
    np.save(tmp_path / "right_hand.npy", LEFT)
    assert np.array_equal(read_landmarks(tmp_path / "right_hand.npy").points["right"], LEFT)


def points(array):
    return [dict(zip("xyz", map(float, point), strict=True)) for point in array]


@pytest.mark.parametrize("form", ["lists", "frames", "bare frames"])
def test_json(tmp_path, form):
    gone = LEFT.copy()
    gone[2] = np.nan
    hands = [array.tolist() if k != 2 else None for k, array in enumerate(LEFT)]
    frames = [{"leftHandLandmarks": points(a) if k != 2 else [], "time": k} for k, a in enumerate(LEFT)]
    value = {"fps": 30, "left_hand": hands} if form == "lists" else {"frame_rate": 30, "frames": frames}
    (tmp_path / "a.json").write_text(json.dumps(frames if form == "bare frames" else value))
    read = read_landmarks(tmp_path / "a.json")
    assert np.array_equal(read.points["left"], gone, equal_nan=True) and set(read.points) == {"left"}
    assert read.frame_rate == (None if form == "bare frames" else 30)


def test_landmarks_with_a_place_come_before_those_of_the_hand_alone(tmp_path):
    np.savez(tmp_path / "a.npz", left_hand_world_landmarks=0 * LEFT, left_hand_landmarks=LEFT)
    assert np.array_equal(read_landmarks(tmp_path / "a.npz").points["left"], LEFT)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["json", "npz"])
def test_a_truncated_file_is_refused(tmp_path, kind, keep):
    path = tmp_path / f"a.{kind}"
    if kind == "npz":
        np.savez(path, left_hand=LEFT)
    else:
        path.write_text(json.dumps({"left_hand": LEFT.tolist()}))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(TrackError, match=rf"a\.{kind}"):
        read_landmarks(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"[" * 200_000),
        ("a.json", b"{}"),
        ("a.json", b"3"),
        ("a.json", b"[1, 2]"),
        ("a.json", b"\xff\xfe\x00"),
        ("a.json", b'{"left_hand": [[["a", 1, 2]]]}'),
        ("a.json", b'{"left_hand": [[[1, 2, 3]], [[1, 2]]]}'),
        ("a.json", b'{"left_hand": [[{"x": 1, "y": {}}]]}'),
        ("a.json", b'{"left_hand": [' + b"9" * 5000 + b"]}"),
        ("a.json", json.dumps({"left_hand": LEFT[:, :20].tolist()}).encode()),
        ("a.json", json.dumps({"left_hand": LEFT.tolist(), "face": FACE[:3].tolist()}).encode()),
        ("a.json", json.dumps({"left_hand": [None, []]}).encode()),
        ("a.npz", zipped(BIG)),
        ("a.npz", zipped(OBJECTS)),
        ("left_hand.npy", BIG),
        ("left_hand.npy", OBJECTS),
    ],
    ids=range(16),
)
def test_hostile_files_are_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TrackError, match=name):
        read_landmarks(tmp_path / name)


def test_a_text_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as stream:
        stream.truncate(10 << 30)  # takes no room on the disk
    with pytest.raises(TrackError, match="larger"):
        read_landmarks(path)
