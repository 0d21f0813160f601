# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for pictures, drawn with Blender's own font and without a window."""

from functools import lru_cache

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.meshes import mesh_positions, mesh_triangles
from .raster import coverage

GREY = (150, 153, 158)  # sRGB of what is less important than the headings


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> NDArray[np.float32]:
    """Coverage (h, w) in 0..1 of one line of text whose line height is `size` pixels; h is always `size`."""
    curve = bpy.data.curves.new("NePHIM text", "FONT")
    obj = bpy.data.objects.new("NePHIM text", curve)
    try:
        curve.body = text
        curve.resolution_u = 4
        mesh = obj.to_mesh()
        vertices, triangles = mesh_positions(mesh), mesh_triangles(mesh)
        obj.to_mesh_clear()
    finally:
        bpy.data.objects.remove(obj)
        bpy.data.curves.remove(curve)
    points = vertices[:, :2].astype(np.float64)
    if not len(points):
        return np.zeros((size, max(1, size // 3)), np.float32)
    # Blender's font has accents up to 0.84 and descenders down to -0.25 of its size.
    scale = size / 1.12
    points = np.column_stack([(points[:, 0] - points[:, 0].min()) * scale, (0.84 - points[:, 1]) * scale])
    width = int(np.ceil(points[:, 0].max())) + 1
    return coverage(points, triangles, width, size)


def write_text(
    image: NDArray[np.uint8],
    text: str,
    x: int,
    y: int,
    size: int,
    colour: tuple[int, int, int] = (225, 227, 230),
    align: str = "left",
) -> None:
    """Writes a line into image (h, w, 3) in place; (x, y) is its upper left, upper middle or upper right corner."""
    mask = text_mask(text, size)
    x = int(x - {"left": 0, "centre": mask.shape[1] / 2, "right": mask.shape[1]}[align])
    x0, y0 = max(x, 0), max(y, 0)
    part = image[y0 : y + mask.shape[0], x0 : x + mask.shape[1]]
    alpha = mask[y0 - y : y0 - y + part.shape[0], x0 - x : x0 - x + part.shape[1], None]
    part[:] = (part * (1 - alpha) + np.array(colour) * alpha + 0.5).astype(np.uint8)
