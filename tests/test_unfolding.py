# SPDX-License-Identifier: GPL-3.0-or-later
"""Skin that was let go: narrow wrinkles go before wide dents, alike however time is cut into steps."""

import numpy as np
import pytest
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.topology import unique_edges
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.solver.system import ElasticSystem
from nephim.sim.solver.unfolding import Unfolding
from volumes import RADIUS, finger, round_head

TEMPLATE, SETTINGS = round_head(5), PhysicsSettings.load("default")
SYSTEM = ElasticSystem(TEMPLATE, SETTINGS)
N = TEMPLATE.n_skin


def unfolded(u: np.ndarray, duration: float, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The volume's and the skin's displacement after a time [s] in which nothing fades."""
    u, skin = u.copy(), np.zeros((N, 3))
    unfolding = Unfolding(SYSTEM, TEMPLATE, SETTINGS)
    for _ in range(steps):
        unfolding.relax(u, skin, 1.0, duration / steps)
    return u, skin


def wave(length: float) -> np.ndarray:
    """1 mm outwards and inwards along z, of a wavelength [m], (n, 3)."""
    u = np.zeros((len(TEMPLATE.vertices), 3))
    u[:N] = 1e-3 * np.cos(2 * np.pi / length * TEMPLATE.skin_vertices[:, 2:]) * TEMPLATE.skin_vertices / RADIUS
    return u


def left(length: float) -> float:
    """What is left of a wave's amplitude on the equator after the relaxation time."""
    u = wave(length)
    after = unfolded(u, SETTINGS.relaxation_time)[0]
    near = np.flatnonzero(np.abs(TEMPLATE.skin_vertices[:, 2]) < 0.25 * length)
    return float((after[near] * u[near]).sum() / (u[near] ** 2).sum())


def test_narrow_wrinkles_go_and_wide_dents_stay():
    assert left(0.1) > 0.9
    assert left(0.02) < 0.5
    assert left(0.02) < 0.6 * left(0.04)


def test_a_displacement_of_all_stays_and_the_inside_is_not_touched():
    u = np.tile([1e-3, 2e-3, -1e-3], (len(TEMPLATE.vertices), 1))
    u[N:] = np.random.default_rng(0).normal(0, 1e-3, u[N:].shape)
    after, skin = unfolded(u, 0.1)
    assert np.abs(after - u).max() < 1e-12
    assert np.allclose(skin, u[:N], atol=1e-12)


def test_held_vertices_stay_and_none_moves_beyond_its_neighbours():
    random = np.random.default_rng(1).normal(0, 1e-3, (len(TEMPLATE.vertices), 3))
    after, _ = unfolded(random, 0.05)
    held = np.setdiff1d(np.arange(N), SYSTEM.free)
    assert np.array_equal(after[held], random[held])
    assert (after[:N].max(0) <= random[:N].max(0)).all() and (after[:N].min(0) >= random[:N].min(0)).all()


@pytest.mark.parametrize("steps", [2, 5, 20])
def test_many_short_steps_are_one_long_step(steps):
    once, often = (unfolded(wave(0.03), 1 / 24, count)[0] for count in (1, steps))
    assert np.abs(once - often).max() < 0.03e-3


def roughness(displacement: np.ndarray) -> float:
    """How far the vertex that differs most lies from the mean of its neighbours [m]."""
    edges = unique_edges(TEMPLATE.skin_triangles)[0]
    total, count = np.zeros((N, 3)), np.bincount(edges.ravel(), minlength=N)[:, None]
    for a, b in (edges.T, edges.T[::-1]):
        np.add.at(total, a, displacement[b])
    return float(np.linalg.norm(displacement - total / count, axis=1).max())


def test_a_dragged_dent_comes_back_smoother_than_by_fading_alone(monkeypatch):
    """A finger presses, drags and is gone; roughness is judged against the depth that is left."""
    tip = finger()
    places = [(-0.01, 0.0), (0.004, 0.0), (0.008, 0.002), (0.008, 0.006), (0.008, 0.010), *[(-0.05, 0.010)] * 6]

    def play() -> list[tuple[float, float]]:
        simulation, found = Physics(TEMPLATE, SETTINGS, right=tip), []
        for depth, aside in places:
            hand = (tip.vertices + [RADIUS - depth, 0, aside]).astype(np.float32)
            result = simulation.step(TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), None, hand, np.eye(4)))
            moved = result.skin.astype(np.float64) - result.tracked
            deepest = float(np.linalg.norm(moved, axis=1).max())
            found.append((deepest, roughness(moved) / max(deepest, 1e-9)))
        return found

    unfolding = play()
    monkeypatch.setattr("nephim.sim.solver.unfolding._WIDTH", 1e-9)
    fading = play()
    assert unfolding[:6] == fading[:6]  # nothing unfolds while the finger is there
    for (deep, rough), (_, rougher) in zip(unfolding[6:], fading[6:], strict=True):
        assert deep < 1e-3 and rough < 0.85 * rougher
