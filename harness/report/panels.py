"""Scores side by side: one panel per probe, one row per mean or variable, one bar per result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from atariari_data.games import CATEGORIES
from harness.pages.bars import bar
from harness.pages.words import CATEGORY_TITLES, game_title
from harness.probes.probe import ProbeRun
from harness.report.intervals import Intervals
from harness.report.subject import Subject
from harness.results.means import APART
from harness.results.result import CategoryMeans, Means
from harness.results.variables import VariableScores

_Scored = VariableScores | CategoryMeans | Means

MARKS = {"majority": "constant", "trivial": "trivial", "ceiling": "ceiling"}
"""Marks on a bar: CSS class and field."""


@dataclass(frozen=True)
class Bar:
    """One result in a row.

    Attributes:
        subject: The result.
        scored: Its scores; None if the result has none.
        interval: The 95 % interval of the score, or None.
    """

    subject: Subject
    scored: _Scored | None
    interval: Sequence[float] | None

    @property
    def svg(self) -> Markup:
        """The bar as SVG."""
        marks = {mark: getattr(self.scored, field, None) for mark, field in MARKS.items()}
        f1 = None if self.scored is None else self.scored.score
        return bar(f1, self.interval, marks, f"c{self.subject.number}")

    @property
    def note(self) -> str | None:
        """Why a score is null, or a remark about it."""
        return getattr(self.scored, "note", None) or getattr(self.scored, "reason", None)


@dataclass(frozen=True)
class Row:
    """A mean or variable, with one bar for each result.

    Attributes:
        title: The row's title.
        level: ``mean``, ``category``, ``game`` or ``variable``.
        bars: In the order of the results.
    """

    title: str
    level: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Panel:
    """All rows of a game, or of the suite, under one probe."""

    about: str
    run: ProbeRun
    rows: Sequence[Row]


def suite_panel(
    subjects: Sequence[Subject], intervals: Sequence[Intervals], run: ProbeRun, games: Sequence[str]
) -> Panel:
    """Return the means over the games and the mean of every game."""
    suites = [subject.suite(run) for subject in subjects]
    whole = [
        s for s, means in zip(subjects, suites, strict=True) if means is not None and means.score is not None
    ]
    rows = []
    if whole:  # means of the same games only
        of = whole[0].signed.dataset.suite_games
        same = [
            m if s.signed.dataset.suite_games == of else None for s, m in zip(subjects, suites, strict=True)
        ]
        rows = _means(subjects, intervals, run, None, same)
    for game in games:
        found = [_means_of(subject, run, game) for subject in subjects]
        bars = [_bar(s, m, i, (game, run, None)) for s, m, i in zip(subjects, found, intervals, strict=True)]
        rows.append(Row(game_title(game), "game", bars))
    return Panel("All games", run, rows)


def game_panel(
    subjects: Sequence[Subject], intervals: Sequence[Intervals], run: ProbeRun, game: str
) -> Panel:
    """Return the mean of a game and its categories with their variables."""
    found = [_means_of(subject, run, game) for subject in subjects]
    mean, *categories = _means(subjects, intervals, run, game, found)
    by_title = {row.title: row for row in categories}
    names = variables_of(subjects, game)
    rows = [mean]
    for category in (*CATEGORIES, *APART):
        if row := by_title.get(CATEGORY_TITLES[category]):
            rows.append(row)
            members = [name for name, categories in names.items() if category in categories]
            rows += _known(variable_row(subjects, run, game, name) for name in members)
    rows += _known(
        variable_row(subjects, run, game, name) for name, categories in names.items() if not categories
    )
    return Panel(game_title(game), run, rows)


def _known(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of variables that a result has under the probe."""
    return [row for row in rows if any(bar.scored is not None for bar in row.bars)]


def variables_of(subjects: Sequence[Subject], game: str) -> dict[str, Sequence[str]]:
    """Return the categories of every variable of a game that some result has, those of the first one first.

    Each probe has variables of its own, but a variable has the same categories in all results.
    """
    there = [subject.signed.games[game] for subject in subjects if game in subject.signed.games]
    every = [scores.variables for found in there for scores in found.scores]
    return {variable.name: variable.categories for table in every for variable in table}


def variable_row(subjects: Sequence[Subject], run: ProbeRun, game: str, name: str) -> Row:
    """Return the row of a variable."""
    bars = []
    for subject in subjects:
        scores = subject.scores(game, run)
        variables = [] if scores is None else scores.variables
        scored = next((variable for variable in variables if variable.name == name), None)
        bars.append(Bar(subject, scored, None if scored is None else scored.interval))
    return Row(name, "variable", bars)


def _means_of(subject: Subject, run: ProbeRun, game: str) -> Means | None:
    scores = subject.scores(game, run)
    return None if scores is None else scores.means


def _means(
    subjects: Sequence[Subject],
    intervals: Sequence[Intervals],
    run: ProbeRun,
    game: str | None,
    means: Sequence[Means | None],
) -> list[Row]:
    """Return the row of the mean and the rows of the categories."""
    found: dict[str | None, list[Bar]] = {None: []}
    for subject, mean, known in zip(subjects, means, intervals, strict=True):
        found[None].append(_bar(subject, mean, known, (game, run, None)))
    for category in (*CATEGORIES, *APART):
        of = [category_of(mean, category) for mean in means]
        if any(item is not None for item in of):
            found[category] = [
                _bar(subject, item, known, (game, run, category))
                for subject, item, known in zip(subjects, of, intervals, strict=True)
            ]
    title = "Mean over the games" if game is None else "Mean over categories"
    return [
        Row(title if name is None else CATEGORY_TITLES[name], "mean" if name is None else "category", bars)
        for name, bars in found.items()
    ]


def category_of(means: Means | None, category: str) -> CategoryMeans | None:
    """Return the mean of a category, or None."""
    categories = [] if means is None else means.categories
    return next((item for item in categories if item.category == category), None)


def _bar(
    subject: Subject,
    scored: _Scored | None,
    intervals: Intervals,
    key: tuple[str | None, ProbeRun, str | None],
) -> Bar:
    there = scored is not None and scored.score is not None
    return Bar(subject, scored, intervals.get(key) if there else None)


def legend(panels: Iterable[Panel]) -> list[tuple[str, str]]:
    """Return the marks that occur, with their meanings."""
    said = {
        "majority": "Score of the best constant: the mean or the most frequent value.",
        "trivial": "Score of the best of the trivial encoders, under the same probe.",
        "ceiling": "Best score of any function of a single frame.",
    }
    scored = [bar.scored for panel in panels for row in panel.rows for bar in row.bars]
    return [(m, said[m]) for m, f in MARKS.items() if any(getattr(s, f, None) is not None for s in scored)]
