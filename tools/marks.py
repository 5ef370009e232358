"""Tables in Markdown, and marks in a document, between which a command puts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from atariari_data.errors import DataError


def between(text: str, begin: str, end: str, tables: str) -> str:
    """Return a document with tables in place of what stands between its marks.

    Raises:
        DataError: The document has no such marks.
    """
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise DataError("The document has no place for the tables.", expected=f"{begin} and {end}")
    return f"{head}{begin}\n\n{tables}\n\n{end}{tail}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, without a last newline."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
