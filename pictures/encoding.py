# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins pictures into films in a child process, so that the window stays responsive and Esc stops it at once."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import bpy

from ..child import run_child
from ..compat import is_module
from ..errors import CacheError
from ..progress import Job, Progress

_ADVICE = "Free disk space or choose another folder."


def blender_command() -> list[str]:
    """The command that runs a Python file with the bpy that runs this one: Blender's program, or its module."""
    if is_module():
        return [sys.executable, "-P"]
    return [bpy.app.binary_path, "-b", "--factory-startup", "--python-exit-code", "1", "--python"]


def encode_job(
    films: Mapping[Path, Path],
    pixels: tuple[int, int],
    frame_rate: float,
    step: str,
    begin: float = 0.0,
    end: float = 1.0,
) -> Job[None]:
    """Writes h264 mp4s, all of them or none. Closing the job kills the child and removes what it has begun.

    films: by the path of each mp4, the folder of its pictures 000000.png …, all of this size [pixels], even numbers;
    begin, end: shares of the step that it is. Raises CacheError if a film cannot be written.
    """
    halves = {path: path.with_name(f".{path.stem}.part{path.suffix}") for path in films}
    pictures = sum(len(list(folder.glob("*.png"))) for folder in films.values())
    try:
        for path in films:
            path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="nephim-") as folder:
            job = Path(folder) / "job.json"
            wanted = [[str(films[path].absolute()), str(half.absolute())] for path, half in halves.items()]
            job.write_text(json.dumps({"films": wanted, "pixels": pixels, "frame_rate": frame_rate}), encoding="utf-8")
            script, log = Path(__file__).with_name("encode_child.py"), Path(folder) / "log.txt"

            def progress() -> Progress:
                done = log.read_bytes().count(b"\nwritten")
                return Progress(step, begin + (end - begin) * min(1.0, done / pictures), "encoding")

            failed = yield from run_child(blender_command(), script, [str(job)], log, progress)
            if failed:
                raise CacheError(f"No video was written at {next(iter(films))} ({failed}).", advice=_ADVICE)
        for path, half in halves.items():
            if not half.exists() or not half.stat().st_size:
                raise CacheError(f"Blender wrote no video at {path}.", advice=_ADVICE)
        for path, half in halves.items():
            os.replace(half, path)
    except OSError as error:
        raise CacheError(f"No video could be written: {error.strerror or error}.", advice=_ADVICE) from error
    finally:
        for half in halves.values():
            if half.exists():
                half.unlink()
    yield Progress(step, end)
