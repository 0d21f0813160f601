# SPDX-License-Identifier: GPL-3.0-or-later
"""What a first try costs, printed at the end of `make demo`: `python -m tools.first_picture build/demo STARTED .venv`.

STARTED: when make began, in seconds since 1970. On a fresh checkout the time includes setting up .venv.
"""

import os
import sys
from pathlib import Path


def disk_size(folder: Path) -> int:
    """Bytes of all files in a folder; links are not followed, and a file of several names counts once."""
    files = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(parent, name))
            files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values())


def first_picture(folder: Path, started: float) -> tuple[str, float] | None:
    """Name of the first picture written since `started` and the seconds it took; None if there is none."""
    written = [(path.stat().st_mtime, path.name) for path in folder.glob("*.png")]
    recent = sorted(item for item in written if item[0] >= started)
    return (recent[0][1], recent[0][0] - started) if recent else None


def summary(folder: Path, started: float, environment: Path) -> str:
    line = f"{environment}: {disk_size(environment) / 1e9:.1f} GB on disk."
    found = first_picture(folder, started)
    if found is not None:
        minutes, seconds = divmod(round(found[1]), 60)
        line += f" First picture ({found[0]}) {minutes} min {seconds} s after make began."
    return line


if __name__ == "__main__":
    print(summary(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])))
