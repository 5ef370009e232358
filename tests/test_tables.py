"""What a result and a comparison look like in a terminal and in a notebook."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness import metrics
from harness.cli.tables import metric_note, print_comparison, print_result
from harness.probes.probe import ProbeRun
from harness.results.comparison import Comparison, _rows, _Scored
from harness.results.result import Result, Signed
from tests.made_results import fields, put

FULL = ProbeRun("linear", "full")


def made(**changes: Any) -> Result:
    values = fields(games=("pong",), suite=("breakout", "pong"))
    for path, value in changes.items():
        put(values, path, value)
    return Result(signatures=[], signed=Signed.build(**values))


def dry(limit: int) -> Result:
    values = fields(games=("pong",), suite=("breakout", "pong"))
    values |= {
        "ranked": False,
        "unranked_reason": f"dry run: {limit} rows of each split",
        "dry_run_rows": limit,
    }
    for scores in values["games"]["pong"]["scores"]:
        scores["trivial_reason"] = "a dry run"
        for row in scores["variables"]:
            row |= {"ceiling": None, "ceiling_accuracy": None}
            row |= {"pixels_pca": None, "random_projection": None}
    return Result(signatures=[], signed=Signed.build(**values))


def test_a_result_prints_as_a_few_lines() -> None:
    result = made()
    lines = str(result).splitlines()
    assert len(lines) == 8
    assert lines[:3] == [
        "encoder   Random CNN",
        "games     pong (1 of 2, label set anand2019)",
        "signed    no",
    ]
    assert lines[4].split() == ["score", "constant", "trivial", "ceiling"]
    score = result.signed.games["pong"].scores[1].means.score
    assert f"mean, linear, 1k rows      {score:.3f}" in lines[6]
    assert repr(result) == "<Result of Random CNN on pong, not signed>"
    assert f"<td>{score:.3f}</td>" in result._repr_html_()


def test_what_a_result_says_of_itself_is_text_in_a_notebook() -> None:
    result = made(unranked_reason="<script>", ranked=False)
    assert "<script>" not in result._repr_html_()
    assert "&lt;script&gt;" in result._repr_html_()


def test_a_dry_run_shows_its_rows_and_no_empty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    result = dry(500)
    print_result(result)
    table = capsys.readouterr().out
    assert "500 rows" in table
    assert "1k" not in table
    assert "full" not in table
    assert "ceil." not in table
    note = metric_note(result)
    assert "only 500 rows of each split" in note
    assert "on 500 training rows" in note
    assert "all training rows" not in note
    assert "ceil." not in note
    assert "norm." not in note
    print_result(dry(2000))
    table = capsys.readouterr().out
    assert "2,000 rows" in table
    assert "1,000 rows" in table


def test_a_score_below_the_trivial_encoders_is_not_a_number_without_scale(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = made(games__pong__scores__0__variables__0__pixels_pca=0.85)
    (variable, *_) = result.signed.games["pong"].scores[0].variables
    assert variable.normalised is not None
    assert variable.normalised < 0
    print_result(result)
    table = capsys.readouterr().out
    (line,) = (line for line in table.splitlines() if line.startswith(f" {variable.name} "))
    assert line.split()[-1] == "<0"
    assert "<0 is below triv." in metric_note(result)


@pytest.mark.parametrize(("low", "verdict"), [(-0.1, "noise"), (0.001, "differs")])
def test_a_verdict_never_contradicts_its_interval(
    low: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A p-value below 5 % beside an interval that includes zero is noise, as the legend says."""
    signed = made().signed
    (variable, *_) = signed.games["pong"].scores[0].variables
    draws = np.full(1000, 0.1)
    draws[:30] = low
    draws -= draws.mean() - 0.1
    scored = {"pong": {variable.name: _Scored(0.6, 0.5, metrics.Draws(0.1, draws, freedom=100))}}
    rows = tuple(_rows(signed, FULL, scored, suite=False))
    (row,) = (row for row in rows if row.level == "variable")
    assert row.p < 0.05
    assert (row.low <= 0 <= row.high) == (verdict == "noise")
    assert row.verdict == verdict
    print_comparison(Comparison("A", "B", rows, ()))
    count = int(verdict == "differs")
    said = f"{count} of 1 variables {'differs' if count else 'differ'}, 0 unclear, {1 - count} noise"
    assert said in capsys.readouterr().out
