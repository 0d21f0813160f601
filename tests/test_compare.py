# SPDX-License-Identifier: GPL-3.0-or-later
"""Methods side by side on a small scene: film, sheet and figures, cameras that favour nobody, jobs that are closed."""

import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from nephim import child, cli
from nephim.choices import NETWORK, PHYSICS, REDUCED, STUDIED, SURFACE, TRACKED
from nephim.errors import CacheError, SimulationError
from nephim.progress import drive
from nephim.study.sealed import unseal

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.cache.point_cache import PointCache  # noqa: E402
from nephim.operators.compare import compare_job, simulations_job  # noqa: E402
from nephim.operators.study import study_job  # noqa: E402
from nephim.pictures.encoding import encode_job  # noqa: E402
from nephim.pictures.follow import ContactPath  # noqa: E402
from nephim.pictures.images import write_png  # noqa: E402

COMPARED = (TRACKED, SURFACE, PHYSICS, REDUCED)


def film(path):
    """Size, number of frames and frame rate of an mp4, as Blender reads it."""
    clip = bpy.data.movieclips.load(str(path))
    return tuple(clip.size), clip.frame_duration, clip.fps


@pytest.fixture(scope="session")
def compared(tmp_path_factory, registered):
    """A file whose methods, but for the network, are simulated; the folder that holds it. Copied by `opened`."""
    folder = tmp_path_factory.mktemp("compared") / "x"
    folder.mkdir()
    scenes.with_volume(folder)
    drive(simulations_job(bpy.context.scene))
    return folder


@pytest.fixture
def opened(compared, tmp_path):
    """The scene of a copy of that file, open."""
    import shutil

    shutil.copytree(compared, tmp_path, dirs_exist_ok=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "face.blend"))
    return bpy.context.scene


@pytest.mark.bpy
def test_a_file_is_compared_from_the_command_line(opened, tmp_path, capsys):
    blend = tmp_path / "face.blend"
    before, caches = blend.read_bytes(), sorted(tmp_path.rglob("*.pc2"))
    assert [path.relative_to(tmp_path).as_posix() for path in caches] == [
        "face.nephim/compared/reduced-left.pc2",
        "face.nephim/compared/reduced.pc2",
        "face.nephim/compared/surface.pc2",
        "face.nephim/simulation-left.pc2",
        "face.nephim/simulation.pc2",
    ]
    times = [PointCache(path).manifest.statistics for path in caches]
    assert cli.command(["compare", str(blend), "-o", str(tmp_path / "out")]) == cli.EXIT_OK
    said = capsys.readouterr().out
    assert "Compared tracked, surface only, physics, reduced physics" in said and "Network: left out." in said
    # Nothing of it was simulated again, which would take another time, and the file is as it was.
    assert [PointCache(path).manifest.statistics for path in caches] == times and blend.read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["face.json", "face.mp4", "face.png"]
    (width, height), frames, rate = film(tmp_path / "out" / "face.mp4")
    assert (width, frames, rate) == (4 * 384 + 3 * 4, 10, 24.0) and height > 700

    figures = json.loads((tmp_path / "out" / "face.json").read_text())
    assert figures["frames"] == [1, 10] and tuple(figures["methods"]) == COMPARED and "Network" in figures["notes"][0]
    deepest = {name: numbers["penetration_max_mm"] for name, numbers in figures["methods"].items()}
    assert 4 < deepest[TRACKED] < 6  # how deep the finger is keyed to press
    assert deepest[PHYSICS] < 1 and deepest[REDUCED] < 1 and deepest[SURFACE] < 0.5 * deepest[TRACKED]
    for name in COMPARED:
        inside, moved = (figures["per_frame"][what][name] for what in ("penetration_mm", "displacement_mm"))
        assert len(inside) == len(moved) == 10 and max(inside) == deepest[name]
        assert max(moved) == figures["methods"][name]["displacement_max_mm"]
    assert figures["methods"][TRACKED]["displacement_max_mm"] == 0 and figures["methods"][TRACKED]["pops"] is None
    assert figures["methods"][PHYSICS]["ms_per_frame"] > 0 and figures["methods"][PHYSICS]["touchness"] == 1.0


@pytest.mark.bpy
def test_the_figures_are_those_of_the_report(opened, tmp_path):
    drive(compare_job(opened, tmp_path / "out", methods=[TRACKED, PHYSICS]))
    assert cli.command(["report", str(tmp_path / "face.blend"), "--json", str(tmp_path / "report.json")]) == cli.EXIT_OK
    report = json.loads((tmp_path / "report.json").read_text())
    found = json.loads((tmp_path / "out" / "face.json").read_text())["methods"]
    assert found[PHYSICS]["penetration_max_mm"] == pytest.approx(report["penetration_mm"]["after"]["max"])
    assert found[TRACKED]["penetration_max_mm"] == pytest.approx(report["penetration_mm"]["before"]["max"])
    assert found[PHYSICS]["collision_distance_mm"] == report["decaf"]["after"]["collision_distance_mm"]
    assert found[PHYSICS]["pops"] == len(report["smoothness"]["pops"])


@pytest.mark.bpy
def test_the_scene_keeps_its_mode_and_a_changed_take_is_simulated_again(opened, tmp_path):
    opened.nephim.mode = SURFACE
    caches, _ = drive(simulations_job(opened, [TRACKED, SURFACE, PHYSICS]))
    assert opened.nephim.mode == SURFACE
    assert {mode: path.name for mode, path in caches.items()} == {SURFACE: "simulation.pc2", PHYSICS: "physics.pc2"}
    assert not np.array_equal(*(PointCache(path).read(6) for path in caches.values()))
    opened.nephim.tissue = "soft"
    before = PointCache(caches[PHYSICS]).read(6)
    drive(simulations_job(opened, [PHYSICS]))
    assert not np.array_equal(PointCache(caches[PHYSICS]).read(6), before)


@pytest.mark.bpy
def test_what_cannot_be_compared_is_refused(opened, tmp_path, capsys):
    with pytest.raises(SimulationError, match="no method 'magic'"):
        next(simulations_job(opened, ["magic"]))
    with pytest.raises(SimulationError, match="nothing to compare"):
        drive(simulations_job(opened, [TRACKED]))
    with pytest.raises(SimulationError):  # asked for by name, it is not just left out
        drive(simulations_job(opened, [NETWORK]))
    arguments = ["compare", str(tmp_path / "face.blend"), str(tmp_path / "other" / "face.blend"), "-o", str(tmp_path)]
    assert cli.command(arguments) == cli.EXIT_FAILED
    assert "Two files are called 'face'" in capsys.readouterr().err
    for wrong in (["--clips", "0"], ["--methods", "magic"], ["--study", "a", "--export", "npz"], ["--export", "abc"]):
        assert cli.command(["compare", "face.blend", *wrong]) == cli.EXIT_USAGE


def hidden(scene):
    return scene.frame_current, [m.show_viewport for o in bpy.data.objects for m in o.modifiers]


@pytest.mark.bpy
def test_a_comparison_that_is_closed_leaves_the_scene_and_no_half_files(opened, tmp_path):
    opened.frame_set(4)
    before, out = hidden(opened), tmp_path / "out"
    seen = set()
    for wanted in ("measuring", "sheet", "film", "encoding"):
        job = compare_job(opened, out)
        for progress in job:
            seen.add(progress.step)
            if wanted in (progress.step, progress.detail) or progress.detail.startswith(wanted):
                break
        job.close()
        assert hidden(opened) == before, wanted
        assert not list(out.glob("*.mp4")) and not list(out.glob(".*")), wanted
    assert {"side by side", "sheet", "film"} <= seen


@pytest.mark.bpy
def test_a_study_is_written_from_the_sidebar_and_says_nothing_of_its_methods(opened, tmp_path):
    folder = tmp_path / "study"
    bpy.ops.nephim.study(directory=str(folder), seed=2)
    films = sorted((folder / "films").iterdir())
    assert len(films) == 3 and {path.suffix for path in films} == {".mp4"}
    # Same length, size and time: only the pictures differ.
    assert len({(path.stat().st_size, path.stat().st_mtime) for path in films}) == 1
    assert {film(path) for path in films} == {((560, 800), 10, 24.0)}
    text = (folder / "pairs.js").read_text()
    study = json.loads(text.removeprefix("const STUDY = ").rstrip().removesuffix(";"))
    key = unseal(study["key"])
    assert {film.method for film in key.values()} == set(COMPARED) & set(STUDIED) and {
        film.file for film in key.values()
    } == {"face"}
    assert len({film.content for film in key.values()}) == 3 and len(study["pairs"]) == 3

    (name, first), (other, second) = ((n, f) for n, f in key.items() if f.method != SURFACE)
    answer = {"left": name, "right": other, "chosen": "left", "seconds": 1.0}
    content = {"format": "nephim-study-results 1", "study": study["study"], "participant": "p", "saved": "2026"}
    (tmp_path / "answers.json").write_text(json.dumps(content | {"answers": [answer], "key": study["key"]}))
    bpy.ops.nephim.evaluate_study(directory=str(tmp_path), files=[{"name": "answers.json"}])
    (found,) = json.loads((tmp_path / "evaluation.json").read_text())["comparisons"]
    assert (found["first"], found["second"]) == (PHYSICS, TRACKED)
    assert found["all"]["preferred"] == (first.method == PHYSICS) and {first.method, second.method} == {
        PHYSICS,
        TRACKED,
    }
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(RuntimeError, match=r"wrong\.json: it is no file of answers"):
        bpy.ops.nephim.evaluate_study(directory=str(tmp_path), files=[{"name": "wrong.json"}])


class Layout:
    """Notes the operators that a panel draws."""

    def __init__(self, operators):
        self._operators = operators

    def column(self, **_):
        return Layout(self._operators)

    def label(self, **_):
        pass

    def operator(self, name, **_):
        self._operators.append(name)


@pytest.mark.bpy
def test_the_sidebar_offers_it_and_nothing_of_it_starts_beside_another_job(opened):
    from nephim.operators import jobs
    from nephim.panels.finish import NEPHIM_PT_compare
    from nephim.progress import Progress

    drawn = []
    context = SimpleNamespace(
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)), region=SimpleNamespace(width=300)
    )
    NEPHIM_PT_compare.step(None, context, Layout(drawn), opened.nephim)
    assert drawn == ["nephim.compare", "nephim.study", "nephim.evaluate_study", "nephim.export_take"]
    offered = [getattr(bpy.ops.nephim, name.partition(".")[2]) for name in drawn]
    assert all(operator.poll() for operator in offered)
    jobs.running = jobs.Running("Simulate", Progress("simulation", 0.5), 0.0)
    try:
        assert not any(operator.poll() for operator in offered)
    finally:
        jobs.running = None


@pytest.mark.bpy
def test_a_study_that_is_closed_while_a_film_is_encoded_leaves_no_half_film(opened, tmp_path, monkeypatch):
    children = watched_children(monkeypatch)
    job = study_job(opened, tmp_path / "study")
    while next(job).detail != "encoding":
        pass
    job.close()
    assert len(children) == 1 and children[0].poll() is not None
    assert not list((tmp_path / "study").rglob("*.mp4"))


def watched_children(monkeypatch):
    children = []
    start = subprocess.Popen

    def popen(*arguments, **options):
        children.append(start(*arguments, **options))
        return children[-1]

    monkeypatch.setattr(child.subprocess, "Popen", popen)
    return children


@pytest.fixture
def pictures(tmp_path):
    """Folders of two films of 12 pictures."""
    folders = {tmp_path / f"{name}.mp4": tmp_path / name for name in ("one", "two")}
    for folder in folders.values():
        folder.mkdir()
        for k in range(12):
            write_png(folder / f"{k:06d}.png", np.full((64, 96, 3), 20 * k, np.uint8))
    return folders


@pytest.mark.bpy
def test_films_are_encoded_beside_blender_with_progress(pictures, tmp_path):
    scenes_before = [scene.name for scene in bpy.data.scenes]
    shares = [progress.done for progress in encode_job(pictures, (96, 64), 29.97, "film", 0.5, 0.9)]
    assert shares == sorted(shares) and shares[0] >= 0.5 and shares[-1] == 0.9 and len(shares) > 3
    for path in pictures:
        size, frames, rate = film(path)
        assert size == (96, 64) and frames == 12 and rate == pytest.approx(29.97, abs=0.01)
    assert [scene.name for scene in bpy.data.scenes] == scenes_before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.bpy
def test_closing_kills_the_child_and_keeps_an_older_film(pictures, tmp_path, monkeypatch):
    children = watched_children(monkeypatch)
    (tmp_path / "one.mp4").write_bytes(b"older")
    job = encode_job(pictures, (96, 64), 24.0, "film")
    next(job)
    assert children[0].poll() is None
    job.close()
    assert children[0].poll() is not None
    assert (tmp_path / "one.mp4").read_bytes() == b"older" and not (tmp_path / "two.mp4").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.bpy
def test_a_film_that_cannot_be_written_is_told(pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    wanted = {**pictures, tmp_path / "three.mp4": tmp_path / "empty"}
    with pytest.raises(CacheError, match=r"No video was written.*IndexError"):
        drive(encode_job(wanted, (96, 64), 24.0, "film"))
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".*"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="could be written"):
        drive(encode_job({tmp_path / "file" / "a.mp4": tmp_path / "one"}, (96, 64), 24.0, "film"))


def test_nothing_in_a_film_is_written_over_something_else():
    from nephim.pictures import side_by_side as film_of

    full = np.full(20, 10.0)
    layout = film_of.FilmLayout(["tracked", "surface only", "physics", "network"], [full] * 4)
    grey = np.full((film_of.WIDE[1] + film_of.GAP + film_of.CLOSE[1], film_of.CLOSE[0], 3), 90, np.uint8)

    def picture(gesture):
        return layout.picture([grey] * 4, 3, [1.0] * 4, gesture, "frame 4")

    plain, named = picture(""), picture("a very long name of a gesture")
    names = film_of._NAMES
    assert np.array_equal(plain[:names], named[:names]) and not np.array_equal(plain, named)
    curves = plain[-film_of._CURVE - film_of.GAP : -film_of.GAP]
    filled = (curves == film_of._INSIDE).all(axis=2).any(axis=1)
    assert not filled[: film_of._LABEL].any() and filled[film_of._LABEL : -1].all()


def ball(count=400):
    """Points on a sphere of 10 cm (n, 3)."""
    points = np.random.default_rng(0).normal(size=(count, 3))
    return 0.1 * points / np.linalg.norm(points, axis=1)[:, None]


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])


def followed(moves, dents):
    """The path of contact on heads that are moved by (rotation, shift) and dented at a point as deep as each method."""
    path, head = ContactPath(), ball()
    for (rotation, shift), (pole, depths) in zip(moves, dents, strict=True):
        near = np.linalg.norm(head - pole, axis=1) < 0.03
        skins = [head - np.outer(near * depth, pole / 0.1) for depth in depths]
        path.add(head @ rotation.T + shift, [skin @ rotation.T + shift for skin in skins])
    return path


def test_close_ups_follow_the_contact_with_the_head():
    pole, angles = np.array([0.1, 0, 0]), np.linspace(0, 1, 30)
    moves = [(turned(a), np.array([0, 0, a])) for a in angles]
    path = followed(moves, [(pole, (0.01, 0.0))] * 30)
    centres = path._smoothed(24.0)
    assert np.ptp(centres, axis=0).max() < 1e-9  # in the head's frame it stays where the contact is
    assert np.linalg.norm(centres[0] - (pole - path._middles[0])) < 0.02
    assert path.largest == pytest.approx([0.005] * 30)  # of 10 mm and none, on average


def test_close_ups_favour_no_method_and_do_not_jerk():
    still = [(np.eye(3), np.zeros(3))] * 60
    one, other = np.array([0.1, 0, 0]), np.array([0, 0.1, 0])
    dents = [(one if k < 30 else other, (0.01, 0.004)) for k in range(60)]
    centres = followed(still, dents)._smoothed(24.0)
    assert np.array_equal(centres, followed(still, [(pole, (0.004, 0.01)) for pole, _ in dents])._smoothed(24.0))
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    assert np.linalg.norm(centres[-1] - centres[0]) > 0.01 and steps.max() < 0.015
    # Without contact it stays; without any, there is nothing to follow.
    gap = [*dents[:20], *[(one, (0.0, 0.0))] * 20, *dents[:20]]
    assert np.ptp(followed(still, gap)._smoothed(24.0), axis=0).max() < 1e-9
    assert followed(still, [(one, (0.0, 0.0))] * 60)._smoothed(24.0) is None
