"""Scores in long form: one row per game, probe, training size and variable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from builders.files import new_file
from harness.probes.probe import ProbeRun
from harness.results.provenance import split_of
from harness.results.result import ProbeScores, Result, Signed
from harness.results.result_file import read

if TYPE_CHECKING:
    import pandas as pd

_HEAD: Final = ("encoder", "submitter", "run_id", "result", "label_set", "dataset", "protocol", "ranked")
_RUN: Final = ("probe", "train_rows", "fitted_on", "scored_on")
_FIRST: Final = (*_HEAD, "game", *_RUN, "rows", "variable", "categories", "kind", "unit")


def rows_of(signed: Signed, game: str, run: ProbeRun) -> int:
    """Return the number of training rows of a run on a game."""
    split = signed.dataset.splits[game][split_of(run.fitted_on, "train")]
    rows, size = split.rows, signed.fitted(run).train_rows
    return {"full": rows, "1k": 1000}.get(str(size), 0) or int(size)


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """Yield one row per game, probe, training size and variable, with all scores."""
    signed = result.signed
    head = {
        "encoder": signed.encoder.name,
        "submitter": None if signed.submitter is None else signed.submitter.principal,
        "run_id": signed.run_id,
        "result": signed.digest,
        "label_set": signed.dataset.label_set,
        "dataset": signed.dataset.version,
        "protocol": signed.protocol.name,
        "ranked": signed.ranked,
    }
    for game, found in signed.games.items():
        for scores in found.scores:
            yield from ({**head, "game": game, **row} for row in _variables(signed, game, scores))


def _variables(signed: Signed, game: str, scores: ProbeScores) -> Iterator[dict[str, Any]]:
    for variable in scores.variables:
        values = variable.model_dump()
        low, high = values.pop("interval") or (None, None)
        name, categories = values.pop("name"), values.pop("categories")
        yield {
            "probe": scores.probe,
            "train_rows": str(scores.train_rows),
            "fitted_on": scores.fitted_on,
            "scored_on": scores.scored_on,
            "rows": rows_of(signed, game, scores.run),
            "variable": name,
            "categories": " ".join(categories),
            "kind": values.pop("kind"),
            "unit": values.pop("unit"),
            "n": values.pop("n"),
            "classes": values.pop("classes"),
            "score": values.pop("score"),
            "score_low": low,
            "score_high": high,
            **values,
        }


def to_frame(*results: Result | str | os.PathLike[str]) -> pd.DataFrame:
    """Return the scores of results as one pandas DataFrame.

    Args:
        results: Results or result files.

    Returns:
        One row per result, game, probe (with its rows) and variable. ``train_rows`` is ``full``, ``1k`` or a
        number, as text; ``rows`` is the number of training rows; ``score_low`` and
        ``score_high`` are the ends of the 95 % interval. The other columns are the fields of
        `harness.results.variables.VariableScores`. Null values become missing values.

    Raises:
        ResultError: A file is not a result.
    """
    import pandas as pd

    loaded = [result if isinstance(result, Result) else read(result) for result in results]
    found = pd.DataFrame([row for result in loaded for row in rows(result)])
    if found.empty:
        return pd.DataFrame(columns=list(_FIRST))
    numbers = [name for name in found if name not in {*_FIRST, "note"}]
    whole = ("rows", "n", "classes", "epochs")
    return found.astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(whole, "Int64")})


def write_csv(path: Path, *results: Result | str | os.PathLike[str], replace: bool = False) -> Path:
    """Write :func:`csv_text` to a file, atomically.

    Raises:
        ResultError: A file is not a result.
        UsageError: The file exists and ``replace`` is false.
        DataError: The file cannot be written.
    """
    text = csv_text(*results)
    with new_file(path, replace=replace) as part:
        part.write_text(text, encoding="utf-8")
    return path


def csv_text(*results: Result | str | os.PathLike[str]) -> str:
    """Return the rows of :func:`to_frame` as CSV; null values become empty fields.

    Texts that a spreadsheet would read as a formula are prefixed with an apostrophe.

    Raises:
        ResultError: A file is not a result.
    """
    from pandas.api.types import is_object_dtype, is_string_dtype

    found = to_frame(*results)
    for name, column in found.items():
        if is_string_dtype(column) or is_object_dtype(column):
            found[name] = column.map(harmless)
    return str(found.to_csv(index=False, lineterminator="\n"))


def harmless(value: object) -> object:
    """Keep a spreadsheet from taking a text in a CSV file for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
