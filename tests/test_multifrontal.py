# SPDX-License-Identifier: GPL-3.0-or-later
"""The factor of the global step against plain sparse linear algebra, and what is skipped against what is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nephim import threads
from nephim.sim.solver import dissection
from nephim.sim.solver.active_set import Awake
from nephim.sim.solver.elasticity import REST
from nephim.sim.solver.multifrontal import Factor
from scipy.sparse import coo_matrix, csr_matrix, diags, eye
from scipy.sparse.linalg import spsolve


def diffusion(shape: tuple[int, int, int], ground: float = 0.01) -> tuple[csr_matrix, np.ndarray]:
    """Neighbours on a grid coupled by one, each held to the ground."""
    positions = np.argwhere(np.ones(shape)).astype(float)
    index = np.arange(len(positions)).reshape(shape)
    pairs = [
        (np.take(index, range(n - 1), axis).ravel(), np.take(index, range(1, n), axis).ravel())
        for axis, n in enumerate(shape)
    ]
    i, j = (np.concatenate(side) for side in zip(*pairs, strict=True))
    link = coo_matrix((np.ones(len(i)), (i, j)), (len(positions),) * 2)
    link = link + link.T
    return (diags(np.asarray(link.sum(axis=1)).ravel() + ground) - link).tocsr(), positions


def solved(factor: Factor, b: np.ndarray, least: float = 0.0) -> np.ndarray:
    x = np.full_like(b, np.nan)
    factor.solve(b, x, least)
    return x


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_solves_any_positive_definite_matrix_wherever_its_points_lie(n, links, seed):
    """Also unknowns nothing couples, points that coincide, and couplings that have nothing to do with positions."""
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, n, (2, links * n))
    entries = coo_matrix((rng.normal(size=len(i)), (i, j)), (n, n))
    matrix = (entries @ entries.T + eye(n)).tocsr()
    positions = rng.integers(0, 3, (n, 3)).astype(float)
    b = rng.normal(size=(n, 3))
    x = solved(Factor(matrix, positions), b)
    assert matrix @ x == pytest.approx(b, abs=2e-4 * abs(matrix).max())


@pytest.mark.parametrize("widest", [16, 512])
def test_a_grid_is_solved_to_single_precision(widest, monkeypatch):
    monkeypatch.setattr(dissection, "WIDEST", widest)
    matrix, positions = diffusion((14, 13, 12))
    parts = dissection.dissect(matrix, positions).parts
    assert max(map(len, parts)) <= widest
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(positions)))
    b = np.random.default_rng(0).normal(size=positions.shape)
    expected = np.column_stack([spsolve(matrix.tocsc(), column) for column in b.T])
    assert solved(Factor(matrix, positions), b) == pytest.approx(expected, abs=2e-5 * np.abs(expected).max())


def test_rows_and_parts_wider_than_a_block_are_solved_in_pieces():
    """Nothing tells points apart that coincide: one dense part of 1100 unknowns, and so many rows below the first."""
    rng = np.random.default_rng(2)
    n = 1100
    a = rng.normal(size=(n, n))
    matrix, b = csr_matrix(a @ a.T / n + np.eye(n)), rng.normal(size=(n, 3))
    factor = Factor(matrix, np.zeros((n, 3)))
    assert len(dissection.dissect(matrix, np.zeros((n, 3))).parts) == 3
    assert solved(factor, b) == pytest.approx(np.linalg.solve(matrix.toarray(), b), abs=1e-4)


def test_branches_know_nothing_of_each_other():
    matrix, positions = diffusion((20, 8, 8))
    cut = dissection.dissect(matrix, positions)
    assert len(cut.branches) == 4
    owner = np.full(len(positions), -1)
    for b, (first, end) in enumerate(cut.branches):
        owner[np.concatenate(cut.parts[first:end])] = b
    i, j = matrix.nonzero()
    between = (owner[i] >= 0) & (owner[j] >= 0)
    assert np.array_equal(owner[i][between], owner[j][between])
    assert sum(map(len, cut.parts)) == len(positions)


def test_a_local_load_moves_what_it_moves_and_stillness_costs_as_much_as_it_may():
    matrix, positions = diffusion((40, 10, 10), ground=0.3)
    b = np.zeros_like(positions)
    b[7] = [1.0, 0.0, -2.0]
    factor = Factor(matrix, positions)
    whole, least = solved(factor, b), 1e-4
    part = solved(factor, b, least)
    assert np.abs(part - whole).max() <= least  # a diffusion is nowhere stronger than on the separators around it
    still = (part == 0.0).all(axis=1)
    assert still.mean() > 0.3
    assert np.array_equal(part[~still], whole[~still])
    assert np.abs(solved(factor, np.zeros_like(b))).max() == 0.0


def test_the_same_bits_for_any_number_of_threads():
    matrix, positions = diffusion((16, 16, 16))
    b = np.random.default_rng(1).normal(size=positions.shape)
    factor = Factor(matrix, positions)
    with threads.limited(1):
        one = solved(factor, b)
    assert np.array_equal(solved(factor, b), one)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(4, 40), st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_awake_is_what_has_a_displaced_corner(count, n, run, seed):
    rng = np.random.default_rng(seed)
    elements = rng.integers(0, n, (count, 4))
    finder = Awake(elements, n, run)
    for share in (0.3, 0.0, 0.1):  # what was awake before goes to sleep
        u = np.where(rng.random((n, 1)) < share, rng.choice([-1.0, 1.0], (n, 3)), 0.4 * REST)
        moved = np.abs(u).max(axis=1) >= REST
        expected = np.unique(np.flatnonzero(moved[elements].any(axis=1)) // run)
        assert np.array_equal(finder.find(u), expected)
        assert np.array_equal(finder.displaced, moved)
