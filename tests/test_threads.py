# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled loops on several threads: every part once, from any number of callers; linear algebra on one thread."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import nephim
import numpy as np
import pytest
from nephim import threads
from nephim.sim.geometry.triangle_bvh import TriangleTree
from numba import njit


@njit(cache=True, nogil=True)
def add_rows(part, parts, values, counts):
    """Adds its rows up, slowly enough for others to take part."""
    for i in range(part * len(values) // parts, (part + 1) * len(values) // parts):
        total = 0.0
        for _ in range(200):
            for k in range(values.shape[1]):
                total += np.sin(values[i, k])
        counts[i] += 1


@pytest.fixture
def three_threads(monkeypatch):
    """Three threads, whatever this machine has."""
    monkeypatch.setattr(threads, "_limit", 3)
    yield
    threads.stop()


@pytest.mark.parametrize("parts", [1, 2, 3, 17])
def test_every_part_is_worked_once(three_threads, parts):
    values, counts = np.random.default_rng(0).normal(size=(50, 30)), np.zeros(50, np.int64)
    for _ in range(20):
        threads.run(add_rows, parts, values, counts)
    assert (counts == 20).all()


def test_callers_of_many_threads_do_not_disturb_each_other(three_threads):
    """A preview, a job and a thread of its own all call compiled loops at the same time."""
    rng = np.random.default_rng(1)
    triangles = rng.integers(0, 300, (600, 3))
    tree = TriangleTree(rng.normal(size=(300, 3)), triangles[(np.diff(np.sort(triangles), axis=1) > 0).all(axis=1)])
    points = rng.normal(size=(3000, 3))
    expected = tree.closest(points)
    wrong: list[int] = []

    def call(caller: int) -> None:
        for _ in range(25):
            counts = np.zeros(40, np.int64)
            threads.run(add_rows, 5, points[:40], counts)
            found = tree.closest(points)
            if not (counts == 1).all() or any(not np.array_equal(a, b) for a, b in zip(found, expected, strict=True)):
                wrong.append(caller)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_call_waits_for_nobody_who_has_not_begun(three_threads, monkeypatch):
    """Where helpers get no processor the caller works all parts itself."""
    monkeypatch.setattr(threads, "_start", lambda helpers: None)  # nobody helps
    values, counts = np.ones((30, 3)), np.zeros(30, np.int64)
    threads.run(add_rows, 6, values, counts)
    assert (counts == 1).all()
    while not threads._tasks.empty():
        threads._tasks.get()


def test_an_error_of_a_part_reaches_the_caller(three_threads):
    def fails(part: int, parts: int) -> None:
        if part == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.run(fails, 4)


def test_helpers_end_and_begin_again(three_threads):
    values, counts = np.ones((30, 3)), np.zeros(30, np.int64)
    for _ in range(3):
        threads.run(add_rows, 6, values, counts)
        threads.stop()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("nephim-")]
    assert (counts == 3).all()


def test_parts_are_never_small():
    with threads.limited(1):
        assert threads.parts(10_000, 10) == 1
    assert threads.parts(99, 100) == threads.parts(0, 100) == 1
    assert 100_000 // threads.parts(100_000, 1000) >= 1000


def test_the_farms_variable_limits_the_threads():
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    python = [sys.executable] if "python" in os.path.basename(sys.executable) else ["python3"]
    code = "from nephim import threads; print(threads.count())"
    run = subprocess.run([*python, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1"


def blas_threads() -> list[int]:
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def two_blas_threads():
    """Two threads for linear algebra, which has only one where tests run side by side."""
    from threadpoolctl import threadpool_limits

    np.linalg.svd(np.eye(3))
    with threadpool_limits(2, "blas"):
        assert 2 in blas_threads()
        yield


def test_linear_algebra_has_one_thread_inside_and_as_many_as_before_outside(two_blas_threads):
    before = blas_threads()
    for _ in range(2):
        with threads.one_blas_thread():
            assert all(count == 1 for count in blas_threads())
        assert blas_threads() == before
    with pytest.raises(ZeroDivisionError), threads.one_blas_thread():
        raise ZeroDivisionError
    assert blas_threads() == before


def test_the_limit_of_linear_algebra_ends_with_the_last_that_wants_it(two_blas_threads):
    """A preview may end while a job goes on, in whatever order."""
    before = blas_threads()
    one, other = threads.one_blas_thread(), threads.one_blas_thread()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert all(count == 1 for count in blas_threads())
    other.__exit__(None, None, None)
    assert blas_threads() == before


def test_no_compiled_loop_stalls_the_window():
    """A volume is built aside from Blender's window: a loop that keeps Python to itself holds it up until it ends."""
    package = Path(nephim.__file__).parent
    sources = [path.read_text() for folder in ("sim", "nn") for path in (package / folder).rglob("*.py")]
    decorators = [line for source in sources for line in source.splitlines() if line.startswith("@njit")]
    called = [line for line in decorators if 'inline="always"' not in line]
    assert len(called) > 50 and all("nogil=True" in line for line in called)
