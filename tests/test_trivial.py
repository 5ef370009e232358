"""Trivial encoders: what they are, how their scores are made and kept, and what stands beside a score."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.decomposition import PCA

import harness
from atariari_data.errors import DataError, UnknownNameError, UsageError
from atariari_data.games import Condition, game
from builders.manifest import load_manifest
from harness import targets
from harness.encoders.encoder import EncoderError
from harness.encoders.frame_spec import FrameSpec
from harness.evaluation.trivial import make
from harness.probes.probe import ProbeRun
from harness.results import means
from harness.results.canonical import ResultError
from harness.results.consistency import check
from harness.results.result import Signed
from harness.results.verify import check_manifests
from harness.splits import open_split
from harness.trivial import store
from harness.trivial.encoders import COMPONENTS, ENCODERS, pixels_pca, random_projection
from tests.package import run_on_package

Pixels = npt.NDArray[np.uint8]


def coarse(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return frames[:, 0, ::20, ::20].reshape(len(frames), -1)


@pytest.fixture(scope="module")
def made(built: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trivial")
    (file,) = make(["pong"], folder, probes=["linear"], cache_dir=built, progress=False)
    assert file == folder / "pong.json"
    return folder


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """Frames of a screen that mostly stands still: 600 of rank about 40, a little noise on top."""
    generator = np.random.default_rng(0)
    found = np.full((600, 210 * 160), 90, np.uint8)
    moving = generator.choice(210 * 160, 3000, replace=False)
    parts = (
        generator.standard_normal((600, 40)) * np.linspace(9, 1, 40) @ generator.standard_normal((40, 3000))
    )
    found[:, moving] = np.clip(parts + 120, 0, 255).astype(np.uint8)
    return found


def test_the_pca_is_that_of_scikit_learn(pixels: Pixels) -> None:
    ours = pixels_pca(pixels)
    vary = np.flatnonzero(np.ptp(pixels, axis=0))
    theirs = PCA(40, svd_solver="full").fit(pixels[:, vary] / 255)
    features = ours.project(pixels)
    assert features.shape == (600, COMPONENTS)
    assert features[:, :40].var(axis=0) == pytest.approx(theirs.explained_variance_ * 599 / 600, rel=1e-3)
    lined_up = np.abs(ours.weights[vary, :20].T @ theirs.components_[:20].T)
    assert np.diag(lined_up) == pytest.approx(1, abs=1e-2)
    assert features.mean(axis=0) == pytest.approx(0, abs=1e-3)
    gram = ours.weights.T @ ours.weights
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-4


def test_a_pca_of_few_or_equal_frames(pixels: Pixels) -> None:
    few = pixels_pca(pixels[:5])
    assert (np.abs(few.weights).sum(axis=0) > 0).sum() == 4, "five frames have rank four"
    assert np.isfinite(few.project(pixels[:50])).all()
    assert not pixels_pca(np.repeat(pixels[:1], 9, axis=0)).project(pixels[:1]).any()


def test_a_smaller_pca_has_the_first_components_of_the_large_one(built: str) -> None:
    training = open_split("pong", "train", limit=80, cache_dir=built)
    frames = np.concatenate(list(training.batches(FrameSpec())))
    whole, small = (harness.load_encoder(name) for name in ("pixels-pca", "pixels-pca-16"))
    assert (small.feature_size, small.name) == (16, "pixels-pca-16")
    assert len({whole.source_digest, small.source_digest}) == 2
    features = whole.for_game(training).embed(frames)
    np.testing.assert_allclose(small.for_game(training).embed(frames), features[:, :16], atol=1e-4)


def test_the_projection_keeps_distances_and_is_frozen(pixels: Pixels) -> None:
    made = random_projection()
    features = made.project(pixels[::60])
    for a, b in ((0, 1), (2, 7), (3, 4)):
        far = np.linalg.norm((pixels[60 * a] / 255.0) - (pixels[60 * b] / 255.0))
        assert np.linalg.norm(features[a] - features[b]) == pytest.approx(far, rel=0.25)
    assert made.weights[0, :3] == pytest.approx([0.1102533, -0.0294804, -0.0687917], abs=1e-6)


def test_stored_scores_are_those_of_the_encoders_by_name(
    made: Path, built: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FOLDER", made)
    for name, label_set in zip(ENCODERS, ("v1", "anand2019"), strict=True):
        key = name.replace("-", "_")
        options = {"label_set": label_set, "train_sizes": ["all"], "cache_dir": built, "progress": False}
        options |= {"probes": ["linear"]}
        result = harness.evaluate(name, games=["pong"], use_cache=False, **options)  # type: ignore[arg-type]
        assert result.signed.encoder.feature_size == COMPONENTS
        assert result.signed.encoder.name == name
        (scores,) = result.signed.games["pong"].scores
        assert scores.trivial_reason is None
        for variable in scores.variables:
            assert getattr(variable, key) == pytest.approx(variable.score, abs=0.02)
            three = (variable.constant, variable.pixels_pca, variable.random_projection)
            assert variable.trivial == max(f1 for f1 in three if f1 is not None)


def test_a_result_has_them_beside_every_score_and_means_and_normalised_scores_follow(
    made: Path, built: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FOLDER", made)
    runs = {"probes": ["linear", "anand2019"], "games": ["pong"], "cache_dir": built, "progress": False}
    signed = harness.evaluate(coarse, **runs).signed  # type: ignore[arg-type]
    check(signed)
    full, _, adam = signed.games["pong"].scores
    assert adam.trivial_reason == "not made for anand2019, all rows, label set v1"
    assert {v.trivial for v in adam.variables} == {None}
    assert adam.means.score is not None, "F1 itself does not hang on it"
    for row in (*full.variables, full.means, *full.means.categories):
        assert row.score is not None
        assert row.trivial is not None
        assert row.ceiling is not None
        room = row.ceiling - row.trivial
        if round(room, 4) < 0.05:
            assert row.normalised is None
        else:
            expected = max(-1, (row.score - row.trivial) / room)
            assert row.normalised == pytest.approx(expected, abs=1e-4)


def test_a_dry_run_has_none_and_says_why(made: Path, built: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FOLDER", made)
    dry = harness.evaluate(
        coarse, games=["pong"], probes=["linear"], limit=50, cache_dir=built, progress=False
    ).signed
    scores = dry.games["pong"].scores[0]
    assert scores.trivial_reason is not None
    assert "dry run" in scores.trivial_reason
    assert {v.normalised for v in scores.variables} == {None}
    check(dry)


@pytest.mark.parametrize(
    ("score", "trivial", "ceiling", "expected"),
    [
        (0.75, 0.5, 1.0, 0.5),
        (0.4, 0.5, 1.0, -0.2),
        (0.95, 0.9, 0.95, 1),
        (0.3, 0.9, 1.0, -1),
        (0.5001, 0.5, 0.8, 0.0003),
        pytest.param(0.9, 0.9, 0.9, None, id="no room"),
        pytest.param(0.9, 0.9, 0.9499, None, id="no room to tell"),
        pytest.param(0.99, 0.95, 0.9, None, id="a ceiling under the trivial encoder"),
        pytest.param(0.9, None, 1.0, None, id="unknown"),
    ],
)
def test_normalised_score(
    score: float, trivial: float | None, ceiling: float, expected: float | None
) -> None:
    assert means.normalised(score, trivial, ceiling) == expected


def test_a_forged_trivial_score_does_not_follow(
    made: Path, built: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FOLDER", made)
    signed = harness.evaluate(
        coarse, games=["pong"], probes=["linear"], cache_dir=built, progress=False
    ).signed
    assert check_manifests(signed)
    values: dict[str, Any] = json.loads(json.dumps(signed.plain))
    values["games"]["pong"]["scores"][0]["variables"]["pixels_pca"][0] = 0.0001
    forged = Signed.model_validate(values)
    with pytest.raises(ResultError, match="trivial"):
        check(forged)


def test_a_result_with_lower_trivial_scores_that_follow_is_found_out(
    made: Path, built: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FOLDER", made)
    signed = harness.evaluate(
        coarse, games=["pong"], probes=["linear"], cache_dir=built, progress=False
    ).signed
    values: dict[str, Any] = json.loads(json.dumps(signed.plain))
    variables = values["games"]["pong"]["scores"][0]["variables"]
    for key in ("pixels_pca", "random_projection"):
        variables[key] = [0] * len(variables[key])
    for key in ("suite", "schema_version"):
        values.pop(key)
    forged = Signed.build(**values)
    check(forged)
    with pytest.raises(ResultError, match="pixels_pca"):
        check_manifests(forged)


def test_what_was_made_is_not_made_again_and_other_rules_do_not_pass(
    made: Path, built: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (made / "pong.json").stat().st_mtime_ns
    assert make(["pong"], made, probes=["linear"], cache_dir=built, progress=False) == [made / "pong.json"]
    assert (made / "pong.json").stat().st_mtime_ns == before
    manifest, run = load_manifest("pong"), ProbeRun("linear", "full")
    more = tmp_path / "more"
    more.mkdir()
    (more / "pong.json").write_bytes((made / "pong.json").read_bytes())
    make(["pong"], more, probes=["linear"], train_sizes=[10], cache_dir=built, progress=False)
    old, new = (store.current(folder / "pong.json", manifest) for folder in (made, more))
    assert {key: new[key] for key in old} == old
    assert new.keys() - old.keys() == {(s, ProbeRun("linear", 10)) for s in ("v1", "anand2019")}
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    assert store.look_up(manifest, "v1", run).reason == "not made for pong: harness trivial makes them"
    content = json.loads((made / "pong.json").read_text())
    for scores in content["scores"]:
        scores["rules"] = "blake3:" + "0" * 64
    (tmp_path / "pong.json").write_text(json.dumps(content))
    assert store.look_up(manifest, "v1", run).reason == "made under other rules or on other rows"
    (tmp_path / "pong.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(DataError, match="newer"):
        store.look_up(manifest, "v1", run)
    (tmp_path / "pong.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        store.look_up(manifest, "v1", run)


def test_label_sets_share_a_probe_where_their_labels_are_the_same(made: Path) -> None:
    scores = json.loads((made / "pong.json").read_text())["scores"]
    assert {(s["label_set"], s["probe"], s["train_rows"]) for s in scores} == {
        (label_set, "linear", rows) for label_set in ("v1", "anand2019") for rows in ("full", "1k")
    }
    v1, paper = (
        next(s for s in scores if (s["label_set"], s["train_rows"]) == (name, "full"))["scores"]
        for name in ("v1", "anand2019")
    )
    assert v1["pixels-pca"]["ball_x"] == paper["pixels-pca"]["ball_x"]


def test_pixels_pca_needs_a_game_and_nothing_about_it_can_be_chosen() -> None:
    from harness.conformance import check as try_rules

    findings = try_rules("pixels-pca", seconds=0)
    assert "not fitted to a game yet" in findings[0].message
    for options in ({"spec": "color=rgb"}, {"pool": "mean"}, {"autocast": True}):
        with pytest.raises((UsageError, EncoderError)):
            harness.evaluate("pixels-pca", games=["pong"], **options)


def test_stored_scores_in_the_package_are_of_its_own_manifests() -> None:
    code = (
        "from builders.manifest import load_manifest\n"
        "from harness.protocol import RANKED, SHOWN\n"
        "from harness.probes.registry import load_probe\n"
        "from harness.targets import targets_of\n"
        "from harness.trivial import store\n"
        "from atariari_data.games import game\n"
        "for file in sorted(store.FOLDER.glob('*.json')):\n"
        "    manifest = load_manifest(file.stem)\n"
        "    for label_set in game(file.stem).label_sets:\n"
        "        for run in (*RANKED, *SHOWN):\n"
        "            beside = store.look_up(manifest, label_set, run)\n"
        "            if (beside.reason or '').startswith(f'not made for {run}'):\n"
        "                continue\n"
        "            assert beside.reason is None, (file, beside.reason)\n"
        "            for scores in beside.scores.values():\n"
        "                if load_probe(run.probe).metric == 'f1':\n"
        "                    assert list(scores) == list(manifest.probed(label_set))\n"
        "                else:\n"
        "                    known = [t.name for t in targets_of(file.stem, label_set)]\n"
        "                    assert list(scores) == [n for n in known if n in beside.ceilings]\n"
    )
    run_on_package(code)


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'"):
        make(["pogn"], tmp_path)
    with pytest.raises(UnknownNameError, match="probe"):
        make(["pong"], tmp_path, probes=["liner"])


def test_when_a_thing_is_there_is_a_rule_and_words_about_it_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pong, manifest, run = game("pong"), load_manifest("pong"), ProbeRun("readout", "full")
    before = store.rules_digest(manifest, "v1", run)

    def digest(**changes: Any) -> str:
        first, *others = pong.label_sets["v1"]
        label_sets = {**pong.label_sets, "v1": (replace(first, **changes), *others)}
        monkeypatch.setattr(targets, "game", lambda _: replace(pong, label_sets=label_sets))
        return store.rules_digest(manifest, "v1", run)

    assert digest(description="Another word.", source="seen") == before
    assert digest(there=((Condition(3, (1,)),),)) != before
