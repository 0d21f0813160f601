# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a training: where on the head hands touched, and how error and loss fell."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nephim.bridge.colours import displacement_colours
from nephim.nn.controls import Controls
from nephim.nn.samples import Sample
from nephim.pictures.images import write_png
from nephim.pictures.raster import Light, Model, View, render
from nephim.sim.template import Template
from numpy.typing import NDArray

_CELL = (420, 480)
_VIEWS = ((0.0, 1.0, -0.1), (-1.0, 0.6, -0.1), (1.0, 0.6, -0.1), (0.0, -1.0, -0.1))  # front, its left, its right, back
_MANY = 60.0  # frames in contact at which a place counts as well covered
_PLOT = (900, 420)
_PAPER, _BLUE, _ORANGE = (250, 250, 248), (40, 90, 170), (220, 120, 40)


def coverage_picture(path: Path, template: Template, controls: Controls, samples: Sequence[Sample]) -> None:
    """The head from four sides; the colour shows in how many frames the skin there was touched (end of scale: 60)."""
    count = np.zeros(len(controls))
    for sample in samples:
        count += sample.touching.sum(axis=0)
    # A control stands for the skin around it, touched or not between the vertices of a coarse hand.
    near = controls.neighbours[0]
    rows = np.repeat(np.arange(len(controls)), np.diff(near.start))
    spread = np.bincount(rows, near.moments[:, 0] * count[near.index], len(controls))
    share = np.clip((controls.decode @ spread) / _MANY, 0.0, 1.0)
    colours = displacement_colours(share)
    model = Model(template.skin_vertices, template.skin_triangles, colours)
    points = template.skin_vertices[template.outer]
    centre = 0.5 * (points.min(axis=0) + points.max(axis=0))
    height = 1.1 * float(np.ptp(points[:, 2]))
    up = np.array([0.0, 0.0, 1.0])
    cells = [render([model], View(centre, np.array(v), up, height, _CELL), Light()) for v in _VIEWS]
    write_png(path, np.concatenate(cells, axis=1))


def curve_picture(path: Path, curve: Sequence[Sequence[float]]) -> None:
    """Error in free rollout [mm] (blue) and loss (orange) over the minutes; a line is 1 mm, a column 5 minutes."""
    width, height = _PLOT
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = _PAPER
    rows = np.array(curve, float)
    minutes, top = max(float(rows[-1, 0]), 1e-3), max(2.0, float(np.nanmin(rows[:, 3])) * 3)
    for line in np.arange(0.0, top, 1.0):
        picture[int((1 - line / top) * (height - 1)), :] = (222, 222, 218)
    for column in np.arange(0.0, minutes, 5.0):
        picture[:, int(column / minutes * (width - 1))] = (222, 222, 218)
    for values, colour in ((rows[:, 3], _BLUE), (rows[:, 2], _ORANGE)):
        x = rows[:, 0] / minutes * (width - 1)
        y = (1 - np.clip(values, 0, top) / top) * (height - 1)
        _line(picture, x, y, colour)
    write_png(path, picture)


def _line(picture: NDArray[np.uint8], x: NDArray, y: NDArray, colour: tuple[int, int, int]) -> None:
    for k in range(len(x) - 1):
        steps = int(max(abs(x[k + 1] - x[k]), abs(y[k + 1] - y[k]), 1))
        for t in np.linspace(0, 1, steps + 1):
            i, j = int(y[k] + t * (y[k + 1] - y[k])), int(x[k] + t * (x[k + 1] - x[k]))
            picture[max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1] = colour
