# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts in a process of their own: how they end, and that they never outlive who waits for them."""

import subprocess
import sys

import pytest
from nephim import child
from nephim.progress import Progress, drive

COMMAND = [sys.executable, "-P"]


def job(tmp_path, text, *arguments, progress=lambda: Progress("child", 0.5)):
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8")
    return child.run_child(COMMAND, script, arguments, tmp_path / "log.txt", progress)


def test_a_script_that_ends_well_leaves_its_output(tmp_path):
    assert drive(job(tmp_path, "import sys; print(sys.argv[1:])", "a b", "c")) == ""
    assert (tmp_path / "log.txt").read_text().strip() == "['a b', 'c']"


def test_a_script_that_fails_tells_its_code_and_last_line(tmp_path):
    assert drive(job(tmp_path, "raise SystemExit('no room left')")) == "code 1: no room left"
    assert drive(job(tmp_path, "raise SystemExit(7)")) == "code 7"


@pytest.fixture
def started(monkeypatch):
    found, start = [], subprocess.Popen
    monkeypatch.setattr(child.subprocess, "Popen", lambda *a, **k: found.append(start(*a, **k)) or found[-1])
    return found


def test_closing_the_job_kills_the_script(tmp_path, started):
    waiting = job(tmp_path, "import time; time.sleep(60)")
    assert next(waiting).done == 0.5
    waiting.close()
    assert started[0].poll() is not None


def test_an_error_of_who_watches_kills_the_script(tmp_path, started):
    def late():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        drive(job(tmp_path, "import time; time.sleep(60)", progress=late))
    assert started[0].poll() is not None
