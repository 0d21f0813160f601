# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances, closest points, signs and winding numbers against those of libigl, which were written by others.

Left out where libigl is not installed, as in Blender's own Python.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from nephim.sim.geometry.isosurface import Grid
from nephim.sim.geometry.solid_angle import inside_by_solid_angle, inside_grid, winding_number
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.geometry.winding import inside_by_crossings, winding_numbers
from volumes import icosphere

igl = pytest.importorskip("igl")

ROUNDED = 1e-12  # [m] of distances within half a metre in float64
FEW_HUNDREDTHS = 0.05  # what `winding_number` promises of its dipoles; 0.035 is measured


@dataclass(frozen=True)
class Shape:
    vertices: np.ndarray
    triangles: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """As libigl takes them."""
        return self.vertices, self.triangles.astype(np.int64)


def potato(seed: int) -> Shape:
    """A sphere of 10 cm with smooth hills and hollows and rough skin, seen from the centre everywhere."""
    vertices, triangles = icosphere(0.1, 3)
    random = np.random.default_rng(seed)
    waves = np.sin(vertices @ random.normal(0, 25, (3, 6)) + random.uniform(0, 6, 6)) @ random.normal(0, 0.12, 6)
    rough = random.uniform(-0.02, 0.02, len(vertices))
    return Shape(vertices * np.clip(1 + waves + rough, 0.3, 2.0)[:, None], triangles)


def torus(thickness: float = 0.03) -> Shape:
    """A bent and twisted ring of 8 cm."""
    around, across = 48, 16
    u, v = (grid.ravel() for grid in np.meshgrid(np.arange(around), np.arange(across), indexing="ij"))
    a, b = 2 * np.pi * u / around, 2 * np.pi * v / across + 2 * np.pi * u / around
    radius = 0.08 + thickness * np.cos(b)
    vertices = np.column_stack([radius * np.cos(a), radius * np.sin(a), thickness * np.sin(b) + 0.02 * np.cos(2 * a)])
    # The twist makes one turn, so that the last ring meets the first one where it began.
    corner = lambda i, j: (u + i) % around * across + (v + j) % across  # noqa: E731
    lower = np.column_stack([corner(0, 0), corner(1, 0), corner(1, 1)])
    upper = np.column_stack([corner(0, 0), corner(1, 1), corner(0, 1)])
    return Shape(vertices, np.concatenate([lower, upper]).astype(np.int32))


def wafer() -> Shape:
    """A potato pressed to a hundredth: its two sides are closer together than its triangles are long."""
    return Shape(potato(7).vertices * [1, 1, 0.01], potato(7).triangles)


def halved(whole: Shape) -> Shape:
    """Open: without what lies below a slanted plane."""
    above = whole.vertices @ [0.2, 0.3, 1.0] > 0
    return Shape(whole.vertices, whole.triangles[above[whole.triangles].all(axis=1)])


def overlapping() -> Shape:
    """Three potatoes in one another, the smallest inside out and half outside."""
    parts = [potato(seed) for seed in (1, 2, 3)]
    vertices = [
        size * part.vertices + [place, 0, 0]
        for part, size, place in zip(parts, (1.0, 0.9, 0.4), (0.0, 0.05, -0.1), strict=True)
    ]
    count = len(parts[0].vertices)
    triangles = [parts[0].triangles, parts[1].triangles + count, parts[2].triangles[:, ::-1] + 2 * count]
    return Shape(np.concatenate(vertices), np.concatenate(triangles))


def around(shape: Shape, seed: int) -> np.ndarray:
    """Points everywhere about a shape and close to it on both sides, (1600, 3)."""
    random = np.random.default_rng(seed)
    low, high = shape.vertices.min(axis=0) - 0.03, shape.vertices.max(axis=0) + 0.03
    corners = shape.vertices[shape.triangles[random.integers(len(shape.triangles), size=800)]]
    on = np.einsum("kc,kcd->kd", random.dirichlet([0.5] * 3, 800), corners)
    return np.concatenate([random.uniform(low, high, (800, 3)), on + random.normal(0, 0.001, on.shape)])


CLOSED = {
    "potato": potato(0),
    "hollow potato": potato(11),
    "torus": torus(),
    "thin torus": torus(0.004),
    "wafer": wafer(),
}
OPEN = {"half potato": halved(potato(4)), "half torus": halved(torus())}
TANGLED = {"overlapping potatoes": overlapping()}


def parametrized(**groups: Shape):
    return pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in groups.items()])


@parametrized(**CLOSED, **OPEN, **TANGLED)
def test_closest_points_are_those_of_libigl(shape: Shape):
    points, tree = around(shape, 1), TriangleTree(shape.vertices, shape.triangles)
    squared, _, nearest = igl.point_mesh_squared_distance(points, *shape.arrays)
    distance, triangle, barycentric, _ = tree.closest(points)
    assert np.abs(distance - np.sqrt(squared)).max() < ROUNDED
    # Two equally near places would be as right; there are none among these points.
    assert np.linalg.norm(tree.points_at(triangle, barycentric) - nearest, axis=1).max() < 1e-7
    assert np.abs(barycentric.sum(axis=1) - 1).max() < 1e-12 and barycentric.min() >= 0


@parametrized(**CLOSED, **OPEN)
def test_points_of_the_surface_are_at_no_distance(shape: Shape):
    """Corners, the middles of edges and of triangles."""
    corners = shape.vertices[shape.triangles]
    points = np.concatenate([corners[:, 0], (corners[:, 0] + corners[:, 1]) / 2, corners.mean(axis=1)])
    squared = igl.point_mesh_squared_distance(points, *shape.arrays)[0]
    distance = TriangleTree(shape.vertices, shape.triangles).closest(points)[0]
    assert np.sqrt(squared).max() < ROUNDED and distance.max() < ROUNDED


@parametrized(**CLOSED)
def test_signs_are_those_of_libigl(shape: Shape):
    points, tree = around(shape, 2), TriangleTree(shape.vertices, shape.triangles)
    distance, _, _, sign = tree.closest(points)
    signed = igl.signed_distance(points, *shape.arrays, sign_type=igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL)[0]
    assert np.abs(sign * distance - signed).max() < ROUNDED
    inside = igl.winding_number(*shape.arrays, points) > 0.5
    assert np.array_equal(sign < 0, inside)
    assert 100 < inside.sum() < len(points) - 100
    assert np.array_equal(inside_by_crossings(points, shape.vertices, shape.triangles), inside)
    assert np.array_equal(inside_by_solid_angle(tree, points), inside)


@parametrized(**CLOSED, **TANGLED)
def test_crossings_count_what_libigl_sums_up(shape: Shape):
    points = around(shape, 3)
    expected = igl.winding_number(*shape.arrays, points)
    assert np.abs(expected - np.round(expected)).max() < 1e-6
    found = winding_numbers(points, shape.vertices, shape.triangles)
    assert np.array_equal(found, np.round(expected))


def test_what_lies_in_itself_is_counted_twice_and_what_is_inside_out_is_taken_off():
    shape = TANGLED["overlapping potatoes"]
    assert set(winding_numbers(around(shape, 3), shape.vertices, shape.triangles)) == {-1, 0, 1, 2}


@parametrized(**CLOSED, **OPEN, **TANGLED)
def test_winding_numbers_by_solid_angles_are_right_to_a_few_hundredths(shape: Shape):
    points = around(shape, 4)
    found = winding_number(TriangleTree(shape.vertices, shape.triangles), points)
    assert np.abs(found - igl.winding_number(*shape.arrays, points)).max() < FEW_HUNDREDTHS


@parametrized(**CLOSED)
def test_samples_of_a_grid_are_inside_where_libigl_says_so(shape: Shape):
    grid = Grid.around(shape.vertices.min(axis=0), shape.vertices.max(axis=0), 0.008, 0.016)
    tree, points = TriangleTree(shape.vertices, shape.triangles), grid.points()
    inside = igl.winding_number(*shape.arrays, points) > 0.5
    assert np.array_equal(inside_grid(tree, grid, tree.closest(points)[0]), inside)
