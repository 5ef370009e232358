"""Long tables, written in Python because a template is too slow for hundreds of rows a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from harness.pages.bars import bar
from harness.pages.words import CATEGORY_TITLES, DASH, score
from harness.results.variables import by_row


def variable_rows(game: Mapping[str, Any]) -> Markup:
    """Return one table row per variable: category, bar, F1 under each probe, interval and bounds.

    Args:
        game: One game of a result, as dicts and lists.
    """
    rows = []
    for first, *others in zip(*(by_row(scores["variables"]) for scores in game["scores"]), strict=True):
        cells = "".join(map(_cell, (first, *others)))
        category = first["categories"][0] if first["categories"] else DASH
        ends = first["f1_interval"]
        interval = DASH if ends is None else f"{score(ends[0])} to {score(ends[1])}"
        marks = {"majority": first["majority_f1"], "ceiling": first["ceiling_f1"]}
        rows.append(
            f'<tr><th scope="row">{escape(first["name"])}</th>'
            f"<td>{escape(CATEGORY_TITLES.get(category, category))}</td>"
            f"<td>{bar(first['f1'], ends, marks)}</td>{cells}"
            f'<td class="num">{interval}</td><td class="num">{score(first["majority_f1"])}</td>'
            f'<td class="num">{score(first["ceiling_f1"])}</td></tr>\n'
        )
    return Markup("".join(rows))  # noqa: S704  all text is escaped above, the rest is numbers


def _cell(variable: Mapping[str, Any]) -> str:
    if variable["note"] is None:
        return f'<td class="num">{score(variable["f1"])}</td>'
    return f'<td class="num" title="{escape(variable["note"])}">{score(variable["f1"])}*</td>'
