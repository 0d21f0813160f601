# SPDX-License-Identifier: GPL-3.0-or-later
"""The converged reference: its derivatives and closed cases, and the distance of the physics from it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from nephim.benchmarks.convergence import Recorder, compare
from nephim.benchmarks.reference import Energy, converged, nearest_volume
from nephim.sim.frame import TrackedFrame
from nephim.sim.settings import PhysicsSettings
from nephim.sim.solver.system import ElasticSystem
from nephim.sim.template import TISSUE
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER, SETTINGS = round_head(3), finger(), PhysicsSettings()
N = len(TEMPLATE.vertices)


def random(scale: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(N, 3))


FLESH = replace(SETTINGS, cell_volume=2e-6, w_vol=30 * SETTINGS.w_str, volume_tolerance=0.0)


@cache
def pressed(settings: PhysicsSettings = SETTINGS) -> Recorder:
    """The physics after a finger has been pressed 7 mm in, in steps."""
    simulation = Recorder(TEMPLATE, settings, right=FINGER)
    for depth in (-0.002, 0.001, 0.004, 0.007):
        hand = FINGER.vertices + [RADIUS - depth, 0, 0]
        simulation.step(
            TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), None, hand.astype(np.float32), np.eye(4))
        )
    return simulation


def test_the_nearest_volume_is_a_stationary_point_and_beats_its_neighbours():
    rng = np.random.default_rng(0)
    s = np.sort(np.abs(rng.normal(1, 0.5, (200, 3))), axis=1)[:, ::-1].copy()
    s[::7, 2] *= -1
    target = rng.uniform(0.5, 1.5, 200)
    sigma, multiplier = nearest_volume(s, target)
    assert sigma.prod(axis=1) == pytest.approx(target)
    cofactor = sigma.prod(axis=1, keepdims=True) / sigma
    assert np.abs(sigma - s - multiplier[:, None] * cofactor).max() < 1e-12
    best = ((sigma - s) ** 2).sum(axis=1)
    for _ in range(200):
        other = sigma * np.exp(rng.normal(scale=0.3, size=sigma.shape))
        other *= np.cbrt(target / other.prod(axis=1))[:, None]
        assert (((other - s) ** 2).sum(axis=1) >= best - 1e-12).all()


def test_the_matrix_is_that_of_the_physics():
    system = ElasticSystem(TEMPLATE, SETTINGS)
    energy = Energy(TEMPLATE, SETTINGS, np.zeros((N, 3)))
    assert np.array_equal(np.flatnonzero(energy.free), system.free)
    own = energy.matrix[system.free][:, system.free]
    assert abs(own - system.matrix).max() < 1e-9 * abs(own).max()


def test_rest_has_no_energy_and_no_force():
    """Also where the tracked motion has deformed the volume: the undisturbed volume is the reference."""
    for volume in (np.zeros((N, 3)), random(2e-4, 5)):
        value, gradient = Energy(TEMPLATE, SETTINGS, volume).value(np.zeros((N, 3)))
        assert value == pytest.approx(0, abs=1e-20)
        assert np.abs(gradient).max() < 1e-12


def test_a_rotation_of_everything_costs_only_the_attachment():
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    u = TEMPLATE.vertices @ turn.T - TEMPLATE.vertices
    energy = Energy(TEMPLATE, SETTINGS, np.zeros((N, 3)))
    attached = 0.5 * float(((energy.attachment @ u) * u).sum())
    assert energy.value(u)[0] == pytest.approx(attached, rel=1e-9)


def test_derivatives_agree_with_differences():
    """Random displacements fold tetrahedra and stretch the skin: every term acts."""
    energy = Energy(TEMPLATE, SETTINGS, random(3e-4, 1), u_before=random(3e-4, 2), theta=0.6)
    u, h = random(8e-4, 3), 1e-7
    _, gradient = energy.value(u, curvature=True)
    for seed in (10, 11, 12):
        p = random(1.0, seed)
        slope = (energy.value(u + h * p)[0] - energy.value(u - h * p)[0]) / (2 * h)
        assert slope == pytest.approx(float((gradient * p).sum()), rel=1e-7)
        bend = (energy.value(u + h * p)[1] - energy.value(u - h * p)[1]) / (2 * h)
        product = energy.product(p)
        assert float((p * product).sum()) > 0
        # Without the negative curvature that folded tetrahedra have, it is not quite the Hessian.
        assert np.linalg.norm(bend - product) < 0.05 * np.linalg.norm(bend)


def test_cells_have_the_gradient_of_their_energy():
    cells = np.arange(int((TEMPLATE.tet_region == TISSUE).sum())) // 40
    both = [Energy(TEMPLATE, SETTINGS, random(1e-4, 1), cells=c, bulk=3.4e5) for c in (cells, None)]
    u, p, h = random(1e-4, 3), random(1.0, 10), 1e-7
    up, down, here = ([e.value(u + x)[0] for e in both] for x in (h * p, -h * p, 0.0))
    gradients = [e.value(u, curvature=True)[1] for e in both]
    assert here[0] > 1.1 * here[1]
    slope = ((up[0] - down[0]) - (up[1] - down[1])) / (2 * h)
    assert slope == pytest.approx(float(((gradients[0] - gradients[1]) * p).sum()), rel=1e-6)
    products = [e.product(p) for e in both]
    assert float(((products[0] - products[1]) * p).sum()) > 0


def test_newton_ends_at_a_minimum():
    fixed = np.argmax(TEMPLATE.skin_vertices[:, [0]], axis=0)
    push, rest = np.array([[-0.004, 0.001, 0.0]]), np.zeros((N, 3))
    result = converged(TEMPLATE, SETTINGS, rest, fixed, push, rest, 0.0)
    assert result.gradient <= 1e-6
    assert result.steps < 30
    assert np.array_equal(result.u[fixed], push)
    energy = Energy(TEMPLATE, SETTINGS, rest)
    assert not result.u[~energy.free].any()
    free = energy.free.copy()
    free[fixed] = False
    for seed in range(3):
        p = np.where(free[:, None], random(1e-5, seed), 0.0)
        assert energy.value(result.u + p)[0] > result.energy


def test_a_strong_persistence_stays_at_the_deformation_before():
    rest, before = np.zeros((N, 3)), np.zeros((N, 3))
    free = Energy(TEMPLATE, SETTINGS, rest).free
    before[free] = random(2e-4, 4)[free]
    moves = []
    for theta in (0.5, 0.999999):
        result = converged(TEMPLATE, SETTINGS, rest, np.zeros(0, int), np.zeros((0, 3)), before, theta)
        moves.append(np.abs(result.u - before).max())
    assert moves[0] > 5e-5
    assert moves[1] < 1e-8


# With stiff volume terms, hundredths of a millimetre cost more energy.
@pytest.mark.parametrize(("settings", "more"), [(SETTINGS, 1.01), (FLESH, 1.03)], ids=["default", "flesh"])
def test_the_physics_has_converged(settings: PhysicsSettings, more: float):
    simulation = pressed(settings)
    numbers, result = compare(simulation)
    assert numbers["held"] > 0
    assert numbers["moved"] > 10
    assert np.linalg.norm(result.u, axis=1).max() > 0.004
    assert numbers["p95_mm"] <= 0.2
    assert numbers["inside_max_mm"] <= 0.5
    assert numbers["energy_converged"] <= numbers["energy"] * (1 + 1e-9)
    assert numbers["energy"] <= numbers["energy_converged"] * more


def test_a_frame_without_a_substep_is_refused():
    simulation = Recorder(TEMPLATE, SETTINGS, right=FINGER)
    hand = (FINGER.vertices + [RADIUS + 0.1, 0, 0]).astype(np.float32)
    simulation.step(TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), None, hand, np.eye(4)))
    with pytest.raises(ValueError, match="no substep"):
        compare(simulation)
