# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots the report over the frames: penetration before and after, volume, time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError
from .images import blank, write_png
from .lettering import GREY, write_text
from .raster import coverage

Colour = tuple[int, int, int]  # sRGB

_WIDTH, _CHART, _GAP = 1600, 270, 76  # [px] of the picture, height of a chart, and between charts
_LEFT, _RIGHT, _TOP = 110, 40, 130
_BEFORE, _AFTER, _OTHER = (236, 126, 80), (92, 188, 236), (170, 205, 120)
_BAND, _GRID, _AXIS = (48, 56, 64), (70, 75, 82), (110, 114, 120)
_LINE, _INSET = 2.5, 4  # [px] width, and room above and below the curves
_TICKS = 5  # at most, between the ends of the upright axis
_FRAME_TICKS = 12


@dataclass(frozen=True)
class Curve:
    """values: (frames,), NaN for gaps."""

    name: str
    values: NDArray[np.float64]
    colour: Colour


@dataclass(frozen=True)
class Chart:
    """Curves over the same frames. through: a value that the upright axis shows in any case."""

    title: str
    curves: Sequence[Curve]
    through: float = 0.0


def plot_report(report: dict, path: Path) -> Path:
    """Writes the plot of a report (see `report.report_job`) as PNG. Raises CacheError for reports of older versions."""
    write_png(path, report_plot(report))
    return path


def report_plot(report: dict) -> NDArray[np.uint8]:
    """The plot, (h, w, 3) sRGB. Raises CacheError where the report has no figures frame by frame."""
    if "per_frame" not in report:
        raise CacheError("The report has no figures frame by frame.", advice="Measure again.")
    columns = {name: np.array(values, np.float64) for name, values in report["per_frame"].items()}  # None is NaN
    charts = [
        Chart(
            "Deepest penetration, mm",
            [
                Curve("before", columns["penetration_before_mm"], _BEFORE),
                Curve("after", columns["penetration_after_mm"], _AFTER),
            ],
        ),
        Chart(
            "Volume of the tissue in contact, ratio",
            [
                Curve("1 % of the tetrahedra below", columns["volume_ratio_p1"], _BEFORE),
                Curve("1 % above", columns["volume_ratio_p99"], _OTHER),
            ],
            through=1.0,
        ),
        Chart("Time of a frame, ms", [Curve(report["mode"], columns["ms"], _AFTER)]),
    ]
    first, last = report["frame_range"]
    heading = f"{report['objects']['head']}: {report['mode']}, frames {first}-{last}"
    return draw(charts, range(first, last + 1), columns["contact"] > 0, heading)


def draw(charts: Sequence[Chart], frames: range, contact: NDArray[np.bool_], heading: str) -> NDArray[np.uint8]:
    """Charts one below the other, over the same frames; contact: (frames,) shaded. Returns (h, w, 3) sRGB."""
    sheet = blank(_WIDTH, _TOP + len(charts) * (_CHART + _GAP))
    write_text(sheet, heading, _LEFT, 20, 38)
    write_text(sheet, "shaded: hand and face touch", _WIDTH - _RIGHT, 30, 24, GREY, "right")
    for number, chart in enumerate(charts):
        top = _TOP + number * (_CHART + _GAP)
        _draw_chart(sheet[top - 40 : top + _CHART + 36], chart, frames, contact)
    return sheet


def ticks(low: float, high: float) -> NDArray[np.float64]:
    """Round numbers at equal distances, the first not above `low` and the last not below `high`."""
    span = max(high - low, 1e-6)
    power = 10.0 ** np.floor(np.log10(span / _TICKS))
    step = next(power * k for k in (1, 2, 5, 10, 20) if span <= power * k * _TICKS)
    return step * np.arange(np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9) + 1)


def _draw_chart(part: NDArray[np.uint8], chart: Chart, frames: range, contact: NDArray[np.bool_]) -> None:
    """Draws into part (h, w, 3): 40 px for the title, the chart, 36 px for the frame numbers."""
    write_text(part, chart.title, _LEFT, 0, 26)
    x = _WIDTH - _RIGHT
    for curve in reversed(chart.curves):
        write_text(part, curve.name, x, 2, 24, curve.colour, "right")
        x -= 30 + 12 * len(curve.name)
    area = part[40 : 40 + _CHART, _LEFT : _WIDTH - _RIGHT]
    width = area.shape[1]
    across = (np.arange(len(frames)) + 0.5) * width / len(frames)  # [px], the middle of each frame's column

    edges = np.arange(len(frames) + 1) * width / len(frames)
    for k in np.flatnonzero(contact):
        area[:, round(edges[k]) : max(round(edges[k + 1]), round(edges[k]) + 1)] = _BAND

    known = np.concatenate([curve.values[np.isfinite(curve.values)] for curve in chart.curves])
    marks = ticks(min(chart.through, known.min(initial=np.inf)), max(chart.through, known.max(initial=-np.inf)))
    if len(marks) < 2:
        marks = np.array([marks[0], marks[0] + 1.0])

    def down(values: NDArray) -> NDArray[np.float64]:
        return _INSET + (_CHART - 1 - 2 * _INSET) * (marks[-1] - values) / (marks[-1] - marks[0])

    for value, y in zip(marks, down(marks), strict=True):
        area[round(y)] = _AXIS if value == marks[0] else _GRID
        write_text(part, f"{value:.4g}", _LEFT - 12, 40 + round(y) - 13, 24, GREY, "right")
    for frame in ticks(frames.start, frames.stop - 1) if len(frames) < _FRAME_TICKS else _round_frames(frames):
        if frame in frames:
            write_text(
                part, f"{frame:g}", _LEFT + round(across[int(frame) - frames.start]), 44 + _CHART, 24, GREY, "centre"
            )
    for curve in chart.curves:
        _draw_line(area, np.column_stack([across, down(curve.values)]), curve.colour)


def _round_frames(frames: range) -> range:
    """About a dozen round frame numbers."""
    step = next(k * 10**power for power in range(7) for k in (1, 2, 5) if len(frames) <= _FRAME_TICKS * k * 10**power)
    return range(-(-frames.start // step) * step, frames.stop, step)


def _draw_line(area: NDArray[np.uint8], points: NDArray[np.float64], colour: Colour) -> None:
    """A line through points (n, 2) [px] of area (h, w, 3), with gaps at NaN; a single point is a dot."""
    known = np.isfinite(points).all(axis=1)
    both = known[:-1] & known[1:]
    starts, ends = points[:-1][both], points[1:][both]
    alone = points[known & ~np.append(both, False) & ~np.insert(both, 0, False)]
    half = np.array([_LINE, 0.0])
    starts, ends = np.concatenate([starts, alone - half]), np.concatenate([ends, alone + half])
    if not len(starts):
        return
    along = ends - starts
    along *= _LINE / 2 / np.linalg.norm(along, axis=1, keepdims=True)
    aside = along[:, ::-1] * [1, -1]
    starts, ends = starts - along, ends + along  # each piece a little longer, so that bends have no gaps
    corners = np.concatenate([starts - aside, starts + aside, ends + aside, ends - aside])
    count = np.arange(len(starts))
    one, two, three, four = (count + k * len(starts) for k in range(4))
    triangles = np.concatenate([np.stack([one, two, three], axis=1), np.stack([one, three, four], axis=1)])
    mask = coverage(corners, triangles, area.shape[1], area.shape[0])[..., None]
    area[:] = (area * (1 - mask) + np.array(colour) * mask + 0.5).astype(np.uint8)
