# SPDX-License-Identifier: GPL-3.0-or-later
"""Generalised winding numbers by solid angles: what is inside a surface that may be open or intersect itself."""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from ... import threads
from .isosurface import Grid
from .triangle_bvh import LEAST_POINTS, TriangleTree

_FAR = 2.0  # node radii beyond which a node's triangles count as one dipole (Barill et al. 2018, Section 4.3)
_STACK = 64
_HALF_CELL = 0.51  # of a grid: more than half, so that no surface fits between two neighbouring samples


def winding_number(tree: TriangleTree, points: ArrayLike) -> NDArray[np.float64]:
    """Generalised winding number (k,) of a surface around `points` (k, 3) [m]: about 1 inside, 0 outside.

    Robust against holes and self-intersections (Jacobson et al. 2013). Far nodes of the tree count as dipoles (Barill
    et al. 2018, first order), which is accurate to a few hundredths.
    """
    points = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
    if len(points) == 0:
        return np.zeros(0)
    dipoles = _dipoles(tree.vertices, tree.triangles, tree.order, tree.leaves)
    result = np.empty(len(points))
    threads.run(
        _winding, threads.parts(len(points), LEAST_POINTS), points, tree.vertices, tree.triangles, tree.order,
        tree.leaves, *dipoles, result,
    )  # fmt: skip
    return result


def inside_by_solid_angle(tree: TriangleTree, points: ArrayLike) -> NDArray[np.bool_]:
    """Whether `points` (k, 3) [m] lie inside a closed surface; fast for points outside its bounding box."""
    points = np.asarray(points, dtype=np.float64)
    near = ((points >= tree.low[0]) & (points <= tree.high[0])).all(1)
    near[near] = winding_number(tree, points[near]) > 0.5
    return near


def inside_grid(tree: TriangleTree, grid: Grid, distance: NDArray) -> NDArray[np.bool_]:
    """Which samples (k,) of a grid lie inside a surface, given their unsigned distances (k,) [m] to it.

    Samples further from the surface than half the spacing are on the same side as neighbours that are too, so one
    winding number decides for each connected set.
    """
    points = grid.points()
    far = distance > _HALF_CELL * grid.spacing
    parts, count = label(far.reshape(grid.shape))
    parts = parts.ravel()
    result = np.zeros(len(points), bool)
    result[~far] = winding_number(tree, points[~far]) > 0.5
    _, first = np.unique(parts, return_index=True)
    decided = np.zeros(count + 1, bool)
    decided[parts[first]] = winding_number(tree, points[first]) > 0.5
    result[far] = decided[parts[far]]
    return result


@njit(cache=True, nogil=True)
def _dipoles(vertices, triangles, order, leaves):
    """Per node: centre (3), radius, and sum of area normals (3)."""
    count = len(order)
    nodes = 2 * leaves - 1
    area = np.zeros(nodes)
    centre = np.zeros((nodes, 3))
    normal = np.zeros((nodes, 3))
    radius = np.zeros(nodes)
    for node in range(nodes - 1, -1, -1):
        if node >= leaves - 1:
            leaf = node - leaves + 1
            first, last = leaf * count // leaves, (leaf + 1) * count // leaves
            for k in range(first, last):
                p = vertices[triangles[order[k]]]
                n = 0.5 * np.cross(p[1] - p[0], p[2] - p[0])
                size = np.sqrt(np.dot(n, n))
                area[node] += size
                normal[node] += n
                centre[node] += size * (p[0] + p[1] + p[2]) / 3.0
            if area[node] > 0.0:
                centre[node] /= area[node]
            for k in range(first, last):
                for c in range(3):
                    difference = vertices[triangles[order[k], c]] - centre[node]
                    radius[node] = max(radius[node], np.sqrt(np.dot(difference, difference)))
        else:
            for child in (2 * node + 1, 2 * node + 2):
                area[node] += area[child]
                normal[node] += normal[child]
                centre[node] += area[child] * centre[child]
            if area[node] > 0.0:
                centre[node] /= area[node]
            for child in (2 * node + 1, 2 * node + 2):
                if area[child] > 0.0:
                    difference = centre[child] - centre[node]
                    radius[node] = max(radius[node], np.sqrt(np.dot(difference, difference)) + radius[child])
    return area, centre, normal, radius


@njit(cache=True, inline="always")
def _solid_angle(ax, ay, az, bx, by, bz, cx, cy, cz):
    """Half the solid angle of a triangle seen from the origin (van Oosterom and Strackee 1983)."""
    la, lb = np.sqrt(ax * ax + ay * ay + az * az), np.sqrt(bx * bx + by * by + bz * bz)
    lc = np.sqrt(cx * cx + cy * cy + cz * cz)
    ab, bc, ca = ax * bx + ay * by + az * bz, bx * cx + by * cy + bz * cz, cx * ax + cy * ay + cz * az
    top = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return np.arctan2(top, la * lb * lc + ab * lc + bc * la + ca * lb)


@njit(cache=True, nogil=True)
def _winding(part, parts, points, vertices, triangles, order, leaves, area, centre, normal, radius, result):
    total = len(order)
    stack = np.empty(_STACK, np.int64)
    for i in range(part * len(points) // parts, (part + 1) * len(points) // parts):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        angle = 0.0
        stack[0] = 0
        top = 1
        while top > 0:
            top -= 1
            node = stack[top]
            if area[node] == 0.0:
                continue
            dx, dy, dz = centre[node, 0] - x, centre[node, 1] - y, centre[node, 2] - z
            squared = dx * dx + dy * dy + dz * dz
            if squared > (_FAR * radius[node]) ** 2:
                flux = normal[node, 0] * dx + normal[node, 1] * dy + normal[node, 2] * dz
                angle += flux / (squared * np.sqrt(squared))
            elif node < leaves - 1:
                stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
                top += 2
            else:
                leaf = node - leaves + 1
                for k in range(leaf * total // leaves, (leaf + 1) * total // leaves):
                    t = order[k]
                    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    angle += 2.0 * _solid_angle(
                        vertices[a, 0] - x, vertices[a, 1] - y, vertices[a, 2] - z,
                        vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z,
                        vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z,
                    )  # fmt: skip
        result[i] = angle / (4.0 * np.pi)
