# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear algebra on one thread, for the many small products and factorisations of a frame.

OpenBLAS divides even a product of three rows among its threads; handing that over takes longer than the product itself
takes, and on a busy machine a hundred times as long.
"""

from contextlib import AbstractContextManager
from typing import Any


class OneThread:
    """Made once the libraries are loaded; `with one_thread.limit():` around a frame, some 50 µs."""

    def __init__(self) -> None:
        from threadpoolctl import ThreadpoolController  # not before it is used: the add-on registers without it

        self._blas = ThreadpoolController().select(user_api="blas")

    def limit(self) -> AbstractContextManager[Any]:
        return self._blas.limit(limits=1)
