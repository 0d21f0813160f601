# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaps in the motion, through the whole simulation: hands are held and noted, heads are refused, nothing is lost."""

import io
import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.cache.results import frame_notes, spans  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader  # noqa: E402
from nephim.errors import SurfaceError  # noqa: E402
from nephim.operators import simulate  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.sim.geometry import rigid  # noqa: E402

pytestmark = pytest.mark.bpy


def scene_with_gap(name: str, missing: range, value: float = float("nan")):
    """The object's vertices are all `value` in the frames `missing`."""
    scene = scenes.build(segments=32, rings=24)
    obj = bpy.data.objects[name]
    if obj.data.shape_keys is None:
        obj.shape_key_add(name="Basis")
    key = obj.shape_key_add(name="gap")
    key.points.foreach_set("co", np.full(3 * len(obj.data.vertices), value, np.float32))
    for frame in range(1, 11):
        key.value = float(frame in missing)
        key.keyframe_insert("value", frame=frame)
    scene.frame_set(1)
    return scene


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_a_missing_hand_is_held_against_the_head_however_the_frames_are_read(value):
    scene = scene_with_gap("Left", range(4, 7), value)
    with SurfaceReader(scene, read_rig(scene)) as reader:
        forwards = {frame: reader.read(frame) for frame in range(3, 8)}
        assert reader.missing == ()
        reader.read(5)
        assert reader.missing == ("left",) and scene.frame_current == 5
    for frame in (6, 4):
        again = SurfaceReader(scene, read_rig(scene)).read(frame)
        assert np.array_equal(again.left, forwards[frame].left) and again.time == forwards[frame].time
    carried = rigid.fit_rigid(forwards[3].head.astype(float), forwards[6].head.astype(float))
    np.testing.assert_allclose(forwards[6].left, rigid.apply(carried, forwards[3].left), atol=1e-6)
    assert np.isfinite(forwards[5].right).all()


def test_a_hand_missing_from_the_first_frame_on_is_refused():
    scene = scene_with_gap("Left", range(1, 4))
    scene.nephim.neutral_frame = 10
    with pytest.raises(SurfaceError, match=r"'Left', frame 2: .* from the first frame on\. Start where"):
        SurfaceReader(scene, read_rig(scene)).read(2)


def test_a_missing_head_is_refused_with_its_frame():
    scene = scene_with_gap("Head", range(4, 7))
    with pytest.raises(SurfaceError, match=r"'Head', frame 5, vertices 0, 1, .* no finite position"):
        SurfaceReader(scene, read_rig(scene)).read(5)


def test_a_gap_is_simulated_and_said(tmp_path, capsys):
    scene = scene_with_gap("Left", range(6, 8))
    scene.nephim.target_edge_mm = 12.0  # the volume is built in a second or two
    path = save_blend(tmp_path / "face.blend")
    for arguments in (["volume"], ["simulate"]):
        assert cli.command([arguments[0], str(path), *arguments[1:]]) == cli.EXIT_OK
    sentence = "The left hand has no usable position in frames 6-7"
    assert sentence in capsys.readouterr().out
    cache = drive(simulate.finished_cache_job(bpy.context.scene), io.StringIO())
    assert all(np.isfinite(cache.read(frame)).all() for frame in cache.frames)
    assert cache.manifest.statistics[6]["contacts"] > 0  # the finger still presses where it was last seen
    report = tmp_path / "report.json"
    assert cli.command(["report", str(path), "--json", str(report)]) == cli.EXIT_OK
    assert any(sentence in note for note in json.loads(report.read_text())["notes"])


def test_notes_name_frames_as_people_do():
    assert spans([4]) == "frame 4" and spans([4, 7, 8, 9]) == "frames 4, 7-9"
    assert spans(list(range(0, 40, 2))).endswith("14 and 12 more times")
    statistics = [{}, {"cut_right": 1.0}, {}, {"bone_limited_mm": 2.0}]
    notes = frame_notes(statistics, range(10, 14))
    assert len(notes) == 2 and "right hand jumps at frame 11" in notes[0] and "In 1 frames bone" in notes[1]
    statistics[1]["started_inside_mm"] = 5.0
    assert "lands inside the head at frame 11" in frame_notes(statistics, range(10, 14))[1]


def test_a_hand_deeper_than_any_face_can_yield_is_said():
    statistics = [{"bone_limited_mm": depth} for depth in (0.0, 3.0, 9.0, 23.4, 12.0)]
    notes = frame_notes(statistics, range(101, 106))
    assert notes[0] == "In 4 frames bone stopped the skin."
    assert (
        "In frames 103-105 a hand is deeper in the head than any face can yield, by up to 23 mm (at frame 104)"
        in notes[1]
    )
    assert len(frame_notes(statistics[:2], range(101, 103))) == 1
