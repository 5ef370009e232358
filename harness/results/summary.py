"""A result in a few lines, for ``print`` and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import fmean

from harness.results.result import Result, Signed

_MEANS = ("score", "constant", "trivial", "ceiling")
"""Columns of the table, fields of `harness.results.result.Means`."""


def text(result: Result) -> str:
    """Return a result as a few lines of text: encoder, games, signatures, and mean scores by probe."""
    head = "\n".join(f"{name:8}  {value}" for name, value in _head(result))
    rows = [("", *_MEANS), *_rows(result.signed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([head, "", *(line.rstrip() for line in lines)])


def html(result: Result) -> str:
    """Return the same as HTML."""
    head = "<br>".join(f"<b>{escape(name)}</b> {escape(value)}" for name, value in _head(result))
    columns = "".join(f"<th>{name}</th>" for name in ("", *_MEANS))
    rows = "".join(
        f"<tr><th>{escape(row[0])}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in _rows(result.signed)
    )
    return f"<p>{head}</p><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"


def _head(result: Result) -> list[tuple[str, str]]:
    signed = result.signed
    games, dataset = list(signed.games), signed.dataset
    shown = ", ".join(games[:6]) + (", ..." if len(games) > 6 else "")  # noqa: PLR2004  on one line
    signatures = ", ".join(signature.keyid for signature in result.signatures)
    ranked = [] if signed.unranked_reason is None else [("unranked", signed.unranked_reason)]
    return [
        ("encoder", signed.encoder.name),
        ("games", f"{shown} ({len(games)} of {len(dataset.suite_games)}, label set {dataset.label_set})"),
        ("signed", f"by {signatures}" if signatures else "no"),
        *ranked,
    ]


def _rows(signed: Signed) -> Sequence[tuple[str, ...]]:
    """Return the means over the games by probe: the suite's, or those of the games that there are."""
    rows = []
    for run in signed.distinct_runs:
        at = signed.at(run)
        means = [game.scores[at].means for game in signed.games.values()]
        cells = []
        for field in _MEANS:
            known = [value for mean in means if (value := getattr(mean, field)) is not None]
            whole = len(known) == len(means)
            cells.append(f"{fmean(known):.3f}" if whole else "-")
        rows.append((f"mean, {signed.fitted(run)}", *cells))
    return rows
