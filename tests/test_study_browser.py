# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages in a real browser, from a folder: a study of films that Blender writes, clicked through; its evaluation."""

import json
import re

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from browser import Browser, program  # noqa: E402
from nephim.choices import PHYSICS, TRACKED  # noqa: E402
from nephim.operators.study import evaluate_study  # noqa: E402
from nephim.pictures.encoding import encode_job  # noqa: E402
from nephim.pictures.images import write_png  # noqa: E402
from nephim.progress import drive  # noqa: E402
from nephim.study.page import FILMS, film_names, make_alike, write_page  # noqa: E402
from nephim.study.sealed import Film, unseal  # noqa: E402

pytestmark = [
    pytest.mark.bpy,
    pytest.mark.browser,
    pytest.mark.skipif(
        program() is None, reason="there is no Chromium: tests/browser.sh installs it, NEPHIM_BROWSER may name one"
    ),
]


@pytest.fixture
def study(tmp_path):
    """A study of two clips by two methods, each film of one colour; returns its folder and films."""
    shown = [Film(method, clip, "face") for clip in ("cheek", "nose") for method in (TRACKED, PHYSICS)]
    films = dict(zip(film_names(4, 1), shown, strict=True))
    folders = {tmp_path / "study" / FILMS / name: tmp_path / name for name in films}
    for number, frames in enumerate(folders.values()):
        frames.mkdir()
        for k in range(6):
            picture = np.full((320, 224, 3), 40 + 50 * number, np.uint8)
            picture[:, 20 * k : 20 * k + 20] = 255
            write_png(frames / f"{k:06d}.png", picture)
    drive(encode_job(folders, (224, 320), 24.0, "films"))
    make_alike(list(folders))
    assert len({(path.stat().st_size, path.stat().st_mtime) for path in folders}) == 1
    assert write_page(tmp_path / "study", films, seed=1) == 2
    return tmp_path / "study", films


def ready(page):
    """Waits until a pair may be answered; returns the names of its films, left and right."""
    page.wait(
        lambda: page.run(
            "!document.querySelector('#voting').hidden && !document.querySelector('#choose-left').disabled"
        )
    )
    return [page.run(f"document.querySelector('#{side}').src.split('/').pop()") for side in ("left", "right")]


def shows(page, name):
    return page.run(f"!document.querySelector('#{name}').hidden")


def test_a_study_is_answered_by_mouse_and_keys_interrupted_and_evaluated(study, tmp_path):
    folder, films = study
    with Browser(tmp_path / "browser") as page:
        page.open(folder / "index.html")
        assert shows(page, "welcome") and "2 pairs" in page.run("document.body.innerText")
        page.click("#start")
        first = ready(page)
        assert films[first[0]].clip == films[first[1]].clip
        moving = "document.querySelector('#left').currentTime"
        page.wait(lambda: page.run(moving) > 0)
        assert page.run("document.querySelector('#left').videoWidth") == 224
        page.press(" ")  # once more
        physics = [films[name].method for name in first].index(PHYSICS)
        page.click("#right" if physics else "#left")
        page.wait(lambda: page.run("document.querySelector('#number').innerText") == "2 of 2")
        second = ready(page)
        assert set(first).isdisjoint(second)
    # Closed in the middle: it goes on where it stopped.
    with Browser(tmp_path / "browser") as page:
        page.open(folder / "index.html")
        assert ready(page) == second and page.run("document.querySelector('#number').innerText") == "2 of 2"
        page.press("Backspace")
        assert ready(page) == first
        page.press("ArrowRight" if physics else "ArrowLeft")
        assert ready(page) == second
        wanted = [films[name].method for name in second].index(TRACKED)
        page.press("ArrowRight" if wanted else "ArrowLeft")
        page.wait(lambda: shows(page, "thanks"))
        assert "all 2 pairs" in page.run("document.body.innerText")
        page.click("#save")
        saved = page.wait(lambda: [p for p in page.downloads.iterdir() if p.suffix == ".json" and p.stat().st_size])[0]
    results = json.loads(saved.read_text())
    assert re.fullmatch(r"answers-[0-9a-f]{16}\.json", saved.name) and unseal(results["key"]) == films
    assert [answer["chosen"] for answer in results["answers"]] == [
        "right" if physics else "left",
        "right" if wanted else "left",
    ]
    assert all(answer["seconds"] > 0 for answer in results["answers"])
    # What comes out is what was clicked: physics for one clip, tracked for the other.
    text = evaluate_study([saved], tmp_path / "out")
    assert "Physics over tracked: 50 % (1 of 2 votes" in text
    numbers = json.loads((tmp_path / "out" / "evaluation.json").read_text())["comparisons"][0]
    assert {clip["clip"]: clip["preferred"] for clip in numbers["clips"]} == {
        films[first[0]].clip: 1,
        films[second[0]].clip: 0,
    }
    with Browser(tmp_path / "browser") as page:
        page.open(tmp_path / "out" / "evaluation.html")
        assert page.run("document.querySelectorAll('svg circle').length") == 1 + 2
        assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_a_film_that_is_gone_is_told(study, tmp_path):
    folder, films = study
    for name in films:
        (folder / FILMS / name).write_bytes(b"no film")
    with Browser(tmp_path / "browser") as page:
        page.open(folder / "index.html")
        page.click("#start")
        page.wait(lambda: shows(page, "trouble"))
        assert "cannot be played" in page.run("document.querySelector('#trouble').innerText")
        page.press("ArrowLeft")  # nothing to choose between
        assert page.run("document.querySelector('#number').innerText") == "1 of 2"
