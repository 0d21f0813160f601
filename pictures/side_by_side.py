# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays out pictures of several methods: the frames of a film, and a sheet with a table."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .images import blank, scale_end
from .lettering import GREY, write_text

# Pixels of the two views of a method in a film, one above the other.
WIDE, CLOSE = (384, 300), (384, 384)
GAP = 4
# Of a film: the names above, under the pictures the figures and the curve below its label. h264 wants even sides.
_NAMES, _FIGURES, _CURVE, _LABEL = 48, 40, 80, 20
_INSIDE, _LINE, _NOW = (226, 120, 84), (70, 74, 80), (240, 242, 245)
_WHITE = (225, 227, 230)


def stacked(above: NDArray[np.uint8], below: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures of one width, one above the other."""
    return np.concatenate([above, blank(above.shape[1], GAP), below])


class FilmLayout:
    """Frames of a film: a column for each method with the measures under it.

    deepest: of each method, the penetration in each frame (f,) [mm], drawn as a curve.
    """

    def __init__(self, names: Sequence[str], deepest: Sequence[NDArray]):
        self._deepest = deepest
        self._end = scale_end(max(1.0, *(float(values.max(initial=0.0)) for values in deepest)))
        width, high = CLOSE[0], WIDE[1] + GAP + CLOSE[1]
        count = len(names)
        self.pixels = (count * (width + GAP) - GAP, _NAMES + high + _FIGURES + _CURVE + 2 * GAP)
        self.pixels = (self.pixels[0] + self.pixels[0] % 2, self.pixels[1] + self.pixels[1] % 2)
        self._empty = blank(*self.pixels)
        self._left = [k * (width + GAP) for k in range(count)]
        self._curve_top = self.pixels[1] - _CURVE - GAP
        for x, name, values in zip(self._left, names, deepest, strict=True):
            write_text(self._empty, name, x + 10, 9, 26)
            part = self._empty[self._curve_top : self._curve_top + _CURVE, x : x + width]
            _draw_curve(part, values / self._end)
            write_text(part, f"penetration, up to {self._end:g} mm", width - 8, 2, 15, GREY, "right")

    def picture(
        self, columns: Sequence[NDArray[np.uint8]], k: int, moved: Sequence[float], gesture: str, frame: str
    ) -> NDArray[np.uint8]:
        """Frame number k; moved: of each method, the largest displacement [mm]."""
        picture, width = self._empty.copy(), CLOSE[0]
        y = _NAMES + columns[0].shape[0]
        for x, column, values, by in zip(self._left, columns, self._deepest, moved, strict=True):
            picture[_NAMES:y, x : x + width] = column
            inside = float(values[k])
            colour = _INSIDE if inside > 1.0 else _WHITE  # a millimetre is seen
            write_text(picture, f"{inside:.1f} mm inside", x + 10, y + 10, 21, colour)
            write_text(picture, f"skin moved {by:.1f} mm", x + width - 10, y + 10, 21, GREY, "right")
            now = x + _at(k, len(values), width)
            picture[self._curve_top : self._curve_top + _CURVE, now : now + 2] = _NOW
        write_text(picture, gesture, 10, _NAMES + WIDE[1] - 32, 21)  # on the first picture: no name is in the way
        write_text(picture, frame, self.pixels[0] - 10, 12, 21, GREY, "right")
        return picture


def _draw_curve(part: NDArray[np.uint8], values: NDArray) -> None:
    """Fills part (h, w, 3) from below by values (f,) in 0..1 over time."""
    high, width = part.shape[:2]
    part[:] = (38, 41, 45)
    for k, value in enumerate(values):
        x, end = _at(k, len(values), width), _at(k + 1, len(values), width)
        part[high - round(value * (high - _LABEL)) : high, x : max(end, x + 1)] = _INSIDE
    part[-1] = _LINE


def _at(k: int, count: int, width: int) -> int:
    return min(width - 2, round(k * width / max(1, count)))


class Sheet:
    """A column for each frame, a row for each method, and a table of the measures of the whole take."""

    cell = (372, 372)
    _GUTTER, _MARGIN, _CAPTION, _HEADER, _UNDER, _ROW = 8, 24, 170, 138, 34, 36
    _MEASURE, _VALUE = 330, 210  # widths of the table's columns

    def __init__(self, heading: str):
        self._heading = heading
        self._columns: list[tuple[str, str, Sequence[NDArray[np.uint8]], Sequence[tuple[str, str]]]] = []

    def add_column(
        self, frame: str, gesture: str, cells: Sequence[NDArray[np.uint8]], under: Sequence[tuple[str, str]]
    ) -> None:
        """under: two figures for each cell."""
        self._columns.append((frame, gesture, cells, under))

    def compose(self, rows: Sequence[str], table: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.uint8]:
        """The picture (h, w, 3); rows: names of the methods; table: name and values, one for each method."""
        wide, high = self.cell
        left, step = self._MARGIN + self._CAPTION, high + self._UNDER + self._GUTTER
        width = left + len(self._columns) * (wide + self._GUTTER) - self._GUTTER + self._MARGIN
        width = max(width, 2 * self._MARGIN + self._MEASURE + len(rows) * self._VALUE)
        top = self._HEADER + len(rows) * step + 26
        sheet = blank(width, top + (len(table) + 1) * self._ROW + self._MARGIN)
        write_text(sheet, self._heading, self._MARGIN, 22, 36)
        for row, name in enumerate(rows):
            for k, word in enumerate(name.split()):
                y = self._HEADER + row * step + high // 2 - 14 * len(name.split()) + 28 * k
                write_text(sheet, word, left - 14, y, 26, GREY, "right")
        for column, (frame, gesture, cells, under) in enumerate(self._columns):
            x = left + column * (wide + self._GUTTER)
            write_text(sheet, frame, x, self._HEADER - 66, 28)
            write_text(sheet, gesture, x, self._HEADER - 34, 24, GREY)
            for row, (cell, (one, other)) in enumerate(zip(cells, under, strict=True)):
                y = self._HEADER + row * step
                sheet[y : y + high, x : x + wide] = cell
                write_text(sheet, one, x + 2, y + high + 5, 22)
                write_text(sheet, other, x + wide - 2, y + high + 5, 22, GREY, "right")
        self._write_table(sheet, top, rows, table)
        return sheet

    def _write_table(
        self, sheet: NDArray[np.uint8], top: int, rows: Sequence[str], table: Sequence[tuple[str, Sequence[str]]]
    ) -> None:
        names = [("whole take", rows), *table]
        for line, (name, values) in enumerate(names):
            y = top + line * self._ROW
            write_text(sheet, name, self._MARGIN, y, 24, GREY)
            for k, value in enumerate(values):
                right = self._MARGIN + self._MEASURE + (k + 1) * self._VALUE - 10
                write_text(sheet, value, right, y, 24, GREY if line == 0 else _WHITE, "right")
        sheet[top + self._ROW - 4, self._MARGIN : self._MARGIN + self._MEASURE + len(rows) * self._VALUE] = _LINE
