# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page of a study: a folder that any browser opens, from a disk or from any web server."""

import json
import os
import shutil
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from ..errors import CacheError, StudyError
from ..files import atomic_write
from .sealed import Film, identity, seal

_PAGE = Path(__file__).resolve().parent.parent / "presets" / "study"
_FILES = ("index.html", "study.css", "study.js")
QUESTION = "In which film does the face react more naturally to the hand?"
FILMS = "films"  # the folder of the films, in that of the page
_BOX = struct.Struct(">I4s")  # head of a box of an mp4: its size [bytes], its type
_ADVICE = "Free disk space or choose another folder."


def film_names(count: int, seed: int, taken: Collection[str] = ()) -> list[str]:
    """Names that tell nothing of what the films show, in an order that tells nothing either, none of those taken."""
    random = np.random.default_rng([seed, len(taken)])
    names: list[str] = []
    while len(names) < count:
        name = f"{random.integers(16**8):08x}.mp4"
        if name not in taken and name not in names:
            names.append(name)
    return names


def pairs_of(films: Mapping[str, Film], seed: int) -> list[tuple[str, str]]:
    """Every two methods of every clip, as (left, right) names of films, in random order and on random sides."""
    clips: dict[tuple[str, str], list[str]] = {}
    for name in sorted(films):
        clips.setdefault((films[name].file, films[name].clip), []).append(name)
    pairs = [pair for names in clips.values() for pair in combinations(names, 2)]
    random = np.random.default_rng(seed)
    swapped = random.random(len(pairs)) < 0.5
    return [pairs[k][::-1] if swapped[k] else pairs[k] for k in random.permutation(len(pairs))]


def write_page(folder: Path, films: Mapping[str, Film], seed: int, question: str = QUESTION) -> int:
    """Writes everything but the films, which lie in folder/films under their names; returns the number of pairs.

    Raises StudyError if there is nothing to compare, CacheError if the folder cannot be written.
    """
    pairs = pairs_of(films, seed)
    if not pairs:
        raise StudyError(
            "There are no two films of the same clip.", advice="Choose at least two methods, and files with contact."
        )
    sealed = seal(films)
    study = {
        "study": identity(sealed),
        "question": question,
        "pairs": [{"left": f"{FILMS}/{left}", "right": f"{FILMS}/{right}"} for left, right in pairs],
        "key": sealed,
    }
    # A script, because a page from a disk may not read other files.
    content = {"pairs.js": f"const STUDY = {json.dumps(study, indent=1)};\n".encode()}
    content |= {name: (_PAGE / name).read_bytes() for name in _FILES}
    for name, data in content.items():
        with atomic_write(folder / name, f"The study could not be written to {folder}", _ADVICE) as stream:
            stream.write(data)
    return len(pairs)


def make_alike(films: Sequence[Path]) -> None:
    """Gives mp4s of the same clip the same size and time, so that neither tells which method is harder to compress or
    was filmed first. Raises CacheError if they cannot be written.

    A box of type `free` at the end of the file is skipped by every player (ISO/IEC 14496-12, 8.1.2).
    """
    try:
        size = max(film.stat().st_size for film in films) + _BOX.size
        for film in films:
            empty = size - film.stat().st_size
            with film.open("ab") as stream:
                stream.write(_BOX.pack(empty, b"free") + bytes(empty - _BOX.size))
        now = time.time()
        for film in films:
            os.utime(film, (now, now))
    except OSError as error:
        raise CacheError(f"The films could not be written: {error.strerror or error}.", advice=_ADVICE) from error


def clear_films(folder: Path) -> None:
    """Removes the films of an earlier study in this folder. Raises StudyError if the folder holds something else."""
    if not folder.exists():
        return
    strange = [path.name for path in folder.iterdir() if path.name not in (*_FILES, "pairs.js", FILMS)]
    if strange or not folder.is_dir():
        raise StudyError(f"{folder} holds '{strange[0]}', which is no part of a study.", advice="Name a new folder.")
    shutil.rmtree(folder / FILMS, ignore_errors=True)
