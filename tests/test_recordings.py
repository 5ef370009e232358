"""Recordings: the small ones made for the tests, and the committed ones."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import atariari_data
from atariari_data.errors import AtariariError, DataError, DriftError, UsageError
from atariari_data.games import game_names
from builders import emulator, replay
from builders.cli.main import cli
from builders.deep import MOST_STEPS, ROWS
from builders.digest import NULL_ACTION
from builders.freeze import LEARN_SEED, TEST_SEED, record_game, replayed_content
from builders.manifest import (
    DEEP,
    SUFFIXES,
    Manifest,
    frozen_config,
    game_of_config,
    load_manifest,
    load_recording,
    recorded_games,
    version_of,
)
from builders.record import PRETRAIN, PROBE, Protocol, record
from builders.recording import PROBE_SPLITS, Recording

PACKAGE = Path(atariari_data.__file__).parent
COMMITTED = sorted(file.stem for file in (PACKAGE / "recordings").glob("*.parquet"))
GAMES = sorted({game_of_config(config) for config in COMMITTED})
DEEP_CONFIGS = [config for config in COMMITTED if config.endswith(DEEP)]


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATARIARI_RECORDINGS")


@pytest.mark.usefixtures("committed")
def test_all_configs_are_committed_each_in_its_version() -> None:
    assert {f"{game}{suffix}" for game in game_names() for suffix in SUFFIXES} == set(COMMITTED)
    versions = {config: version_of(config) for config in ("pong", "pong_pretrain", "pong_deep", "alien")}
    assert versions == {"pong": "1.0.0", "pong_pretrain": "1.0.0", "pong_deep": "1.1.0", "alien": "1.2.0"}
    folders = ("recordings", "manifests", "coverage")
    assert sum(f.stat().st_size for d in folders for f in (PACKAGE / d).iterdir()) < 20e6


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("config", [config for config in COMMITTED if config not in DEEP_CONFIGS])
def test_a_committed_recording_replays_and_is_what_the_protocol_says(config: str) -> None:
    recording = load_recording(config)
    protocol = PRETRAIN if config.endswith("_pretrain") else PROBE
    assert tuple(recording.header.splits) == protocol.splits
    assert recording.header.seed == protocol.seed
    kept = sum(int((lane.episode >= 0).sum()) for lane in recording.lanes)
    assert protocol.rows <= kept < protocol.rows + 8 * 65
    actions = set(np.unique(np.concatenate([lane.action[lane.episode >= 0] for lane in recording.lanes])))
    assert 0 not in actions, "NOOP is not an action of the random policy"
    lane = len(config) % 8
    rows = list(islice(replay.replay(recording, lane), 60))  # each is compared with its check byte
    assert len(rows) == 60


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("config", DEEP_CONFIGS)
def test_a_committed_deep_recording_replays_and_is_what_it_should_be(config: str) -> None:
    recording, frozen = load_recording(config), frozen_config(config)
    assert tuple(recording.header.splits) == PROBE_SPLITS
    assert set(recording.header.lane_seeds) == {LEARN_SEED, TEST_SEED}
    assert sum(len(lane.action) for lane in recording.lanes) < 1.05 * MOST_STEPS
    for name, rows in ROWS.items():
        split = frozen.splits[name]
        assert 0.5 * rows < split.rows + split.left_out < 1.5 * rows
        seeds = {
            seed
            for lane, seed in zip(recording.lanes, recording.header.lane_seeds, strict=True)
            if (lane.split == PROBE_SPLITS.index(name)).any()
        }
        assert seeds == {TEST_SEED if name == "test" else LEARN_SEED}
    assert frozen.left_out is not None
    assert frozen.left_out.rows == sum(split.left_out for split in frozen.splits.values())
    shortest = min(range(len(recording.lanes)), key=lambda lane: len(recording.lanes[lane].action))
    assert list(islice(replay.replay(recording, shortest, left_out=True), 60))


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("game", [*GAMES, *DEEP_CONFIGS])
def test_a_committed_manifest_agrees_with_its_recordings(game: str) -> None:
    manifest = load_manifest(game)
    for config, frozen in manifest.configs.items():
        recording = load_recording(config)
        split = np.concatenate([lane.split for lane in recording.lanes])
        kept = np.concatenate([lane.kept for lane in recording.lanes])
        for number, name in enumerate(recording.header.splits):
            rows = int((kept & (split == number)).sum())
            assert frozen.splits[name].rows == rows == sum(e.rows for e in frozen.splits[name].episodes)
            assert frozen.splits[name].left_out == int((~kept & (split == number)).sum())
    assert len(manifest.train_rows_1k) == 1000
    assert max(manifest.train_rows_1k) < manifest.configs[game].splits["train"].rows
    for label_set, statistics in manifest.label_sets.items():
        names = [v.name for v in atariari_data.game(game_of_config(game)).variables(label_set)]
        assert list(statistics) == names, "run atariari-data relabel after changing annotations"


def test_recording_does_not_depend_on_the_number_of_processes() -> None:
    small = Protocol(rows=560, seed=3, splits=PROBE_SPLITS, cuts=(0.7, 0.8))
    one, content = record("pong", "pong", small, num_proc=1)
    two, _ = record("pong", "pong", small, num_proc=2)
    assert one.to_bytes() == two.to_bytes()
    assert {len(d) for d in content.digest} == {32}


def test_too_few_episodes_are_an_error() -> None:
    with pytest.raises(UsageError, match="do not fill the splits"):
        record("pong", "pong", Protocol(130, 3, PROBE_SPLITS, (0.7, 0.8)), lanes=2)


def test_replay_gives_what_was_recorded() -> None:
    small = Protocol(rows=560, seed=5, splits=PROBE_SPLITS, cuts=(0.7, 0.8))
    recording, content = record("breakout", "breakout", small)
    again = Recording.from_bytes(recording.to_bytes(), "breakout")
    rows = [row for lane in range(8) for row in replay.replay(again, lane)]
    assert [r.digest for r in rows] == [d for d, k in zip(content.digest, content.kept, strict=True) if k]
    everything = [row for lane in range(8) for row in replay.replay(again, lane, left_out=True)]
    assert [r.digest for r in everything] == list(content.digest)


def test_episodes_are_cut_at_lost_lives_and_never_short() -> None:
    recording = load_recording("breakout")
    for lane in range(8):
        lives: dict[int, list[int]] = {}
        for r in replay.replay(recording, lane, left_out=True):
            lives.setdefault(r.episode, []).append(r.row.lives)
            assert r.row.is_last == (r.row.action == NULL_ACTION)
            assert not (r.row.is_terminal and not r.row.is_last)
        for counts in lives.values():
            assert len(counts) > 64
            assert len(set(counts[:-1])) == 1


def test_the_splits_share_no_frame() -> None:
    content = replayed_content("breakout", num_proc=1)
    assert not content.kept.all(), "nothing was left out, so this shows nothing"
    frames = [
        {f for f, s, k in zip(content.frame, content.split, content.kept, strict=True) if s == n and k}
        for n in range(3)
    ]
    assert not frames[0] & frames[1]
    assert not frames[0] & frames[2]
    assert not frames[1] & frames[2]
    assert content.kept[content.split == 0].all()


def test_another_rom_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = emulator.rom("pong")
    changed = bytearray(path.read_bytes())
    changed[100] ^= 1
    (tmp_path / "pong.bin").write_bytes(changed)
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    emulator.rom.cache_clear()
    try:
        with pytest.raises(DataError, match="ROM of pong is not the one that ale-py ships"):
            next(replay.replay(load_recording("pong"), 0))
    finally:
        monkeypatch.undo()
        emulator.rom.cache_clear()


def test_other_pixels_are_named_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = load_recording("pong")
    rows = list(replay.replay(recording, 2))
    target = rows[40]

    def other(self: emulator.Emulator) -> bytes:
        ram = ale_ram(self)
        return ram if ram != target.row.ram else bytes([ram[0] ^ 1]) + ram[1:]

    ale_ram = emulator.Emulator.ram
    monkeypatch.setattr(emulator.Emulator, "ram", other)
    name = recording.header.splits[target.split]
    where = f"pong, {name}, episode {target.episode}, step {target.row.step}: the emulator does not reproduce"
    with pytest.raises(DriftError, match=where):
        list(replay.replay(recording, 2))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_flipped_byte_in_a_manifest_is_found(at: int, flip: int) -> None:
    content = bytearray(Path(os.environ["ATARIARI_RECORDINGS"], "manifests", "pong.json").read_bytes())
    content[at % len(content)] ^= flip
    with pytest.raises(AtariariError, match="manifest of pong"):
        Manifest.from_bytes(bytes(content), "pong")


@pytest.mark.parametrize("at", [0, 500, -1])
def test_a_flipped_byte_in_a_recording_is_found(
    at: int, recordings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("recordings", "manifests"):
        (tmp_path / folder).mkdir()
        for file in (recordings / folder).iterdir():
            (tmp_path / folder / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "recordings" / "pong.parquet"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    monkeypatch.setenv("ATARIARI_RECORDINGS", str(tmp_path))
    with pytest.raises(DataError, match="recording of pong is damaged"):
        load_recording("pong")


def test_a_manifest_survives_writing_and_reading() -> None:
    for name in recorded_games():
        manifest = load_manifest(name)
        assert Manifest.from_bytes(manifest.to_bytes(), name) == manifest


def test_a_newer_format_is_refused_with_the_cure() -> None:
    text = load_manifest("pong").to_bytes().replace(b'"format": 1', b'"format": 2')
    with pytest.raises(DataError, match="newer format") as raised:
        Manifest.from_bytes(text, "pong")
    assert "pip install --upgrade atariari" in str(raised.value)


def test_an_interrupted_recording_does_not_say_that_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("builders.freeze.record", interrupted)
    done = CliRunner().invoke(cli, ["record", "pong", "--to", str(tmp_path)])
    assert done.exit_code == 130
    assert "nothing is kept" in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(recordings: Path) -> None:
    with pytest.raises(UsageError, match="already exists"):
        record_game("pong", recordings, num_proc=1)
