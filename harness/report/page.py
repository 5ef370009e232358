"""The report: one self-contained HTML file without scripts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from builders.files import new_file
from harness.pages.environment import environment
from harness.pages.words import game_title
from harness.probes.probe import METRICS
from harness.report.curves import Curves, curves
from harness.report.intervals import Intervals, mean_intervals
from harness.report.panels import Panel, game_panel, legend, suite_panel
from harness.report.pictures import Pictures, pictures
from harness.report.subject import Subject, games_of, load, runs_of
from harness.report.verdict import heat_map, verdict
from harness.report.versus import against, compared_title, difference_bar
from harness.results.comparison import MULTIPLICITY
from harness.results.result import Result

_OPEN = 2
"""Up to this many games, all parts are open at first."""
_COLUMNS = {
    "constant": "Constant",
    "pixels_pca": "Pixels, PCA",
    "random_projection": "Random projection",
    "random_cnn": "Random CNN",
    "ceiling": "Ceiling",
    "normalised": "Normalised",
}
"""What a score is compared with, in the table of all numbers."""


@dataclass(frozen=True)
class Game:
    """The parts of the page about one game."""

    name: str
    panels: Sequence[Panel]
    curves: Sequence[Curves]
    pictures: Sequence[Pictures]


def write_html(
    path: Path, sources: Sequence[Result | str | os.PathLike[str]], *, replace: bool = False
) -> Path:
    """Write a report of results as one HTML file, atomically.

    Args:
        path: The HTML file.
        sources: Result files, or results from `harness.evaluate`. Predictions are read from next to each
            file; without them the report has no intervals of means, no pictures and no comparison.
        replace: Overwrite an existing file.

    Raises:
        ResultError: A file is not a result, or is inconsistent.
        SignatureError: A signature is invalid.
        UsageError: No result, too many, a duplicate, different protocols, or the file exists.
        DataError: The file cannot be written.
    """
    subjects = load(sources)
    with new_file(path, replace=replace) as part:
        part.write_text(render(subjects), encoding="utf-8")
    return path


def render(subjects: Sequence[Subject]) -> str:
    """Return the page."""
    games, runs = games_of(subjects), runs_of(subjects)
    intervals: list[Intervals] = [
        {} if s.predictions is None else mean_intervals(s.signed, s.predictions) for s in subjects
    ]
    made = environment("harness.report", styles=("report.css",))
    made.globals |= {"compared_title": compared_title, "difference_bar": difference_bar}
    suite = [suite_panel(subjects, intervals, run, games) for run in runs] if len(games) > 1 else []
    parts = [
        Game(
            name,
            [game_panel(subjects, intervals, run, name) for run in runs],
            curves(subjects, intervals, name),
            pictures(subjects, runs, name),
        )
        for name in games
    ]
    panels = [*suite, *(panel for part in parts for panel in part.panels)]
    versus = [against(subjects[0], other) for other in subjects[1:]]
    columns, heat = heat_map(subjects, games, runs[0])
    made.filters |= {"breakable": breakable, "coded": coded}
    page = made.get_template("report.html")
    return page.render(
        subjects=subjects,
        metrics=" ".join(dict.fromkeys(METRICS[p.metric] for s in subjects for p in s.signed.probes)),
        runs=runs,
        suite=suite,
        suite_reasons=_suite_reasons(subjects),
        games=parts,
        legend=legend(panels),
        columns=list(_COLUMNS.items()),
        notes=[*_notes(panels), *_without_trivial(subjects)],
        versus=versus,
        verdict=list(verdict(subjects, versus, games, runs[0])),
        heat_columns=columns,
        heat=heat,
        multiplicity=MULTIPLICITY,
        open_parts=len(games) <= _OPEN,
    )


def _notes(panels: Iterable[Panel]) -> list[tuple[str, str]]:
    """Return the notes on scores: why they are null, and other remarks."""
    found = []
    for panel in panels:
        for row in panel.rows:
            for bar in row.bars:
                if bar.note is not None:
                    where = ", ".join([row.title, str(panel.run), bar.subject.name])
                    found.append((f"{panel.about}: {where}", bar.note))
    return found


def _without_trivial(subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    """Return why scores have no trivial encoders to compare with."""
    return [
        (f"{game_title(name)}: {run}, {s.name}", scores.trivial_reason)
        for s in subjects
        for name in s.signed.games
        for run in s.runs
        if (scores := s.scores(name, run)) is not None and scores.trivial_reason is not None
    ]


def _suite_reasons(subjects: Sequence[Subject]) -> list[tuple[Subject, str]]:
    """Return why results have no mean over the games; of missing games only their number."""
    found = []
    for subject in subjects:
        there, suite = len(subject.signed.games), len(subject.signed.dataset.suite_games)
        reason = subject.signed.suite[0].means.reason
        if reason is not None:
            found.append((subject, reason if there == suite else f"evaluated on {there} of {suite}"))
    return found


def breakable(name: str) -> Markup:
    """Allow line breaks after underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def coded(text: str) -> Markup:
    """Format text between backticks as code."""
    code = Markup("<code>{}</code>")
    parts = [code.format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`"))]
    return Markup("").join(parts)
