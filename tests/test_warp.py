# SPDX-License-Identifier: GPL-3.0-or-later
"""The triharmonic warp: exact at its centres, exact for affine motion, and no folds in a volume it carries along."""

import numpy as np
import pytest
from nephim.sim.geometry.warp import Warp, carried_volume, folded, spread
from volumes import RADIUS, round_head


def test_affine_motion_is_reproduced_everywhere():
    rng = np.random.default_rng(1)
    source, points = rng.normal(size=(40, 3)), rng.normal(size=(200, 3)) * 3
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    warp = Warp(source, source @ matrix + shift)
    assert warp(points) == pytest.approx(points @ matrix + shift, abs=1e-8)


def test_the_kernel_is_the_cube_of_the_distance():
    """Three kernels in a row, weighted 1, -2, 1, fulfil the side conditions and are reproduced exactly."""
    rng = np.random.default_rng(2)
    row = np.array([[-0.3, 0.1, 0.0], [0.0, 0.1, 0.0], [0.3, 0.1, 0.0]])

    def moved(points):
        distance = np.linalg.norm(points[:, None] - row[None], axis=2)
        return points + (distance**3 @ [1.0, -2.0, 1.0])[:, None]

    source = np.concatenate([rng.uniform(-1, 1, (60, 3)), row])
    inside = rng.uniform(-1, 1, (50, 3))
    assert Warp(source, moved(source))(inside) == pytest.approx(moved(inside), abs=1e-9)


def test_centres_arrive_exactly_and_coincident_points_do_no_harm():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(60, 3))
    doubled = np.concatenate([source, source[:10]])
    target = doubled + 0.1 * np.sin(3 * doubled)
    assert Warp(doubled, target)(source) == pytest.approx(target[:60], abs=1e-9)


def test_spread_points_cover():
    rng = np.random.default_rng(4)
    points = rng.uniform(size=(2000, 3))
    chosen = spread(points, 100)
    assert len(set(chosen.tolist())) == 100
    assert np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1).max() < 0.25
    assert len(spread(np.zeros((5, 3)), 100)) == 1


def test_a_round_head_becomes_an_egg_without_folds():
    template = round_head(3)
    on_bone = np.linalg.norm(template.vertices, axis=1) < 0.5 * (RADIUS + 0.072)
    boundary = np.flatnonzero(on_bone & (template.vertex_region > 0))
    boundary = np.concatenate([np.arange(template.n_skin), boundary])

    def egg(p):
        return p * [1.15, 0.9, 1.0] * (1 + 1.5 * p[:, 2:])

    carried = carried_volume(template.vertices, boundary, egg(template.vertices[boundary]))
    assert np.array_equal(carried[boundary], egg(template.vertices[boundary]))
    assert carried == pytest.approx(egg(template.vertices), abs=3e-4)
    assert not len(folded(carried, template.tets))
    carried[template.tets[7, 0]] += 10 * (carried[template.tets[7, 1:]].mean(0) - carried[template.tets[7, 0]])
    assert 7 in folded(carried, template.tets)
