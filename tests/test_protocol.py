"""Which probes on which rows: names, sizes, and rows that are the same everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from atariari_data.errors import UnknownNameError, UsageError
from atariari_data.games import game, game_names
from builders.content import few_rows
from builders.manifest import Manifest, load_manifest
from harness import protocol, targets
from harness.probes.probe import ProbeRun
from harness.protocol import RANKED, SHOWN, choose_games, choose_runs, suite_of, training_rows


@pytest.fixture(scope="module")
def large() -> Manifest:
    """A manifest with more rows than the small recordings have."""
    manifest = load_manifest("pong")
    config = manifest.configs["pong"]
    splits = {**config.splits, "train": replace(config.splits["train"], rows=5000)}
    return replace(
        manifest, configs={"pong": replace(config, splits=splits)}, train_rows_1k=tuple(few_rows(5000))
    )


def test_the_default_is_what_the_protocol_ranks() -> None:
    deep, *others = SHOWN
    assert choose_runs() == (*RANKED, deep)
    assert [run.title for run in choose_runs()] == ["few", "play", "transfer", "deep"]
    assert choose_runs(["anand2019", "linear", "linear"]) == tuple(others)
    assert choose_runs(["linear", "readout", "anand2019"]) == (*RANKED, *SHOWN)


def test_games_by_any_of_their_names_once_each() -> None:
    assert choose_games(["PongNoFrameskip-v4", "ALE/Breakout-v5", "pong"], "v1") == ["breakout", "pong"]
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'"):
        choose_games(["pnog"], "v1")
    with pytest.raises(UnknownNameError, match="Unknown game with label set anand2019: 'skiing'"):
        choose_games(["ALE/Skiing-v5"], "anand2019")


def test_the_name_of_a_suite_stands_for_its_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "recorded_games", game_names)
    everything, paper, atari100k = (choose_games([name], "v1") for name in ("all", "paper", "atari100k"))
    assert [len(games) for games in (everything, paper, atari100k)] == [38, 22, 26]
    assert set(everything) == {*paper, *atari100k, "skiing"}
    assert choose_games(["paper", "skiing"], "v1") == sorted([*paper, "skiing"])
    of = [suite_of(games, "v1") for games in (everything, paper, atari100k, ["pong"])]
    assert of == ["all", "paper", "atari100k", "all"]


def test_the_rules_of_all_games_do_not_depend_on_the_games(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol.protocol_digest("v1"), protocol.game_rules("pong", "v1")
    monkeypatch.setattr(protocol, "recorded_games", lambda: ("breakout", "pong"))
    assert (protocol.protocol_digest("v1"), protocol.game_rules("pong", "v1")) == before


def test_the_rules_of_a_game_follow_its_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol.game_rules("pong", "v1"), protocol.game_rules("breakout", "v1")
    first, *others = game("pong").variables("v1")
    lower = replace(first, drawn=replace(first.drawn, offset=-13))  # type: ignore[type-var]
    changed = replace(game("pong"), label_sets={"v1": (lower, *others)})
    monkeypatch.setattr(targets, "game", lambda name: changed if name == "pong" else game(name))
    after = protocol.game_rules("pong", "v1"), protocol.game_rules("breakout", "v1")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_sizes_in_words_and_numbers_once_each_many_rows_first() -> None:
    given: list[str | int] = ["100", "all", 1000, "10000", "full", "1k", 100, "1_000"]
    assert [run.train_rows for run in choose_runs(None, given)] == ["full", 10_000, "1k", 100]
    both = choose_runs(["anand2019", "linear"], [50, "all"])
    assert both == tuple(ProbeRun(p, n) for p in ("linear", "anand2019") for n in ("full", 50))


@pytest.mark.parametrize("size", [0, -1, "0", "1.5", "many", "", "1e3", True, "٣"])
def test_what_is_no_number_of_rows(size: str | int) -> None:
    with pytest.raises(UsageError, match="Not a number of training rows"):
        choose_runs(None, [size])


def test_wrong_probes_and_sizes() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'linear'"):
        choose_runs(["liner"])
    with pytest.raises(UsageError, match="No training sizes"):
        choose_runs(None, [])
    with pytest.raises(UsageError, match="must be lists"):
        choose_runs("linear")
    with pytest.raises(UsageError, match="Too many"):
        choose_runs(["linear", "anand2019"], list(range(1, 10)))


def test_more_rows_than_there_are(large: Manifest) -> None:
    protocol.check_sizes(choose_runs(None, [5000, "all", "1k"]), [large])
    with pytest.raises(UsageError, match=r"pong does not have(.|\n)*at most 5,000(.|\n)*5,001"):
        protocol.check_sizes(choose_runs(None, [5001]), [large])


def test_every_size_holds_the_smaller_ones_and_1k_is_the_frozen_one(large: Manifest) -> None:
    assert training_rows(large, ProbeRun("linear", "full")) is None
    before: set[int] = set()
    for size in (1, 10, 999, "1k", 1001, 4000, 5000):
        rows = training_rows(large, ProbeRun("linear", size))
        assert rows is not None
        assert len(set(rows.tolist())) == len(rows) == (1000 if size == "1k" else size)
        assert (np.diff(rows) > 0).all()
        assert before <= set(rows.tolist())
        before = set(rows.tolist())
    assert before == set(range(5000))
    few = training_rows(large, ProbeRun("linear", "1k"))
    assert few is not None
    assert few.tolist() == list(large.train_rows_1k)


def test_rows_of_a_size_are_frozen(large: Manifest) -> None:
    rows = training_rows(large, ProbeRun("linear", 5))
    assert rows is not None
    assert rows.tolist() == [2466, 2760, 2990, 3632, 4864]


def test_the_digest_says_which_rules() -> None:
    assert protocol.protocol_digest("v1") == protocol.protocol_digest("v1")
    assert protocol.protocol_digest("v1") != protocol.protocol_digest("anand2019")


def test_what_decides_a_score_is_in_the_digest_and_nothing_else() -> None:
    manifest = load_manifest("pong")
    label_sets = manifest.label_sets
    statistics = replace(label_sets["v1"]["ball_x"], ceiling_f1=0.5)
    changed = {
        "ale_py": replace(manifest, ale_py=[*manifest.ale_py, "9.0"]),
        "v1": replace(manifest, label_sets={**label_sets, "v1": {**label_sets["v1"], "ball_x": statistics}}),
        "both": replace(manifest, train_rows_1k=manifest.train_rows_1k[:-1]),
    }
    same = {
        (what, label_set): other.rules(label_set) == manifest.rules(label_set)
        for what, other in changed.items()
        for label_set in label_sets
    }
    assert [key for key, equal in same.items() if not equal] == [
        ("v1", "v1"),
        *(("both", label_set) for label_set in label_sets),
    ]


def test_only_the_protocol_s_probes_rank() -> None:
    assert protocol.unranked_reason(choose_runs()) is None
    assert protocol.unranked_reason(choose_runs(["linear", "readout"])) is None
    reason = protocol.unranked_reason(choose_runs(None, [100, 1000, "all"]))
    assert reason == "other probes than the protocol's: without readout, transfer"
    reason = protocol.unranked_reason(choose_runs(["linear"]))
    missing = "readout, few and readout, play and readout, transfer"
    assert reason == f"other probes than the protocol's: without {missing}"
