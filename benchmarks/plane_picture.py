# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the plane of error and time. Needs the bpy module for lettering."""

from pathlib import Path
from typing import Any

import numpy as np
from nephim.pictures.images import blank, write_png
from nephim.pictures.lettering import GREY, write_text

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _EDGE = 1400, 1100, 110, 80, 50  # [px] of the sheet and around the plane
_HIGHEST = 1.0  # relative error at the top: what a method that does nothing has
_DOT, _SIZE = 7, 24  # [px] half a dot, and letters
_P50, _P75, _GRID = (240, 170, 60), (150, 110, 60), (60, 63, 68)


def plane_picture(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Relative error, median (bright) and p75 (dark), over the median time of a frame, which is on a log scale."""
    sheet = blank(_WIDTH, _HEIGHT)
    times = [row["ms"]["p50"] for row in rows.values()]
    low, high = np.floor(np.log10(min(times))), np.ceil(np.log10(max(times)))

    def at(ms: float, error: float) -> tuple[int, int]:
        across = (np.log10(ms) - low) / max(high - low, 1)
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _EDGE)),
            round(_HEIGHT - _BOTTOM - min(error / _HIGHEST, 1.0) * (_HEIGHT - _BOTTOM - _EDGE)),
        )

    for share in np.linspace(0, _HIGHEST, 6):
        x, y = at(10**low, share)
        sheet[y, x : _WIDTH - _EDGE] = _GRID
        write_text(sheet, f"{share:.1f}", x - 12, y - 14, _SIZE, GREY, "right")
    for power in np.arange(low, high + 1):
        for k in range(1, 10) if power < high else (1,):
            x, y = at(k * 10**power, 0)
            sheet[_EDGE:y, x] = _GRID
            if k in (1, 2, 5):
                write_text(sheet, f"{k * 10**power:g}", x, y + 10, _SIZE, GREY, "centre")
    write_text(sheet, "relative error (median, p75 above it) over milliseconds a frame, one thread", _LEFT, 8, _SIZE)
    for name, row in rows.items():
        for quantile, colour in (("p75", _P75), ("p50", _P50)):
            x, y = at(row["ms"]["p50"], row["relative_error"][quantile])
            sheet[y - _DOT : y + _DOT, x - _DOT : x + _DOT] = colour
        write_text(sheet, name, x + 2 * _DOT, y - _SIZE // 2 - 2, _SIZE)
    write_png(path, sheet)
