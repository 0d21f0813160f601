# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture strip: a row of pictures for each method, a column for each frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .images import blank
from .lettering import GREY, write_text

_GAP, _MARGIN, _CAPTION, _HEADER = 6, 20, 130, 74  # pixels


def compose_strip(
    cells: Sequence[NDArray[np.uint8]], rows: Sequence[str], captions: Sequence[str], title: str
) -> NDArray[np.uint8]:
    """Lays out equal cells (h, w, 3), row after row; captions stand above the columns. A "_" breaks a row's name."""
    high, wide = cells[0].shape[:2]
    left = _MARGIN + _CAPTION
    width = left + len(captions) * (wide + _GAP) - _GAP + _MARGIN
    sheet = blank(width, _HEADER + len(rows) * (high + _GAP) + _MARGIN)
    write_text(sheet, title, _MARGIN, 8, 30)
    for column, caption in enumerate(captions):
        write_text(sheet, caption, left + column * (wide + _GAP), 42, 24, GREY)
    for k, cell in enumerate(cells):
        row, column = divmod(k, len(captions))
        y, x = _HEADER + row * (high + _GAP), left + column * (wide + _GAP)
        sheet[y : y + high, x : x + wide] = cell
    for row, name in enumerate(rows):
        y = _HEADER + row * (high + _GAP) + high // 2
        for k, word in enumerate(name.split("_")):
            write_text(sheet, word, left - 12, y - 14 + 28 * k, 24, GREY, "right")
    return sheet
