"""The page of a report: its numbers are the result's, and no text of a result becomes more than text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from scipy import stats

import harness
from atariari_data.errors import UsageError
from harness import metrics
from harness.cli.main import cli
from harness.probes.probe import ProbeRun
from harness.report.curves import curves
from harness.report.intervals import mean_intervals
from harness.report.page import render, write_html
from harness.report.panels import game_panel, suite_panel, variables_of
from harness.report.pictures import pictures
from harness.report.subject import Subject, load
from harness.report.verdict import verdict
from harness.report.versus import against
from harness.results import predictions_file as predictions
from harness.results.canonical import ResultError
from harness.results.predictions_file import file_beside
from harness.results.result import Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from harness.signing.keys import keygen
from harness.signing.sshsig import SignatureError
from tests.made_results import GAMES, digest, fields, put
from tests.test_site import ATTRIBUTE, SCRIPT, TEMPLATE, Page

Frames = npt.NDArray[np.float32]
FULL = ProbeRun("linear", "full")


def coarse(frames: Frames) -> Frames:
    return frames[:, 0, ::20, ::20].reshape(len(frames), -1)


def blind(frames: Frames) -> Frames:
    return frames[:, 0, ::70, ::80].reshape(len(frames), -1)


@pytest.fixture(scope="module")
def folder(built: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two results on small recordings, with their predictions."""
    where = tmp_path_factory.mktemp("results")
    for name, encoder in (("a", coarse), ("b", blind)):
        sizes = ["50", "200", "all", "1k"] if name == "a" else None
        options: dict[str, Any] = {"train_sizes": sizes, "progress": False, "cache_dir": built}
        options["probes"] = ["linear"]
        write(harness.evaluate(encoder, games=["pong"], **options), where / f"{name}.json")
    return where


@pytest.fixture(scope="module")
def subjects(folder: Path) -> list[Subject]:
    return load([folder / "a.json", folder / "b.json"])


@pytest.fixture(scope="module")
def readout(built: str) -> Subject:
    """A result of the readout probe alone."""
    (found,) = load(
        [harness.evaluate(coarse, games=["pong"], probes=["readout"], progress=False, cache_dir=built)]
    )
    return found


@pytest.fixture(scope="module")
def page(subjects: list[Subject]) -> str:
    return render(subjects)


def made(seed: int = 0, **options: Any) -> Result:
    return Result(signatures=[], signed=Signed.build(**fields(seed, **options)))


def test_every_bar_is_the_results(subjects: list[Subject]) -> None:
    known = [mean_intervals(s.signed, s.predictions or {}) for s in subjects]
    for run in (FULL, ProbeRun("linear", "1k")):
        shown = {row.title: row for row in game_panel(subjects, known, run, "pong").rows}
        for subject in subjects:
            (scores,) = (
                s
                for s in subject.signed.games["pong"].scores
                if (s.probe, s.train_rows) == (run.probe, run.train_rows)
            )
            for variable in scores.variables:
                bar = shown[variable.name].bars[subject.number]
                assert bar.scored == variable
                assert bar.interval == variable.interval
            mean = shown["Mean over categories"].bars[subject.number].scored
            assert mean is not None
            assert mean.score == scores.means.score


def test_games_stand_beside_their_mean_if_there_is_one() -> None:
    part, whole = made(), made(1, suite=("breakout", "pong"))
    found = {row.title: row for row in suite_panel(load([whole]), [{}], FULL, ["breakout", "pong"]).rows}
    scored = {title: row.bars[0].scored for title, row in found.items()}
    assert scored["Mean over the games"] == whole.signed.suite[0].means
    assert scored["Pong"] == whole.signed.games["pong"].scores[0].means
    assert "Small objects" in found
    found = {row.title: row for row in suite_panel(load([part]), [{}], FULL, ["breakout", "pong"]).rows}
    assert list(found) == ["Breakout", "Pong"]
    assert f"No mean over the games: evaluated on 2 of {len(GAMES)}." in render(load([part]))


def test_means_of_other_games_do_not_stand_beside_each_other() -> None:
    games = ("breakout", "pong", "seaquest")
    part = made(games=games[:2], suite=games[:2])
    whole = made(1, games=games, suite=games)
    subjects = load([whole, part])
    row = suite_panel(subjects, [{}, {}], FULL, games).rows[0]
    assert row.title == "Mean over the games"
    assert [bar.scored for bar in row.bars] == [whole.signed.suite[0].means, None]
    said = list(verdict(subjects, (), games, FULL))
    for result, line in zip((whole, part), said, strict=True):
        means = [result.signed.games[game].scores[0].means.score or 0 for game in games[:2]]
        assert f"scores {sum(means) / 2:.3f} under linear, all rows on average over 2 games" in line


def test_a_verdict_compares_on_the_games_where_trivial_encoders_are_known() -> None:
    values = fields(games=("breakout", "pong"))
    for scores in values["games"]["pong"]["scores"]:
        scores["trivial_reason"] = "not made yet"
        for row in scores["variables"]:
            row |= {"pixels_pca": None, "random_projection": None}
    (subject,) = load([Result(signatures=[], signed=Signed.build(**values))])
    (line,) = verdict([subject], (), ["breakout", "pong"], FULL)
    means = subject.signed.games["breakout"].scores[0].means
    assert means.score is not None
    assert f"on the one game where trivial encoders were scored, it has {means.score:.3f};" in line
    assert f"has {means.trivial:.3f}." in line


def test_the_page_shows_each_number(subjects: list[Subject], page: str) -> None:
    for subject in subjects:
        for game in subject.signed.games.values():
            for scores in (s for s in game.scores if s.train_rows in {"full", "1k"}):
                for variable in scores.variables:
                    assert variable.interval is not None
                    low, high = variable.interval
                    assert f"{variable.score:.3f}" in page
                    assert f"{low:.3f}\N{EN DASH}<wbr>{high:.3f}" in page


def test_it_begins_with_a_verdict(subjects: list[Subject], page: str) -> None:
    first, other = (s.scores("pong", FULL) for s in subjects)
    assert first is not None
    assert other is not None
    text = Page(page).text
    verdict = text[text.index("Verdict", 300) : text.index("How to read the bars")]
    assert f"A, {subjects[0].name}, scores {first.means.score:.3f} under linear, all rows" in verdict
    row = next(row for row in against(*subjects).means() if row.run == FULL)
    said = f"A and B differ by {row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f}): "
    assert said + {"differs": "clear", "unclear": "unclear", "noise": "noise"}[row.verdict] in verdict
    cells = re.findall(r'<span class="(h\d+|none)">.*?([\d.]+|\u2013)</span>', page)
    assert cells[:2] == [
        (f"h{round(10 * (m.means.score or 0))}", f"{m.means.score:.2f}") for m in (first, other)
    ]


def test_the_interval_of_a_mean_is_a_bootstrap_of_it(subjects: list[Subject]) -> None:
    subject = subjects[0]
    assert subject.predictions is not None
    found = mean_intervals(subject.signed, subject.predictions)
    scores = subject.scores("pong", FULL)
    assert scores is not None
    by_name = {v.name: v for v in scores.variables}
    # A category of one variable has that variable's interval.
    alone = by_name["player_y"].interval
    assert found["pong", FULL, "agent_localization"] == pytest.approx(alone, abs=6e-5)
    # And of two: redrawn here, episode by episode.
    truth = subject.predictions["pong"][FULL]
    labels, said = (part.astype(np.uint8) for part in (truth.truth, truth.values[0]))
    bootstrap = metrics.Bootstrap.over(truth.episode)
    episodes = np.unique(truth.episode)
    pairs = [truth.names.index(name) for name in ("ball_x", "ball_y")]
    draws = []
    for weights in bootstrap.weights:
        rows = np.concatenate(
            [
                np.tile(np.flatnonzero(truth.episode == e), int(w))
                for e, w in zip(episodes, weights, strict=True)
            ]
        )
        draws.append(np.mean([metrics.weighted_f1(labels[rows, v], said[rows, v]) for v in pairs]))
    # From n episodes: the root of n/(n - 1), and Student's quantile by the normal one; around the score.
    n, score = len(episodes), np.mean([metrics.weighted_f1(labels[:, v], said[:, v]) for v in pairs])
    wider = np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)
    expected = (score + (np.quantile(draws, (0.025, 0.975)) - np.mean(draws)) * wider).clip(0, 1)
    assert found["pong", FULL, "small_object_localization"] == pytest.approx(expected)


def test_learning_curves_are_of_the_sizes_that_were_asked_for(subjects: list[Subject]) -> None:
    (found,) = curves(subjects, [{}, {}], "pong")
    assert found.probe == "linear"
    rows = subjects[0].signed.dataset.splits["pong"]["train"].rows
    assert found.sizes == sorted({50, 200, 1000, rows})
    (curve,) = found.plots[0].curves  # the other result has two sizes, which make no curve
    for size in (50, 200):
        scores = subjects[0].scores("pong", ProbeRun("linear", size))
        assert scores is not None
        assert curve.at(size) == scores.means.score
    assert found.plots[0].svg.count("<circle") == len(found.sizes)
    assert f"50 rows, score {curve.at(50):.3f}" in found.plots[0].svg


def test_a_dry_run_shows_the_rows_that_it_had(built: str) -> None:
    result = harness.evaluate(
        coarse,
        games=["pong"],
        probes=["linear"],
        limit=150,
        train_sizes=["20", "50", "all"],
        progress=False,
        cache_dir=built,
    )
    (found,) = curves(load([result]), [{}], "pong")
    assert found.sizes == [20, 50, 150]
    assert set(result.to_frame()["rows"]) == {20, 50, 150}
    page = render(load([result]))
    assert "dry run: 150 rows" in page
    assert "linear, 150 rows" in page
    assert "linear, all rows" not in page
    for scores in result.signed.games["pong"].scores:
        assert scores.trivial_reason is not None
        assert html.unescape(page).count(scores.trivial_reason) >= 3


def test_scores_on_the_same_rows_are_shown_once(built: str) -> None:
    options: dict[str, Any] = {"probes": ["linear"], "limit": 150, "progress": False, "cache_dir": built}
    result = harness.evaluate(coarse, games=["pong"], **options)
    assert [str(run) for run in result.signed.distinct_runs] == ["linear, all rows"]
    page = render(load([result]))
    assert page.count('<div class="panel">') == 1
    assert "linear, 150 rows" in page
    assert "1k" not in page
    (subject,) = load([result])
    assert ("pong", ProbeRun("linear", 150), None) in mean_intervals(subject.signed, result.predictions or {})


def test_several_results_are_compared(folder: Path, page: str) -> None:
    comparison = harness.compare(folder / "a.json", folder / "b.json")
    variables = [row for row in comparison.rows if row.level == "variable"]
    assert "noise" in {row.verdict for row in variables}
    rows = re.findall(r'verdict-(?:differs|unclear|noise)">(\w+)<', page)
    expected = [row.verdict for row in comparison.rows]
    assert sorted(rows) == sorted(expected)
    for row in variables:
        assert f"{row.difference:+.3f}" in page


def test_pictures_of_a_readout_are_of_its_own_values(readout: Subject) -> None:
    found = {each.name: each for each in pictures([readout], readout.runs, "pong")}
    few, play = readout.runs[:2]
    scores = readout.scores("pong", play)
    assert scores is not None
    for variable in (v for v in scores.variables if v.error is not None):
        (picture,) = (p for p in found[variable.name].pictures if p.run == play)
        (said,) = re.findall(r"mean error ([\d.]+)( [a-z]+)?[.]", picture.said)
        assert float(said[0]) == pytest.approx(variable.error, abs=0.5)
        assert said[1].strip() == variable.unit
    draws = [p for each in found.values() for p in each.pictures if "First of 10 draws" in p.said]
    assert draws
    assert all(p.run == few for p in draws)
    assert any(">-20<" in picture.svg for picture in found["player_y_motion"].pictures)


def test_results_of_different_probes_have_all_their_variables(
    subjects: list[Subject], readout: Subject
) -> None:
    linear = subjects[0]
    both = [linear, replace(readout, number=1)]
    names = list(variables_of(both, "pong"))
    assert names[: len(variables_of([linear], "pong"))] == list(variables_of([linear], "pong"))
    assert set(names) == {*variables_of([linear], "pong"), *variables_of([readout], "pong")}
    rows = {row.title for row in game_panel(both, [{}, {}], readout.runs[-1], "pong").rows}
    assert {"ball_present", "enemy_y_motion"} <= rows
    drawn = [each.name for each in pictures(both, [*linear.runs, *readout.runs], "pong")]
    assert drawn == names
    assert [each.name for each in pictures(both, [FULL], "pong")] == list(variables_of([linear], "pong"))


def test_without_predictions_the_page_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    paths = [write(read(folder / f"{name}.json"), tmp_path / f"{name}.json") for name in ("a", "b")]
    text = render(load(paths))
    assert "No predictions, so no intervals of means" in text
    assert "not found" in text
    assert "Not compared." in text
    assert "Predicted against true</span>" not in text
    damaged = file_beside(paths[0])
    damaged.write_bytes(b"PAR1 and no more")
    assert "is damaged" in render(load(paths))
    assert "The result has no predictions." in render(load([read(paths[0])]))


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none';" in html.unescape(policy)
    assert "script-src 'none';" in html.unescape(policy)
    assert not re.search(r"<script|<iframe|<link[^>]*stylesheet|@import|url\(", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("#", "data:image/")) for source in sources)
    assert " style=" not in page  # which the policy forbids


@pytest.mark.parametrize("text", [SCRIPT, ATTRIBUTE, TEMPLATE])
def test_a_text_of_a_result_stays_a_text(text: str) -> None:
    values = fields(3)
    values["encoder"]["pretraining_data"] = text
    values["environment"]["cpu"] = text
    values["ranked"], values["unranked_reason"] = False, text
    for scores in values["games"]["pong"]["scores"]:
        scores["variables"][0]["note"] = text
    result = Result(signatures=[], signed=Signed.build(**values))
    # Names are kept to harmless letters by the schema; who skips it must not get further.
    encoder = result.signed.encoder.model_copy(update={"name": text})
    hostile = result.model_copy(update={"signed": result.signed.model_copy(update={"encoder": encoder})})
    (subject,) = load([result])
    shown = render([replace(subject, result=hostile, file=f"{text}.json", missing=text)])
    found = Page(shown)
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert found.handlers == []
    assert found.text.count(text) >= 8


def test_what_does_not_hold_is_not_shown(tmp_path: Path) -> None:
    result = made()
    keygen(tmp_path / "key")
    path = write(sign_result(result, tmp_path / "key"), tmp_path / "signed.json")
    text = path.read_text(encoding="utf-8")
    assert '"cores":' in text
    path.write_text(re.sub(r'("cores": ?)2', r"\g<1>3", text), encoding="utf-8")
    with pytest.raises(SignatureError):
        load([path])
    plain = json.loads(write(result, tmp_path / "means.json").read_text(encoding="utf-8"))
    plain["signed"]["games"]["pong"]["scores"][0]["means"]["score"] = 0.9999
    with pytest.raises(ResultError, match="contradicts itself"):
        load([Result.model_validate(plain)])


def test_scores_that_are_not_of_the_predictions_are_refused(folder: Path) -> None:
    path = folder / "a.json"
    result = read(path)
    plain = json.loads(path.read_text(encoding="utf-8"))["signed"]
    put(plain, "games__pong__scores__1__variables__2__score", lambda f1: round(f1 + 0.001, 4))
    forged = Signed.build(**plain)
    mine = result.with_predictions(predictions.read(file_beside(path), result.signed))
    with pytest.raises(ResultError, match="does not match the predictions"):
        load([Result(signatures=[], signed=forged).with_predictions(mine.predictions)])
    assert load([mine])[0].missing is None


def test_what_cannot_stand_together_is_refused() -> None:
    one = made()
    with pytest.raises(UsageError, match="Duplicate result"):
        load([one, one])
    with pytest.raises(UsageError, match="at most 8 results") as raised:
        load([one] * 9)
    assert "--csv" in str(raised.value.cure)
    with pytest.raises(UsageError, match="at least one"):
        load([])
    values = fields(1)
    values["dataset"]["rules"]["pong"] = digest("other rules")
    with pytest.raises(UsageError, match="different rows or labels of pong"):
        load([one, Result(signatures=[], signed=Signed.build(**values))])


def test_the_command(folder: Path, tmp_path: Path) -> None:
    run: Callable[..., Any] = CliRunner().invoke
    for file in folder.glob("a.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    result = str(tmp_path / "a.json")
    done = run(cli, ["report", result])
    assert done.exit_code == 0, done.output
    page = tmp_path / "a.report.html"
    assert done.output.strip() == str(page)
    before = page.read_bytes()
    done = run(cli, ["report", result])
    assert done.exit_code == 2
    assert "already exists" in done.output
    assert run(cli, ["report", result, "--replace"]).exit_code == 0
    assert page.read_bytes() == before  # the same result gives the same page
    page.unlink()
    done = run(cli, ["report", result, "--csv", str(tmp_path / "a.csv"), "--json"])
    assert json.loads(done.output) == {"html": None, "csv": str(tmp_path / "a.csv"), "logged": []}
    assert not page.exists()
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("encoder,submitter,")
    with pytest.raises(UsageError, match="already exists"):
        write_html(tmp_path / "a.csv", [result])
