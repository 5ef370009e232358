"""The long tables of the pages: hundreds of rows a page, so they are written here and not in a template."""

from __future__ import annotations

from markupsafe import Markup, escape

from harness.result import GameScores, VariableScores

DASH = "\u2013"
CATEGORY_TITLES = {
    "agent_localization": "Agent",
    "small_object_localization": "Small objects",
    "other_localization": "Other objects",
    "score_clock_lives_display": "Score and lives",
    "misc": "Misc",
}


def score(value: float | None) -> str:
    """Return a score as the tables show it: three places, a dash for none."""
    return DASH if value is None else f"{value:.3f}"


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


def _bar(variable: VariableScores) -> str:
    parts = ['<svg class="bar" viewBox="0 0 100 10" aria-hidden="true">']
    parts.append('<rect class="track" width="100" height="10" rx="2"/>')
    if variable.f1 is not None:
        parts.append(f'<rect class="f1" width="{variable.f1 * 100:.1f}" height="10" rx="2"/>')
    if variable.f1_interval is not None:
        low, high = variable.f1_interval
        parts.append(f'<path class="interval" d="M{low * 100:.1f} 5H{high * 100:.1f}"/>')
    for name, value in (("majority", variable.majority_f1), ("ceiling", variable.ceiling_f1)):
        if value is not None:
            parts.append(f'<path class="{name}" d="M{value * 100:.1f} 0V10"/>')
    return "".join(parts) + "</svg>"
