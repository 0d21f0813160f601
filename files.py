# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import CacheError


@contextmanager
def atomic_write(path: Path, failure: str, advice: str) -> Iterator[BinaryIO]:
    """A stream whose content becomes `path` at the end of the `with` block; on any error the old file stays.

    Folders are made where they are missing. Raises CacheError, beginning with `failure`, where the disk refuses.
    """
    # Opened by name, not by mkstemp, whose files nobody else may read. The process number parts two writers.
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
