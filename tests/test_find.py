"""Bytes that are known are found again, without their annotations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from atariari_data.errors import UsageError
from atariari_data.games import game
from builders import find as finding
from builders.cli.main import cli
from builders.find import Found, find, rom_of
from builders.sheet import draw

STEPS, STATES = 2000, 4


@pytest.fixture(scope="module")
def breakout() -> Found:
    return find("breakout", steps=STEPS, states=STATES)


def test_what_breakout_shows_is_found(breakout: Found) -> None:
    known = {v.name: v for v in game("breakout").variables()}
    counts = {c.address: c for c in breakout.counts}
    assert counts[known["score_1s"].address].counts == "points"
    assert counts[known["num_lives"].address].counts == "lives"
    steered = {s.address: s for s in breakout.steered if s.share > 0.9}
    assert steered[known["player_x"].address].axis == "x"
    movers = {(m.address, m.axis): m for m in breakout.movers}
    for name in ("player_x", "ball_x", "ball_y"):
        drawn = known[name].drawn
        mover = movers[known[name].address, name[-1]]
        assert drawn is not None
        assert mover.scale == 1
        assert mover.offset == pytest.approx(getattr(drawn, "offset", mover.offset), abs=3)


def test_only_what_moves_the_thing_at_a_place(breakout: Found) -> None:
    paddle = 8 + np.flatnonzero(breakout.screens[0][190, 8:152])  # between the walls
    assert paddle.size
    found = find("breakout", steps=STEPS, states=STATES, at=(int(np.median(paddle)), 190), state=0)
    assert "player_x" in {found.known.get(m.address) for m in found.movers}
    assert len(found.movers) < len(breakout.movers)


def test_the_same_seed_finds_the_same() -> None:
    one, other = (find("pong", steps=200, states=2, seed=3) for _ in range(2))
    assert one.movers
    assert (one.counts, one.steered, one.movers) == (other.counts, other.steered, other.movers)


def test_digits_are_told_from_bytes() -> None:
    """A made-up game: byte 3 is the hundreds in BCD, the low digit of byte 4 the tens."""
    generator = np.random.default_rng(0)
    total = (np.cumsum(generator.integers(0, 3, 4000)) * 10).astype(np.float64)
    ram = generator.integers(0, 256, (4000, 128)).astype(np.uint8)
    hundreds = (total // 100).astype(int) % 100
    ram[:, 3] = 16 * (hundreds // 10) + hundreds % 10
    ram[:, 4] = 0xA0 + (total // 10).astype(int) % 10
    lives = 3 - np.arange(4000) // 1500
    ram[:, 5] = 7 + lives
    played = finding.Played(ram, total, np.zeros(4000), lives, [])
    found = [(c.address, c.counts, c.form, c.unit) for c in finding.counting_bytes(played)]
    assert found == [(3, "points", "BCD", 100), (4, "points", "low digit", 10), (5, "lives", "binary", 1)]


def test_the_pictures_are_drawn_and_never_overwritten(breakout: Found, tmp_path: Path) -> None:
    files = draw(breakout, tmp_path)
    assert [file.name for file in files] == ["breakout-states.png", "breakout-bytes.png"]
    assert all(len(Image.open(file).convert("RGB").getcolors(1 << 24) or ()) > 10 for file in files)
    with pytest.raises(UsageError):
        draw(breakout, tmp_path)
    result = CliRunner().invoke(cli, ["find", "breakout", "--to", str(tmp_path)])
    assert result.exit_code == 2, "before the search"
    assert "breakout-states.png already exists" in result.stderr


def test_the_command_says_what_it_finds_in_a_game_without_annotations() -> None:
    result = CliRunner().invoke(cli, ["find", "gravitar", "--steps", "600", "--states", "2", "--json"])
    found = json.loads(result.stdout)
    assert found["game"] == "gravitar"
    assert {m["known_as"] for m in found["movers"]} == {None}
    assert found["movers"]


@pytest.mark.parametrize(
    ("name", "rom"),
    [
        ("gravitar", "gravitar"),
        ("ALE/Gravitar-v5", "gravitar"),
        ("VideoCheckersNoFrameskip-v4", "video_checkers"),
        ("video_checkers.bin", "video_checkers"),
        ("Ms. Pac-Man", "ms_pacman"),
        ("Q*bert", "qbert"),
    ],
)
def test_a_rom_is_known_by_every_form_of_its_name(name: str, rom: str) -> None:
    assert rom_of(name) == rom


def test_a_wrong_name_is_told_before_the_search() -> None:
    result = CliRunner().invoke(cli, ["find", "nowhere"])
    assert result.exit_code == 2
    assert "Searching" not in result.stderr
    assert "atariari-data list" not in result.stderr, "which lists other games"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["nowhere"], "Unknown ROM of ale-py: 'nowhere'"),
        (["ALE/Gravitr-v5"], "Did you mean 'gravitar'"),
        (["pong", "--state", "3"], "--state says where --at looks"),
        (["pong", "--state", "12", "--at", "9", "9"], "No such state"),
        (["pong", "--steps", "100", "--states", "200", "--state", "150", "--at", "9", "9"], "No such state"),
        (["pong", "--seed", str(2**31)], "--seed"),
        (["pong", "--at", "160", "3"], "not on the screen"),
    ],
)
def test_wrong_input_is_refused(options: list[str], match: str) -> None:
    result = CliRunner().invoke(cli, ["find", *options])
    assert result.exit_code in (1, 2)
    assert match in result.stderr
