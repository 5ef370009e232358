"""Predictions beside a result: what they hold, and that no other file passes for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

import harness
from atariari_data import labels
from atariari_data.errors import DataError, UsageError
from harness.results import predictions_file as predictions
from harness.results.predictions_file import file_beside
from harness.results.result_file import read, write
from harness.splits import open_split

Frames = npt.NDArray[np.float32]


def coarse(frames: Frames) -> Frames:
    return frames[:, 0, ::20, ::20].reshape(len(frames), -1)


@pytest.fixture(scope="module")
def result(built: str) -> harness.Result:
    return harness.evaluate(
        coarse, games=["pong", "breakout"], probes=["linear"], progress=False, cache_dir=built
    )


@pytest.fixture
def file(result: harness.Result, tmp_path: Path) -> Path:
    return write(result, tmp_path / "a.json")


def test_scores_follow_from_the_file_with_pandas_alone(
    result: harness.Result, file: Path, built: str
) -> None:
    table = pd.read_parquet(file.with_name("a.predictions.parquet"))
    columns = ["game", "run", "fit", "variable", "episode", "step", "label", "constant", "prediction"]
    assert list(table) == columns
    scored: dict[tuple[str, str, str | int], float | None] = {
        (g, v.name, s.train_rows): v.score
        for g, game in result.signed.games.items()
        for s in game.scores
        for v in s.variables
    }
    for (game, run, name), rows in table.groupby(["game", "run", "variable"], observed=True):
        f1 = f1_score(
            rows["label"].astype(int), rows["prediction"].astype(int), average="weighted", zero_division=0
        )
        size = str(run).removeprefix("linear_")
        assert f1 == pytest.approx(scored[str(game), str(name), size], abs=6e-5)
    test = open_split("pong", "test", cache_dir=built)
    ball = table[(table["game"] == "pong") & (table["run"] == "linear_1k") & (table["variable"] == "ball_x")]
    assert np.array_equal(ball["label"], labels(test.ram, "pong")["ball_x"])
    assert np.array_equal(ball["episode"], test.episode)
    assert np.array_equal(ball["step"], test.step)


def test_what_is_written_is_read_again(result: harness.Result, file: Path) -> None:
    found = predictions.read(file_beside(file), read(file).signed)
    assert result.predictions is not None
    assert list(found) == ["breakout", "pong"]
    for name, game in found.items():
        before = result.predictions[name]
        for run, predicted in before.items():
            assert game[run].names == predicted.names
            for part in ("truth", "values", "constants", "episode", "step"):
                assert np.array_equal(getattr(game[run], part), getattr(predicted, part), equal_nan=True)
    assert read(file).predictions is None


def test_a_run_that_was_kept_gives_the_same_predictions(result: harness.Result, built: str) -> None:
    again = harness.evaluate(
        coarse, games=["pong", "breakout"], probes=["linear"], progress=False, cache_dir=built
    )
    assert again.predictions is not None
    assert again.signed.games == result.signed.games
    for name, game in again.predictions.items():
        for scores in again.signed.games[name].scores:
            assert game[scores.run].digest() == scores.predictions


def test_nothing_is_overwritten(result: harness.Result, file: Path) -> None:
    with pytest.raises(UsageError, match="already exists"):
        write(result, file)
    with pytest.raises(UsageError, match=r"predictions\.parquet already exists"):
        write(result, file.replace(file.with_name("b.json")).with_name("a.json"))


def _changed(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        table = change(pq.read_table(path))
        of_game, of_run = table["game"].to_pylist(), table["run"].to_pylist()
        starts = [at for at in range(len(of_run)) if not at or of_run[at - 1] != of_run[at]]
        assert len(set(of_game)) * len(set(of_run)) == len(starts)
        with pq.ParquetWriter(path, table.schema) as out:
            for start, stop in pairwise([*starts, len(of_run)]):
                out.write_table(table[start:stop])

    return rewrite


def _set(column: str, at: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[at] = value
        place = table.schema.get_field_index(column)
        new = pa.array(values, table.schema.field(column).type)
        return table.set_column(place, table.schema.field(column), new)

    return change


def _about(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        about = {**json.loads(table.schema.metadata[b"atariari"]), **changes}
        return table.replace_schema_metadata({b"atariari": json.dumps(about).encode()})

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_changed(lambda t: t), None),
        (_changed(_set("prediction", -1, 255)), "does not match the result(.|\n)*pong, linear, 1k rows"),
        (_changed(_set("label", 0, 254)), "damaged|does not match the result(.|\n)*breakout"),
        (_changed(_set("episode", 0, 9999)), "damaged"),
        (_changed(_set("variable", 0, "other")), "damaged"),
        (_changed(_set("step", 5, None)), "damaged"),
        (_changed(lambda t: t.drop_columns("step")), "damaged"),
        (_changed(lambda t: t[1:]), "damaged"),
        (_changed(_about(format=3)), "newer format"),
        (_changed(_about(run_id="0" * 32)), "another run"),
        (_changed(lambda t: t.replace_schema_metadata(None)), "Not a predictions file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.unlink(), "not found(.|\n)*evaluate again"),
    ],
)
def test_no_other_file_passes(file: Path, change: Callable[[Path], None], match: str | None) -> None:
    change(file_beside(file))
    if match is None:
        assert predictions.read(file_beside(file), read(file).signed)
        return
    with pytest.raises(DataError, match=match):
        predictions.read(file_beside(file), read(file).signed)
