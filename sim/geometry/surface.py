# SPDX-License-Identifier: GPL-3.0-or-later
"""A triangle surface as plain arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Surface:
    """vertices: (n, 3) float64 [m]; triangles: (m, 3) int32, outward winding. `name` is for messages."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    name: str = "surface"


def triangle_normals(vertices: NDArray, triangles: NDArray) -> NDArray:
    """Area-weighted normals (twice the area long), shape (m, 3) [m²]."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: NDArray, triangles: NDArray) -> NDArray:
    """Unit normals at the vertices, area weighted, shape (n, 3); zero if a vertex has no triangle."""
    normals = np.zeros((len(vertices), 3))
    faces = triangle_normals(vertices, triangles)
    for k in range(3):
        np.add.at(normals, triangles[:, k], faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
