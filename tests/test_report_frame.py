"""A result as a table, and in a tracker."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from atariari_data.errors import UnknownNameError, UsageError
from harness.cli import report as report_cli
from harness.cli.main import cli
from harness.methods import trackers
from harness.report import to_frame, write_csv
from harness.report.track import track
from harness.results.frame import csv_text
from harness.results.result import Result, Signed
from harness.results.result_file import write
from tests.made_results import fields


def made(seed: int = 0, **options: Any) -> Result:
    return Result(signatures=[], signed=Signed.build(**fields(seed, **options)))


def test_a_row_for_each_game_probe_size_and_variable() -> None:
    sizes = (("linear", "full"), ("linear", "1k"), ("linear", 200))
    result = made(probes=sizes)
    frame = result.to_frame()
    keys = ["game", "probe", "train_rows", "variable"]
    assert not frame.duplicated(keys).any()
    by_key = {tuple(row[key] for key in keys): row for row in frame.to_dict("records")}
    count = 0
    for game, found in result.signed.games.items():
        for scores in found.scores:
            for variable in scores.variables:
                count += 1
                row = by_key[game, scores.probe, str(scores.train_rows), variable.name]
                assert variable.interval is not None
                assert (row["score"], row["error"], row["n"]) == (variable.score, variable.error, variable.n)
                assert [row["score_low"], row["score_high"]] == variable.interval
                assert row["categories"].split() == variable.categories
    assert len(frame) == count
    assert frame.groupby("train_rows")["rows"].unique().map(list).to_dict() == {
        "200": [200],
        "1k": [1000],
        "full": [34606],
    }
    assert frame["result"].unique().tolist() == [result.signed.digest]


def test_null_is_missing_and_numbers_are_numbers() -> None:
    values = fields(1)
    for row in values["games"]["pong"]["scores"][0]["variables"]:
        row["error"] = None
    frame = Result(signatures=[], signed=Signed.build(**values)).to_frame()
    assert frame["epochs"].isna().all()
    assert frame["epochs"].dtype == "Int64"
    assert frame["error"].isna().sum() == len(values["games"]["pong"]["scores"][0]["variables"])
    for name in ("score", "score_low", "error", "ceiling_accuracy", "strength_log10"):
        assert frame[name].dtype == "float64", name


def test_several_results_are_one_frame_of_results_or_files(tmp_path: Path) -> None:
    one, other = made(1, encoder="One"), made(2, encoder="Other")
    path = write(other, tmp_path / "other.json")
    frame = to_frame(one, path)
    assert frame["encoder"].unique().tolist() == ["One", "Other"]
    assert len(frame) == 2 * len(to_frame(one))
    assert to_frame().empty


def test_csv_holds_the_frame_and_no_formula(tmp_path: Path) -> None:
    values = fields(1)
    values["games"]["pong"]["scores"][0]["variables"][0]["note"] = "=1+1"
    result = Result(signatures=[], signed=Signed.build(**values))
    path = write_csv(tmp_path / "a.csv", result)
    found = pd.read_csv(path)
    frame = result.to_frame()
    assert list(found) == list(frame)
    assert found["score"].tolist() == frame["score"].tolist()
    assert found["note"].dropna().tolist() == ["'=1+1"]
    with pytest.raises(UsageError, match="already exists"):
        write_csv(path, result)


@pytest.mark.filterwarnings("ignore:.*infer_string")
def test_text_is_harmless_where_pandas_keeps_it_as_objects() -> None:
    """So it is in pandas 2, and in pandas 3 by an option."""
    values = fields(1)
    values["games"]["pong"]["scores"][0]["variables"][0]["note"] = "=1+1"
    result = Result(signatures=[], signed=Signed.build(**values))
    with pd.option_context("future.infer_string", False):
        assert result.to_frame()["note"].dtype == "object"
        found = csv_text(result)
    assert found == csv_text(result)
    assert "'=1+1" in found


class Collected:
    """A tracker that keeps what it is given."""

    made: list[Collected]

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.closed = folder, name, False
        self.records: list[Mapping[str, Any]] = []
        type(self).made.append(self)

    def write(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def close(self) -> None:
        self.closed = True


def test_a_tracker_gets_every_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Collected.made = []
    monkeypatch.setattr("harness.report.track.TRACKERS", {"wandb": Collected})
    result = made(4)
    track(result, tmp_path, ["wandb"])
    (tracker,) = Collected.made
    assert tracker.closed
    assert tracker.name == f"Random_CNN-{result.signed.run_id[:4]}"
    assert [record["split"] for record in tracker.records] == ["linear_full", "linear_1k", "anand2019_full"]
    pong = result.signed.games["pong"].scores[1]
    record = tracker.records[1]
    assert record["pong/score"] == pong.means.score
    for variable in pong.variables:
        assert record[f"pong/{variable.name}/score"] == variable.score
        assert record[f"pong/{variable.name}/error"] == variable.error
    assert "suite/score" not in record  # the result does not have every game
    assert all(value is not None for value in record.values())
    with pytest.raises(UnknownNameError, match="tracker"):
        track(result, tmp_path, ["paper"])


@pytest.mark.parametrize("name", report_cli.TRACKERS)
def test_a_tracker_that_is_not_there_names_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    path = write(made(), tmp_path / "a.json")
    done = CliRunner().invoke(cli, ["report", str(path), "--log", name])
    assert done.exit_code == 2
    assert f"pip install 'atariari[{name}]'" in done.output
    assert not list(tmp_path.glob("*.html"))


def test_the_command_offers_every_tracker() -> None:
    assert set(report_cli.TRACKERS) == set(trackers.TRACKERS)
