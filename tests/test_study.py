# SPDX-License-Identifier: GPL-3.0-or-later
"""A study without a browser: the page tells nothing, voters simulated with known preferences, files that are not
answers."""

import base64
import json
import re
import zlib
from itertools import combinations

import numpy as np
import pytest
from nephim.choices import METHODS, NETWORK, PHYSICS, STUDIED, SURFACE, TRACKED
from nephim.errors import StudyError
from nephim.study.evaluation import evaluate
from nephim.study.page import clear_films, film_names, pairs_of, write_page
from nephim.study.results import FORMAT, read_results
from nephim.study.results_page import in_words, results_page
from nephim.study.sealed import Film, identity, seal, unseal

CLIPS = ("cheek, frames 1-40", "nose, frames 60-90", "chin, frames 100-150")


def films_of(methods=STUDIED, clips=CLIPS, file="face", seed=0):
    shown = [Film(method, clip, file) for clip in clips for method in methods]
    return dict(zip(film_names(len(shown), seed), shown, strict=True))


def answers_of(films, seed, better):
    """What a person answers who prefers the method `a` over `b` with probability better(a, b)."""
    random = np.random.default_rng([seed, 1])  # not the draws that order the pairs
    answers = []
    for left, right in pairs_of(films, seed):
        first = random.random() < better(films[left].method, films[right].method)
        answers.append({"left": left, "right": right, "chosen": "left" if first else "right", "seconds": 2.5})
    return answers


def written(path, films, participant, given, **changes):
    sealed = seal(films)
    content = {
        "format": FORMAT, "study": identity(sealed), "participant": participant, "saved": "2026-01-01T00:00:00Z",
        "answers": given, "key": sealed,
    }  # fmt: skip
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


def prefers(share):
    """Physics is preferred over anything with this probability; among others nobody has a preference."""

    def better(a, b):
        return share if a == PHYSICS else 1 - share if b == PHYSICS else 0.5

    return better


def test_names_order_and_sides_tell_nothing():
    films = films_of()
    assert all(re.fullmatch(r"[0-9a-f]{8}\.mp4", name) for name in films)
    assert not set(film_names(12, 0, films)) & set(films)
    pairs = pairs_of(films, 0)
    expected = [{a, b} for a, b in combinations(films, 2) if films[a].clip == films[b].clip]
    assert len(pairs) == 18 and sorted(map(sorted, pairs)) == sorted(map(sorted, expected))
    sides = [
        films[left].method == PHYSICS for left, right in pairs if PHYSICS in (films[left].method, films[right].method)
    ]
    assert 0 < sum(sides) < len(sides)
    assert [films[left].clip for left, _ in pairs] != sorted(films[left].clip for left, _ in pairs)
    assert pairs_of(films, 0) == pairs and pairs_of(films, 1) != pairs


def test_the_page_is_whole_and_no_file_of_it_names_a_method(tmp_path):
    films = films_of()
    assert write_page(tmp_path, films, seed=3) == 18
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "pairs.js", "study.css", "study.js"}
    content = (tmp_path / "pairs.js").read_text()
    for word in (*METHODS, "surface only", *CLIPS, 'face"'):
        assert word not in content
    assert "http" not in (tmp_path / "index.html").read_text() + (tmp_path / "study.js").read_text()
    study = json.loads(content.removeprefix("const STUDY = ").rstrip().removesuffix(";"))
    assert unseal(study["key"]) == films and study["study"] == identity(study["key"])
    write_page(tmp_path, films, seed=3)
    assert (tmp_path / "pairs.js").read_text() == content


def test_a_single_method_is_nothing_to_compare(tmp_path):
    with pytest.raises(StudyError, match="two methods"):
        write_page(tmp_path, films_of([PHYSICS]), 0)


def test_only_a_study_is_replaced(tmp_path):
    write_page(tmp_path / "study", films_of(), 0)
    (tmp_path / "study" / "films").mkdir()
    (tmp_path / "study" / "films" / "old.mp4").write_bytes(b"x")
    clear_films(tmp_path / "study")
    assert not (tmp_path / "study" / "films").exists()
    (tmp_path / "study" / "thesis.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"thesis\.txt"):
        clear_films(tmp_path / "study")
    clear_films(tmp_path / "new")


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_voters_with_a_known_preference_are_understood(tmp_path, share):
    films = films_of()
    people = 60
    paths = [
        written(tmp_path / f"{k}.json", films, f"p{k}", answers_of(films, k, prefers(share))) for k in range(people)
    ]
    found = evaluate(read_results(paths))
    assert found.participants == people and found.votes == 18 * people
    by_pair = {(c.first, c.second): c for c in found.comparisons}
    for pair in ((PHYSICS, TRACKED), (PHYSICS, SURFACE)):
        tally = by_pair[pair].all
        assert tally.votes == 3 * people and tally.low < share < tally.high and tally.low > 0.5
        assert tally.decided and tally.p < 1e-4
        assert by_pair[pair].people.preferred > 0.75 * people and by_pair[pair].people.low > 0.5
        assert len(by_pair[pair].clips) == 3 and sum(t.votes for t in by_pair[pair].clips.values()) == 3 * people
    network = by_pair[NETWORK, PHYSICS].all
    assert network.low < 1 - share < network.high < 0.5
    tie = by_pair[SURFACE, TRACKED].all
    assert tie.low < 0.5 < tie.high and not tie.decided and tie.p > 0.05
    assert found.left.low < 0.5 < found.left.high
    assert f"{tally.preferred} of {3 * people} votes" in "\n".join(in_words(found))


def test_a_tie_gives_an_interval_with_one_half_in_it(tmp_path):
    films = films_of([TRACKED, PHYSICS])
    answers = [answers_of(films, k, prefers(float(k % 2))) for k in range(8)]
    found = evaluate(
        read_results([written(tmp_path / f"{k}.json", films, f"p{k}", given) for k, given in enumerate(answers)])
    )
    (only,) = found.comparisons
    assert only.all.share == 0.5 and only.all.low < 0.5 < only.all.high and only.all.p == 1.0
    assert only.people.preferred == 4 and only.people.votes == 8
    assert only.alpha < 0 and only.agreement == pytest.approx(3 / 7)  # within each half all agree


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(7)
    from nephim.study.evaluation import tally

    for truth in (0.5, 0.7, 0.9):
        held = [t.low <= truth <= t.high for t in (tally(int(k), 40) for k in random.binomial(40, truth, 400))]
        assert np.mean(held) > 0.95 - 0.02  # three standard errors of 400 draws


def test_of_several_files_of_a_person_the_fullest_counts_once(tmp_path):
    films = films_of([TRACKED, PHYSICS])
    given = answers_of(films, 0, prefers(1.0))
    paths = [
        written(tmp_path / "all.json", films, "p", given),
        written(tmp_path / "part.json", films, "p", given[:1], saved="2026-02-02T00:00:00Z"),
    ]
    assert evaluate(read_results(paths)).votes == 3 == evaluate(read_results(paths[::-1])).votes


def test_studies_are_counted_together(tmp_path):
    one, two = films_of([TRACKED, PHYSICS]), films_of([SURFACE, PHYSICS], file="other", seed=5)
    paths = [
        written(tmp_path / f"{k}.json", films, "p", answers_of(films, 0, prefers(1.0)))
        for k, films in enumerate((one, two))
    ]
    found = evaluate(read_results(paths))
    assert found.participants == 2
    assert {(c.first, c.second): c.all.preferred for c in found.comparisons} == {
        (PHYSICS, TRACKED): 3,
        (PHYSICS, SURFACE): 3,
    }


def test_the_results_page_escapes_what_it_shows(tmp_path):
    films = films_of([TRACKED, "<b>mine</b>"], clips=("<script>alert(1)</script>" + 40 * "&",), file="<i>")
    path = written(tmp_path / "a.json", films, "p", answers_of(films, 0, prefers(0.5)))
    page = results_page(evaluate(read_results([path])))
    assert "<script" not in page and "<b>" not in page.lower() and "<i>" not in page and "&lt;" in page


def hostile(films):
    good = answers_of(films, 0, prefers(0.5))
    name = next(iter(films))
    bomb = base64.b64encode(zlib.compress(b" " * (64 << 20), 9)).decode()
    other = seal({name: Film("physics", "x", "y")})
    yield "no JSON", b"\x89PNG", "damaged"
    yield "deep", b"[" * 100000, "damaged"
    yield "a list", b"[]", "no file of answers"
    yield from (
        ("foreign key", {"key": other}, "another study"),
        ("key bomb", {"key": bomb, "study": identity(bomb)}, "key of the study is damaged"),
        ("key no base64", {"key": "%", "study": identity("%")}, "key of the study is damaged"),
        ("key no films", {"key": (k := base64.b64encode(zlib.compress(b"[1]")).decode()), "study": identity(k)}, "key"),
        ("no answers", {"answers": None}, "missing"),
        ("an answer no object", {"answers": [1]}, "one of its answers"),
        ("unknown film", {"answers": [good[0] | {"left": "x"}]}, "one of its answers"),
        ("unhashable film", {"answers": [good[0] | {"left": [1]}]}, "one of its answers"),
        ("both chosen", {"answers": [good[0] | {"chosen": "both"}]}, "one of its answers"),
        ("a film with itself", {"answers": [good[0] | {"left": good[0]["right"]}]}, "one of its answers"),
        ("endless", {"answers": [good[0] | {"seconds": float("inf")}]}, "one of its answers"),
        ("voted twice", {"answers": [good[0], good[0]]}, "twice"),
    )


def test_files_that_are_no_answers_are_refused_by_name(tmp_path):
    films = films_of([TRACKED, PHYSICS])
    path = tmp_path / "bad.json"
    for label, content, reason in hostile(films):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            written(path, films, "p", answers_of(films, 0, prefers(0.5)), **content)
        with pytest.raises(StudyError, match=reason) as error:
            read_results([path])
        assert "bad.json" in str(error.value) or "key" in reason, label
    with pytest.raises(StudyError, match=r"gone\.json cannot be read"):
        read_results([tmp_path / "gone.json"])
    with pytest.raises(StudyError, match="Nobody"):
        read_results([written(path, films, "p", [])])
