# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals, tests and agreement against published and independently computed values."""

import numpy as np
import pytest
from nephim.study.statistics import agreement, binomial_p, clopper_pearson, krippendorff_alpha


@pytest.mark.parametrize(
    ("successes", "votes", "low", "high"),
    [
        (0, 10, 0.0, 0.30850),  # Clopper and Pearson 1934; R: binom.test
        (10, 10, 0.69150, 1.0),
        (8, 10, 0.44390, 0.97479),
        (5, 10, 0.18709, 0.81291),
        (0, 0, 0.0, 1.0),
    ],
)
def test_exact_intervals(successes, votes, low, high):
    assert clopper_pearson(successes, votes) == pytest.approx((low, high), abs=1e-5)


def test_the_interval_is_where_the_binomial_tails_are_two_and_a_half_percent():
    from math import comb

    def upper_tail(p, k, n):
        return sum(comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1))

    low, high = clopper_pearson(37, 50)
    assert upper_tail(low, 37, 50) == pytest.approx(0.025, rel=1e-9)
    assert 1 - upper_tail(high, 38, 50) == pytest.approx(0.025, rel=1e-9)


def test_exact_p():
    assert binomial_p(8, 10) == pytest.approx(112 / 1024)  # (1 + 10 + 45) / 2^10, twice
    assert binomial_p(5, 10) == 1.0 and binomial_p(0, 0) == 1.0
    assert binomial_p(2, 10) == binomial_p(8, 10)


def test_alpha_of_krippendorffs_binary_example():
    """Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section A: two observers, alpha = 0.095."""
    one = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    two = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    units = list(zip(one, two, strict=True))
    assert krippendorff_alpha(units) == pytest.approx(0.095, abs=5e-4)
    assert agreement(units) == pytest.approx(0.6)


def test_alpha_is_one_where_all_agree_and_about_zero_by_chance():
    assert krippendorff_alpha([[0, 0, 0], [1, 1, 1], [1]]) == 1.0
    random = np.random.default_rng(4).integers(0, 2, (400, 8)).tolist()
    assert abs(krippendorff_alpha(random)) < 0.05
    assert agreement(random) == pytest.approx(0.5, abs=0.03)


def test_alpha_of_many_people_is_fleiss_kappa():
    units = (np.random.default_rng(1).random((300, 20)) < np.random.default_rng(2).random((300, 1))).astype(int)
    ones = units.sum(axis=1)
    observed = ((ones * (ones - 1) + (20 - ones) * (19 - ones)) / (20 * 19)).mean()
    share = ones.sum() / units.size
    chance = share**2 + (1 - share) ** 2
    assert krippendorff_alpha(units.tolist()) == pytest.approx((observed - chance) / (1 - chance), abs=1e-3)


def test_alpha_and_agreement_where_there_is_nothing_to_compare():
    assert krippendorff_alpha([]) is None and krippendorff_alpha([[1], [0]]) is None
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None  # nothing varies
    assert agreement([[1], [0]]) is None and agreement([[1, 1], [1, 1]]) == 1.0
