"""The readout probe in an evaluation: play, few, transfer and deep on the small recordings."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import harness
from builders.manifest import load_manifest
from harness.evaluation.ceilings import best_of_frames, ceilings_of
from harness.evaluation.scoring import ProbeData, _bounded, _gradient_log10, score
from harness.evaluation.trivial import make
from harness.metrics import Bootstrap, score_explained
from harness.probes.probe import DRAWS, FEW, Fit, ProbeRun
from harness.probes.target import Target
from harness.protocol import few_draws
from harness.results import predictions_file
from harness.results.canonical import ResultError, whole_as_integers
from harness.results.consistency import check
from harness.results.means import fill
from harness.results.result import Signed
from harness.results.result_file import read, write
from harness.results.verify import check_manifests
from harness.splits import open_split
from harness.targets import MOTION
from harness.trivial import store
from tests.made_results import fields, put

Frames = npt.NDArray[np.float32]

PLAY, TRANSFER = ProbeRun("readout", "full"), ProbeRun("readout", "full", "play", "deep")
FEW_ROWS, DEEP = ProbeRun("readout", FEW), ProbeRun("readout", "full", "deep", "deep")


def coarse(frames: Frames) -> Frames:
    """Every tenth pixel."""
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)


@pytest.fixture(scope="module")
def result(built: str) -> harness.Result:
    return harness.evaluate(coarse, games=["pong"], probes=["readout"], progress=False, cache_dir=built)


def test_the_scores_stand_side_by_side_and_follow(result: harness.Result, tmp_path: Path) -> None:
    signed = result.signed
    assert [probe.run for probe in signed.probes] == [FEW_ROWS, PLAY, TRANSFER, DEEP]
    assert [probe.run.title for probe in signed.probes] == ["few", "play", "transfer", "deep"]
    assert set(signed.dataset.splits["pong"]) == {
        *("train", "validation", "test"),
        *("deep_train", "deep_validation", "deep_test"),
    }
    check(signed)
    assert check_manifests(signed)
    path = write(result, tmp_path / "a.json")
    again = predictions_file.read(predictions_file.file_beside(path), read(path).signed)
    game = signed.games["pong"]
    assert [scores.fits for scores in game.scores] == [DRAWS, 1, 1, 1]
    for scores in game.scores:
        predicted = again["pong"][scores.run]
        bootstrap = Bootstrap.over(predicted.episode)
        for v, variable in enumerate(scores.variables):
            found = predicted.score(v, "explained", variable.target, bootstrap)
            assert variable.score == pytest.approx(found.score, abs=6e-5)
            assert variable.constant == 0


def test_the_ceiling_of_few_rows_is_their_own(result: harness.Result) -> None:
    plain = copy.deepcopy(result.signed.plain)
    for scores, ceiling in zip(plain["games"]["pong"]["scores"], (0.95, 0.9, 0.9, 0.9), strict=True):
        scores["variables"]["ceiling"] = [ceiling] * len(scores["variables"]["name"])
    fill(plain)
    check(Signed.model_validate(plain))


def test_motion_is_shown_but_is_not_part_of_a_mean() -> None:
    values = fields(games=("pong",), suite=("pong",))
    rows = values["games"]["pong"]["scores"][0]["variables"]
    before = Signed.build(**copy.deepcopy(values)).games["pong"].scores[0].means
    rows.append({**rows[0], "name": "ball_x_motion", "categories": [MOTION]})
    built = Signed.build(**values)
    means = built.games["pong"].scores[0].means
    shown = {mean.category: mean.score for mean in means.categories}
    assert shown.pop(MOTION) == pytest.approx(rows[0]["score"], abs=1e-4)
    assert shown == {mean.category: mean.score for mean in before.categories}
    assert means.score == before.score == built.suite[0].means.score


def test_a_transfer_to_the_same_rows_is_play(built: str) -> None:
    manifest = load_manifest("pong")
    rows = {split: open_split("pong", split, cache_dir=built) for split in ("train", "validation", "test")}
    rows["deep_test"] = rows["test"]
    generator = np.random.default_rng(0)
    features = {}
    for split, part in rows.items():
        noise = generator.standard_normal((len(part), 4), np.float32)
        features[split] = np.concatenate([part.ram[:, :64].astype(np.float32), noise], axis=1)
    features["deep_test"] = features["test"]
    data = ProbeData(manifest, "v1", rows, features, "cpu", dry=False)
    (transfer, _), (play, _) = score(data, [TRANSFER, PLAY], lambda _: None)
    assert transfer.variables == play.variables
    assert max(v.score for v in play.variables) > 0.5


def test_draws_of_few_rows_are_frozen() -> None:
    draws = few_draws("pong", "play", 33_940)
    assert len(draws) == DRAWS
    assert {len(set(draw.tolist())) for draw in draws} == {FEW}
    assert draws[0][:3].tolist() == [467, 604, 759]
    assert len({draw.tobytes() for draw in draws}) == DRAWS
    assert [len(draw) for draw in few_draws("pong", "play", 40)] == [40] * DRAWS


def test_a_fit_that_explodes_has_the_score_0_and_not_an_error() -> None:
    assert _bounded(-5e14) == -1e11
    assert _bounded(None) is None
    exact = Fit((np.zeros(2),), 0.0, strength=1e-4, gradient_norm=0.0)
    assert _gradient_log10(exact) == -30, "features without any variance have a gradient of 0"
    assert _gradient_log10(Fit((np.zeros(2),), 0.0)) is None


def test_a_score_is_the_share_of_what_a_constant_leaves_unknown() -> None:
    truth = np.array([0.0, 10, 20, np.nan, 30])
    bootstrap = Bootstrap.over(np.array([0, 0, 1, 1, 1]))
    halfway = np.array([[7.5, 12.5, 17.5, 0, 22.5]])
    found = score_explained(truth, halfway, np.array([15.0]), bootstrap)
    assert found.raw == pytest.approx(0.75)
    assert (found.error, found.constant_error) == (5, 10)
    worse = score_explained(truth, -halfway, np.array([15.0]), bootstrap)
    assert worse.raw < 0
    assert worse.score == 0
    both = score_explained(truth, np.concatenate([halfway, -halfway]), np.array([15.0, 15]), bootstrap)
    assert both.score == pytest.approx((found.score + 0) / 2)
    unseen = score_explained(truth, np.full((1, 5), np.nan), np.array([np.nan]), bootstrap)
    assert unseen.score == 0
    flags = score_explained(
        np.array([0, 1, 1, 1.0]),
        np.array([[0, 1, 1, 0.0]]),
        np.ones(1),
        Bootstrap.over(np.arange(4)),
        nominal=True,
    )
    assert (flags.raw, flags.accuracy, flags.constant_accuracy) == (0, 0.75, 0.75)
    rare = score_explained(  # a fit whose training rows had nothing but 0 gains nothing by guessing 1
        np.array([0, 1, 1, 1.0]), np.ones((1, 4)), np.zeros(1), Bootstrap.over(np.arange(4)), nominal=True
    )
    assert (rare.raw, rare.constant_accuracy) == (0, 0.75)
    two = Bootstrap.over(np.arange(2))
    around = score_explained(np.array([15.0, 1]), np.array([[0, 0.0]]), np.zeros(1), two, period=16)
    assert around.error == 1


def test_the_ceiling_is_the_best_answer_for_each_frame(result: harness.Result, built: str) -> None:
    truth = np.array([1.0, 3, 5, np.nan, 7])
    frames = np.array([0, 0, 1, 1, 2])
    assert best_of_frames(truth, frames, Target("x", "ordered"))[[0, 1, 2, 4]].tolist() == [2, 2, 5, 7]
    ceilings = ceilings_of(result, "pong", [s.run for s in result.signed.games["pong"].scores], built)
    assert set(ceilings) == {TRANSFER, PLAY, FEW_ROWS, DEEP}
    for run, found in ceilings.items():
        scores = next(s for s in result.signed.games["pong"].scores if s.run == run)
        for variable in scores.variables:
            assert (variable.score or 0) <= found[variable.name] + 1e-3
            assert 0.5 < found[variable.name] <= 1


def test_floors_and_ceilings_are_made_once_and_stand_beside_every_score(
    tmp_path: Path, built: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = make(["pong"], tmp_path, probes=["readout"], cache_dir=built, progress=False)
    stored = json.loads(file.read_text(encoding="ascii"))["scores"]
    assert {tuple(item["scores"]) for item in stored} == {("pixels-pca", "random-projection", "random-cnn")}
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    found = harness.evaluate(coarse, games=["pong"], probes=["readout"], progress=False, cache_dir=built)
    check(found.signed)
    assert check_manifests(found.signed)
    for scores in found.signed.games["pong"].scores:
        assert scores.trivial_reason is None
        for variable in scores.variables:
            floors = (variable.pixels_pca, variable.random_projection, variable.random_cnn, 0.0)
            assert variable.trivial == max(floor for floor in floors if floor is not None)
            assert variable.ceiling is not None
            assert (variable.score or 0) <= variable.ceiling + 1e-3


def without_first(result: harness.Result) -> Signed:
    """Return a result whose author left the first variable out of every run."""
    plain = json.loads(json.dumps(result.signed.plain))
    game = plain["games"]["pong"]
    for table in (game["variables"]["explained"], *(scores["variables"] for scores in game["scores"])):
        for column in table.values():
            del column[0]
    fill(plain)
    return Signed.model_validate(plain)


@pytest.mark.parametrize("stored", [[FEW_ROWS], [PLAY], [FEW_ROWS, PLAY, TRANSFER, DEEP]])
def test_no_variable_is_left_out(
    result: harness.Result, stored: list[ProbeRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even under another number of training rows than the stored scores are of."""
    names = {scores.run: scores.variables.column("name") for scores in result.signed.games["pong"].scores}

    def look_up(_: object, __: str, run: ProbeRun) -> store.Beside:
        known = (
            {encoder: dict.fromkeys(names[run], 0.5) for encoder in store.FIELDS} if run in stored else None
        )
        return store.Beside(known, {}, "not made")

    fewer = without_first(result)
    check(fewer)
    assert check_manifests(fewer)
    monkeypatch.setattr(store, "look_up", look_up)
    assert check_manifests(result.signed)
    with pytest.raises(ResultError, match="pong: variables under readout, few"):
        check_manifests(fewer)


ROW = "scores__1__variables__0__"


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (ROW + "score", 0.9999, "score is not raw|interval does not contain"),
        (ROW + "constant", 0.1, "a constant is not 0"),
        (ROW + "error", -1, "error is null or negative"),
        (ROW + "n", 10**6, "n is not the number of test rows"),
        ("variables__explained__kind__0", "circular", "only what is circular has a period"),
        (ROW + "strength_log10", 0.5, "not on the grid"),
        (ROW + "gradient_log10", 1, "not on the grid"),
        ("scores__0__fits", 1, "fits of readout, few"),
        ("scores__0__fits", 200, "fits of readout, few"),
        ("scores__1__fits", 10, "fits of readout, play"),
        (ROW + "ceiling", 0.01, "score exceeds that of any function of a single frame"),
    ],
)
def test_numbers_of_a_readout_must_follow(result: harness.Result, path: str, value: Any, match: str) -> None:
    plain = json.loads(json.dumps(result.signed.plain))
    put(plain, f"games__pong__{path}", value)
    with pytest.raises(ResultError, match=match):
        check(Signed.model_validate(plain))


def test_several_fits_cannot_all_be_better_than_raw(result: harness.Result) -> None:
    """Only a fit that is cut off at 0 raises the mean, and it has 0 then."""

    def scored(score: float, raw: float) -> Signed:
        plain = json.loads(json.dumps(result.signed.plain))
        for field, value in {"score": score, "raw": raw, "interval": [0, 1]}.items():
            put(plain, f"games__pong__scores__0__variables__0__{field}", value)
        fill(plain)
        return Signed.model_validate(whole_as_integers(plain))

    check(scored(0.9, -5))  # nine are perfect and one is far off
    check(scored(0.95, 0.95))
    with pytest.raises(ResultError, match=r"no 10 fits with this raw have this score(.|\n)*0\.5 to 0\.9"):
        check(scored(0.95, 0.5))


def test_presence_is_known_on_every_row(result: harness.Result) -> None:
    plain = json.loads(json.dumps(result.signed.plain))
    for scores in plain["games"]["pong"]["scores"]:
        table = scores["variables"]
        first = next(at for at, name in enumerate(table["name"]) if name.endswith("_present"))
        table["n"][first] -= 1
    with pytest.raises(ResultError, match="_present under readout, few: n is not the number of test rows"):
        check(Signed.model_validate(plain))


def test_a_game_without_deep_states_has_no_transfer(built: str) -> None:
    found = harness.evaluate(
        coarse, games=["breakout"], probes=["readout"], limit=150, progress=False, cache_dir=built
    ).signed
    assert [probe.run for probe in found.probes] == [FEW_ROWS, PLAY]
    assert not found.ranked
    check(found)
