"""The long tables of the pages: hundreds of rows a page, so they are written here and not in a template."""

from __future__ import annotations

from markupsafe import Markup, escape

from harness.pages.bars import bar
from harness.pages.words import CATEGORY_TITLES, DASH, score
from harness.result import GameScores, VariableScores


def variable_rows(game: GameScores) -> Markup:
    """Return a row for each variable of a game: what it is, a bar, F1 under every probe, interval, bounds."""
    rows = []
    for number, first in enumerate(game.scores[0].variables):
        cells = "".join(_cell(scores.variables[number]) for scores in game.scores)
        category = first.categories[0] if first.categories else DASH
        interval = DASH if first.f1_interval is None else " to ".join(score(end) for end in first.f1_interval)
        rows.append(
            f'<tr><th scope="row">{escape(first.name)}</th>'
            f"<td>{escape(CATEGORY_TITLES.get(category, category))}</td><td>{_bar(first)}</td>{cells}"
            f'<td class="num">{interval}</td><td class="num">{score(first.majority_f1)}</td>'
            f'<td class="num">{score(first.ceiling_f1)}</td></tr>\n'
        )
    return Markup("".join(rows))  # noqa: S704  every text in it is escaped above, the rest are numbers


def _cell(variable: VariableScores) -> str:
    if variable.note is None:
        return f'<td class="num">{score(variable.f1)}</td>'
    return f'<td class="num" title="{escape(variable.note)}">{score(variable.f1)}*</td>'


def _bar(variable: VariableScores) -> Markup:
    marks = {"majority": variable.majority_f1, "ceiling": variable.ceiling_f1}
    return bar(variable.f1, variable.f1_interval, marks)
