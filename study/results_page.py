# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation as one HTML page, with its plots as SVG inside."""

from collections.abc import Sequence
from html import escape

from ..choices import METHODS
from .evaluation import Comparison, Evaluation, Tally

# Geometry of the plots [pixels]: names on the left, the axis from 0 to 100 %, figures on the right.
_NAMES, _AXIS, _FIGURES = 330, 400, 220
_ROW, _TOP, _TICKS = 30, 8, 26
_FIRST, _SECOND, _OPEN = "#b4562a", "#2f6f9f", "#8a8f96"  # preferred, the other preferred, undecided

_STYLE = """
body { margin: 0 auto; max-width: 980px; padding: 32px 24px 64px; background: #fff; color: #22252a;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 40px 0 6px; }
.lead { color: #5b6067; margin: 0 0 20px; }
svg { display: block; width: 100%; height: auto; margin: 8px 0; }
svg text { font: 14px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #22252a; }
svg .grey { fill: #6d737b; font-size: 12.5px; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid #e2e4e7; }
th:first-child, td:first-child { text-align: left; } th { color: #5b6067; font-weight: 600; }
.note { color: #5b6067; font-size: 14.5px; }
"""


def results_page(found: Evaluation) -> str:
    """The page."""
    people, votes = _counted(found.participants, "person", "people"), _counted(found.votes, "vote", "votes")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Which method people prefer</title>',
        '<link rel="icon" href="data:,">',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>Which method people prefer</h1>",
        f'<p class="lead">{people}, {votes}, {found.seconds:.1f} s per answer (median)</p>',
        _plot([(_versus(c), c.all) for c in found.comparisons]),
        '<p class="note">Points: share of votes for the method named first. Bars: exact 95 % confidence intervals '
        "(Clopper-Pearson). Coloured: the interval does not contain one half, the votes decide; grey: they do not.</p>",
        "<h2>Figures</h2>",
        _figures(found.comparisons),
        '<p class="note">People: how many prefer the method named first in more of their votes than not; those without '
        "a preference are left out. The votes of one person are not independent of each other, so where the two "
        "intervals disagree, trust the one over people. p: two-sided exact binomial test of a tie, not corrected for "
        "the number of pairs.</p>",
    ]
    one_file = len({file for comparison in found.comparisons for file, _ in comparison.clips}) == 1
    for comparison in found.comparisons:
        parts += [
            f"<h2>{escape(_versus(comparison))}, clip by clip</h2>",
            _plot([(clip if one_file else f"{file}: {clip}", t) for (file, clip), t in comparison.clips.items()]),
        ]
    parts += [
        "<h2>Do people agree?</h2>",
        _agreement(found),
        '<p class="note">Same answer: share of the pairs of people who chose the same film. Alpha: Krippendorff\'s, 1 '
        "if all agree, 0 if they agree as often as by chance. It is not defined where all votes are alike or no two "
        "people saw the same pair, and low where nearly all votes are alike, however well people agree.</p>",
        f'<p class="note">The left film was chosen in {_percent(found.left.share)} of the votes '
        f"({_interval(found.left)}); sides are drawn by chance, so one half is expected.</p>",
        "</body></html>",
    ]
    return "\n".join(parts)


def in_words(found: Evaluation) -> list[str]:
    """The same in a line for each pair of methods, to print."""
    lines = [
        f"{_versus(c)}: {_percent(c.all.share)} ({c.all.preferred} of {c.all.votes} votes, 95 % interval "
        f"{_interval(c.all)}); {c.people.preferred} of {c.people.votes} people"
        for c in found.comparisons
    ]
    same = "–" if found.agreement is None else _percent(found.agreement)
    return [*lines, f"Agreement between people: {same} the same answer, alpha {_number(found.alpha)}."]


def _versus(comparison: Comparison) -> str:
    names = (METHODS.get(name, name) for name in (comparison.first, comparison.second))
    return " over ".join(names).capitalize()


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _interval(numbers: Tally) -> str:
    return f"{100 * numbers.low:.0f}–{100 * numbers.high:.0f} %"


def _p(numbers: Tally) -> str:
    return "&lt; 0.001" if numbers.p < 0.001 else f"{numbers.p:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:z.2f}"


def _figures(comparisons: Sequence[Comparison]) -> str:
    rows = [
        f"<tr><td>{escape(_versus(c))}</td><td>{c.all.preferred} of {c.all.votes}</td><td>{_percent(c.all.share)}</td>"
        f"<td>{_interval(c.all)}</td><td>{_p(c.all)}</td><td>{c.people.preferred} of {c.people.votes}</td>"
        f"<td>{_interval(c.people)}</td></tr>"
        for c in comparisons
    ]
    head = "<th>Preferred</th><th>Votes</th><th>Share</th><th>95 %</th><th>p</th><th>People</th><th>95 %</th>"
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _agreement(found: Evaluation) -> str:
    of_all = [("All pairs", found.agreement, found.alpha)]
    rows = [(_versus(c), c.agreement, c.alpha) for c in found.comparisons] + of_all
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{'–' if same is None else _percent(same)}</td><td>{_number(alpha)}</td></tr>"
        for name, same, alpha in rows
    )
    return f"<table><tr><th>Pair</th><th>Same answer</th><th>Alpha</th></tr>{cells}</table>"


def _plot(rows: Sequence[tuple[str, Tally]]) -> str:
    """A row for each tally: name, interval with point, figures."""
    bottom = _TOP + _ROW * len(rows)
    width, height = _NAMES + _AXIS + _FIGURES, bottom + _TICKS
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Shares of votes with their intervals">']
    for tick in (0, 25, 50, 75, 100):
        x = _x(tick / 100)
        style = 'stroke="#9aa0a8" stroke-dasharray="4 3"' if tick == 50 else 'stroke="#e2e4e7"'
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}" {style}/>')
        parts.append(f'<text class="grey" x="{x}" y="{bottom + 18}" text-anchor="middle">{tick} %</text>')
    for k, (name, numbers) in enumerate(rows):
        y = _TOP + _ROW * (k + 0.5)
        colour = _OPEN if not numbers.decided else _FIRST if numbers.share > 0.5 else _SECOND
        low, high = _x(numbers.low), _x(numbers.high)
        figures = f"{_percent(numbers.share)} of {numbers.votes} ({_interval(numbers)})"
        parts += [
            f'<text x="{_NAMES - 14}" y="{y + 5}" text-anchor="end">{_short(name)}</text>',
            f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2.5"/>',
            *(
                f'<line x1="{x}" x2="{x}" y1="{y - 5}" y2="{y + 5}" stroke="{colour}" stroke-width="2.5"/>'
                for x in (low, high)
            ),
            f'<circle cx="{_x(numbers.share)}" cy="{y}" r="5.5" fill="{colour}"/>',
            f'<text x="{_NAMES + _AXIS + 24}" y="{y + 5}">{figures}</text>',
        ]
    return "\n".join([*parts, "</svg>"])


def _x(share: float) -> float:
    return round(_NAMES + share * _AXIS, 1)


def _short(name: str) -> str:
    """What fits beside the axis; the whole name is in the tooltip."""
    longest = 42  # letters
    if len(name) <= longest:
        return escape(name)
    return f"<title>{escape(name)}</title>{escape(name[: longest - 1])}…"
