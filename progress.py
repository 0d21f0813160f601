# SPDX-License-Identifier: GPL-3.0-or-later
"""Long jobs are generators that yield `Progress`; the code that drives one decides how to show it."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

Result = TypeVar("Result")

_LOOK_SECONDS = 0.02  # how long `aside` waits for news before it returns control


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` in 0..1 of `step`, with a short `detail` to show."""

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
        left = remaining(progress.done, now - started)
        if left:
            text += f", {left} left"
        if progress.detail:
            text += f" ({progress.detail})"
        stream.write(f"\r{text:<79}" if terminal else f"{text}\n")
        stream.flush()


def aside(job: Job[Result]) -> Job[Result]:
    """The same job in its own thread, so that a long step does not block the caller: the window stays responsive and
    Esc works at once. Only for jobs that do not touch Blender.

    A closed job ends at its next `Progress`; until then the thread keeps running, and its work is discarded.
    """
    shared: dict[str, Any] = {"progress": None, "closed": False}
    news, done = threading.Event(), threading.Event()

    def work() -> None:
        try:
            while not shared["closed"]:
                shared["progress"] = next(job)
                news.set()
            job.close()
        except StopIteration as end:
            shared["result"] = end.value
        except BaseException as error:  # noqa: BLE001 - re-raised where the job is driven
            shared["error"] = error
        done.set()
        news.set()

    thread = threading.Thread(target=work, name="nephim", daemon=True)
    thread.start()
    try:
        while not done.is_set():
            news.wait(_LOOK_SECONDS)
            news.clear()
            if shared["progress"] is not None and not done.is_set():
                yield shared["progress"]
    finally:
        shared["closed"] = True
    thread.join()
    if "error" in shared:
        raise shared["error"]
    return shared["result"]


def call(progress: Progress, function: Callable[[], Result]) -> Job[Result]:
    """One long call as a job, which shows `progress` meanwhile."""
    yield progress
    return function()


def remaining(done: float, elapsed: float) -> str:
    """How much longer a step will take, as '12 s' or '3 min'; empty while it cannot be estimated.

    done: share 0..1 that took `elapsed` seconds.
    """
    if not (0.02 < done < 1.0 and elapsed > 1.0):
        return ""
    return _duration(elapsed * (1 / done - 1))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
