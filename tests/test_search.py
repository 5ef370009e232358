"""The archive search: the same twice, in pieces and on paths that can be played again."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from atariari_data.errors import DataError, MissingExtraError
from builders import explore as exploring
from builders.archive import Archive, _stored, load, opening, save
from builders.audit.branches import Branches
from builders.cells import Cells
from builders.cli.main import cli
from builders.digest import frame_digest
from builders.emulator import FRAME_SKIP
from builders.explore import explore
from builders.search import STATE_BYTES, Search, search


def _is_same(a: Archive, b: Archive) -> bool:
    columns = ("parent", "actions", "ram", "frame", "reward", "depth", "found", "taken", "barren", "steps")
    return all(getattr(a, name) == getattr(b, name) for name in columns)


def test_the_same_seed_gives_the_same_archive_and_another_seed_another() -> None:
    first, second = (search("pong", Branches("pong", 0), 400, seed=0) for _ in range(2))
    assert _is_same(first, second)
    assert len(first) > 5
    assert not _is_same(first, search("pong", Branches("pong", 1), 400, seed=1))


def test_stopping_and_going_on_changes_nothing(tmp_path: Path) -> None:
    whole = Search(Archive("pong", 0), Branches("pong", 0))
    part = Search(Archive("pong", 0), Branches("pong", 0))
    for number in range(40):
        whole.go(10_000)
        part.go(10_000)
        if number == 17:
            save(part.archive, tmp_path / "pong.parquet")
            part = Search(load(tmp_path / "pong.parquet"), Branches("pong", 0))
    assert _is_same(whole.archive, part.archive)
    assert whole.reached() == part.reached()


def test_going_on_in_a_new_emulator_keeps_every_path(tmp_path: Path) -> None:
    """A state of Q*bert goes on wrongly in an emulator that was never stepped."""
    archive = search("qbert", Branches("qbert", 0), 200, seed=0)
    save(archive, tmp_path / "qbert.parquet")
    found = Search(load(tmp_path / "qbert.parquet"), Branches("qbert", 0))
    while found.archive.steps < 400:
        found.go(400)
    for cell in range(len(archive), len(found.archive), 10):
        console = Branches("qbert", 0)
        console.reset()
        for action, frames in opening(archive.seed, console.minimal_actions):
            console.act(action, frames)
        for action in found.archive.path(cell):
            console.act(action, FRAME_SKIP)
        assert console.ram() == found.archive.ram[cell]


@pytest.mark.parametrize("game", ["pong", "montezuma_revenge", "qbert"])
def test_every_path_leads_to_its_cell_from_a_reset(game: str) -> None:
    archive = search(game, Branches(game, 0), 600, seed=0)
    for cell in np.linspace(0, len(archive) - 1, 10).astype(int):
        console = Branches(game, 0)
        console.reset()
        for action, frames in opening(archive.seed, console.minimal_actions):
            console.act(action, frames)
        reward = sum(console.act(action, FRAME_SKIP) for action in archive.path(cell))
        assert len(archive.path(cell)) == archive.depth[cell]
        shown = console.ram(), frame_digest(console.frame()), reward
        assert shown == (archive.ram[cell], archive.frame[cell], archive.reward[cell])


def test_cells_differ_in_what_matters_and_no_cell_is_there_twice() -> None:
    cells = Cells.of("montezuma_revenge")
    assert cells.rooms == ("room_number", "level")
    assert cells.sizes["player_x"] == 8
    assert {cells.sizes[name] for name in ("room_number", "inventory", "num_lives")} == {1}
    assert "score_0" not in cells.sizes
    archive = search("pong", Branches("pong", 0), 400, seed=0)
    read = Cells.of("pong").reader()
    keys = [(read(ram).cell, reward) for ram, reward in zip(archive.ram, archive.reward, strict=True)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("address", "differ"), [(66 + 3, True), (59 + 3, True), (66 + 2, False), (87, True)])
def test_the_place_of_an_agent_in_one_of_several_slots_tells_cells_apart(address: int, differ: bool) -> None:
    ram = bytearray(128)
    ram[59:73] = bytes(range(0, 140, 10))
    ram[87] = 3
    read = Cells.of("amidar").reader()
    before = read(bytes(ram)).cell
    ram[address] += 1 if address == 87 else 16
    assert (read(bytes(ram)).cell != before) == differ


def test_memory_is_bounded_and_the_cells_stay() -> None:
    found = Search(Archive("breakout", 0), Branches("breakout", 0), gigabytes=250 * STATE_BYTES / 1e9)
    while found.archive.steps < 3_000:
        found.go(3_000)
    held = sum(state is not None for state in found.archive.states)
    assert held <= 250 + 40  # a return may add that many before states are let go
    assert len(found.archive) > held
    assert len(found.archive.path(len(found.archive) - 1)) == found.archive.depth[-1]


def test_the_search_waits_for_a_game_that_begins_with_a_tune() -> None:
    assert len(search("ms_pacman", Branches("ms_pacman", 0), 200, seed=0)) > 3


def test_the_command_stops_resumes_and_shows_what_was_reached(tmp_path: Path) -> None:
    def run(steps: int, folder: str) -> Result:
        arguments = ["explore", "pong", "--steps", str(steps), "--out", str(tmp_path / folder), "--quiet"]
        return CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert run(200, "twice").exception is None
    assert run(400, "twice").exception is None
    assert run(400, "once").exception is None
    for kind in ("csv", "png"):
        assert (tmp_path / "twice" / f"pong-0.{kind}").stat().st_size > 100
    with (tmp_path / "once" / "pong-0.csv").open(encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    last = load(tmp_path / "once" / "pong-0.parquet")
    assert [int(rows[-1][name]) for name in ("steps", "cells", "longest")] == [
        400,
        len(last),
        max(last.depth),
    ]
    assert float(rows[-1]["reward"]) == max(last.reward)
    assert [int(row["cells"]) for row in rows] == sorted(int(row["cells"]) for row in rows)
    refused = run(100, "once")
    assert refused.exit_code == 2
    assert "has more steps" in refused.stderr


@pytest.mark.parametrize("memory", ["inf", "nan", "0", "-1"])
def test_memory_is_a_finite_number(memory: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["explore", "pong", "--memory", memory, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "Invalid --memory" in result.stderr


def test_a_search_that_is_killed_loses_a_tenth_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(exploring, "save", lambda archive, _: kept.append(archive.steps))
    exploring.searched("pong", tmp_path / "pong.parquet", steps=2000, seed=0)
    assert kept[0] == 0
    assert kept[-1] == 2000
    assert max(b - a for a, b in pairwise(kept)) <= 400, "a tenth, and the last way"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_searches_side_by_side_are_kept_when_they_are_stopped(number: signal.Signals, tmp_path: Path) -> None:
    # A job in the background of a shell inherits that Ctrl-C is ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from builders.cli.main import main; main()"
    arguments = ["--steps", "1000000", "--out", str(tmp_path / "out"), "--jobs", "2", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "explore", "pong", "breakout", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    files = [tmp_path / "out" / f"{game}-0.parquet" for game in ("pong", "breakout")]
    until = time.monotonic() + 120
    while not all(file.is_file() for file in files) and time.monotonic() < until:
        time.sleep(0.1)
    # Ctrl-C reaches all processes of a terminal, SIGTERM the one that was named.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    try:
        _, narration = process.communicate(timeout=60)  # which the workers hold open, too
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, narration
    assert "Searching" not in narration
    assert all(load(file).steps < 1_000_000 for file in files)
    assert not list(tmp_path.glob("atariari-explore-*"))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not an archive"):
        load(tmp_path / "x.parquet")


def _rewrite(path: Path, state: bytes, **about: str) -> None:
    """Put other bytes in place of the emulator states of an archive, and change what it says of itself."""
    table = pq.read_table(path)
    known = json.loads(table.schema.metadata[b"atariari"]) | about
    states = pa.array([state] * len(table), pa.large_binary())
    table = table.set_column(table.schema.get_field_index("state"), "state", states)
    pq.write_table(table.replace_schema_metadata({b"atariari": json.dumps(known)}), path)


def test_states_that_are_none_and_those_of_another_ale_py_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pong.parquet"
    save(search("pong", Branches("pong", 0), 100, seed=0), path)
    _rewrite(path, b"garbage")
    with pytest.raises(DataError, match="not an archive"):
        load(path)
    _rewrite(path, b"garbage", ale_py="0.11.1")
    with pytest.raises(DataError, match="another ale-py"):
        load(path)


def test_a_state_is_kept_as_bytes_whatever_ale_py_wraps_them_in() -> None:
    class Wrapped:
        def __getstate__(self) -> tuple[bytes]:
            return (b"\xff\x00",)

    console = Branches("pong", 0)
    console.reset()
    assert _stored(Wrapped()) == b"\xff\x00"
    assert len(_stored(console.keep())) > 1000


def test_without_matplotlib_it_says_so_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'atariari\[plots\]'"):
        explore("pong", tmp_path, steps=200, seed=0)
    assert not list(tmp_path.iterdir())
