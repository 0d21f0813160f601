# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of each character: its skin at the deepest frame, and its skull in a cut through the middle."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nephim.pictures.cut_picture import Cut
from nephim.pictures.cut_picture import picture as cut_picture
from nephim.pictures.images import blank, write_png
from nephim.pictures.lettering import GREY, write_text
from nephim.pictures.raster import Model, View, render
from nephim.sim.template import Template
from numpy.typing import NDArray

from .character_measures import Found

_CELL = (390, 430)  # pixels: half of a cut picture
_COLUMNS = 4
_HEIGHT = 0.27  # of what a picture shows [m]: a head
_SKIN, _HAND = (0.54, 0.31, 0.22), (0.42, 0.24, 0.17)
_X, _Y, _Z = np.eye(3)


def picture(template: Template, found: Found, path: Path, text: str) -> None:
    """Writes skin and cut side by side, both in the upright person's space."""
    models = [
        Model(v, t, np.tile(colour, (len(v), 1)))
        for v, t, colour in (
            (found.skin, found.skin_triangles, _SKIN),
            (found.hand, found.hand_triangles, _HAND),
        )
    ]
    middle = 0.5 * (found.skin.min(0) + found.skin.max(0))
    skin = render(models, View(middle, np.array([0.75, 0.65, -0.1]), _Z, _HEIGHT, _CELL))
    at = found.place
    upright = replace(
        template,
        vertices=at(template.vertices),
        skin_vertices=at(template.skin_vertices),
        jaw_vertices=at(template.jaw_vertices),
        cranium_vertices=at(template.cranium_vertices),
    )
    cut = cut_picture(upright, Cut("", np.array([0.001, 0, 0]), _X, _X - 0.25 * _Y + 0.1 * _Z, _Z))
    small = cut.reshape(_CELL[1], 2, _CELL[0], 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    both = np.concatenate([skin, small], axis=1)
    write_text(both, text, 8, 6, 20)
    np.save(path.with_suffix(".npy"), both)
    write_png(path, both)


def sheet(path: Path, results: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Writes all pictures on one sheet at half their size, failures in red."""
    wide, high = _CELL[0], _CELL[1] // 2
    rows = -(-len(results) // _COLUMNS)
    page = blank(_COLUMNS * (wide + 8), rows * (high + 30))
    for k, (picture_path, result) in enumerate(results):
        y, x = (k // _COLUMNS) * (high + 30), (k % _COLUMNS) * (wide + 8)
        stored = picture_path.with_suffix(".npy")
        if stored.exists():
            page[y + 26 : y + 26 + high, x : x + wide] = _half(np.load(stored))
        colour = (230, 90, 80) if result["problems"] else GREY
        write_text(page, result["name"], x + 4, y + 2, 20, colour)
    write_png(path, page)


def _half(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    high, wide = image.shape[0] // 2, image.shape[1] // 2
    return image[: 2 * high, : 2 * wide].reshape(high, 2, wide, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
