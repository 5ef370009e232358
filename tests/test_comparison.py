"""Two results compared: differences, what is noise, and what cannot be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score

import harness
from atariari_data.errors import UsageError
from harness import metrics
from harness.probes.probe import ProbeRun
from harness.results.comparison import Compared, Comparison, Resampled
from harness.results.predictions_file import PredictionsError
from harness.results.result_file import write

Frames = npt.NDArray[np.float32]
Evaluate = Callable[..., harness.Result]


def coarse(frames: Frames) -> Frames:
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)


def blind(frames: Frames) -> Frames:
    return frames[:, 0, ::70, ::80].reshape(len(frames), -1)


@pytest.fixture(scope="module")
def run(built: str) -> Evaluate:
    def evaluate(encoder: Any, **options: Any) -> harness.Result:
        options = {"games": ["pong"], "probes": ["linear"], "progress": False, "cache_dir": built, **options}
        return harness.evaluate(encoder, **options)

    return evaluate


@pytest.fixture(scope="module")
def files(run: Evaluate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write(run(coarse, games=["pong", "breakout"]), folder / "a.json")
    write(run(blind, games=["pong", "breakout"]), folder / "b.json")
    return folder


@pytest.fixture(scope="module")
def found(files: Path) -> Comparison:
    return harness.compare(files / "a.json", files / "b.json")


def _row(found: Comparison, level: str, name: str, rows: str = "full", game: str | None = "pong") -> Compared:
    (row,) = (r for r in found.rows if (r.level, r.name, r.train_rows, r.game) == (level, name, rows, game))
    return row


def test_differences_are_those_of_the_two_scores(found: Comparison, run: Evaluate) -> None:
    a, b = run(coarse), run(blind)
    assert a.predictions
    assert b.predictions
    one, other = (side.predictions["pong"][ProbeRun("linear", "full")] for side in (a, b) if side.predictions)
    bootstrap = metrics.Bootstrap.over(one.episode)
    for v, name in enumerate(one.names):
        row = _row(found, "variable", name)
        left, right, labels = (
            part.astype(np.uint8) for part in (one.values[0, :, v], other.values[0, :, v], one.truth[:, v])
        )
        f1 = [f1_score(labels, side, average="weighted", zero_division=0) for side in (left, right)]
        assert [row.a, row.b] == pytest.approx(f1)
        assert row.difference == pytest.approx(f1[0] - f1[1])
        draws = [metrics.score_f1(labels, side, bootstrap).draws for side in (left, right)]
        alone = metrics.Difference.of(row.difference, draws[0] - draws[1])
        # The same draws in another order: their deviation differs by an ulp, and p by up to 3e-13 of itself.
        same = pytest.approx((alone.low, alone.high, alone.p), rel=1e-9, abs=0)
        assert (row.low, row.high, row.p) == same


def test_means_are_as_published_and_their_intervals_narrower_than_the_widest(found: Comparison) -> None:
    game = _row(found, "game", "pong")
    categories = [r for r in found.rows if (r.level, r.game, r.train_rows) == ("category", "pong", "full")]
    assert game.difference == pytest.approx(np.mean([c.difference for c in categories]))
    assert game.high - game.low < max(c.high - c.low for c in categories)
    assert game.low < game.difference < game.high
    suite = _row(found, "suite", "suite", game=None)
    assert suite.difference == pytest.approx(
        np.mean([_row(found, "game", g, game=g).difference for g in ("pong", "breakout")])
    )
    assert suite.verdict == ("noise" if suite.low <= 0 <= suite.high else "differs"), (
        "one row needs no correction"
    )


def test_a_better_encoder_differs_and_says_in_whose_favour(run: Evaluate) -> None:
    found = harness.compare(*(_in_episodes(run(encoder), 60) for encoder in (coarse, blind)))
    game = _row(found, "game", "pong")
    assert game.verdict == "differs"
    assert 0 < game.low < game.difference < game.high
    assert game.p < 0.001


def test_two_episodes_make_nothing_sure(run: Evaluate) -> None:
    few, many = (
        harness.compare(*(_in_episodes(run(encoder), count) for encoder in (coarse, blind)))
        for count in (2, 60)
    )
    assert "differs" in {row.verdict for row in many.rows}
    assert "differs" not in {row.verdict for row in few.rows}
    assert [row.difference for row in few.rows] == [row.difference for row in many.rows]
    with pytest.raises(UsageError, match="from one episode"):
        harness.compare(*(_in_episodes(run(encoder), 1) for encoder in (coarse, blind)))


def _in_episodes(result: harness.Result, count: int) -> harness.Result:
    """Cut the test rows into episodes of equal length."""
    changed = {}
    for run, found in (result.predictions or {})["pong"].items():
        rows = np.arange(len(found.truth))
        changed[run] = replace(found, episode=(rows * count // len(rows)).astype(np.int32))
    return result.with_predictions({"pong": changed})


def test_a_result_against_itself_is_all_noise(files: Path) -> None:
    same = harness.compare(files / "a.json", files / "a.json")
    assert {r.verdict for r in same.rows} == {"noise"}
    assert {(r.difference, r.low, r.high) for r in same.rows} == {(0, 0, 0)}
    assert {r.p for r in same.rows} == {1}


def test_a_result_is_read_and_drawn_once_for_several_comparisons(files: Path, tmp_path: Path) -> None:
    for name in ("a.json", "a.predictions.parquet"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    first = Resampled(tmp_path / "a.json")
    one = harness.compare(first, files / "b.json")
    (tmp_path / "a.predictions.parquet").unlink()
    assert harness.compare(first, files / "b.json") == one
    assert one.rows == harness.compare(files / "a.json", files / "b.json").rows


def test_results_in_memory_and_what_only_one_has(run: Evaluate) -> None:
    curve = run(coarse, train_sizes=["all", 50])
    found = harness.compare(curve, run(blind))
    assert {r.train_rows for r in found.rows} == {"full"}
    said = "\n".join(found.statements)
    assert "cannot be ranked" in said
    assert "Not compared, only in coarse: linear, 50 rows" in said
    assert "Not compared, only in blind: linear, 1k rows" in said
    assert "No suite mean: both results have 1 of its 2 games." in said
    assert not [r for r in found.rows if r.level == "suite"]


def test_what_cannot_be_compared(run: Evaluate, files: Path, tmp_path: Path) -> None:
    plain = run(coarse)
    with pytest.raises(UsageError, match=r"different label sets(.|\n)*v1(.|\n)*anand2019"):
        harness.compare(plain, run(coarse, label_set="anand2019"))
    with pytest.raises(UsageError, match=r"different rows of pong(.|\n)*60 rows(.|\n)*without --limit"):
        harness.compare(plain, run(coarse, limit=60))
    with pytest.raises(UsageError, match="no game in common"):
        harness.compare(plain, run(coarse, games=["breakout"]))
    with pytest.raises(UsageError, match="no probe in common"):
        harness.compare(plain, run(coarse, train_sizes=[30]))
    (tmp_path / "a.json").write_bytes((files / "a.json").read_bytes())
    with pytest.raises(PredictionsError, match=r"not found: .*a\.predictions\.parquet"):
        harness.compare(tmp_path / "a.json", files / "b.json")
    (tmp_path / "a.predictions.parquet").write_bytes((files / "b.predictions.parquet").read_bytes())
    with pytest.raises(PredictionsError, match="another run"):
        harness.compare(tmp_path / "a.json", files / "b.json")
    with pytest.raises(UsageError, match="has no predictions"):
        harness.compare(harness.Result(signatures=[], signed=plain.signed), plain)


def test_another_protocol_is_another_matter(run: Evaluate) -> None:
    plain = run(coarse)
    values = json.loads(json.dumps(plain.signed.plain))
    values["protocol"]["digest"] = "blake3:" + "0" * 64
    other = harness.Result(signatures=[], signed=type(plain.signed).model_validate(values))
    with pytest.raises(UsageError, match="different protocols"):
        harness.compare(plain, other.with_predictions(plain.predictions))


def test_holm_is_that_of_the_textbook() -> None:
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert metrics.holm([0.01, 0.02, 0.03]) == [True, True, True]
    assert metrics.holm([]) == []
    random = np.random.default_rng(0).random((2000, 20))
    assert np.mean([any(metrics.holm(p.tolist())) for p in random]) < 0.07


def test_the_command(files: Path) -> None:
    def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = "from harness.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, "compare", *arguments],
            cwd=files,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    shown = compare("a.json", "b.json")
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80, shown.stdout
    for text in ("ball_x", "differs", "mean over the games, linear, 1k rows", "of 11 variables"):
        assert text in shown.stdout, text
    assert "Holm" in shown.stderr
    told = json.loads(compare("a.json", "b.json", "--json").stdout)
    assert {"a", "b", "level", "multiplicity", "statements", "rows"} == set(told)
    assert {r["verdict"] for r in told["rows"]} <= {"differs", "unclear", "noise"}
    wrong = compare("a.json", "c.json", "--json")
    assert wrong.returncode == 2
    assert "c.json" in json.loads(wrong.stdout)["what"]
