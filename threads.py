# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads for compiled loops, and linear algebra on one thread.

Numba's own layers do not suit a guest in Blender: OpenMP's threads spin while they wait, so that a frame takes a
hundred times as long once another program wants the cores, and cannot be told otherwise after any add-on has loaded the
library; `workqueue` ends the process when two threads call compiled loops at once. Here loops are compiled without
threads and without the interpreter lock, cut into parts, and the parts are handed out one by one: whoever is free takes
the next. The caller works as well, waits only for parts that a helper has begun, and so finishes alone where the
helpers get no processor.
"""

import atexit
import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_MOST = 8  # beyond that a frame's loops are too short to be shared
_variable = os.environ.get("NUMBA_NUM_THREADS", "")  # what users of compiled Python know, and farms set

_tasks: "queue.SimpleQueue[_Task | None]" = queue.SimpleQueue()
_helpers: list[threading.Thread] = []
_starting = threading.Lock()
_limit: int | None = None


def count() -> int:
    """How many threads a loop may use: the processors this process may run on, at most `NUMBA_NUM_THREADS`."""
    if _limit is not None:
        return _limit
    affinity = getattr(os, "sched_getaffinity", None)  # not on Windows and macOS
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(found, _MOST, int(_variable) if _variable.isdigit() else _MOST))


@contextmanager
def limited(most: int) -> Iterator[None]:
    """Inside, loops use at most so many threads; for the whole process."""
    global _limit
    before, _limit = _limit, min(most, count())
    try:
        yield
    finally:
        _limit = before


def parts(items: int, least: int) -> int:
    """Into how many parts a loop over `items` is cut so that none has fewer than `least`: handing a part over takes
    some 20 µs."""
    most = items // least  # looked at first: the number of processors is asked of the system
    return min(most, 2 * count()) if most > 1 and count() > 1 else 1


def run(kernel: Callable[..., Any], parts: int, *arguments: Any) -> None:
    """Calls kernel(part, parts, *arguments) for every part below `parts`, each once, on as many threads as there are.

    kernel: compiled with `nogil=True`; its parts write to different places, so that the result does not depend on who
    works which. May be called from several threads at once. An error of a part is raised again here.
    """
    helpers = min(parts, count()) - 1 if parts > 1 else 0
    if helpers < 1:
        for part in range(parts):
            kernel(part, parts, *arguments)
        return
    if len(_helpers) < helpers:
        _start(helpers)
    task = _Task(kernel, parts, arguments)
    for _ in range(helpers):
        _tasks.put(task)
    task.work()
    task.done.acquire()
    if task.error is not None:
        raise task.error


class _Task:
    """The parts of one loop. Counters are the interpreter's own: taking the next number cannot be interrupted."""

    def __init__(self, kernel: Callable[..., Any], parts: int, arguments: tuple[Any, ...]):
        self.kernel, self.parts, self.arguments = kernel, parts, arguments
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()
        self._claimed, self._finished = itertools.count(), itertools.count(1)

    def work(self) -> None:
        """Takes parts until there are none; who finishes the last one says so."""
        while (part := next(self._claimed)) < self.parts:
            try:
                self.kernel(part, self.parts, *self.arguments)
            except BaseException as error:  # noqa: BLE001 - it is raised again by who called `run`
                self.error = error
            if next(self._finished) == self.parts:
                self.done.release()


def _start(helpers: int) -> None:
    with _starting:
        while len(_helpers) < helpers:
            thread = threading.Thread(target=_help, name=f"nephim-{len(_helpers)}", daemon=True)
            _helpers.append(thread)
            thread.start()


def _help() -> None:
    while (task := _tasks.get()) is not None:
        task.work()
        del task  # its arrays are not kept until the next one comes


@atexit.register
def stop() -> None:
    """Ends the helpers; the next loop starts others."""
    with _starting:
        for _ in _helpers:
            _tasks.put(None)
        for thread in _helpers:
            thread.join()
        _helpers.clear()


_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra on one thread, for the many small products and factorisations of a frame; some 50 µs.

    OpenBLAS divides even a product of three rows among its threads; handing that over takes longer than the product
    itself takes, and on a busy machine a hundred times as long. The limit is the whole process's, so it ends with the
    last of those that want it.
    """
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _blas_libraries().limit(limits=1)
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()


_libraries: tuple[int, Any] = (0, None)


def _blas_libraries() -> Any:
    """The linear algebra libraries that are loaded; looked up again only after imports, as that takes milliseconds."""
    global _libraries
    if _libraries[0] != len(sys.modules):
        from threadpoolctl import ThreadpoolController  # not before it is used: the add-on registers without it

        _libraries = (len(sys.modules), ThreadpoolController().select(user_api="blas"))
    return _libraries[1]
