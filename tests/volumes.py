# SPDX-License-Identifier: GPL-3.0-or-later
"""Small volumes and hands for tests of the physics: a round head with a round skull, a finger as a capsule."""

from functools import cache

import numpy as np
import tetgen
from nephim.sim.geometry.surface import Surface
from nephim.sim.template import CRANIUM, TISSUE, Template
from scipy.sparse import identity

RADIUS, SKULL = 0.09, 0.072


def icosphere(radius: float, level: int) -> tuple[np.ndarray, np.ndarray]:
    """A sphere of evenly spaced vertices: (n, 3) positions and (m, 3) outward triangles."""
    g = (1 + 5**0.5) / 2
    vertices = [np.array(v, float) for a in (-1, 1) for b in (-g, g) for v in ((a, b, 0), (0, a, b), (b, 0, a))]
    vertices = np.array(vertices)
    from scipy.spatial import ConvexHull

    def outward(points):
        triangles = ConvexHull(points).simplices
        corners = points[triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flip = np.einsum("ij,ij->i", normal, corners.mean(axis=1)) < 0
        triangles[flip] = triangles[flip][:, ::-1]
        return triangles

    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    for _ in range(level):
        triangles = outward(vertices)
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        middle = vertices[edges].sum(axis=1)
        vertices = np.concatenate([vertices, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
    return vertices * radius, outward(vertices).astype(np.int32)


@cache
def round_head(level: int = 4) -> Template:
    """Tissue between two spheres of 90 and 72 mm; the inner one is bone, nothing is rim, all skin is outer."""
    skin, triangles = icosphere(RADIUS, level)
    bone, bone_triangles = icosphere(SKULL, level - 1)
    n = len(skin)
    mesher = tetgen.TetGen(np.concatenate([skin, bone]), np.concatenate([triangles, bone_triangles + n]))
    mesher.add_hole((0.0, 0.0, 0.0))
    mesher.tetrahedralize(switches="pq1.4Ya4e-8Q")
    vertices, tets = np.asarray(mesher.node), np.asarray(mesher.elem)[:, :4].astype(np.int32)
    radius = np.linalg.norm(vertices, axis=1)
    region = np.where(radius < SKULL * 1.001, CRANIUM, TISSUE).astype(np.uint8)
    return Template(
        head_vertices=skin,
        refinement=identity(n, format="csr"),
        skin_vertices=skin,
        skin_triangles=triangles,
        vertices=vertices,
        tets=tets,
        tet_region=np.zeros(len(tets), np.uint8),
        vertex_region=region,
        embedding=identity(len(vertices), format="csr")[:n],
        rim=np.zeros(n, bool),
        outer=np.ones(n, bool),
        tissue_depth=np.full(n, RADIUS - SKULL),
        bone_direction=-skin / RADIUS,
        tet_stiffness=np.ones(len(tets)),
        jaw_vertices=np.zeros((0, 3)),
        jaw_triangles=np.zeros((0, 3), np.int32),
        cranium_vertices=bone,
        cranium_triangles=bone_triangles,
    )


def finger(radius: float = 0.008, length: float = 0.04) -> Surface:
    """A closed capsule along x, its tip at the origin pointing to -x."""
    sphere, triangles = icosphere(radius, 3)
    sphere[:, 0] += np.where(sphere[:, 0] > 0, length, 0.0) + radius
    return Surface(sphere, triangles, "finger")
