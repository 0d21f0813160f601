# SPDX-License-Identifier: GPL-3.0-or-later
"""What the votes say: who prefers which method, how sure that is, and how far people agree."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ..choices import METHODS
from .results import Vote
from .statistics import agreement, binomial_p, clopper_pearson, krippendorff_alpha


@dataclass(frozen=True)
class Tally:
    """`preferred` of `votes`, with the exact 95 % interval (low, high) of the probability and the two-sided exact
    p-value of a tie."""

    preferred: int
    votes: int
    low: float
    high: float
    p: float

    @property
    def share(self) -> float:
        return self.preferred / self.votes if self.votes else 0.5

    @property
    def decided(self) -> bool:
        """The interval does not contain one half."""
        return self.votes > 0 and not self.low <= 0.5 <= self.high


def tally(preferred: int, votes: int) -> Tally:
    return Tally(preferred, votes, *clopper_pearson(preferred, votes), binomial_p(preferred, votes))


@dataclass(frozen=True)
class Comparison:
    """Two methods. first is preferred in `all` votes and by `people` (who prefer it in more of their votes than not;
    those without a preference do not count); clips: by file and clip. alpha: Krippendorff's; agreement: share of pairs
    of people with the same answer; None where they are not defined."""

    first: str
    second: str
    all: Tally
    people: Tally
    clips: dict[tuple[str, str], Tally]
    alpha: float | None
    agreement: float | None


@dataclass(frozen=True)
class Evaluation:
    """participants, votes: how many; left: how often the left film was chosen; seconds: median time to an answer."""

    participants: int
    votes: int
    comparisons: tuple[Comparison, ...]
    alpha: float | None
    agreement: float | None
    left: Tally
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        values = asdict(self)
        for comparison in values["comparisons"]:
            comparison["clips"] = [
                {"file": file, "clip": clip, **numbers} for (file, clip), numbers in comparison["clips"].items()
            ]
        return values


def evaluate(votes: Sequence[Vote]) -> Evaluation:
    """Counts the votes. Of every two methods the one that comes later in `choices.METHODS` is called first, so that a
    share above one half speaks for the better simulation."""
    pairs: dict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        later, earlier = sorted((vote.chosen.method, vote.other.method), key=_place, reverse=True)
        pairs[later, earlier].append(vote)
    order = sorted(pairs, key=lambda pair: (_place(pair[0]), _place(pair[1])), reverse=True)
    comparisons = tuple(_compare(first, second, pairs[first, second]) for first, second in order)
    units = [unit for pair in order for unit in _units(pair[0], pairs[pair])]
    return Evaluation(
        participants=len({(vote.study, vote.participant) for vote in votes}),
        votes=len(votes),
        comparisons=comparisons,
        alpha=krippendorff_alpha(units),
        agreement=agreement(units),
        left=tally(sum(vote.on_left for vote in votes), len(votes)),
        seconds=median(vote.seconds for vote in votes),
    )


def _place(method: str) -> tuple[int, str]:
    names = list(METHODS)
    return (names.index(method) if method in names else len(names), method)


def _compare(first: str, second: str, votes: Sequence[Vote]) -> Comparison:
    clips: dict[tuple[str, str], list[int]] = defaultdict(list)
    people: dict[tuple[str, str], list[int]] = defaultdict(list)
    for vote in votes:
        won = int(vote.chosen.method == first)
        clips[vote.chosen.file, vote.chosen.clip].append(won)
        people[vote.study, vote.participant].append(won)
    leaning = [2 * sum(own) - len(own) for own in people.values()]
    units = _units(first, votes)
    return Comparison(
        first=first,
        second=second,
        all=tally(sum(map(sum, clips.values())), len(votes)),
        people=tally(sum(lean > 0 for lean in leaning), sum(lean != 0 for lean in leaning)),
        clips={clip: tally(sum(won), len(won)) for clip, won in sorted(clips.items())},
        alpha=krippendorff_alpha(units),
        agreement=agreement(units),
    )


def _units(first: str, votes: Sequence[Vote]) -> list[list[int]]:
    """For each clip of each study whether each person chose `first`."""
    units: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for vote in votes:
        units[vote.study, vote.chosen.file, vote.chosen.clip].append(int(vote.chosen.method == first))
    return list(units.values())
