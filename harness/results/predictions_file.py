"""The predictions file next to a result: Parquet, tied to the result by digests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from atariari_data.errors import DataError
from builders.files import new_file, refuse_newer
from harness.probes.probe import ProbeRun
from harness.results.predictions import Predicted, Predictions
from harness.results.result import ProbeScores, Signed

FORMAT = 2
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

    There is one row for each probe, fit, variable and test row, with ``game``, ``run`` (``linear_full``,
    ``readout_full_play_deep`` and so on), ``fit`` (its number, where several are averaged), ``variable``,
    ``episode``, ``step``, ``label`` (null where the thing is not there), ``constant`` (what is predicted
    without features) and ``prediction``.

    Raises:
        UsageError: The file exists and ``replace`` is false.
        DataError: The file cannot be written.
    """
    about = {"format": FORMAT, "run_id": signed.run_id, "finished": signed.finished}
    schema = _SCHEMA.with_metadata({_KEY: json.dumps(about).encode()})
    with (
        new_file(path, replace=replace) as part,
        pq.ParquetWriter(
            part,
            schema,
            compression="zstd",
            compression_level=9,
            use_dictionary=["game", "run", "fit", "variable", "label", "constant"],
            column_encoding={
                "episode": "DELTA_BINARY_PACKED",
                "step": "DELTA_BINARY_PACKED",
                "prediction": "BYTE_STREAM_SPLIT",
            },
        ) as file,
    ):
        for game in signed.games:
            for run in _runs(signed):
                file.write_table(_table(game, run, predictions[game][run], schema), row_group_size=2**30)
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
    with _opened(path, signed) as file:
        return {
            game: {run: _read_group(file, game, run, signed, path) for run in _runs(signed)}
            for game in signed.games
        }


def read_run(path: str | os.PathLike[str], signed: Signed, game: str, run: ProbeRun) -> Predicted:
    """Read and check what one probe predicts in one game; takes and raises what `read` does."""
    with _opened(path, signed) as file:
        return _read_group(file, game, run, signed, path)


@contextmanager
def _opened(path: str | os.PathLike[str], signed: Signed) -> Iterator[pq.ParquetFile]:
    if not Path(path).is_file():
        raise PredictionsError(
            f"Predictions not found: {path}",
            cure="Copy the file that `harness evaluate` wrote next to the result, or evaluate again.",
        )
    try:
        with pq.ParquetFile(path) as file:
            _check_head(file, signed, path)
            yield file
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path) from error


def _read_group(
    file: pq.ParquetFile, game: str, run: ProbeRun, signed: Signed, path: str | os.PathLike[str]
) -> Predicted:
    at = signed.at(run)
    table = file.read_row_group(list(signed.games).index(game) * len(signed.probes) + at)
    return _predicted(table, game, signed.games[game].scores[at], path)


def _runs(signed: Signed) -> list[ProbeRun]:
    return [p.run for p in signed.probes]


_TEXT = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        ("game", _TEXT),
        ("run", _TEXT),
        ("fit", pa.uint8()),
        ("variable", _TEXT),
        ("episode", pa.int32()),
        ("step", pa.int32()),
        ("label", pa.float32()),
        ("constant", pa.float32()),
        ("prediction", pa.float32()),
    ]
)


def _table(game: str, run: ProbeRun, found: Predicted, schema: pa.Schema) -> pa.Table:
    fits, n, v = found.values.shape
    whole = fits * v * n

    def text(values: Sequence[str], index: npt.NDArray[np.int32]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(index), pa.array(values))

    columns = {
        "game": text([game], np.zeros(whole, np.int32)),
        "run": text([run.key], np.zeros(whole, np.int32)),
        "fit": np.repeat(np.arange(fits, dtype=np.uint8), v * n),
        "variable": text(found.names, np.tile(np.repeat(np.arange(v, dtype=np.int32), n), fits)),
        "episode": np.tile(found.episode.astype(np.int32), fits * v),
        "step": np.tile(found.step.astype(np.int32), fits * v),
        "label": _nulls(np.tile(found.truth.T.reshape(-1), fits)),
        "constant": _nulls(np.repeat(found.constants.reshape(-1), n)),
        "prediction": _nulls(found.values.transpose(0, 2, 1).reshape(-1)),
    }
    return pa.table(columns, schema=schema)


def _nulls(values: npt.NDArray[np.float32]) -> pa.Array:
    """Return an array with null for NaN."""
    return pa.array(values, pa.float32(), mask=np.isnan(values))


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
    groups = sum(len(game.scores) for game in signed.games.values())
    if file.num_row_groups != groups or not file.schema_arrow.remove_metadata().equals(_SCHEMA):
        raise _damaged(path)


def _predicted(table: pa.Table, game: str, scores: ProbeScores, path: str | os.PathLike[str]) -> Predicted:
    names, fits = tuple(scores.variables.column("name")), scores.fits
    n, rest = divmod(table.num_rows, fits * len(names))
    if rest or not n:
        raise _damaged(path)

    def numbers(column: str) -> npt.NDArray[Any]:
        array = table[column].combine_chunks()
        if array.null_count:
            array = array.fill_null(np.nan)
        return np.asarray(array.to_numpy()).reshape(fits, len(names), n)

    def texts(column: str) -> npt.NDArray[Any]:
        text = table[column].combine_chunks()
        names = np.asarray(text.dictionary.to_pylist(), object)
        return np.asarray(names[text.indices.to_numpy()].reshape(fits, -1, n))

    episode, step, label, constant = (numbers(name) for name in ("episode", "step", "label", "constant"))
    found = Predicted(
        names,
        np.ascontiguousarray(label[0].T),
        episode[0, 0],
        step[0, 0],
        np.ascontiguousarray(numbers("prediction").transpose(0, 2, 1)),
        np.ascontiguousarray(constant[:, :, 0]),
    )
    as_it_is = _table(game, scores.run, found, _SCHEMA)
    if (texts("variable") != np.array(names, object)[:, None]).any() or not as_it_is.equals(
        table.cast(_SCHEMA).replace_schema_metadata(None)
    ):
        raise _damaged(path)
    digest = found.digest()
    if digest != scores.predictions:
        raise PredictionsError(
            f"{path} does not match the result's digest: {game}, {scores.run}.",
            expected=scores.predictions,
            got=digest,
            cure="Use the file that was written with the result, unchanged.",
        )
    return found


def _damaged(path: str | os.PathLike[str]) -> PredictionsError:
    return PredictionsError(f"{path} is damaged or belongs to another result.")
