# SPDX-License-Identifier: GPL-3.0-or-later
"""CSVs of face captures: read back to their numbers and times; damaged ones refused; names of shape keys."""

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks.face_capture import EXPRESSIONS, keys_for, read_face_capture

HEADER = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in EXPRESSIONS)]
ROTATIONS = [f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll")]


def timecodes(count, base, step=1.0, first=12.0, mark=":"):
    """Of rows `step` numbers apart; the app adds parts of a frame."""
    result = []
    for k in range(count):
        number = first + step * k
        second, frame = divmod(number, base)
        result.append(f"13:{int(second) // 60:02}:{int(second) % 60:02}{mark}{frame:06.3f}")
    return result


def table(times, values, rotation=None):
    rows = [",".join(HEADER + ROTATIONS)]
    for k, (time, row) in enumerate(zip(times, values, strict=True)):
        turned = [*(rotation[k] if rotation is not None else (0, 0, 0)), *[0.0] * 6]
        rows.append(",".join([time, "61", *(f"{v:.10f}" for v in [*row, *turned])]))
    return "\n".join(rows) + "\n"


def written(tmp_path, text, name="take.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


VALUES = np.random.default_rng(0).random((100, 52))


def test_round_trip(tmp_path):
    rotation = np.random.default_rng(1).normal(0, 0.2, (100, 3))
    capture = read_face_capture(written(tmp_path, table(timecodes(100, 60, 2.0), VALUES, rotation)))
    order = [EXPRESSIONS.index(name) for name in capture.names]
    assert sorted(order) == list(range(52))
    assert np.allclose(capture.weights, VALUES[:, order], atol=1e-9)
    assert np.allclose(capture.rotation, rotation, atol=1e-9)
    assert np.allclose(capture.times, np.arange(100) / 30, atol=1e-4) and np.isclose(capture.step, 1 / 30, atol=1e-4)
    assert capture.notes == ()


@pytest.mark.parametrize("base", [24, 25, 30, 48, 50, 60, 120, 1000])
def test_what_timecodes_count_is_found(tmp_path, base):
    step = 16 if base == 1000 else 1
    capture = read_face_capture(written(tmp_path, table(timecodes(100, base, step, base - 7), VALUES[:100])))
    expected = np.arange(100) * step / base
    assert np.allclose(capture.times, expected, atol=1e-4) if base * 2 < 100 * step else capture.times[-1] > 0
    if base <= 60:
        assert np.isclose(capture.step, 1 / base)


def test_rows_of_thirty_a_second_in_timecodes_of_sixty_with_parts_of_frames(tmp_path):
    times = timecodes(100, 60, 1.99972, 31.652)
    capture = read_face_capture(written(tmp_path, table(times, VALUES)))
    assert np.allclose(capture.times, np.arange(100) * 1.99972 / 60, atol=1e-4)


def test_numbers_dropped_at_29_97_are_no_dropped_frames(tmp_path):
    numbers = [k for k in range(1700, 1900) if k not in (1800, 1801)][:100]
    times = [f"00:{k // 1800:02}:{k % 1800 // 30:02};{k % 30:02}" for k in numbers]
    capture = read_face_capture(written(tmp_path, table(times, VALUES)))
    assert np.allclose(np.diff(capture.times), 1.001 / 30) and capture.notes == ()


def test_a_rate_of_29_97_counted_as_30(tmp_path):
    path = written(tmp_path, table(timecodes(100, 30), VALUES))
    assert np.allclose(read_face_capture(path, 30 / 1.001).times, np.arange(100) * 1.001 / 30)
    assert np.allclose(read_face_capture(path, 24).times, np.arange(100) / 30)  # that of another take


def test_dropped_and_unseen_frames_are_gaps(tmp_path):
    lines = table(timecodes(100, 60), VALUES).splitlines()
    lines[40] = lines[40].split(",")[0] + ",0"
    lines[41] = lines[41].split(",")[0] + ",0" + "," * 61
    del lines[20:23]
    capture = read_face_capture(written(tmp_path, "\n".join(lines)))
    assert len(capture.times) == 97 and np.isclose(capture.times[-1], 99 / 60, atol=1e-4)
    assert "3 frames were dropped" in capture.notes[0] and "no face was seen in 2 frames" in capture.notes[1]
    assert np.isnan(capture.weights).all(1).sum() == 2


def test_midnight(tmp_path):
    times = ["23:59:59:58", "23:59:59:59", "00:00:00:00", "00:00:00:01"]
    capture = read_face_capture(written(tmp_path, table(times, VALUES[:4])))
    assert np.allclose(capture.times, np.arange(4) / 60)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.05, 0.5, 0.93])
def test_a_truncated_table_is_refused(tmp_path, keep):
    text = table(timecodes(100, 60), VALUES)
    with pytest.raises(TrackError, match=r"take\.csv"):
        read_face_capture(written(tmp_path, text[: int(keep * len(text))]))


WHOLE = table(timecodes(4, 60), VALUES[:4])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01\x02" * 50,
        "a,b\n1,2\n",
        "Timecode,JawOpen\n00:00:00:00,1\n",
        WHOLE.replace("13:00:00", "soon", 1),
        WHOLE.replace("13:00:00:13", "13:00:00:11"),
        WHOLE.replace("61,0", "61,zero", 1),
        WHOLE.replace("61,0", "61,inf,0", 1),
        WHOLE.replace("61,0.", "61,nan#", 1),
        WHOLE.replace("61,0.", "61,99999.", 1),
        WHOLE.replace("61,0.", "61,inf", 1),
        WHOLE + '"' + "x" * 200_000,
        "\n".join(line if k == 0 else line.split(",")[0] + ",0" for k, line in enumerate(WHOLE.splitlines())),
        '=cmd|"/C calc"!A0\n' + WHOLE,
    ],
    ids=range(14),
)
def test_hostile_tables_are_refused(tmp_path, data):
    with pytest.raises(TrackError, match=r"take\.csv"):
        read_face_capture(written(tmp_path, data))


def test_a_table_that_is_too_large_is_not_read(tmp_path):
    path = written(tmp_path, WHOLE)
    with path.open("r+b") as stream:
        stream.truncate(10 << 30)  # takes no room on the disk
    with pytest.raises(TrackError, match="larger"):
        read_face_capture(path)


@pytest.mark.parametrize(
    ("key", "expression"),
    [
        ("jawOpen", "jawOpen"),
        ("JawOpen", "jawOpen"),
        ("jaw_open", "jawOpen"),
        ("eyeBlink_L", "eyeBlinkLeft"),
        ("eyeBlink.R", "eyeBlinkRight"),
        ("EYEBLINKLEFT", "eyeBlinkLeft"),
        ("ARKit_mouthSmileLeft", "mouthSmileLeft"),
        ("head.mouthLeft", "mouthLeft"),
        ("cheekPuff_L", "cheekPuff"),
        ("browInnerUp.R", "browInnerUp"),
        ("Jaw_L", "jawLeft"),
    ],
)
def test_names_of_shape_keys(key, expression):
    assert keys_for(["Basis", key, "smile"]) == {expression: [key]}


def test_correctives_and_second_names_are_left_alone():
    assert keys_for(["jawOpen", "mouthClose", "jawOpen_mouthClose", "old_jawOpen"]) == {
        "jawOpen": ["jawOpen"],
        "mouthClose": ["mouthClose"],
    }
    assert keys_for(["jawOpen_mouthClose", "upperlid"]) == {}
    assert keys_for(EXPRESSIONS) == {name: [name] for name in EXPRESSIONS}
