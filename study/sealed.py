# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of a study: which film shows which method. It travels with the page and the results, folded so that nobody
reads it by looking at them; it is no secret from people who want to unfold it."""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..errors import StudyError

_LARGEST = 4 << 20  # [bytes] of an unfolded key: a film takes about a hundred


@dataclass(frozen=True)
class Film:
    """What a film shows: the method, the clip (its gesture and frames), and the .blend it is from.

    content: fingerprint of the film itself, so that a study of other films is another study.
    """

    method: str
    clip: str
    file: str
    content: str = ""


def fingerprint(data: bytes) -> str:
    """Short name of a film, from its content."""
    return hashlib.sha256(data).hexdigest()[:16]


def seal(films: Mapping[str, Film]) -> str:
    """Films by the names of their files, as text in which no word can be read."""
    text = json.dumps({name: asdict(film) for name, film in sorted(films.items())}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unseal(text: str) -> dict[str, Film]:
    """The films of a sealed key. Raises StudyError if it is damaged."""
    try:
        opened = zlib.decompressobj()
        plain = opened.decompress(base64.b64decode(text, validate=True), _LARGEST)
        if not opened.eof:
            raise ValueError("it is too long or cut off")
        found = json.loads(plain)
        films = {str(name): Film(**film) for name, film in found.items()}
        if not all(isinstance(value, str) for film in films.values() for value in asdict(film).values()):
            raise ValueError("its films are described by something else than text")
    except (ValueError, TypeError, AttributeError, RecursionError, zlib.error, binascii.Error) as error:
        raise StudyError("The key of the study is damaged.", advice="Ask for the file again.") from error
    return films


def identity(sealed: str) -> str:
    """Short name of a study, from its key."""
    return hashlib.sha256(sealed.encode()).hexdigest()[:12]
