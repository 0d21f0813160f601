# SPDX-License-Identifier: GPL-3.0-or-later
"""Pressure cells: loads and responses against differences, and flesh that comes out beside a finger."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from nephim.sim.flesh import returned
from nephim.sim.frame import TrackedFrame
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.solver.pressure import PressureCells
from nephim.sim.solver.system import ElasticSystem
from volumes import RADIUS, finger, round_head

TEMPLATE, FINGER = round_head(3), finger()
DEFAULT = PhysicsSettings.load("default")
FOAM = replace(DEFAULT, w_vol=3 * DEFAULT.w_str, volume_tolerance=0.05)
FLESH = replace(DEFAULT, cell_volume=2e-6, w_vol=30 * DEFAULT.w_str, volume_tolerance=0.0)
REST = np.zeros((len(TEMPLATE.vertices), 3))


@cache
def system() -> ElasticSystem:
    return ElasticSystem(TEMPLATE, FLESH)


def cells(u: np.ndarray | None = None) -> PressureCells:
    """All cells awake, unless a displacement u is given that wakes some."""
    made = PressureCells(system(), FLESH.cell_volume, FLESH.w_str, FLESH.w_vol)
    made.begin(REST, np.full_like(REST, 1e-3) if u is None else u)
    return made


def volumes(made: PressureCells, x: np.ndarray) -> np.ndarray:
    return made.missing(np.zeros_like(x), 0.0) - made.missing(x, 0.0)


def free(seed: int, scale: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(len(system().free), 3))


def test_the_cells_fill_the_tissue():
    made = PressureCells(system(), 1e-5, FLESH.w_str, FLESH.w_vol)
    assert made.pressure.shape == (round(system().volumes.sum() / 1e-5),)
    each = np.bincount(made.label, system().volumes)
    assert each.min() > 0.9e-5 and each.max() < 1.1e-5
    assert np.bincount(cells().label).mean() >= 20  # tetrahedra: never as small as to lock


def test_loads_are_the_gradient_of_the_volume():
    made, x, step = cells(), free(1, 2e-5), 1e-7 * free(2, 1.0)
    pressure = np.random.default_rng(3).uniform(-1, 1, len(made.pressure))
    change = (volumes(made, x + step) - volumes(made, x - step)) / 2
    made.pressure[:] = pressure
    u, load = REST.copy(), np.zeros_like(x)
    u[system().free] = x
    made.load(u, load)
    assert (load * step).sum() == pytest.approx(pressure @ change, rel=1e-6)


def test_a_pressure_makes_up_for_what_is_missing():
    """What is left is what the flesh yields under that pressure, 1 % at 100 w_str."""
    made, lack = cells(), np.zeros(len(cells().pressure))
    lack[5] = 1e-10
    x = free(4, 0.0)
    pressure = made.solve(lack, 0.0)
    made.add(pressure, x)
    yielded = pressure / (100 * FLESH.w_str) * system().volumes.sum() / len(pressure)
    assert lack - volumes(made, x) == pytest.approx(yielded, abs=0.02 * lack[5])
    assert made.pressure[5] > 0 and made.pressure[5] == made.pressure.max()


def test_what_pressures_move_adds_up_and_follows_the_cells_that_are_awake():
    u = REST.copy()
    u[system().free[7]] = 1e-3
    made, every = cells(u), cells()
    few, many = len(made.missing(free(6, 0.0), 0.0)), len(every.pressure)
    assert few < many
    made.begin(REST, np.full_like(REST, 1e-3))
    pressure, together, apart = np.random.default_rng(7).uniform(-9, 9, many), free(8, 0.0), free(8, 0.0)
    made.add(pressure, together)
    for cell, value in enumerate(pressure):
        every.add(value * (np.arange(many) == cell), apart)
    assert np.abs(together).max() > 0
    assert together == pytest.approx(apart, abs=1e-6 * np.abs(together).max())


def test_only_reached_cells_are_awake_and_pressure_is_bounded():
    u = REST.copy()
    u[system().free[7]] = 1e-3
    made = cells(u)
    lack = made.missing(u[system().free], 0.0)
    assert 0 < len(lack) < len(made.pressure) / 4
    made.add(np.full(len(lack), 1e9), free(5, 0.0))
    bound = made.pressure.max()
    assert 0 < bound < FLESH.w_str + FLESH.w_vol and (made.pressure == bound).sum() == len(lack)


def press(settings: PhysicsSettings) -> list[tuple[float, float]]:
    """Volumes pushed in and out [m³] while a finger presses 7 mm in and leaves."""
    simulation, result = Physics(TEMPLATE, settings, right=FINGER), []
    head = TEMPLATE.head_vertices.astype(np.float32)
    for depth in [-0.02, -0.002, 0.001, 0.004, 0.007, 0.007, 0.004, 0.0, -0.004, *[-0.03] * 20]:
        hand = (FINGER.vertices + [RADIUS - depth, 0, 0]).astype(np.float32)
        frame = simulation.step(TrackedFrame(head, None, hand, np.eye(4)))
        result.append(returned(frame.tracked, frame.skin, TEMPLATE.skin_triangles))
    return result


def test_what_a_finger_pushes_in_comes_out_beside_it():
    foam, flesh = press(FOAM), press(FLESH)
    for inwards, outwards in flesh[3:7]:
        assert inwards > 5e-7 and outwards > 0.9 * inwards
    assert all(outwards < 0.5 * inwards for inwards, outwards in foam[3:7])
    assert flesh[0] == flesh[-1] == (0.0, 0.0)  # exactly at rest before, and after
