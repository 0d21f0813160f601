# SPDX-License-Identifier: GPL-3.0-or-later
"""Long jobs are generators that yield `Progress`; whoever drives one decides how to show it."""

import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TextIO, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` in 0..1 of `step`, with a short `detail` for people."""

    step: str
    done: float
    detail: str = ""


Job = Generator[Progress, None, Result]


def drive(job: Job[Result], stream: TextIO | None = None) -> Result:
    """Runs a job to its end, writing its progress with the remaining time to `stream` (default: stderr).

    On a terminal the line is rewritten; elsewhere a line is printed when a step begins and at most every two seconds.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    step, started, shown = "", 0.0, 0.0
    while True:
        try:
            progress = next(job)
        except StopIteration as end:
            if terminal and step:
                stream.write("\n")
            return end.value
        now = time.monotonic()
        if progress.step != step:
            if terminal and step:
                stream.write("\n")
            step, started, shown = progress.step, now, 0.0
        if now - shown < (0.1 if terminal else 2.0) and progress.done < 1.0:
            continue
        shown = now
        text = f"{progress.step}: {100 * progress.done:3.0f} %"
        if 0.02 < progress.done < 1.0 and now - started > 1.0:
            text += f", {_duration((now - started) * (1 / progress.done - 1))} left"
        if progress.detail:
            text += f" ({progress.detail})"
        stream.write(f"\r{text:<79}" if terminal else f"{text}\n")
        stream.flush()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
