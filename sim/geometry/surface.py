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
    """Unit normals at the vertices, area weighted, shape (n, 3); zero where a vertex has no triangle."""
    normals = np.zeros((len(vertices), 3))
    faces = triangle_normals(vertices, triangles)
    for k in range(3):
        np.add.at(normals, triangles[:, k], faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def boundary_loops(triangles: NDArray) -> list[NDArray[np.int64]]:
    """Open boundaries as vertex loops, each in the direction that closes the surface with outward winding.

    A vertex where two holes touch splits its loops there.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in edges}
    successors: dict[int, list[int]] = {}
    for a, b in edges:
        if (int(b), int(a)) not in known:
            successors.setdefault(int(b), []).append(int(a))
    loops = []
    while successors:
        start = next(iter(successors))
        path, position = [start], {start: 0}
        while True:
            here = path[-1]
            after = successors.get(here)
            if not after:
                break
            following = after.pop()
            if not after:
                del successors[here]
            if following in position:
                first = position[following]
                loops.append(np.array(path[first:]))
                for v in path[first + 1 :]:
                    del position[v]
                path = path[: first + 1]
                if following not in successors:
                    break
            else:
                position[following] = len(path)
                path.append(following)
    return loops


def fan_caps(triangles: NDArray) -> NDArray[np.int32]:
    """Triangles that close every open boundary without new vertices, shape (k, 3).

    Each cap is a fan from its loop's first vertex.
    """
    caps = [
        np.column_stack([np.full(len(loop) - 2, loop[0]), loop[1:-1], loop[2:]])
        for loop in boundary_loops(triangles)
        if len(loop) >= 3
    ]
    return np.concatenate(caps).astype(np.int32) if caps else np.zeros((0, 3), np.int32)
