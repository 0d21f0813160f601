# SPDX-License-Identifier: GPL-3.0-or-later
"""Isosurfaces, caps, seams, intersections, landmarks: the pieces a volume is made of."""

import numpy as np
import pytest
from nephim.sim.geometry.intersections import degenerate, intersecting_pairs
from nephim.sim.geometry.isosurface import Grid, isosurface, well_composed
from nephim.sim.geometry.mending import main_part, weld_seams
from nephim.sim.geometry.topology import boundary_loops, unique_edges
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.volume.axes import find_axes
from nephim.sim.volume.closing import cap_holes, separate
from nephim.sim.volume.landmarks import find_landmarks
from nephim.sim.volume.skull import tissue_thickness, usual_depths
from synthetic_head import synthetic_head


def enclosed_volume(v, t):
    return np.einsum("ij,ij->", v[t[:, 0]], np.cross(v[t[:, 1]], v[t[:, 2]])) / 6


def tube(length: float = 0.05, radius: float = 0.03, around: int = 24, along: int = 6):
    angle = 2 * np.pi * np.arange(around) / around
    rings = [np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.full(around, z)])
             for z in np.linspace(0, length, along)]  # fmt: skip
    a = (np.arange(along - 1)[:, None] * around + np.arange(around)).ravel()
    b = (np.arange(along - 1)[:, None] * around + (np.arange(around) + 1) % around).ravel()
    t = np.concatenate([np.column_stack([a, b, b + around]), np.column_stack([a, b + around, a + around])])
    return np.concatenate(rings), t.astype(np.int32)


@pytest.mark.parametrize("seed", range(3))
def test_the_isosurface_of_noise_is_a_closed_manifold(seed):
    grid = Grid.around([0, 0, 0], [1, 1, 1], 0.1, 0.1)
    field = np.random.default_rng(seed).normal(size=grid.shape)
    v, t = isosurface(field, grid)
    _, of_triangle = unique_edges(t)
    assert (np.bincount(of_triangle.ravel()) == 2).all()
    assert enclosed_volume(v, t) > 0


def test_the_isosurface_of_a_sphere_has_its_volume():
    grid = Grid.around([-1] * 3, [1] * 3, 0.1, 0.2)
    v, t = isosurface((np.linalg.norm(grid.points(), axis=1) - 0.9).reshape(grid.shape), grid)
    assert enclosed_volume(v, t) == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.02)
    assert np.linalg.norm(v, axis=1) == pytest.approx(0.9, abs=0.02)


def test_well_composed_leaves_no_diagonal_contacts():
    inside = np.zeros((4, 4, 4), bool)
    inside[1, 1, 1] = inside[2, 2, 2] = True
    fixed = well_composed(inside)
    assert fixed[inside].all() and fixed.sum() > 2
    assert (well_composed(fixed) == fixed).all()


def test_caps_close_a_tube_and_keep_its_vertices():
    v, t = tube()
    closed, caps, loops = cap_holes(v, t, 0.006)
    assert len(loops) == 2 and (closed[: len(v)] == v).all()
    whole = np.concatenate([t, caps])
    assert boundary_loops(whole) == []
    assert len(intersecting_pairs(closed, whole)) == 0
    assert enclosed_volume(closed, whole) == pytest.approx(np.pi * 0.03**2 * 0.05, rel=0.03)


def test_seams_are_welded_but_touching_skin_is_not():
    v, t = tube()
    split = np.concatenate([v, v])  # the upper half has vertices of its own
    upper = v[t, 2].mean(1) > 0.025
    parts = t.copy()
    parts[upper] += len(v)
    welded, _, stands = weld_seams(split, parts)
    assert len(boundary_loops(welded)) == 2 and len(boundary_loops(parts)) == 4
    assert (split[stands] == split).all()
    lids, caps, _ = cap_holes(v, t, 0.006)
    ball = np.concatenate([t, caps])
    *_, stands = weld_seams(np.concatenate([lids, lids]), np.concatenate([ball, ball + len(lids)]))
    assert (stands == np.arange(2 * len(lids))).all()


def test_the_main_part_is_the_largest():
    v, t = tube()
    both = np.concatenate([t, t + len(v)])
    main = main_part(np.concatenate([0.3 * v, v]), both)
    assert (main == (np.arange(len(both)) >= len(t))).all()


def test_crossing_and_touching_triangles_are_found():
    a = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    crossing = np.array([*a, [0.2, 0.2, -1], [0.2, 0.2, 1], [0.4, 0.4, 1]], float)
    apart = crossing + np.repeat([[0, 0, 0], [2, 0, 0]], 3, axis=0)
    above = np.array([*a, [0.1, 0.1, 5e-7], [0.3, 0.1, 5e-7], [0.1, 0.3, 5e-7]])
    two = np.array([[0, 1, 2], [3, 4, 5]])
    assert len(intersecting_pairs(crossing, two)) == 1
    assert len(intersecting_pairs(apart, two)) == 0
    assert len(intersecting_pairs(above, two)) == 1
    fan = np.array([*a, [1, 1, 0], [-1, -1, 0.5]], float)
    assert len(intersecting_pairs(fan, np.array([[0, 1, 2], [1, 3, 2], [0, 2, 4]]))) == 0  # neighbours only
    line = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]], float)
    assert list(degenerate(line, np.array([[0, 1, 2], [0, 1, 3]]))) == [0]


def test_touching_skin_is_drawn_apart_by_little():
    v, t = tube()
    closed, caps, _ = cap_holes(v, t, 0.006)
    ball = np.concatenate([t, caps])
    two = np.concatenate([closed, closed + [0, 0, 0.05 - 5e-5]])  # the caps overlap by 0.05 mm
    both = np.concatenate([ball, ball + len(closed)])
    assert len(intersecting_pairs(two, both))
    moved, left = separate(two, both, np.full(len(two), 2e-4))
    assert len(left) == 0
    assert np.linalg.norm(moved - two, axis=1).max() <= 2e-4 + 1e-12


def test_landmarks_of_a_head_made_of_formulas_in_any_axes():
    head = synthetic_head()
    axes = find_axes(head.vertices, head.triangles)
    up, front = axes.up, axes.front
    assert (up == [0, 0, 1]).all() and (front == [0, -1, 0]).all()
    marks = find_landmarks(head.vertices, head.triangles, up, front)
    tip = marks.frame.out_of(marks.points["pronasale"])
    assert tip == pytest.approx([0, -0.125, -0.035], abs=0.006)
    assert marks.frame.out_of(marks.points["ear_left"]) == pytest.approx([0.085, 0, -0.03], abs=0.012)
    assert marks.frame.out_of(marks.points["pogonion"])[2] == pytest.approx(-0.115, abs=0.012)
    downwards = ("vertex", "sellion", "pronasale", "subnasale", "stomion", "pogonion", "menton")
    assert (np.diff([marks.points[n][1] for n in downwards]) < 0).all()
    turned = head.vertices[:, [0, 2, 1]] * [1, 1, -1]  # y up, face towards +z
    axes = find_axes(turned, head.triangles)
    assert (axes.up == [0, 1, 0]).all() and (axes.front == [0, 0, 1]).all()


def test_tissue_thickness_has_a_value_where_landmarks_fall_onto_the_same_rim():
    head = synthetic_head(0.012)
    landmarks = find_landmarks(head.vertices, head.triangles, [0, 0, 1], [0, -1, 0])
    local = landmarks.frame.into(head.vertices)
    whole = TriangleTree(local, head.triangles)
    _, places, depths = usual_depths(landmarks, whole)
    expected = depths * landmarks.scale**0.5  # a whole head keeps each value of the table
    assert tissue_thickness(landmarks, whole)(places) == pytest.approx(expected, abs=1e-9)
    side = TriangleTree(local, head.triangles[local[head.triangles, 0].min(1) > 0.05])
    _, places, _ = usual_depths(landmarks, side)
    assert len(np.unique(places.round(6), axis=0)) < len(places)
    thickness = tissue_thickness(landmarks, side)(places)
    assert np.isfinite(thickness).all() and (thickness > 0.5 * expected.min()).all()
    assert (thickness < 1.5 * expected.max()).all()
