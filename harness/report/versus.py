"""Compare the first result of a report with another: what differs, and what is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from atariari_data.errors import AtariariError
from harness.pages.words import CATEGORY_TITLES, game_title
from harness.probes.probe import ProbeRun
from harness.report.subject import Subject
from harness.results.comparison import Compared, Comparison, compare

_VERDICTS = ("differs", "unclear", "noise")


@dataclass(frozen=True)
class Versus:
    """The comparison of two results.

    Attributes:
        first: The first result.
        other: The other result.
        comparison: Their differences; None if they cannot be compared.
        reason: Why they cannot be compared, or None.
    """

    first: Subject
    other: Subject
    comparison: Comparison | None
    reason: str | None

    @property
    def rows(self) -> Sequence[Compared]:
        """All rows of the comparison."""
        return () if self.comparison is None else self.comparison.rows

    def means(self) -> list[Compared]:
        """Return the means, the suite first, then by game."""
        found = [row for row in self.rows if row.level in {"game", "suite"}]
        return sorted(found, key=lambda row: row.game or "")

    def games(self) -> list[tuple[str, list[tuple[ProbeRun, list[Compared]]]]]:
        """Return the rows of each game's categories and variables, by probe."""
        found: dict[str, dict[ProbeRun, list[Compared]]] = {}
        for row in self.rows:
            if row.game is not None and row.level in {"category", "variable"}:
                run = row.run
                found.setdefault(row.game, {}).setdefault(run, []).append(row)
        return [(game, list(found[game].items())) for game in sorted(found)]

    def counts(self) -> list[tuple[ProbeRun, dict[str, int]]]:
        """Return the number of variables with each verdict, by probe."""
        found: dict[ProbeRun, dict[str, int]] = {}
        for row in self.rows:
            if row.level == "variable":
                run = row.run
                found.setdefault(run, dict.fromkeys(_VERDICTS, 0))[row.verdict] += 1
        return list(found.items())


def against(first: Subject, other: Subject) -> Versus:
    """Compare two results, or give the reason why they cannot be compared."""
    for side in (first, other):
        if side.predictions is None:
            return Versus(first, other, None, f"{side.letter}, {side.name}: {side.missing}")
    try:
        return Versus(first, other, compare(first.resampled, other.resampled), None)
    except AtariariError as error:
        return Versus(first, other, None, str(error))


def compared_title(row: Compared) -> str:
    """Return the title of a row."""
    if row.level == "category":
        return CATEGORY_TITLES.get(row.name, row.name)
    if row.level == "suite":
        return "Mean over the games"
    return game_title(row.name) if row.level == "game" else row.name


def difference_bar(row: Compared) -> Markup:
    """Return a bar with a difference and its interval, clipped to -0.5 to 0.5."""

    def at(value: float, most: float = 0.5) -> str:
        return f"{50 + 100 * max(-most, min(most, value)):.1f}"

    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" aria-hidden="true">'
        '<rect class="track" width="100" height="10" rx="2"/><path class="zero" d="M50 0V10"/>'
        '<path class="interval" d="M{} 5H{}"/><circle class="{}" cx="{}" cy="5" r="3"/></svg>'
    ).format(at(row.low), at(row.high), row.verdict, at(row.difference, 0.47))
