"""Long tables, written in Python because a template is too slow for hundreds of rows a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from harness.pages.bars import bar
from harness.pages.words import CATEGORY_TITLES, DASH, score

_HEAD = ("categories", "score", "interval", "constant", "ceiling")


def variable_rows(game: Mapping[str, Any]) -> Markup:
    """Return one table row per variable: category, bar, score under each probe, interval and bounds.

    Args:
        game: One game of a result, as dicts and lists.
    """
    rows = []
    tables = [scores["variables"] for scores in game["scores"]]
    found = [dict(zip(t["name"], zip(t["score"], t["note"], strict=True), strict=True)) for t in tables]
    heads: dict[str, tuple[Any, ...]] = {}
    for table in reversed(tables):  # the first one counts
        heads |= zip(table["name"], zip(*(table[field] for field in _HEAD), strict=True), strict=True)
    for name in dict.fromkeys(name for table in found for name in table):
        categories, f1, ends, constant, ceiling = heads[name]
        cells = "".join(_cell(*of_probe.get(name, (None, None))) for of_probe in found)
        category = categories[0] if categories else DASH
        interval = DASH if ends is None else f"{score(ends[0])} to {score(ends[1])}"
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th>'
            f"<td>{escape(CATEGORY_TITLES.get(category, category))}</td>"
            f"<td>{bar(f1, ends, {'majority': constant, 'ceiling': ceiling})}</td>{cells}"
            f'<td class="num">{interval}</td><td class="num">{score(constant)}</td>'
            f'<td class="num">{score(ceiling)}</td></tr>\n'
        )
    return Markup("".join(rows))  # noqa: S704  all text is escaped above, the rest is numbers


def _cell(value: float | None, note: str | None) -> str:
    if note is None:
        return f'<td class="num">{score(value)}</td>'
    return f'<td class="num" title="{escape(note)}">{score(value)}*</td>'
