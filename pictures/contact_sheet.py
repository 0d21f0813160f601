# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet: six frames of the result, tracked above simulated, close-ups, and displacement in mm.

Nothing is added to the scene: surfaces are read as arrays and drawn by `raster`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bridge.cache.results import ResultReader
from ..bridge.colours import displacement_colours
from ..progress import Job, Progress
from .camera import best_direction, focus
from .highlights import choose_frames
from .images import blank, scale_end, write_png
from .lettering import GREY, write_text
from .raster import Light, View, render_all, to_srgb
from .staging import Shot, Stage

# The sheet is about 2400 pixels wide: six cells, a little higher than wide as heads are, and a column of captions.
_CELL, _GAP, _MARGIN, _CAPTION, _HEADER = (372, 420), 6, 24, 118, 150
_COLUMNS = 6
# A head fills this much of the height of its cell; a close-up is never narrower than a hand's breadth of skin.
_FILL, _CLOSE_LOW, _CLOSE_HIGH = 0.86, 0.095, 0.16
# The hand is left to be seen faintly before the coloured skin that it would hide.
_GHOST = 0.22
# A hand this near to the contact [m] can throw a shadow on it.
_REACH = 0.12
# Blender's characters look along -y and stand along z; the head turns from there.
_FRONT, _UP = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Framing:
    """Where the cameras of one frame stand: directions are unit, from the subject to the camera."""

    direction: NDArray
    centre: NDArray
    height: float
    close_direction: NDArray
    close_centre: NDArray
    close_height: float
    up: NDArray
    light: Light
    close_light: Light

    def view(self, pixels: tuple[int, int]) -> View:
        return View(self.centre, -self.direction, self.up, self.height, pixels)

    def close_view(self, pixels: tuple[int, int]) -> View:
        return View(self.close_centre, -self.close_direction, self.up, self.close_height, pixels)


def frame_shot(stage: Stage, shot: Shot) -> Framing:
    """Chooses views of a shot that show most of its displaced skin."""
    head = stage.head_part(shot)
    front, up = shot.rotation @ _FRONT, _UP
    front = front - (front @ up) * up
    front /= np.linalg.norm(front)
    low, high = shot.skin_tracked.min(axis=0), shot.skin_tracked.max(axis=0)
    centre, height = (low + high) / 2, float(high[2] - low[2]) / _FILL
    direction = best_direction(head, shot.hands, shot.displacement, front, up, centre, height)
    close_centre, extent = focus(shot.skin_tracked, shot.displacement)
    close_height = float(np.clip(1.6 * extent, _CLOSE_LOW, _CLOSE_HIGH))
    close = best_direction(head, shot.hands, shot.displacement, front, up, close_centre, close_height)
    lights = [_light(shot, close_centre, view, up) for view in (direction, close)]
    return Framing(direction, centre, height, close, close_centre, close_height, up, *lights)


def _light(shot: Shot, contact: NDArray, direction: NDArray, up: NDArray) -> Light:
    """Key light from the side where no hand stands between it and the contact."""
    light = Light()
    near = [h.vertices[np.linalg.norm(h.vertices - contact, axis=1) < _REACH] for h in shot.hands]
    points = np.concatenate([*near, np.zeros((0, 3))])
    if not len(points):
        return light
    to_the_right = (points.mean(axis=0) - contact) @ np.cross(up, direction)
    return light if to_the_right > 0 else light.mirrored()


def contact_sheet_job(scene: Any, path: Path) -> Job[Path]:
    """Writes the contact sheet as PNG. Raises RigError, SurfaceError and CacheError."""
    path = Path(path)
    step = "contact sheet"
    with ResultReader(scene) as result:
        stage = Stage(result)
        frames = result.frames
        largest = yield from result.largest_displacements(step, 0.4)
        chosen = [frames[k] for k in choose_frames(largest, _COLUMNS)]
        end = scale_end(max(1e-3, max(float(largest[f - frames.start]) for f in chosen)))
        columns, titles = [], []
        for k, frame in enumerate(chosen):
            shot = stage.shot(frame)
            columns.append(picture_column(stage, shot, end))
            titles.append((f"Frame {frame}", gesture_name(scene, frame), f"{1e3 * shot.displacement.max():.1f} mm"))
            yield Progress(step, 0.4 + 0.55 * (k + 1) / len(chosen), f"frame {frame}")
    sheet = compose(columns, titles, end, f"{result.rig.head.label}: tracked and simulated")
    write_png(path, sheet)
    yield Progress(step, 1.0)
    return path


def picture_column(stage: Stage, shot: Shot, end: float) -> list[NDArray[np.uint8]]:
    """The five cells of one frame, from above: tracked, simulated, both close, displacement."""
    framing = frame_shot(stage, shot)
    wide, close = framing.view(_CELL), framing.close_view(_CELL)
    coloured = stage.coloured(shot, end)
    light, near = framing.light, framing.close_light
    tracked = [shot.tracked, *shot.hands, *shot.others]
    simulated = [shot.simulated, *shot.simulated_hands, *shot.others]
    *cells, bare, covered = render_all(
        [
            (tracked, wide, light),
            (simulated, wide, light),
            (tracked, close, near),
            (simulated, close, near),
            ([coloured, *shot.others], wide, light),
            ([coloured, *shot.simulated_hands, *shot.others], wide, light),
        ]
    )
    return [*cells, ((1 - _GHOST) * bare + _GHOST * covered + 0.5).astype(np.uint8)]


def compose(
    columns: Sequence[Sequence[NDArray[np.uint8]]], titles: Sequence[tuple[str, str, str]], end: float, heading: str
) -> NDArray[np.uint8]:
    """Lays out cells, captions, titles (frame, gesture, largest displacement) and the colour bar up to `end` [m]."""
    captions = (("tracked",), ("simulated",), ("tracked,", "close"), ("simulated,", "close"), ("moved by", "mm"))
    width = _MARGIN + _CAPTION + len(columns) * (_CELL[0] + _GAP) - _GAP + _MARGIN
    height = _HEADER + len(captions) * (_CELL[1] + _GAP) + 92
    sheet = blank(width, height)
    write_text(sheet, heading, _MARGIN, 22, 38)
    left = _MARGIN + _CAPTION
    for row, lines in enumerate(captions):
        y = _HEADER + row * (_CELL[1] + _GAP)
        for k, line in enumerate(lines):
            write_text(sheet, line, left - 14, y + _CELL[1] // 2 - 14 * len(lines) + 28 * k, 26, GREY, "right")
    for column, (cells, (frame, gesture, moved)) in enumerate(zip(columns, titles, strict=True)):
        x = left + column * (_CELL[0] + _GAP)
        write_text(sheet, frame, x, _HEADER - 72, 30)
        write_text(sheet, moved, x + _CELL[0] - 12, _HEADER - 72, 30, align="right")
        write_text(sheet, gesture, x, _HEADER - 36, 26, GREY)
        for row, cell in enumerate(cells):
            y = _HEADER + row * (_CELL[1] + _GAP)
            sheet[y : y + _CELL[1], x : x + _CELL[0]] = cell
    colour_bar(sheet, left, height - 78, min(900, width - left - _MARGIN), end)
    return sheet


def colour_bar(sheet: NDArray[np.uint8], x: int, y: int, width: int, end: float) -> None:
    """Draws the scale of displacements from 0 to `end` [m], labelled in mm, into sheet (h, w, 3)."""
    sheet[y : y + 22, x : x + width] = to_srgb(displacement_colours(np.linspace(0, 1, width)))[None]
    for tick in range(6):
        value, at = 1e3 * end * tick / 5, x + round(width * tick / 5)
        align = "left" if tick == 0 else "right" if tick == 5 else "centre"
        write_text(sheet, f"{value:.4g} mm", at, y + 30, 26, GREY, align)


def gesture_name(scene: Any, frame: int) -> str:
    """The name of the last timeline marker at or before the frame; empty if there is none."""
    past = [m for m in scene.timeline_markers if m.frame <= frame]
    return max(past, key=lambda m: m.frame).name if past else ""
