# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that yield: the setting, what it makes stale, and what is cached of them."""

import io
from dataclasses import replace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.moved import HandCaches, MovedWriter, hand_path, moved_objects  # noqa: E402
from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.cache.point_cache import PointCache, manifest_path  # noqa: E402
from nephim.bridge.cache.results import ResultReader  # noqa: E402
from nephim.bridge.plan import read_method  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.choices import YIELDING_HANDS  # noqa: E402
from nephim.errors import CacheError  # noqa: E402
from nephim.operators import simulate  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.frame import SimulatedFrame, TrackedFrame  # noqa: E402
from yielding import DENT, scene_with_volume, swollen  # noqa: E402

pytestmark = pytest.mark.bpy

ENDS = (".pc2", ".json")


def test_a_result_without_hands_of_its_own_has_those_tracked():
    skin = np.zeros((4, 3), np.float32)
    tracked = TrackedFrame(skin, skin + 1, None)
    plain = SimulatedFrame(skin, skin, np.zeros(0, np.int32))
    assert plain.yielded == {} and plain.resolved(tracked) is tracked
    yielded = SimulatedFrame(skin, skin, np.zeros(0, np.int32), left=skin + 2)
    assert list(yielded.yielded) == ["left"]
    assert np.array_equal(yielded.resolved(tracked).left, skin + 2) and yielded.resolved(tracked).right is None


def test_the_setting_makes_a_simulation_another_one_only_where_hands_can_yield():
    scene = scenes.build()
    scene.nephim.yielding_hands = False
    rigid = read_method(scene)
    assert not rigid.hands_yield
    assert simulate.choose(scene, yielding_hands=True) and not simulate.choose(scene)
    yielding = read_method(scene)
    assert yielding.hands_yield and yielding.fingerprint("volume") != rigid.fingerprint("volume")
    fingerprints = []
    for hands in (False, True):
        simulate.choose(scene, mode="surface", yielding_hands=hands)
        assert not read_method(scene).hands_yield
        fingerprints.append(read_method(scene).fingerprint("volume"))
    assert fingerprints[0] == fingerprints[1]


def test_command_line(capsys):
    def hands(text):
        return cli.build_parser(True).parse_args(["simulate", "a.blend", *text.split()]).yielding_hands

    assert (hands(""), hands("--yielding-hands"), hands("--rigid-hands")) == (None, True, False)
    assert cli.parse(["simulate", "a.blend", "--rigid-hands", "--yielding-hands"], True)[0] == cli.EXIT_USAGE
    assert "not allowed with" in capsys.readouterr().err
    assert bpy.context.scene.nephim.yielding_hands == YIELDING_HANDS


@pytest.fixture()
def yielding(tmp_path, monkeypatch):
    """A scene with its volume, whose hands yield as `yielding.swollen` says."""
    return scene_with_volume(tmp_path, monkeypatch)


def run(job):
    return drive(job, io.StringIO())


def hands_expected(scene):
    """By frame and side, how far the hands are to be moved, world [m]."""
    with SurfaceReader(scene, read_rig(scene)) as reader:
        frames = [reader.read(frame) for frame in read_rig(scene).frames]
    return [{side: hand - getattr(tracked, side) for side, hand in swollen(tracked).items()} for tracked in frames]


def hands_stored(scene):
    with ResultReader(scene) as result:
        read = [result.read(frame) for frame in result.frames]
    return [{side: hand - getattr(one.tracked, side) for side, hand in one.hands.items()} for one in read]


def assert_same(found, expected):
    assert max(np.abs(moved).max() for hands in expected for moved in hands.values()) > 0.5 * DENT
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for side in one:
            np.testing.assert_allclose(one[side], other[side], atol=1e-6)


def test_hands_are_cached_read_and_cleared(yielding):
    place = folder()
    run(simulate.simulate_job(yielding))
    names = {path.name for path in place.path.glob("simulation*")}
    own = [f"simulation-{side}{end}" for side in ("left", "right") if getattr(yielding.nephim, side) for end in ENDS]
    assert names == {"simulation.pc2", "simulation.json", *own} and own
    assert_same(hands_stored(yielding), hands_expected(yielding))
    assert run(simulate.simulate_job(yielding)).new == 0
    assert run(simulate.finished_cache_job(yielding)).manifest.hands
    yielding.nephim.yielding_hands = False
    with pytest.raises(CacheError, match="settings have changed"):
        run(simulate.finished_cache_job(yielding))
    assert bpy.ops.nephim.clear() == {"FINISHED"}
    assert not list(place.path.glob("simulation*"))


def test_nothing_is_added_where_hands_stay_as_tracked(yielding):
    yielding.nephim.yielding_hands = False
    run(simulate.simulate_job(yielding))
    assert {path.name for path in folder().path.glob("simulation*")} == {"simulation.pc2", "simulation.json"}
    manifest = PointCache(folder().cache).manifest
    assert manifest.hands == [] and "left_displacement_mm" not in manifest.statistics[0]
    assert all(hands == {} for hands in hands_stored(yielding))


@pytest.mark.parametrize("lost", ["frames", "manifest", "damaged"])
def test_a_run_resumes_where_all_surfaces_are(yielding, lost):
    run(simulate.simulate_job(yielding))
    frames, path = read_rig(yielding).frames, hand_path(folder().cache, "left")
    whole = {name: PointCache(name).read(frame) for name in (folder().cache, path) for frame in frames[-1:]}
    if lost == "frames":
        manifest = PointCache(path).manifest
        manifest.truncate(4)
        manifest.save(manifest_path(path))
    elif lost == "manifest":
        manifest_path(path).unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CacheError):
        run(simulate.finished_cache_job(yielding))
    again = run(simulate.simulate_job(yielding))
    assert again.new == len(frames) - (4 if lost == "frames" else 0)
    for name, positions in whole.items():
        assert np.array_equal(PointCache(name).read(frames[-1]), positions)
    assert_same(hands_stored(yielding), hands_expected(yielding))


def test_hands_of_another_simulation_are_noticed(yielding):
    run(simulate.simulate_job(yielding))
    path = hand_path(folder().cache, "left")
    manifest = PointCache(path).manifest
    manifest.motion[3] = "another"
    manifest.save(manifest_path(path))
    with pytest.raises(CacheError, match=r"simulation-left\.pc2 belongs to another simulation"):
        ResultReader(yielding)


def test_one_object_is_stored_once(tmp_path, monkeypatch):
    """Head and hands of one body: a cache, and hands that are read from it. Both hands in one object: one more."""
    scene = scenes.body()
    rig = read_rig(scene)
    (whole,) = moved_objects(rig, ("left", "right"))
    assert list(whole.parts) == ["head", "left", "right"]
    with SurfaceReader(scene, rig) as reader:
        tracked = [reader.read(frame) for frame in rig.frames]
        with MovedWriter(tmp_path / "a.pc2", [whole], frames=rig.frames, topology="t", settings="s") as writer:
            for one in tracked:
                reader.read(one.frame)
                moved = replace(one, left=one.left + np.float32(0.01))
                positions = whole.positions(reader.states[whole.object_name], one, moved)
                writer.write(one.frame, [positions], "motion", {})
        assert [path.name for path in tmp_path.glob("*.pc2")] == ["a.pc2"]
        caches = HandCaches(rig, PointCache(tmp_path / "a.pc2"))
        assert not caches.objects
        reader.read(5)
        read = caches.read(5, reader.states)
    np.testing.assert_allclose(read["left"], tracked[4].left + 0.01, atol=1e-6)
    np.testing.assert_allclose(read["right"], tracked[4].right, atol=1e-6)
    apart = replace(rig, head=replace(rig.head, object_name="Other"))
    assert [list(one.parts) for one in moved_objects(apart, ("left", "right"))] == [["head"], ["left", "right"]]
