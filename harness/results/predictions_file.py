"""The predictions file next to a result: Parquet, tied to the result by digests."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from atariari_data.errors import DataError
from builders.files import new_file
from builders.recording import refuse_newer
from harness.probes.probe import ProbeRun
from harness.results.predictions import Predictions, Truth
from harness.results.result import GameScores, Signed

FORMAT = 1
SUFFIX = ".predictions.parquet"
_KEY = b"atariari"


class PredictionsError(DataError):
    """A predictions file that is missing, damaged, or belongs to another result."""


def file_beside(result: str | os.PathLike[str]) -> Path:
    """Return the predictions file of a result file: ``a.predictions.parquet`` for ``a.json``."""
    path = Path(result)
    return path.with_name((path.stem if path.suffix == ".json" else path.name) + SUFFIX)


def write(
    predictions: Mapping[str, Predictions], signed: Signed, path: Path, *, replace: bool = False
) -> Path:
    """Write the predictions of a result atomically.

    There is one row for each test row and variable, with ``game``, ``variable``, ``episode``, ``step``,
    ``label``, and the predictions of each probe and training size: ``linear_full``, ``linear_1k`` and so on.

    Raises:
        UsageError: The file exists and ``replace`` is false.
        DataError: The file cannot be written.
    """
    runs = _runs(signed)
    about = {"format": FORMAT, "run_id": signed.run_id, "finished": signed.finished}
    schema = _schema(runs).with_metadata({_KEY: json.dumps(about).encode()})
    text = [name for name in schema.names if name in {"game", "variable"}]
    numbers = {"episode": "DELTA_BINARY_PACKED", "step": "DELTA_BINARY_PACKED"}
    with (
        new_file(path, replace=replace) as part,
        pq.ParquetWriter(
            part,
            schema,
            compression="zstd",
            compression_level=9,
            use_dictionary=[*text, "label", *(run.key for run in runs)],
            column_encoding=numbers,
        ) as file,
    ):
        for game in signed.games:
            file.write_table(_table(game, predictions[game], schema, runs), row_group_size=2**30)
    return path


def read(path: str | os.PathLike[str], signed: Signed) -> dict[str, Predictions]:
    """Read the predictions of a result and check them against its digests.

    Args:
        path: The predictions file; see :func:`file_beside`.
        signed: The result.

    Returns:
        The predictions by game.

    Raises:
        PredictionsError: The file is missing, damaged, or belongs to another result.
        DataError: The file has a newer format.
    """
    if not Path(path).is_file():
        raise PredictionsError(
            f"Predictions not found: {path}",
            cure="Copy the file that `harness evaluate` wrote next to the result, or evaluate again.",
        )
    try:
        with pq.ParquetFile(path) as file:
            _check_head(file, signed, path)
            return {
                name: _game(file.read_row_group(at), name, game, _runs(signed), path)
                for at, (name, game) in enumerate(signed.games.items())
            }
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path) from error


def _runs(signed: Signed) -> list[ProbeRun]:
    return [p.run for p in signed.probes]


def _schema(runs: Sequence[ProbeRun]) -> pa.Schema:
    text = pa.dictionary(pa.int32(), pa.string())
    fields = [("game", text), ("variable", text), ("episode", pa.int32()), ("step", pa.int32())]
    return pa.schema([*fields, ("label", pa.uint8()), *((run.key, pa.uint8()) for run in runs)])


def _table(game: str, found: Predictions, schema: pa.Schema, runs: Sequence[ProbeRun]) -> pa.Table:
    truth, (n, v) = found.truth, found.truth.labels.shape

    def text(values: Sequence[str], index: npt.NDArray[np.int32]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(index), pa.array(values))

    columns = {
        "game": text([game], np.zeros(n * v, np.int32)),
        "variable": text(truth.names, np.repeat(np.arange(v, dtype=np.int32), n)),
        "episode": np.tile(truth.episode.astype(np.int32), v),
        "step": np.tile(truth.step.astype(np.int32), v),
        "label": truth.labels.T.reshape(-1),
        **{run.key: found.by_run[run].T.reshape(-1) for run in runs},
    }
    return pa.table(columns, schema=schema)


def _check_head(file: pq.ParquetFile, signed: Signed, path: str | os.PathLike[str]) -> None:
    """Check format, columns and number of rows before reading any."""
    about = json.loads((file.schema_arrow.metadata or {}).get(_KEY, b"{}"))
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise PredictionsError(f"Not a predictions file: {path}")
    refuse_newer(f"predictions file {path}", about["format"], FORMAT)
    if about.get("run_id") != signed.run_id:
        raise PredictionsError(
            f"{path} belongs to another run.",
            expected=f"run {signed.run_id}",
            got=ascii(about.get("run_id"))[:80],
        )
    found = file.metadata
    rows = [found.row_group(at).num_rows for at in range(found.num_row_groups)]
    expected = [sum(game.scores[0].variables.columns["n"]) for game in signed.games.values()]
    same = file.schema_arrow.remove_metadata().equals(_schema(_runs(signed)))
    if rows != expected or not same:
        raise _damaged(path)


def _game(
    table: pa.Table, name: str, game: GameScores, runs: Sequence[ProbeRun], path: str | os.PathLike[str]
) -> Predictions:
    columns = game.scores[0].variables.columns
    names, n = tuple(columns["name"]), columns["n"][0]
    if table.num_rows != n * len(names) or any(column.null_count for column in table.columns):
        raise _damaged(path)
    for column, expected in (("game", [name] * len(names)), ("variable", list(names))):
        text = table[column].combine_chunks()
        seen = np.asarray(text.dictionary.to_pylist(), object)[text.indices.to_numpy()].reshape(-1, n)
        if not (seen == np.array(expected, object)[:, None]).all():
            raise _damaged(path)

    def numbers(column: str) -> npt.NDArray[Any]:
        return np.asarray(table[column].to_numpy()).reshape(len(names), n)

    episode, step = numbers("episode"), numbers("step")
    if (episode != episode[0]).any() or (step != step[0]).any():
        raise _damaged(path)
    truth = Truth(names, numbers("label").T.copy(), episode[0], step[0])
    found = Predictions(truth, {run: numbers(run.key).T.copy() for run in runs})
    for scores, run in zip(game.scores, runs, strict=True):
        digest = truth.digest(found.by_run[run])
        if digest != scores.predictions:
            raise PredictionsError(
                f"{path} does not match the result's digest: {name}, {run}.",
                expected=scores.predictions,
                got=digest,
                cure="Use the file that was written with the result, unchanged.",
            )
    return found


def _damaged(path: str | os.PathLike[str]) -> PredictionsError:
    return PredictionsError(f"{path} is damaged or belongs to another result.")
