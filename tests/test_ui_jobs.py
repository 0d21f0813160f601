# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs beside the window, the state of what lies on disk, and the small operators of the sidebar."""

import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from nephim.errors import NephimError, SimulationError
from nephim.progress import Progress, aside, call, drive, remaining


def collect(job):
    """All progress of a job and its result."""
    seen = []
    while True:
        try:
            seen.append(next(job))
        except StopIteration as end:
            return seen, end.value


def test_a_long_call_aside_lets_its_driver_breathe():
    started, pauses = time.monotonic(), []
    job = aside(call(Progress("work", 0.25), lambda: time.sleep(0.4) or "done"))
    while True:
        before = time.monotonic()
        try:
            progress = next(job)
        except StopIteration as end:
            assert end.value == "done"
            break
        pauses.append(time.monotonic() - before)
        assert progress.done == 0.25
    assert time.monotonic() - started >= 0.4
    assert len(pauses) > 5
    assert max(pauses) < 0.2


def test_aside_passes_on_results_errors_and_progress():
    def counting():
        for k in range(5):
            yield Progress("count", k / 5)
            time.sleep(0.05)
        return 7

    seen, result = collect(aside(counting()))
    assert result == 7
    assert {p.done for p in seen} == {0.0, 0.2, 0.4, 0.6, 0.8}

    def failing():
        yield Progress("fail", 0.0)
        raise SimulationError("on purpose")

    with pytest.raises(SimulationError, match="on purpose"):
        collect(aside(failing()))


def test_a_closed_job_ends_and_cleans_up():
    ended = threading.Event()

    def endless():
        try:
            while True:
                yield Progress("endless", 0.0)
                time.sleep(0.01)
        finally:
            ended.set()

    job = aside(endless())
    next(job)
    started = time.monotonic()
    job.close()
    assert time.monotonic() - started < 0.1
    assert ended.wait(2.0)


def test_remaining_time():
    assert remaining(0.5, 10.0) == "10 s"
    assert remaining(0.1, 60.0) == "9 min"
    assert remaining(0.01, 10.0) == "" == remaining(0.5, 0.2)


bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.operators import jobs, problems, simulate, state, volume  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402


@pytest.mark.bpy
def test_states_of_volume_and_cache(tmp_path):
    scene = scenes.build(segments=32, rings=24)
    assert state.cache_state(scene).state == "missing" and not state.volume_state().exists
    save_blend(tmp_path / "face.blend")
    assert state.cache_state(scene).state == "missing" and not state.volume_state().exists
    scene.nephim.target_edge_mm, scene.nephim.mode = 12.0, "surface"
    with open(os.devnull, "w") as nowhere:
        drive(volume.volume_job(scene), nowhere)
        drive(simulate.simulate_job(scene, (1, 4)), nowhere)
    built = state.volume_state()
    assert built.exists and "tetrahedra" in " ".join(built.facts) and built.notes
    assert state.cache_state(scene).state == "valid"
    scene.nephim.frame_end = 6
    assert (state.cache_state(scene).state, state.cache_state(scene).done) == ("partial", 4)
    scene.nephim.tissue = "soft"
    assert state.cache_state(scene).state == "stale"
    scene.nephim.tissue = "no such tissue"
    assert state.cache_state(scene).state == "stale"
    scene.nephim.tissue = "default"
    assert bpy.ops.nephim.cutaway(plane="sagittal") == {"FINISHED"}
    cut = bpy.data.objects["NePHIM Cutaway"]
    assert len(cut.data.polygons) > 1000 and cut.hide_render
    assert bpy.ops.nephim.clear() == {"FINISHED"}
    assert state.cache_state(scene).state == "missing"
    assert not bpy.ops.nephim.clear.poll()


@pytest.mark.bpy
def test_a_refusal_is_kept_and_its_vertices_can_be_selected():
    scene = scenes.build()
    problems.remember(NephimError("is wrong here.", object="Head", vertices=[3, 5, 8]))
    assert bpy.ops.nephim.select_problem() == {"FINISHED"}
    assert bpy.context.mode == "EDIT_MESH"
    bpy.ops.object.mode_set(mode="OBJECT")
    mesh = scene.nephim.head.data
    selected = np.zeros(len(mesh.vertices), bool)
    mesh.vertices.foreach_get("select", selected)
    assert np.flatnonzero(selected).tolist() == [3, 5, 8]
    bpy.ops.nephim.dismiss_problem()
    assert problems.last is None
    assert not bpy.ops.nephim.select_problem.poll()


@pytest.mark.bpy
def test_vertices_of_a_part_belong_to_its_object():
    scenes.body()
    problems.remember(NephimError("is wrong here.", object="Body:face", vertices=[1]))
    assert bpy.ops.nephim.select_problem() == {"FINISHED"}
    assert bpy.context.object.name == "Body"
    problems.forget()


@pytest.mark.bpy
def test_a_failing_setup_is_remembered():
    scene = scenes.build()
    scene.nephim.head_group = "nowhere"
    with pytest.raises(RuntimeError, match="nowhere"):
        bpy.ops.nephim.setup()
    assert "nowhere" in str(problems.last)
    scene.nephim.head_group = ""
    bpy.ops.nephim.setup()
    assert problems.last is None


@pytest.mark.parametrize("several", [False, True], ids=["file", "files"])
def test_a_chosen_file_runs_the_job_once_more_with_what_was_chosen(several, monkeypatch):
    given = {"filepath": "/a/take.npz", "chosen": True, **({"directory": "/a"} if several else {})}
    runs, opened = [], []

    class Export(jobs.FilesJobOperator if several else jobs.FileJobOperator):
        bl_idname = "nephim.export"
        chosen = False
        files = (SimpleNamespace(name="take.npz"),)

        def as_keywords(self, ignore):
            return given

    export = SimpleNamespace(export=lambda *how, **what: runs.append((how, what)) or {"RUNNING_MODAL"})
    window = SimpleNamespace(app=SimpleNamespace(background=False), ops=SimpleNamespace(nephim=export))
    monkeypatch.setattr(jobs, "bpy", window)
    operator = Export()
    context = SimpleNamespace(window_manager=SimpleNamespace(fileselect_add=opened.append))
    assert operator.invoke(context, None) == {"RUNNING_MODAL"} and opened == [operator]
    assert operator.execute(context) == {"RUNNING_MODAL"}
    files = {"files": [{"name": "take.npz"}]} if several else {}
    assert runs == [(("INVOKE_DEFAULT",), {**given, **files})]


@pytest.mark.bpy
def test_while_a_job_runs_nothing_else_starts(tmp_path):
    scenes.build()
    save_blend(tmp_path / "face.blend")
    assert bpy.ops.nephim.volume.poll() and not bpy.ops.nephim.cancel.poll()
    jobs.running = jobs.Running("Simulate", Progress("simulation", 0.5), time.monotonic())
    try:
        for operator in ("setup", "volume", "simulate", "bake", "preview", "find", "report"):
            assert operator == "setup" or not getattr(bpy.ops.nephim, operator).poll(), operator
        assert bpy.ops.nephim.cancel.poll()
        bpy.ops.nephim.cancel()
        assert jobs.running.cancelled
    finally:
        jobs.running = None


@pytest.mark.bpy
def test_every_operator_and_property_explains_itself(registered):
    operators = dir(bpy.ops.nephim)
    assert len(operators) > 12
    for name in operators:
        assert getattr(bpy.ops.nephim, name).get_rna_type().description, name
    for prop in bpy.types.Scene.bl_rna.properties["nephim"].fixed_type.properties:
        internal = prop.identifier in ("rna_type", "name", "preview_object", "preview_changes")
        assert internal or prop.description, prop.identifier
        if prop.identifier.endswith("_mm"):
            assert "millimetres" in prop.description, prop.identifier
