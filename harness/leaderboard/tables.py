"""Long tables, written in Python because a template is too slow for hundreds of rows a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from harness.pages.bars import bar
from harness.pages.words import CATEGORY_TITLES, DASH, score
from harness.results.variables import by_row


def variable_rows(game: Mapping[str, Any]) -> Markup:
    """Return one table row per variable: category, bar, score under each probe, interval and bounds.

    Args:
        game: One game of a result, as dicts and lists.
    """
    rows = []
    tables = [{row["name"]: row for row in by_row(scores["variables"])} for scores in game["scores"]]
    for name in dict.fromkeys(name for table in tables for name in table):
        found = [table.get(name) for table in tables]
        cells = "".join(map(_cell, found))
        first = next(row for row in found if row is not None)
        category = first["categories"][0] if first["categories"] else DASH
        ends = first["interval"]
        interval = DASH if ends is None else f"{score(ends[0])} to {score(ends[1])}"
        marks = {"majority": first["constant"], "ceiling": first["ceiling"]}
        rows.append(
            f'<tr><th scope="row">{escape(first["name"])}</th>'
            f"<td>{escape(CATEGORY_TITLES.get(category, category))}</td>"
            f"<td>{bar(first['score'], ends, marks)}</td>{cells}"
            f'<td class="num">{interval}</td><td class="num">{score(first["constant"])}</td>'
            f'<td class="num">{score(first["ceiling"])}</td></tr>\n'
        )
    return Markup("".join(rows))  # noqa: S704  all text is escaped above, the rest is numbers


def _cell(variable: Mapping[str, Any] | None) -> str:
    if variable is None:
        return f'<td class="num">{DASH}</td>'
    if variable["note"] is None:
        return f'<td class="num">{score(variable["score"])}</td>'
    return f'<td class="num" title="{escape(variable["note"])}">{score(variable["score"])}*</td>'
