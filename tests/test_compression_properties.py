# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression keeps its tolerance on whatever it is given: any rank, any size, any gain."""

import io

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nephim.bridge.bake.compression import compress
from nephim.progress import drive

HALF_ULP = 2.0**-24  # relative error of a number rounded to float32, as the basis is
ROUNDED = 1e-9  # relative error of sums in float64, generously


def compressed(displacements: np.ndarray, gain: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Basis and weights, after a check of all that is promised about them."""
    before = displacements.copy(), gain.copy()
    basis, weights = drive(compress(displacements, gain, tolerance), io.StringIO())
    assert np.array_equal(displacements, before[0]) and np.array_equal(gain, before[1])
    frames, vertices, _ = displacements.shape
    assert basis.dtype == np.float32 and basis.shape == (len(basis), vertices, 3)
    assert weights.shape == (frames, len(basis)) and len(basis) <= frames
    assert np.isfinite(basis).all() and np.isfinite(weights).all()
    assert np.abs(weights).max(initial=0.0) <= 1.0 and (weights.max(axis=0, initial=-1.0) == 1.0).all()

    wide = basis.astype(np.float64)
    error = np.linalg.norm(displacements - np.tensordot(weights, wide, 1), axis=2)
    size = np.tensordot(np.abs(weights), np.linalg.norm(wide, axis=2), 1)
    assert (gain * error <= tolerance * (1 + 1e-6) + gain * size * (HALF_ULP + ROUNDED)).all()
    largest = (gain * np.linalg.norm(displacements.astype(np.float64), axis=2)).max(initial=0.0)
    if not 0.999 * tolerance < largest < 1.001 * tolerance:  # in between rounding decides
        assert (len(basis) == 0) == (largest <= tolerance)
    return basis, weights


@st.composite
def motions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Displacements of a rank, in any unit and any size, with gain, tolerance and that rank."""
    frames, vertices = draw(st.integers(1, 14)), draw(st.integers(1, 9))
    rank = draw(st.integers(0, min(frames, 3 * vertices)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = 10.0 ** draw(st.integers(-12, 12))
    strengths = 10.0 ** -random.uniform(0, draw(st.integers(0, 9)), rank)  # strong components and faint ones
    data = (random.normal(size=(frames, rank)) * strengths) @ random.normal(size=(rank, 3 * vertices)) * size
    data = data.reshape(frames, vertices, 3)
    data[random.random(frames) < draw(st.sampled_from([0.0, 0.4]))] = 0  # frames at rest
    data[:, random.random(vertices) < draw(st.sampled_from([0.0, 0.4]))] = 0  # skin that never moves
    gain = 10.0 ** random.uniform(-1, 1, (frames, vertices)) * (random.random((frames, vertices)) > 0.1)
    tolerance = size * 10.0 ** draw(st.floats(-7, 1))
    return data.astype(np.float32), gain.astype(np.float32), tolerance, rank


@settings(max_examples=400, deadline=None, derandomize=True)
@given(motions())
def test_any_motion_keeps_the_tolerance(motion: tuple[np.ndarray, np.ndarray, float, int]):
    data, gain, tolerance, _ = motion
    compressed(data, gain, tolerance)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(motions())
def test_no_more_keys_than_the_rank(motion: tuple[np.ndarray, np.ndarray, float, int]):
    """Where the tolerance is above what float32 rounds the displacements by."""
    data, gain, tolerance, rank = motion
    tolerance = max(tolerance, 1e-4 * float(np.abs(data).max()) * float(gain.max()), 1e-30)
    assert len(compressed(data, gain, tolerance)[0]) <= rank


sizes = st.floats(-(2.0**60), 2.0**60, width=32)  # squares of larger ones overflow float32


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 4), st.just(3)), elements=sizes),
    st.floats(1e-9, 1e9),
)
@example(np.full((5, 2, 3), 0.01, np.float32), 1e-4)  # all frames the same
@example(np.zeros((3, 2, 3), np.float32), 1e-4)
@example(np.float32([[[1e18, 0, 0], [1e-18, 0, 0]], [[0, 1e-3, 0], [0, 0, 1e18]]]), 1e-3)
def test_tiny_beside_huge_keeps_the_tolerance(data: np.ndarray, tolerance: float):
    compressed(data, np.ones(data.shape[:2], np.float32), tolerance)


def test_the_same_displacement_in_all_frames_is_one_key():
    still = np.tile(np.float32([[0.01, -0.02, 0.005], [0, 0, 0.003]]), (7, 1, 1))
    basis, weights = compressed(still, np.ones((7, 2), np.float32), 1e-4)
    assert len(basis) == 1 and np.allclose(weights, 1.0) and np.allclose(basis[0], still[0], atol=1e-8)


def test_no_frames_and_no_vertices_need_no_keys():
    for frames, vertices in ((0, 3), (4, 0)):
        basis, weights = compressed(np.zeros((frames, vertices, 3), np.float32), np.zeros((frames, vertices)), 1e-4)
        assert basis.shape == (0, vertices, 3) and weights.shape == (frames, 0)


def test_a_tolerance_of_nothing_gives_the_displacements_themselves():
    data = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    basis, weights = compressed(data, np.ones((5, 4), np.float32), 0.0)
    assert np.array_equal(np.tensordot(weights, basis, 1), data)
