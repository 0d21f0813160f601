# SPDX-License-Identifier: GPL-3.0-or-later
"""Python files of ours that run in a process of their own, for what would block the window or could crash it."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .progress import Job, Progress

_POLL = 0.05  # between checks on the child [s]


def run_child(
    command: Sequence[str],
    script: Path,
    arguments: Sequence[str],
    log: Path,
    progress: Callable[[], Progress],
    environment: Mapping[str, str] | None = None,
) -> Job[str]:
    """Runs `script` to its end. Closing the job, or an error that `progress` raises, kills the child.

    command: what runs a Python file; log: gets all that the child says; progress: asked from time to time. Returns ""
    if it went well, else the code that it ended with and the last line that it said.
    """
    separator = ["--"] if "--python" in command else []  # Blender leaves to the script what comes behind
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, str(script), *separator, *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
        try:
            while child.poll() is None:
                yield progress()
                time.sleep(_POLL)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if child.returncode == 0:
        return ""
    said = log.read_text(errors="replace").strip().splitlines()
    return f"code {child.returncode}{': ' + said[-1] if said else ''}"
