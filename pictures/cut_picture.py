# SPDX-License-Identifier: GPL-3.0-or-later
"""The cut picture: the volume cut along three planes, to show what the physics simulates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..progress import Job, Progress
from ..sim.template import CRANIUM, JAW, TISSUE, Template
from ..sim.volume.cutaway import SKIN, cut_volume
from .images import blank, write_png
from .lettering import GREY, write_text
from .raster import Model, View, render, to_srgb

_CELL, _GAP, _MARGIN, _HEADER, _FOOTER = (780, 860), 6, 24, 92, 84
# Linear colours by what a triangle belongs to, and their names to show.
_COLOURS = {
    SKIN: ("skin", (0.54, 0.31, 0.22)),
    TISSUE: ("soft tissue", (0.52, 0.11, 0.09)),
    JAW: ("jaw", (0.20, 0.38, 0.56)),
    CRANIUM: ("cranium", (0.66, 0.60, 0.46)),
}
# Triangles of the cut face differ by this much in brightness, so that the mesh of the volume can be seen.
_GRAIN = 0.07
# The head fills this part of a cell.
_FILL = 0.90


@dataclass(frozen=True)
class Cut:
    """A plane (point [m], unit normal towards the camera), what it is called, and how the camera stands to it."""

    name: str
    point: NDArray
    normal: NDArray
    towards: NDArray  # direction to the camera
    up: NDArray


def three_cuts(template: Template) -> list[Cut]:
    """Sagittal through the middle, coronal through the cheeks, transverse through the jaw.

    For heads as Blender's characters are: facing -y, standing along z.
    """
    low, high = template.skin_vertices.min(axis=0), template.skin_vertices.max(axis=0)
    bone_low, bone_high = low + 0.3 * (high - low), low + 0.6 * (high - low)
    if len(template.jaw_vertices):
        bone_low, bone_high = template.jaw_vertices.min(axis=0), template.jaw_vertices.max(axis=0)
    # Half way up and back the jaw are its rami, the cheeks outside of them and the mouth between.
    middle = (bone_low + bone_high) / 2
    x, y, z = np.eye(3)
    return [
        Cut("sagittal, through the middle", np.array([middle[0], 0, 0]), x, x - 0.25 * y + 0.1 * z, z),
        Cut("coronal, through the cheeks", np.array([0, middle[1], 0]), -y, -y - 0.3 * x + 0.1 * z, z),
        Cut("transverse, through the jaw", np.array([0, 0, middle[2]]), z, z - 0.5 * y, y),
    ]


def cut_picture_job(template: Template, path: Path) -> Job[Path]:
    """Writes three cuts through the volume side by side as PNG. Raises CacheError."""
    path = Path(path)
    cuts = three_cuts(template)
    cells = []
    for k, cut in enumerate(cuts):
        cells.append(picture(template, cut))
        yield Progress("cut picture", (k + 1) / (len(cuts) + 1), cut.name)
    width = 2 * _MARGIN + len(cuts) * (_CELL[0] + _GAP) - _GAP
    sheet = blank(width, _HEADER + _CELL[1] + _FOOTER)
    kind = "conforming to the skin" if template.conforming else "of the closed envelope, the skin embedded"
    write_text(sheet, f"Volume: {len(template.tets)} tetrahedra, {kind}", _MARGIN, 16, 32)
    for k, (cut, cell) in enumerate(zip(cuts, cells, strict=True)):
        x = _MARGIN + k * (_CELL[0] + _GAP)
        write_text(sheet, cut.name, x, _HEADER - 34, 26, GREY)
        sheet[_HEADER : _HEADER + _CELL[1], x : x + _CELL[0]] = cell
    _legend(sheet, _MARGIN, _HEADER + _CELL[1] + 26)
    write_png(path, sheet)
    yield Progress("cut picture", 1.0)
    return path


def picture(template: Template, cut: Cut) -> NDArray[np.uint8]:
    """One cut, (h, w, 3) sRGB."""
    made = cut_volume(template, cut.point, cut.normal)
    models = []
    for colour, (_, rgb) in _COLOURS.items():
        triangles = made.triangles[made.colour == colour]
        if not len(triangles):
            continue
        if colour == SKIN:
            models.append(Model(made.vertices, triangles, np.tile(rgb, (len(made.vertices), 1))))
            continue
        grain = 1 + _GRAIN * np.random.default_rng(colour).uniform(-1, 1, len(triangles))
        corners = np.arange(3 * len(triangles), dtype=np.int32).reshape(-1, 3)
        colours = np.repeat(grain[:, None] * np.array(rgb), 3, axis=0)
        models.append(Model(made.vertices[triangles.ravel()], corners, colours, shininess=0.0, flat=True))
    towards = cut.towards / np.linalg.norm(cut.towards)
    view = View(np.zeros(3), -towards, cut.up, 1.0, _CELL)
    # Fit the rest of the head into the cell.
    used = np.unique(made.triangles)
    seen = made.vertices[used] @ view.axes().T
    low, high = seen.min(axis=0), seen.max(axis=0)
    height = max(high[1] - low[1], (high[0] - low[0]) * _CELL[1] / _CELL[0]) / _FILL
    return render(models, View((low + high) / 2 @ view.axes(), -towards, cut.up, height, _CELL))


def _legend(sheet: NDArray[np.uint8], x: int, y: int) -> None:
    for name, rgb in _COLOURS.values():
        sheet[y : y + 30, x : x + 46] = to_srgb(np.array(rgb))
        write_text(sheet, name, x + 58, y, 28)
        x += 270
