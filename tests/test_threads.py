# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear algebra on one thread while a frame is simulated, and as before afterwards."""

import numpy as np
from nephim.threads import OneThread


def threads():
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_one_thread_inside_and_as_before_outside():
    np.linalg.svd(np.eye(3))
    before = threads()
    one = OneThread()
    for _ in range(2):
        with one.limit():
            assert all(count == 1 for count in threads())
        assert threads() == before
    try:
        with one.limit():
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert threads() == before
