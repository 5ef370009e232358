"""Deep states: frozen, never in random play, replayable from a reset, and loaded as every config is."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from click.testing import CliRunner

from atariari_data import get_episodes, load_dataset
from atariari_data.errors import DataError, UnknownNameError, UsageError
from builders.archive import Archive
from builders.audit.branches import Branches
from builders.cli.main import cli
from builders.deep import episodes, record_deep
from builders.freeze import LEARN_SEED, TEST_SEED, record_deep_game, replayed_content
from builders.manifest import frozen_config, load_manifest, load_recording
from builders.recording import PROBE_SPLITS
from builders.replay import replay
from builders.search import search
from builders.verify import verify
from tests.conftest import DEEP_ROWS
from tools import deep_page


@pytest.fixture(scope="module")
def archive() -> Archive:
    return search("montezuma_revenge", Branches("montezuma_revenge", 1), 3_000, seed=1)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache folder in which the small deep Pong is built."""
    folder = str(tmp_path_factory.mktemp("deep"))
    load_dataset("atariari", "pong_deep", cache_dir=folder)
    return folder


def test_no_row_of_a_split_is_in_random_play_or_in_an_earlier_split() -> None:
    seen = {
        frame for config in ("pong", "pong_pretrain") for frame in replayed_content(config, num_proc=1).frame
    }
    content = replayed_content("pong_deep", num_proc=1)
    for number in range(len(PROBE_SPLITS)):
        here = np.flatnonzero(content.split == number)
        kept = [content.frame[int(row)] for row in here if content.kept[row]]
        assert kept
        assert not seen.intersection(kept)
        seen.update(kept)
        assert seen.issuperset(content.frame[int(row)] for row in here)


def test_splits_come_from_two_searches_and_have_about_the_rows_wanted() -> None:
    recording, frozen = load_recording("pong_deep"), frozen_config("pong_deep")
    seeds = {
        recording.header.splits[int(lane.split.max())]: recording.header.lane_seeds[number]
        for number, lane in enumerate(recording.lanes)
    }
    assert seeds == {"train": LEARN_SEED, "validation": LEARN_SEED, "test": TEST_SEED}
    for name, rows in DEEP_ROWS.items():
        split = frozen.splits[name]
        assert 0.7 * rows < split.rows + split.left_out < 2.5 * rows


def test_what_leads_to_an_episode_is_played_and_not_recorded() -> None:
    recording = load_recording("pong_deep")
    assert any((lane.episode < 0).sum() > 20 for lane in recording.lanes)
    for number, lane in enumerate(recording.lanes):
        rows = list(islice(replay(recording, number, left_out=True), 3))
        assert [r.row.step for r in rows] == [0, 1, 2]
        assert len(np.unique(lane.episode[lane.episode >= 0])) == 1


def test_episodes_cover_the_archive_and_go_on_over_lost_lives(archive: Archive) -> None:
    found = episodes(archive, 1_000, 6_000, 60)
    assert found.refused == 0
    rows = [ram for tape in found.tapes for ram in tape.ram]
    assert 1_000 <= len(rows) < 1_700
    assert sum(len(tape.lines) for tape in found.tapes) == found.steps <= 6_000 + 700
    lives = {ram[58] & 7 for ram in rows}
    assert len(lives) > 2
    again = episodes(archive, 1_000, 6_000, 60)
    assert [tape.digest for tape in again.tapes] == [tape.digest for tape in found.tapes]


def test_a_path_that_leads_elsewhere_is_refused_with_all_that_follow_it() -> None:
    archive = search("pong", Branches("pong", 1), 600, seed=1)
    whole = episodes(archive, 400, 3_000, 20)
    broken = len(archive) // 4
    archive.ram[broken] = bytes(128)
    found = episodes(archive, 400, 3_000, 20)
    assert whole.refused == 0 < found.refused
    archive.frame[broken + 1] = bytes(16)
    assert episodes(archive, 400, 3_000, 20).refused > 0
    archive.ram = [bytes(128)] * len(archive)
    assert episodes(archive, 400, 3_000, 20).tapes == []


def test_it_is_loaded_verified_and_streamed_as_every_config_is(deep: str) -> None:
    frozen = frozen_config("pong_deep")
    data = load_dataset("atariari", "ALE/Pong-v5_deep", cache_dir=deep)
    assert {name: len(data[name]) for name in data} == {n: s.rows for n, s in frozen.splits.items()}
    assert frozen.left_out is not None
    found = verify("pong_deep", cache_dir=deep)
    assert found == {n: s.digest for n, s in frozen.splits.items()} | {"left_out": frozen.left_out.digest}
    stream = load_dataset("atariari", "pong_deep", split="test", streaming=True)
    first = next(iter(stream))
    assert (first["ram"], first["step"]) == (data["test"][0]["ram"], data["test"][0]["step"])
    assert data["test"]["is_first"][0] or data["test"]["step"][0] > 0


def test_a_changed_row_that_was_left_out_is_noticed(deep: str, tmp_path: Path) -> None:
    folder = str(shutil.copytree(deep, tmp_path / "cache"))
    builder = datasets.load_dataset_builder("atariari", "pong_deep", cache_dir=folder)
    rows = builder.as_dataset("left_out")
    (file,) = (Path(f["filename"]) for f in rows.cache_files)
    content, ram = file.read_bytes(), bytes(rows[0]["ram"])
    at = content.index(ram)
    file.write_bytes(content[: at + 1] + bytes([content[at + 1] ^ 1]) + content[at + 2 :])
    with pytest.raises(DataError, match="left_out, episode"):
        verify("pong_deep", cache_dir=folder)


def test_get_episodes_gives_the_deep_episodes_in_the_shapes_of_the_original(deep: str) -> None:
    train, validation, labels, _, test, test_labels = get_episodes(
        "PongNoFrameskip-v4", collect_mode="deep", cache_dir=deep
    )
    splits = frozen_config("pong_deep").splits
    assert [len(e) for e in train] == [e.rows for e in splits["train"].episodes]
    assert sum(len(e) for e in validation) == splits["validation"].rows
    assert test[0][0].shape == (1, 210, 160)
    assert len(labels[0]) == len(train[0])
    rows = load_dataset("atariari", "pong_deep", split="test", label_set="anand2019", cache_dir=deep)
    assert test_labels[0][0].items() <= rows[0]["labels"].items()
    with pytest.raises(UsageError, match="frozen"):
        get_episodes("pong", collect_mode="deep", seed=3, cache_dir=deep)
    with pytest.raises(UnknownNameError):
        get_episodes("breakout", collect_mode="deep", cache_dir=deep)


def test_the_commands_know_deep_states() -> None:
    def run(*arguments: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(cli, [*arguments, "--json"], standalone_mode=False)
        assert done.exit_code == 0, done.output
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    rows = sum(split.rows for split in frozen_config("pong_deep").splits.values())
    assert {row["game"]: row["deep"] for row in run("list")} == {"breakout": None, "pong": rows}
    entropies = [
        {row["variable"]: row["entropy"] for row in run("info", name)}
        for name in ("pong", "ALE/Pong-v5_deep")
    ]
    expected = load_manifest("pong_deep").label_sets["v1"]
    assert entropies[1] == {name: s.entropy for name, s in expected.items()} != entropies[0]
    refused = CliRunner().invoke(cli, ["info", "breakout_deep"])
    assert refused.exit_code == 2


def test_what_is_frozen_is_not_recorded_anew(recordings: Path, deep: str) -> None:
    with pytest.raises(UsageError, match="already exists"):
        record_deep_game("pong", recordings, steps=600, num_proc=1, progress=False)
    with pytest.raises(UsageError, match="is frozen"):
        load_dataset("atariari", "pong_deep", steps=500, cache_dir=deep)
    archive = search("pong", Branches("pong", 1), 50, seed=1)
    with pytest.raises(UsageError, match="different seeds"):
        record_deep("pong_deep", archive, archive, ())


def test_the_page_has_the_tables_of_the_committed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATARIARI_RECORDINGS")
    text = deep_page.PAGE.read_text(encoding="utf-8")
    assert deep_page.refreshed(text) == text, "run python -m tools.deep_page"
    games = [found["game"] for found in deep_page.covered()]
    assert all((deep_page.SHEETS / f"{game}.png").is_file() for game in games)
    with pytest.raises(DataError, match="no place"):
        deep_page.refreshed("# A page without marks")
