"""Learning curves: scores by number of training rows, for results made with ``--train-sizes``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from atariari_data.games import CATEGORIES
from harness.pages.axes import ticks
from harness.pages.words import CATEGORY_TITLES, score
from harness.report.intervals import Intervals
from harness.report.panels import category_of
from harness.report.subject import Subject
from harness.results.frame import rows_of

_WIDTH, _HEIGHT = 340, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 10, 38
_LEAST = 3
"""Smallest number of sizes in a curve."""


@dataclass(frozen=True)
class Point:
    """One training size.

    Attributes:
        rows: Number of training rows.
        score: Mean score.
        interval: Its 95 % interval, or None.
    """

    rows: int
    score: float
    interval: Sequence[float] | None


@dataclass(frozen=True)
class Curve:
    """One result's points, in order of their rows."""

    subject: Subject
    points: Sequence[Point]

    def at(self, rows: int) -> float | None:
        """Return the score at a training size."""
        return next((point.score for point in self.points if point.rows == rows), None)


@dataclass(frozen=True)
class Plot:
    """The curves of one mean under one probe.

    Attributes:
        title: The category, or the mean over categories.
        curves: One for each result with enough sizes.
    """

    title: str
    curves: Sequence[Curve]

    @property
    def svg(self) -> Markup:
        """The plot: rows on a logarithmic axis, scores from 0 to 1."""
        every = [point.rows for curve in self.curves for point in curve.points]
        low, high = math.log10(min(every)), math.log10(max(every))
        pad = max((high - low) * 0.04, 0.02)
        low, high = low - pad, high + pad

        def across(rows: int) -> str:
            return f"{_LEFT + (math.log10(rows) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT):.1f}"

        def down(value: float) -> str:
            return f"{_TOP + (1 - value) * (_HEIGHT - _TOP - _BOTTOM):.1f}"

        parts = [
            Markup(
                '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
                '<text x="{3}" y="{2}" dy="4" text-anchor="end">{4}</text>'
            ).format(_LEFT, _WIDTH - _RIGHT, down(value), _LEFT - 5, f"{value:g}")
            for value in (0, 0.2, 0.4, 0.6, 0.8, 1)
        ]
        parts += [
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                across(rows), _HEIGHT - _BOTTOM + 16, f"{rows:,}"
            )
            for rows in _decades(low, high)
        ]
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">training rows</text>').format(
                (_WIDTH + _LEFT) / 2, _HEIGHT - 5
            )
        )
        for curve in self.curves:
            colour = f"c{curve.subject.number}"
            at = [(across(p.rows), p) for p in curve.points]
            known = [(x, p.interval) for x, p in at if p.interval is not None]
            parts += [
                Markup('<line class="spread {}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                    colour, x, x, down(low), down(high)
                )
                for x, (low, high) in known
            ]
            line = " ".join(f"{x},{down(p.score)}" for x, p in at)
            parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(colour, line))
            parts += [
                Markup(
                    '<circle class="{}" cx="{}" cy="{}" r="3.5"><title>{}: {} rows, score {}</title></circle>'
                ).format(colour, x, down(p.score), curve.subject.name, f"{p.rows:,}", score(p.score))
                for x, p in at
            ]
        return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            _WIDTH,
            _HEIGHT,
            f"{self.title}: score by training rows; the table has the same numbers",
            Markup("").join(parts),
        )


@dataclass(frozen=True)
class Curves:
    """A probe's curves on a game: one plot for the mean and one for each category."""

    probe: str
    plots: Sequence[Plot]

    @property
    def sizes(self) -> list[int]:
        """All training sizes, in rows."""
        return sorted({p.rows for plot in self.plots for curve in plot.curves for p in curve.points})


def curves(subjects: Sequence[Subject], intervals: Sequence[Intervals], game: str) -> list[Curves]:
    """Return the learning curves of a game, by probe. A curve has at least three sizes."""
    found = []
    for probe in dict.fromkeys(run.probe for subject in subjects for run in subject.runs):
        plots = []
        for category in (None, *CATEGORIES):
            lines = [
                Curve(subject, points)
                for subject, known in zip(subjects, intervals, strict=True)
                if len(points := _points(subject, known, game, probe, category)) >= _LEAST
            ]
            if lines:
                title = "Mean over categories" if category is None else CATEGORY_TITLES[category]
                plots.append(Plot(title, lines))
        if plots:
            found.append(Curves(probe, plots))
    return found


def _points(
    subject: Subject, intervals: Intervals, game: str, probe: str, category: str | None
) -> list[Point]:
    found = {}
    for run in subject.runs:
        scores = subject.scores(game, run)
        if run.probe != probe or run.is_deep or scores is None:
            continue
        rows = rows_of(subject.signed, game, run)
        mean = scores.means if category is None else category_of(scores.means, category)
        if mean is not None and mean.score is not None:
            found[rows] = Point(rows, mean.score, intervals.get((game, run, category)))
    return [found[rows] for rows in sorted(found)]


def _decades(low: float, high: float) -> list[int]:
    """Return round numbers of rows between two logarithms, powers of ten if there are several."""
    powers = [10 ** round(power) for power in ticks(low, high, 4, whole=True)]
    if len(powers) > 1:
        return powers
    return [round(rows) for rows in ticks(10**low, 10**high, 3)]
