# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender meshes as arrays."""

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..tracks.track import Faces


def mesh_positions(mesh: Any) -> NDArray[np.float32]:
    """Vertices (n, 3) in the mesh's own space, Blender units."""
    positions = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", positions)  # a hundred times faster than mesh.vertices
    return positions.reshape(-1, 3)


def new_mesh(name: str, vertices: NDArray, faces: Faces) -> Any:
    """A mesh with smooth shading from vertices (n, 3), Blender units."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.loops.add(len(faces.corners))
    mesh.polygons.add(len(faces.sizes))
    mesh.attributes["position"].data.foreach_set("vector", np.ascontiguousarray(vertices, np.float32).ravel())
    mesh.loops.foreach_set("vertex_index", faces.corners)
    mesh.polygons.foreach_set("loop_start", (np.cumsum(faces.sizes) - faces.sizes).astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces.sizes), bool))
    mesh.update(calc_edges=True)
    mesh.validate()  # faces that name a vertex twice
    return mesh


def mesh_triangles(mesh: Any) -> NDArray[np.int32]:
    """Loop triangles as vertex indices, shape (m, 3)."""
    mesh.calc_loop_triangles()
    triangles = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", triangles)
    return triangles.reshape(-1, 3)


def group_weights(obj: Any, name: str) -> NDArray[np.float32]:
    """Weights (n,) of a vertex group of a mesh object, 0 for vertices outside of it."""
    group = obj.vertex_groups[name].index
    weights = np.zeros(len(obj.data.vertices), np.float32)
    for vertex in obj.data.vertices:
        for member in vertex.groups:
            if member.group == group:
                weights[vertex.index] = member.weight
    return weights


def same_order(mesh: Any, evaluated: Any) -> bool:
    """Whether an evaluated mesh still has every edge of its original, so that vertices of one index are the same."""
    own, now = _edges(mesh), _edges(evaluated)
    return bool(np.array_equal(own, now) or np.isin(own, now).all())


def _edges(mesh: Any) -> NDArray[np.int64]:
    """One number for each edge (m,): of its lower and its higher vertex."""
    pairs = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", pairs)
    low, high = np.sort(pairs.reshape(-1, 2), axis=1).astype(np.int64).T
    return low * len(mesh.vertices) + high


def outward_triangles(obj: Any) -> NDArray[np.int32]:
    """Triangles (m, 3) of a mesh object with outward winding in the world: mirroring turns faces inside out."""
    triangles = mesh_triangles(obj.data)
    return triangles[:, ::-1] if obj.matrix_world.determinant() < 0 else triangles


def world_matrix(obj: Any, scale: float) -> NDArray[np.float64]:
    """(4, 4) from an object's space to the world in metres; `scale`: metres per unit."""
    matrix = matrix_array(obj.matrix_world)
    matrix[:3] *= scale
    return matrix


def matrix_array(matrix: Any) -> NDArray[np.float64]:
    """One of Blender's matrices, (4, 4); read flat, because NumPy takes five times as long row by row."""
    return np.array([*matrix[0], *matrix[1], *matrix[2], *matrix[3]], np.float64).reshape(4, 4)


def to_world(positions: NDArray, matrix: NDArray[np.float64], dtype: Any = np.float64) -> NDArray[Any]:
    """Positions (n, 3) moved by an affine matrix (4, 4), computed in double precision; as `dtype`."""
    from ..sim.geometry.points import apply_into  # numba loads on first use, so that enabling the add-on stays fast

    world = np.empty(positions.shape, dtype)
    apply_into(matrix, positions, world)
    return world
