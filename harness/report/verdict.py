"""The verdict of a report: what is clear, what is noise, and a heat map of games and categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atariari_data.games import CATEGORIES
from harness.pages.words import CATEGORY_TITLES, encoder_title, game_title, score
from harness.probes.probe import ProbeRun
from harness.report.subject import Subject
from harness.report.versus import Versus

_STEPS = 10
"""Shades of the heat map."""


@dataclass(frozen=True)
class Heat:
    """A cell of the heat map: the score of one encoder.

    Attributes:
        subject: The encoder.
        score: Its score, or None.
    """

    subject: Subject
    score: float | None

    @property
    def shade(self) -> int | None:
        """Its shade, from 0 to 10."""
        return None if self.score is None else round(self.score * _STEPS)


@dataclass(frozen=True)
class HeatRow:
    """A game of the heat map: its mean, then its categories, each for all encoders."""

    game: str
    title: str
    cells: Sequence[Sequence[Heat]]


def heat_map(
    subjects: Sequence[Subject], games: Sequence[str], run: ProbeRun
) -> tuple[list[str], list[HeatRow]]:
    """Return the titles of the columns, and a row for each game."""
    columns: list[str | None] = [None, *CATEGORIES]

    def value(subject: Subject, game: str, column: str | None) -> float | None:
        scores = subject.scores(game, run)
        if scores is None:
            return None
        means = {c.category: c.score for c in scores.means.categories}
        return scores.means.score if column is None else means.get(column)

    rows = [
        HeatRow(game, game_title(game), [[Heat(s, value(s, game, c)) for s in subjects] for c in columns])
        for game in games
    ]
    return ["Mean", *(CATEGORY_TITLES[c] for c in CATEGORIES)], rows


def verdict(
    subjects: Sequence[Subject], versus: Sequence[Versus], games: Sequence[str], run: ProbeRun
) -> Iterator[str]:
    """Yield a sentence on each encoder and on each pair, under the run that decides.

    Args:
        subjects: The encoders.
        versus: The first one against each other one.
        games: The games of the report.
        run: The probe that decides.
    """
    shared = [game for game in games if all(game in s.signed.games for s in subjects)]
    for subject in subjects:
        yield _of_one(subject, shared or games, run, several=len(subjects) > 1)
    for pair in versus:
        yield from _of_pair(pair, run)


def _of_one(subject: Subject, games: Sequence[str], run: ProbeRun, *, several: bool) -> str:
    who = f"{subject.letter}, {encoder_title(subject.name)}," if several else encoder_title(subject.name)
    found = [scores.means for game in games if (scores := subject.scores(game, run)) is not None]
    known = [means for means in found if means.score is not None and means.trivial is not None]
    values = [means.score for means in found if means.score is not None]
    if not values:
        return f"{who} has no scores under {run}."
    where = "" if len(values) == 1 else f" on average over {len(values)} games"
    said = f"{who} scores {score(sum(values) / len(values))} under {run}{where}"
    if not known:
        return f"{said}; scores of trivial encoders are not known here."
    above = sum(means.score > means.trivial for means in known if means.score and means.trivial is not None)
    trivial = score(sum(means.trivial or 0.0 for means in known) / len(known))
    beside = "" if len(known) == 1 else f", less on {above} of {len(known)} games"
    if len(known) < len(values):
        own = score(sum(means.score or 0.0 for means in known) / len(known))
        there = f"on the {len(known)} games" if len(known) > 1 else "on the one game"
        said = f"{said}; {there} where trivial encoders were scored, it has {own}"
    return f"{said}; the best trivial encoder of each variable has {trivial}{beside}."


def _of_pair(pair: Versus, run: ProbeRun) -> Iterator[str]:
    means = [row for row in pair.means() if row.run == run]
    counts = dict(pair.counts()).get(run)
    if not means or counts is None:
        return
    top = next((row for row in means if row.level == "suite"), means[0] if len(means) == 1 else None)
    names = f"{pair.first.letter} and {pair.other.letter}"
    if top is not None:
        clear = {"differs": "clear", "unclear": "unclear", "noise": "noise"}[top.verdict]
        yield (
            f"{names} differ by {top.difference:+.3f} ({top.low:+.3f} to {top.high:+.3f}): {clear}; of"
            f" {sum(counts.values())} variables {counts['differs']} clearly, {counts['noise']} not."
        )
        return
    won = [
        sum(row.verdict == "differs" and (row.difference > 0) is sign for row in means)
        for sign in (True, False)
    ]
    yield (
        f"{names}: {pair.first.letter} is clearly better on {won[0]} of {len(means)} games,"
        f" {pair.other.letter} on {won[1]}; of {sum(counts.values())} variables {counts['differs']} differ"
        f" clearly, {counts['noise']} do not."
    )
