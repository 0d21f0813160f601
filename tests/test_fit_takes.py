# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of landmarks and cameras: round trips, and files that are damaged, foreign or hostile."""

import json
import struct

import numpy as np
import pytest
from nephim.errors import NephimError, TrackError
from nephim.fit.cameras import read_cameras
from nephim.fit.takes import read_landmark_take
from nephim.tracks.pose_format import read_pose
from test_fit import camera

RNG = np.random.default_rng(0)
HAND = RNG.normal(size=(5, 21, 3))


def text(string):
    raw = string.encode()
    return struct.pack("<H", len(raw)) + raw


def pose_file(path, points, confidence, version=0.2, rate=25.0, components=(("LEFT_HAND_LANDMARKS", 21),)):
    """points: (f, people, n, 3); confidence: (f, people, n)."""
    parts = [struct.pack("<f4H", version, 640, 480, 0, len(components))]
    for name, count in components:
        parts += [text(name), text("XYZC"), struct.pack("<3H", count, 1, 1)]
        parts += [text(f"p{k}") for k in range(count)]
        parts.append(struct.pack("<5H", 0, 1, 255, 0, 0))
    frames, people = points.shape[:2]
    times = ("<fIH", rate) if version > 0.15 else ("<3H", int(rate))
    parts.append(struct.pack(*times, frames, people))
    parts += [points.astype("<f4").tobytes(), confidence.astype("<f4").tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def calibration(path, *cameras):
    tables = {
        c.name: {"name": c.name, "size": list(c.size), "matrix": c.matrix.tolist(),
                 "distortions": c.distortion.tolist(), "rotation": c.rotation.tolist(),
                 "translation": c.translation.tolist()}
        for c in cameras
    }  # fmt: skip
    path.write_text(json.dumps(tables | {"metadata": {"error": 0.3}}))
    return path


def refused(call, *expected):
    with pytest.raises(TrackError) as error:
        call()
    for part in expected:
        assert part in str(error.value)
    assert error.value.advice


# Landmarks


def test_points_in_space_with_labels(tmp_path):
    np.savez(tmp_path / "take.npz", right_hand=HAND, contact_right=np.array([0, 1, 1, 0, 0]), fps=50.0)
    take = read_landmark_take([tmp_path / "take.npz"])
    assert list(take.observed) == ["right"]
    assert np.array_equal(take.observed["right"].points, HAND)
    assert take.labels["right"].tolist() == [False, True, True, False, False]
    assert take.frame_rate == 50


@pytest.mark.parametrize("version", [0.1, 0.2])
def test_pose_format(tmp_path, version):
    points, confidence = RNG.normal(size=(4, 2, 22, 3)), np.ones((4, 2, 22))
    confidence[1, 0, :] = 0
    components = (("POSE_LANDMARKS", 1), ("LEFT_HAND_LANDMARKS", 21))
    read = read_pose(pose_file(tmp_path / "a.pose", points, confidence, version, components=components))
    assert np.allclose(read.points["left"][[0, 2, 3]], points[[0, 2, 3], 0, 1:], atol=1e-6)
    assert np.isnan(read.points["left"][1]).all()
    assert read.frame_rate == 25


@pytest.mark.parametrize("cut", [0, 3, 12, 30, 200, -1])
def test_a_truncated_pose_file_is_refused(tmp_path, cut):
    path = pose_file(tmp_path / "a.pose", RNG.normal(size=(4, 1, 21, 3)), np.ones((4, 1, 21)))
    path.write_bytes(path.read_bytes()[:cut])
    refused(lambda: read_pose(path), "a.pose")


def test_a_pose_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = pose_file(tmp_path / "a.pose", RNG.normal(size=(4, 1, 21, 3)), np.ones((4, 1, 21)))
    raw = bytearray(path.read_bytes())
    at = len(raw) - 4 * 4 * 21 * 4 - 6
    raw[at : at + 4] = struct.pack("<I", 2**32 - 1)
    path.write_bytes(raw)
    refused(lambda: read_pose(path), "too early")


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_of_a_pose_file_never_end_in_a_traceback(tmp_path, seed):
    path = pose_file(tmp_path / "a.pose", RNG.normal(size=(4, 1, 21, 3)), np.ones((4, 1, 21)))
    raw, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for at in rng.integers(0, 260, 4):
        raw[at] = rng.integers(256)
    path.write_bytes(raw)
    try:
        assert read_pose(path).points
    except NephimError as error:
        assert error.advice


def test_points_in_an_image_need_a_camera(tmp_path):
    np.savez(tmp_path / "take.npz", left_hand=HAND[..., :2])
    refused(lambda: read_landmark_take([tmp_path / "take.npz"]), "image", "--cameras")


def test_labels_of_another_length_are_refused(tmp_path):
    np.savez(tmp_path / "take.npz", left_hand=HAND, contact_left=np.zeros(3))
    refused(lambda: read_landmark_take([tmp_path / "take.npz"]), "contact_left")


@pytest.mark.parametrize("name", ["take.txt", "take.npz", "take.json", "take.pose"])
def test_something_else_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else entirely, and long enough to be read as a header")
    refused(lambda: read_landmark_take([tmp_path / name]), name)
    refused(lambda: read_landmark_take([tmp_path / f"no-{name}"]), f"no-{name}")


def test_names_of_ones_own(tmp_path):
    np.savez(tmp_path / "take.npz", names=["wrist", "tip", "nose"], points=HAND[:, :3], fps=30)
    (tmp_path / "map.toml").write_text('[left]\n0 = "wrist"\n8 = "tip"\n[face]\n1 = "nose"\n')
    take = read_landmark_take([tmp_path / "take.npz"], names=tmp_path / "map.toml")
    assert np.array_equal(take.observed["left"].points[:, [0, 8]], HAND[:, :2])
    assert np.isnan(take.observed["left"].points[:, 1:8]).all()
    assert np.array_equal(take.observed["face"].points[:, 1], HAND[:, 2])


@pytest.mark.parametrize(
    "content",
    ["", "[left]\n0 = ", '[foot]\n0 = "wrist"', '[left]\n21 = "wrist"', '[left]\nx = "wrist"', '[left]\n0 = "no"'],
)
def test_a_map_that_does_not_fit_is_refused(tmp_path, content):
    np.savez(tmp_path / "take.npz", names=["wrist", "tip"], points=HAND[:, :2])
    (tmp_path / "map.toml").write_text(content)
    refused(lambda: read_landmark_take([tmp_path / "take.npz"], names=tmp_path / "map.toml"), "map.toml")


# Cameras


@pytest.mark.parametrize("shares", [False, True])
def test_several_cameras_are_triangulated(tmp_path, shares):
    cameras = [camera(-0.5, "left eye"), camera(0.5, "right eye")]
    points = 0.05 * HAND
    for c in reversed(cameras):
        pixels = c.project(points) / (c.size if shares else 1)
        np.savez(tmp_path / f"{c.name}.npz", left_hand=pixels)
    files = [tmp_path / f"{name}.npz" for name in ("right eye", "left eye")]  # by name, in any order
    take = read_landmark_take(files, calibration(tmp_path / "calibration.json", *cameras))
    assert np.abs(take.observed["left"].points - points).max() < 1e-6


def test_more_files_than_cameras_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", left_hand=HAND[..., :2])
    made = calibration(tmp_path / "c.json", camera(0.1, "x"), camera(0.2, "y"))
    refused(lambda: read_landmark_take([tmp_path / "a.npz"], made), "1 files", "x, y")


SIZE = "[a]\nsize = [10, 10]\n"
MATRIX = "matrix = [[1000, 0, 640], [0, 1000, 480], [0, 0, 1]]\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "no camera"),
        ("[a]\nname =", "no calibration"),
        ("[a]\n" + MATRIX, "size"),
        ("[a]\nsize = [0, 10]\n" + MATRIX, "no camera's"),
        ("[a]\nsize = [10, 10]\nmatrix = [[1, 2], [3, 4]]", "shape"),
        ("[a]\nsize = [10, 10]\nmatrix = [[nan, 0, 1], [0, 1, 1], [0, 0, 1]]", "numbers"),
        ("[a]\nsize = [10, 10]\ndistortions = [1, 2]\n" + MATRIX, "distortions"),
        (SIZE + "rotation = [[2, 0, 0], [0, 1, 0], [0, 0, 1]]\ntranslation = [0, 0, 0]\n" + MATRIX, "rotation"),
        ("[a]\nsize = [10, 10]\n" + MATRIX + "[b]\nsize = [10, 10]\n" + MATRIX, "no place"),
    ],
)  # fmt: skip
def test_a_calibration_that_is_none_is_refused(tmp_path, content, expected):
    (tmp_path / "c.toml").write_text(content)
    refused(lambda: read_cameras(tmp_path / "c.toml"), "c.toml", expected)


def test_one_camera_may_have_no_place(tmp_path):
    (tmp_path / "c.toml").write_text("[a]\nsize = [1280, 960]\n" + MATRIX)
    (only,) = read_cameras(tmp_path / "c.toml")
    assert not only.placed
    assert np.allclose(only.directions(np.array([640.0, 480.0])), [0, 0, 1])
