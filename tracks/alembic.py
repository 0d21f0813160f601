# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an Alembic file is whole: Blender's importer takes the whole program down with one that is not."""

import struct
from pathlib import Path
from typing import BinaryIO

from .track import refuse

_NUMBER = struct.Struct("<Q")
_HEADER = struct.Struct("<5sBHQ")  # 'Ogawa', 255 when finished, version, place of the first group
_IS_DATA = 1 << 63  # in the place of a child
_HDF5 = b"\x89HDF"


def check_alembic(path: Path) -> None:
    """Walks through the groups of an Ogawa archive. Raises TrackError if anything lies beyond the end of the file.

    A group is the number of its children and their places in the file; data are their size and then bytes; place 0
    stands for nothing (Alembic, lib/Alembic/Ogawa).
    """
    try:
        with path.open("rb") as stream:
            _check(stream, path.stat().st_size)
    except (OSError, ValueError, struct.error) as error:
        what = f"it is not a whole Alembic file ({' '.join(str(error).split())})"
        raise refuse(path, what, "Export it again.") from error


def _check(stream: BinaryIO, size: int) -> None:
    head = stream.read(_HEADER.size)
    if head.startswith(_HDF5):
        raise ValueError("it was saved in the old HDF5 format, which Blender does not read: choose Ogawa")
    magic, finished, _, root = _HEADER.unpack(head)
    if magic != b"Ogawa" or finished != 255:
        raise ValueError("it was not finished" if magic == b"Ogawa" else "it does not begin as one")
    waiting, seen = [root], set[int]()
    while waiting:
        place = waiting.pop()
        if place in seen or place & ~_IS_DATA == 0:
            continue
        seen.add(place)
        at = place & ~_IS_DATA
        stream.seek(at)
        (count,) = _NUMBER.unpack(stream.read(_NUMBER.size))
        length = count if place & _IS_DATA else count * _NUMBER.size
        if at + _NUMBER.size + length > size:
            raise ValueError(f"it ends after {size} bytes, before something at {at} does")
        if not place & _IS_DATA:
            waiting += struct.unpack(f"<{count}Q", stream.read(length))
