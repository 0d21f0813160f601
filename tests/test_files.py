# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are whole or not there, readable by whom the user's umask lets, and refusals say why."""

import os
import stat
from pathlib import Path

import pytest
from nephim.errors import CacheError
from nephim.files import atomic_write


def write(path: Path, content: bytes) -> None:
    with atomic_write(path, f"{path.name} could not be written", "Free disk space.") as stream:
        stream.write(content)


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_decides_who_may_read(tmp_path: Path, mask: int):
    before = os.umask(mask)
    try:
        write(tmp_path / "a.bin", b"a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~mask


def test_missing_folders_are_made_and_old_files_replaced(tmp_path: Path):
    path = tmp_path / "one" / "two" / "a.bin"
    write(path, b"old")
    write(path, b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException):
    path = tmp_path / "a.bin"
    write(path, b"old")
    expected = CacheError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_write(path, "It could not be written", "Free disk space.") as stream:
        stream.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_message_says_what_why_and_what_next(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match=r"^a\.bin could not be written: .+\. Free disk space\.$"):
        write(tmp_path / "file" / "a.bin", b"")
