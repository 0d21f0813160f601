# SPDX-License-Identifier: GPL-3.0-or-later
"""A head made of formulas: skull cap, face, nose, chin, ears and an open neck; z up, face towards -y, metres."""

import numpy as np
from nephim.sim.geometry.isosurface import Grid, isosurface, smooth_surface
from nephim.sim.geometry.surface import Surface


def synthetic_head(spacing: float = 0.007) -> Surface:
    """About 3 500 vertices at 7 mm. The neck is cut open at the bottom."""
    blobs = [  # centre, half axes [m]
        ((0, 0.0, 0.0), (0.075, 0.1, 0.1)),
        ((0, -0.035, -0.06), (0.06, 0.06, 0.07)),
        ((0, -0.103, -0.035), (0.014, 0.022, 0.022)),
        ((0, -0.085, -0.115), (0.02, 0.018, 0.016)),
        ((0.075, 0.0, -0.03), (0.012, 0.015, 0.028)),
        ((-0.075, 0.0, -0.03), (0.012, 0.015, 0.028)),
        ((0, 0.02, -0.16), (0.055, 0.055, 0.12)),
    ]
    grid = Grid.around([-0.095, -0.13, -0.2], [0.095, 0.11, 0.11], spacing, 2 * spacing)
    points = grid.points()
    field = np.full(len(points), np.inf)
    for centre, axes in blobs:
        distance = (np.linalg.norm((points - centre) / axes, axis=1) - 1) * min(axes)
        # Blobs flow into each other over 6 mm (polynomial smooth minimum).
        overlap = np.maximum(0.006 - np.abs(field - distance), 0) / 0.006
        field = np.minimum(field, distance) - 0.25 * 0.006 * np.where(np.isfinite(field), overlap, 0) ** 2
    vertices, triangles = isosurface(field.reshape(grid.shape), grid)
    vertices = smooth_surface(vertices, triangles, 2)
    triangles = triangles[vertices[triangles, 2].min(1) > -0.19]
    used, triangles = np.unique(triangles, return_inverse=True)
    return Surface(vertices[used], triangles.reshape(-1, 3).astype(np.int32), "Head")
