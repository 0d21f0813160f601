# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all, and archives of arrays that are read whole or not at all."""

import io
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import CacheError

# What zipfile and numpy raise, besides ValueError, for archives and headers that are damaged or not theirs.
_DAMAGE = (
    EOFError, LookupError, MemoryError, OverflowError, RuntimeError, SyntaxError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def atomic_write(path: Path, failure: str, advice: str) -> Iterator[BinaryIO]:
    """A stream whose content becomes `path` at the end of the `with` block; on any error the old file stays.

    Missing folders are created. Raises CacheError, beginning with `failure`, if writing fails.
    """
    # Not mkstemp, whose files only their owner may read. The process number keeps concurrent writers apart.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                yield stream
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CacheError(f"{failure}: {error.strerror or error}.", advice=advice) from error


def read_arrays(path: Path, largest: int | None = None) -> dict[str, NDArray]:
    """The arrays of an npz file by name; nothing is unpickled.

    Each is compared with its checksum before numpy looks at it. `np.load` believes a header that was damaged to a
    shorter array, reads no further and never gets to the checksum.

    largest: bytes that they may take together. Raises OSError where the file cannot be read, and ValueError where it is
    damaged, something else or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
            if largest is not None and sum(item.file_size for item in items) > largest:
                raise ValueError(f"it is too large, more than {largest >> 20} MB")
            # A damaged size would have memory reserved for it.
            if any(item.compress_size > Path(path).stat().st_size for item in items):
                raise ValueError("it is shorter than it says")
            return {
                item.filename.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(item)), allow_pickle=False
                )
                for item in items
            }
    except _DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from error
