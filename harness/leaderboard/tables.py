"""Long tables, written in Python because a template is too slow for hundreds of rows a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from harness.pages.bars import bar
from harness.pages.words import CATEGORY_TITLES, DASH, score
from harness.results.means import best_trivial, column_of


def floor_of(constant: float | None, trivial: float | None) -> float | None:
    """Return the score to beat: the best trivial encoder's, or the constant's if none is known."""
    return constant if trivial is None else trivial


def variable_rows(game: Mapping[str, Any]) -> Markup:
    """Return one table row per variable: category, bar, scores, interval and bounds.

    Args:
        game: One game of a result, as dicts and lists.
    """
    rows = []
    tables = [scores["variables"] for scores in game["scores"]]
    found = [_by_name(table, ("score", "note")) for table in tables]
    categories: dict[str, tuple[list[str]]] = {}
    bounds: dict[str, tuple[Any, ...]] = {}
    for heads in game["variables"].values():
        categories |= _by_name(heads, ("categories",))
    for table in reversed(tables):  # the first one counts
        bounds |= _by_name({**table, "floor": _floors(table)}, ("score", "interval", "floor", "ceiling"))
    for name in dict.fromkeys(name for table in found for name in table):
        (of_it,), (f1, ends, floor, ceiling) = categories[name], bounds[name]
        cells = "".join(_cell(*of_probe.get(name, (None, None))) for of_probe in found)
        category = of_it[0] if of_it else DASH
        interval = DASH if ends is None else f"{score(ends[0])} to {score(ends[1])}"
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th>'
            f"<td>{escape(CATEGORY_TITLES.get(category, category))}</td>"
            f"<td>{bar(f1, ends, {'majority': floor, 'ceiling': ceiling})}</td>{cells}"
            f'<td class="num">{interval}</td><td class="num">{score(floor)}</td>'
            f'<td class="num">{score(ceiling)}</td></tr>\n'
        )
    return Markup("".join(rows))  # noqa: S704  all text is escaped above, the rest is numbers


def _floors(table: Mapping[str, list[Any]]) -> list[float | None]:
    return [floor_of(*row) for row in zip(column_of(table, "constant"), best_trivial(table), strict=True)]


def _by_name(columns: Mapping[str, list[Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Return some fields of each row; columns of nulls are not there."""
    names = columns["name"]
    nothing = [None] * len(names)
    return dict(zip(names, zip(*(columns.get(key, nothing) for key in keys), strict=True), strict=True))


def _cell(value: float | None, note: str | None) -> str:
    if note is None:
        return f'<td class="num">{score(value)}</td>'
    return f'<td class="num" title="{escape(note)}">{score(value)}*</td>'
