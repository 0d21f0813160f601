# SPDX-License-Identifier: GPL-3.0-or-later
"""The point cache keeps its promises: what it calls finished is there, to the last bit, whatever happened."""

import json
import os
import shutil
import struct
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nephim.bridge.cache.folder import folder_beside
from nephim.bridge.cache.manifest import Manifest, fingerprint, last_rest, motion_fingerprint
from nephim.bridge.cache.point_cache import (
    HEADER,
    PointCache,
    PointCacheWriter,
    cache_status,
    manifest_path,
)
from nephim.errors import CacheError
from nephim.sim.frame import TrackedFrame

FRAMES = range(5, 11)


def open_writer(path, n=7, frames=FRAMES, topology="t", settings_="s", hands=()):
    return PointCacheWriter(
        path, object_name="Head", n_vertices=n, frames=frames, topology=topology, settings=settings_, hands=hands
    )


def positions(frame, n=7):
    return np.random.default_rng(frame).random((n, 3)).astype(np.float32)


def write(path, upto=FRAMES.stop, **options):
    with open_writer(path, **options) as writer:
        for frame in range(writer.next_frame, upto):
            writer.write(frame, positions(frame), f"motion {frame}", {"ms": frame})


def status(path, **changes):
    known = {"topology": "t", "settings": "s", "frames": FRAMES} | changes
    return cache_status(path, **known)


@settings(max_examples=40, deadline=None)
@given(
    data=arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9), st.just(3)), elements=st.floats(-1e6, 1e6, width=32)
    ),
    start=st.integers(-50, 1000),
)
def test_round_trip_is_exact(tmp_path_factory, data, start):
    path = tmp_path_factory.mktemp("pc2") / "simulation.pc2"
    frames = range(start, start + len(data))
    with open_writer(path, n=data.shape[1], frames=frames) as writer:
        for frame, values in zip(frames, data, strict=True):
            writer.write(frame, values, str(frame))
    cache = PointCache(path)
    assert cache.complete and cache.frames == frames
    for frame, values in zip(frames, data, strict=True):
        assert np.array_equal(cache.read(frame), values)


def test_file_is_a_pc2_as_blender_reads_it(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path)
    raw = path.read_bytes()
    assert raw[:12] == b"POINTCACHE2\0"
    assert struct.unpack("<iiffi", raw[12:32]) == (1, 7, 5.0, 1.0, 6)
    assert np.array_equal(np.frombuffer(raw[32:], "<f4").reshape(6, 7, 3)[2], positions(7))


def test_status_tells_what_still_holds(tmp_path):
    path = tmp_path / "simulation.pc2"
    assert status(path).state == "missing"
    write(path, upto=8)
    partial = status(path)
    assert (partial.state, partial.done) == ("partial", 3)
    write(path)
    motion = [f"motion {frame}" for frame in FRAMES]
    assert status(path, motion=motion) == status(path)
    assert status(path).state == "valid"
    assert status(path, topology="other").state == "stale"
    assert status(path, settings="other").state == "stale"
    assert status(path, frames=range(4, 11)).state == "stale"
    assert status(path, frames=range(5, 13)).state == "partial"
    motion[4] = "changed"
    changed = status(path, motion=motion)
    assert (changed.state, changed.done) == ("stale", 4)
    assert "frame 9" in changed.reason


def test_resumes_after_the_last_saved_frame(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path, upto=8)
    with open_writer(path) as writer:
        assert writer.next_frame == 8
        assert writer.holds(6, "motion 6") and not writer.holds(6, "other") and not writer.holds(9, "motion 9")
    write(path)
    cache = PointCache(path)
    assert all(np.array_equal(cache.read(frame), positions(frame)) for frame in FRAMES)
    assert cache.manifest.statistics[0] == {"ms": 5.0}


def test_a_crash_in_mid_write_is_not_called_finished(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path, upto=7)
    writer = open_writer(path)
    writer.write(7, positions(7), "motion 7")  # never saved: the process is gone
    writer._stream.close()
    assert PointCache(path).frames == range(5, 7)


def test_writing_a_frame_again_forgets_what_followed(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path)
    with open_writer(path) as writer:
        writer.write(7, positions(99), "new")
        assert Manifest.load(manifest_path(path)).done == 2  # on disk before the data are touched
    cache = PointCache(path)
    assert cache.frames == range(5, 8) and np.array_equal(cache.read(7), positions(99))


def test_longer_range_keeps_what_is_there(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path)
    with open_writer(path, frames=range(5, 20)) as writer:
        assert writer.next_frame == 11
    assert np.array_equal(PointCache(path).read(10), positions(10))


def test_changed_settings_start_again(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path)
    with open_writer(path, settings_="other") as writer:
        assert writer.next_frame == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "",
        lambda text: json.dumps(json.loads(text) | {"motion": 3}),
        lambda text: json.dumps(json.loads(text) | {"motion": [1, 2]}),
        lambda text: json.dumps(json.loads(text) | {"checksums": []}),
        lambda text: json.dumps(json.loads(text) | {"n_vertices": 8}),
        lambda text: json.dumps(json.loads(text) | {"format": 99}),
    ],
)
def test_damaged_manifest(tmp_path, damage):
    path = tmp_path / "simulation.pc2"
    write(path)
    manifest = manifest_path(path)
    manifest.write_text(damage(manifest.read_text()))
    with pytest.raises(CacheError, match=r"Simulate again"):
        PointCache(path)
    assert status(path).state == "missing"
    write(path)
    assert PointCache(path).complete


def test_damaged_positions_are_noticed(tmp_path):
    path = tmp_path / "simulation.pc2"
    write(path)
    raw = bytearray(path.read_bytes())
    raw[HEADER.size + 12 * 7 + 5] ^= 1
    path.write_bytes(raw)
    cache = PointCache(path)
    cache.read(5)
    with pytest.raises(CacheError, match=r"frame 6: .*damaged"):
        cache.read(6)
    path.write_bytes(raw[:-4])
    with pytest.raises(CacheError, match="not a whole point cache"):
        PointCache(path)


def test_disk_full(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 10))
    with pytest.raises(CacheError, match=r"simulation.pc2 needs .* MB, but only .*Free disk space"):
        write(tmp_path / "simulation.pc2")
    assert not list(tmp_path.iterdir())


def test_disk_full_in_the_middle_keeps_finished_frames(tmp_path, monkeypatch):
    path = tmp_path / "simulation.pc2"
    write(path, upto=8)
    writer = open_writer(path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(CacheError, match=r"No space left on device.*finished frames are kept"):
        writer.write(8, positions(8), "motion 8"), writer.save()
    monkeypatch.undo()
    writer._stream.close()
    assert PointCache(path).frames == range(5, 8)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CacheError, match=r"could not be written.*make the folder writable"):
        write(tmp_path / "file" / "simulation.pc2")


def test_refuses_what_is_not_finite(tmp_path):
    with open_writer(tmp_path / "simulation.pc2") as writer:
        bad = positions(5)
        bad[3, 1] = np.nan
        with pytest.raises(CacheError, match=r"'Head', frame 5, vertex 3"):
            writer.write(5, bad, "")


def test_unsaved_blend():
    with pytest.raises(CacheError, match=r"never been saved.*Save it first"):
        folder_beside("")
    assert folder_beside("/a/film.blend").path.name == "film.nephim"


def tracked(n=4, **changes):
    values = {"head": positions(0, n), "left": positions(1), "right": None, "cranium": np.eye(4)}
    return TrackedFrame(**(values | changes))


def test_motion_fingerprint_sees_every_part():
    base = motion_fingerprint(tracked())
    assert base == motion_fingerprint(tracked(frame=3))  # a message, no motion
    moved = positions(1)
    moved[2, 0] = np.nextafter(moved[2, 0], np.float32(2))
    others = [tracked(left=moved), tracked(left=None, right=positions(1)), tracked(cranium=None), tracked(time=0.1)]
    assert len({base, *map(motion_fingerprint, others)}) == 5


def test_fingerprint_knows_types_and_shapes():
    a = np.zeros((2, 3), np.float32)
    different = [[a], [a.reshape(3, 2)], [a.astype(np.float64)[:, :]], [a, None], ["0"], [0], [{"b": 1, "a": 2}]]
    assert len({fingerprint(d) for d in different}) == len(different)
    assert fingerprint([{"b": 1, "a": 2}]) == fingerprint([{"a": 2, "b": 1}])


def test_an_object_moves_only_where_it_was_moved():
    ObjectState = pytest.importorskip("nephim.bridge.surfaces").ObjectState  # imports bpy
    from nephim.bridge.cache.moved import MovedObject
    from nephim.bridge.rig import Part

    rows = {"head": np.array([1, 3, 4]), "left": np.array([0, 5])}
    local = positions(3, 6)
    matrix = np.array([[0, -2, 0, 1], [1.5, 0, 0, 2], [0, 0, 0.5, 3], [0, 0, 0, 1]], float)
    world = (local @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    parts = {role: Part("Body", role, chosen, np.zeros((0, 3)), 6) for role, chosen in rows.items()}
    body, state = MovedObject("Body", 6, parts), ObjectState(local, matrix)
    still = TrackedFrame(head=world[rows["head"]], left=world[rows["left"]], right=None)
    moved = {role: getattr(still, role).copy() for role in rows}
    assert np.array_equal(body.positions(state, still, replace(still, **moved)), local)
    moved["head"][1] += np.float32([0.25, 0.5, 0.125])
    moved["left"][1] -= np.float32([0.25, 0.5, 0.125])
    result = body.positions(state, still, replace(still, **moved))
    assert np.array_equal(result[[0, 1, 2, 4]], local[[0, 1, 2, 4]])
    np.testing.assert_allclose(matrix[:3, :3] @ result[3] + matrix[:3, 3], moved["head"][1], atol=1e-6)
    np.testing.assert_allclose(matrix[:3, :3] @ result[5] + matrix[:3, 3], moved["left"][1], atol=1e-6)
    held = body.positions(state, still, replace(still, **moved), missing=("left",))
    assert np.array_equal(held[5], local[5]) and np.array_equal(held[3], result[3])


def test_a_hand_without_a_position_is_stored_at_its_origin():
    ObjectState = pytest.importorskip("nephim.bridge.surfaces").ObjectState
    from nephim.bridge.cache.moved import MovedObject
    from nephim.bridge.rig import Part

    still = TrackedFrame(head=positions(1), left=positions(2), right=None)
    hand = MovedObject("Left", 7, {"left": Part("Left", "", np.arange(7), np.zeros((0, 3)), 7)})
    gone = ObjectState(np.full((7, 3), np.nan, np.float32), np.zeros((4, 4)))
    assert np.array_equal(hand.positions(gone, still, replace(still, left=positions(3)), ("left",)), np.zeros((7, 3)))


def test_which_hands_yield_is_kept_and_older_manifests_have_none(tmp_path):
    path = tmp_path / "simulation.pc2"
    with open_writer(path, hands=["left"]) as writer:
        writer.write(FRAMES.start, positions(FRAMES.start), "motion")
    assert PointCache(path).manifest.hands == ["left"]
    stored = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps({name: value for name, value in stored.items() if name != "hands"}))
    assert PointCache(path).manifest.hands == []
    for wrong in ("left", ["third"], [1]):
        manifest_path(path).write_text(json.dumps(stored | {"hands": wrong}))
        with pytest.raises(CacheError, match="is damaged: 'hands'"):
            PointCache(path)


@pytest.mark.parametrize(("remembered", "expected"), [(0, 19), (1, 18), (2, 13), (3, 12), (4, 10)])
def test_where_a_run_resumes(remembered: int, expected: int):
    """Frames 10 to 20: at rest in 12 to 15 and in 18 and 19."""
    resting = {"displacement_mm": 0.0, "contacts": 0.0, "substeps": 0.0}
    touching = {"displacement_mm": 1.0, "contacts": 3.0, "substeps": 2.0}
    statistics = [resting if frame in (12, 13, 14, 15, 18, 19) else touching for frame in range(10, 20)]
    assert last_rest(statistics, range(10, 30), 20, remembered) == expected


def test_no_run_resumes_while_a_hand_is_flattened():
    resting = {"displacement_mm": 0.0, "contacts": 0.0, "substeps": 0.0}
    statistics = [resting, resting | {"left_displacement_mm": 0.1}, resting | {"left_displacement_mm": 0.0}, resting]
    assert last_rest(statistics, range(10, 30), 14, 1) == 12
    assert last_rest(statistics, range(10, 30), 12, 0) == 10
