# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the files with answers that people hand in; each is checked before anything is counted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StudyError
from .sealed import Film, identity, unseal

FORMAT = "nephim-study-results 1"
_LARGEST = 16 << 20  # [bytes] of a file: an answer takes about a hundred
_ADVICE = "Hand in the file as the study's page saved it."


@dataclass(frozen=True)
class Vote:
    """One answer. chosen, other: the films; seconds: until it was given; on_left: whether the chosen one was there."""

    study: str
    participant: str
    chosen: Film
    other: Film
    on_left: bool
    seconds: float


def read_results(paths: Sequence[Path]) -> list[Vote]:
    """The votes of all files; of several files of one person in one study, those of the one with the most answers.

    Raises StudyError naming the file that is not one of answers, or damaged.
    """
    if not paths:
        raise StudyError("There are no answers to evaluate.", advice="Name the files that people have saved.")
    latest: dict[tuple[str, str], tuple[str, list[Vote]]] = {}
    for path in paths:
        saved, votes = _read(path)
        if not votes:
            continue
        who = votes[0].study, votes[0].participant
        if who not in latest or (len(votes), saved) > (len(latest[who][1]), latest[who][0]):
            latest[who] = saved, votes
    votes = [vote for _, (_, found) in sorted(latest.items()) for vote in found]
    if not votes:
        raise StudyError("Nobody has answered anything.", advice="Name other files.")
    return votes


def _read(path: Path) -> tuple[str, list[Vote]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise StudyError(f"{path}: it is too large to be answers of a study.", advice=_ADVICE)
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror or error}).", advice="Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{path}: it is damaged, or no file of answers.", advice=_ADVICE) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise StudyError(f"{path}: it is no file of answers.", advice=_ADVICE)
    key, answers = found.get("key"), found.get("answers")
    study, participant = found.get("study"), found.get("participant")
    if not (isinstance(key, str) and isinstance(answers, list) and isinstance(participant, str)):
        raise StudyError(f"{path}: parts of it are missing.", advice=_ADVICE)
    if study != identity(key):
        raise StudyError(f"{path}: its key belongs to another study.", advice=_ADVICE)
    films = unseal(key)
    votes = [_vote(path, study, participant, films, answer) for answer in answers]
    if len({frozenset((v.chosen, v.other)) for v in votes}) != len(votes):
        raise StudyError(f"{path}: it answers a pair twice.", advice=_ADVICE)
    return str(found.get("saved", "")), votes


def _vote(path: Path, study: str, participant: str, films: dict[str, Film], answer: Any) -> Vote:
    wrong = StudyError(f"{path}: one of its answers is damaged.", advice=_ADVICE)
    if not isinstance(answer, dict) or answer.get("chosen") not in ("left", "right"):
        raise wrong
    names = [str(answer.get(side)) for side in ("left", "right")]
    if not all(name in films for name in names):
        raise wrong
    left, right = films[names[0]], films[names[1]]
    if (left.file, left.clip) != (right.file, right.clip) or left.method == right.method:
        raise wrong
    seconds = answer.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise wrong
    on_left = answer["chosen"] == "left"
    chosen, other = (left, right) if on_left else (right, left)
    return Vote(study, participant, chosen, other, on_left, float(seconds))
