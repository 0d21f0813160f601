# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of votes between two: exact intervals and tests, and how far people agree."""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, betaincinv

CONFIDENCE = 0.95


def clopper_pearson(successes: int, votes: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact confidence interval of a probability of which `successes` of `votes` were seen; (0, 1) without votes.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", 1934. It
    holds the true probability at least as often as `confidence` says, however few votes there are.
    """
    outside = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, votes - successes + 1, outside))
    high = 1.0 if successes == votes else float(betaincinv(successes + 1, votes - successes, 1 - outside))
    return low, high


def binomial_p(successes: int, votes: int) -> float:
    """Two-sided exact p-value of `successes` of `votes` where both answers are equally likely; 1 without votes."""
    return min(1.0, 2 * float(bdtr(min(successes, votes - successes), votes, 0.5))) if votes else 1.0


def agreement(units: Sequence[Sequence[int]]) -> float | None:
    """Share of the pairs of people who gave the same answer to the same question; None if no question has two answers.

    units: the answers (0 or 1) to each question.
    """
    same, pairs = 0.0, 0
    for answers in units:
        n, ones = len(answers), sum(answers)
        same += (ones * (ones - 1) + (n - ones) * (n - ones - 1)) / 2
        pairs += n * (n - 1) // 2
    return same / pairs if pairs else None


def krippendorff_alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Krippendorff's alpha for nominal data: 1 where all agree, 0 where they agree as often as by chance.

    units: the answers (0 or 1) to each question; questions with one answer do not count. None where alpha is not
    defined: fewer than two answers to every question, or all answers alike. Krippendorff, "Content Analysis", chapter
    11; for complete data and many people it equals Fleiss' kappa.
    """
    coincidence = np.zeros((2, 2))
    for answers in units:
        if len(answers) < 2:
            continue
        counts = np.bincount(np.asarray(answers), minlength=2)
        coincidence += (np.outer(counts, counts) - np.diag(counts)) / (len(answers) - 1)
    each, total = coincidence.sum(axis=1), coincidence.sum()
    if total == 0 or not each.all():
        return None
    expected = 2 * each[0] * each[1] / (total - 1)
    return float(1 - 2 * coincidence[0, 1] / expected)
