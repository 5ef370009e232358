"""Names of games, in all forms in use."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import ale_py
import ale_py.roms
import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner

from atariari_data import game, game_names, labels, suites
from atariari_data.errors import UnknownNameError
from atariari_data.games import ATARI_100K, games_named
from builders.card import _HEAD
from builders.cli.main import cli
from builders.cli.options import chosen_configs

ROOT = Path(__file__).parents[1]
DATASET = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "wrapper.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Names of games")[1].split("\n## ")[0]
LISTED = [
    name
    for row in re.findall(r"^\| .*? \| (`.*) \|$", SECTION, re.MULTILINE)
    for name in re.findall("`(.*?)`", row)
]
FORMS = (
    "{0}",
    "ALE/{0}-v5",
    "ale_py:ALE/{0}-v5",
    "{0}-v5",
    *(
        f"{{0}}{ram}{skip}-{v}"
        for ram in ("", "-ram")
        for skip in ("", "NoFrameskip", "Deterministic")
        for v in ("v0", "v4")
    ),
    "ALE/{0}-ram-v5",
    "atari_{1}",
    "{1}.bin",
    " {1} ",
    "{0}NoFrameskip",
    "ale_py.env:{0}NoFrameskip-v4",
)


@pytest.mark.parametrize("form", FORMS)
def test_every_game_is_known_by_every_form(form: str) -> None:
    for name in game_names():
        assert game(form.format(name.title().replace("_", ""), name)).name == name


@pytest.mark.parametrize("form", FORMS)
def test_the_command_takes_every_form(form: str, tmp_path: Path) -> None:
    name = form.format("Pong", "pong")
    for arguments, expected in (
        (["info", name], 0),
        (["explore", name, "--steps", "30", "--out", str(tmp_path), "--quiet"], 0),
        (["record", name, "--to", str(Path(os.environ["ATARIARI_RECORDINGS"]))], 2),  # is there already
    ):
        done = CliRunner().invoke(cli, arguments, standalone_mode=False)
        assert done.exit_code == expected, done.stderr
        assert "pong" in (done.stdout + done.stderr).lower()


def test_a_suite_stands_for_its_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATARIARI_RECORDINGS")
    everything, atari100k = suites()["all"], suites()["atari100k"]
    assert everything == game_names()
    assert set(atari100k) == set(ATARI_100K)
    assert suites("anand2019")["paper"] == suites("anand2019")["all"] == suites()["paper"]
    assert games_named(["skiing", "atari100k", "ALE/Pong-v5"], suites()) == ["skiing", *atari100k]
    with pytest.raises(UnknownNameError, match=r"game or suite: 'atari-100k'[\s\S]+Did you mean 'atari100k'"):
        games_named(["atari-100k"], suites())
    chosen = chosen_configs(("pong_pretrain", "atari100k_deep", "pong_deep", "all"), everything=False)
    assert chosen == ("pong_pretrain", *(f"{name}_deep" for name in atari100k), *everything)


def test_info_tells_that_a_game_lacks_a_label_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATARIARI_RECORDINGS")
    for name in ("alien", "alien_deep"):
        done = CliRunner().invoke(cli, ["info", name, "--label-set", "anand2019"])
        assert done.exit_code == 2
        assert "Unknown label set of alien: 'anand2019'" in done.stderr


@pytest.mark.parametrize("command", [["info"], ["record", "--to", "new"], ["relabel", "--to", "new"]])
def test_the_pretraining_rows_are_no_game(command: list[str]) -> None:
    done = CliRunner().invoke(cli, [*command, "Pong_pretrain"])
    assert done.exit_code == 2
    assert "expected: pong or pong_deep\n  got: Pong_pretrain\n" in done.stderr


@pytest.mark.parametrize("name", game_names())
def test_a_game_is_known_by_its_title(name: str) -> None:
    assert game(game(name).title).name == name


def test_every_registered_id_of_a_game_is_known() -> None:
    gymnasium.register_envs(ale_py)
    known = 0
    for spec in gymnasium.registry.values():
        rom: Any = spec.kwargs.get("game")
        if rom in game_names() and "ale_py" in str(spec.entry_point):
            assert game(spec.id).name == rom
            known += 1
    assert known >= len(game_names()) * 5


@pytest.mark.parametrize("name", LISTED)
def test_the_names_on_the_page_are_known(name: str) -> None:
    assert game(name).name in {"pong", "ms_pacman", "montezuma_revenge", "hero", "qbert", "private_eye"}


def test_the_page_lists_them() -> None:
    assert len(LISTED) > 20


@pytest.mark.parametrize("name", [None, 3, b"pong", ["pong"], "", "-ram", "ALE/", "Pongv5", "other/Pong-v5"])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="Unknown game"):
        game(name)
    with pytest.raises(UnknownNameError, match="Unknown game"):
        labels(np.zeros(128, np.uint8), name)


@pytest.mark.parametrize("label_set", [None, 1, ["v1"], "V1"])
def test_other_label_sets_are_refused(label_set: Any) -> None:
    with pytest.raises(UnknownNameError, match="Unknown label set of pong"):
        game("pong").variables(label_set)
    with pytest.raises(UnknownNameError, match="Unknown label set of pong"):
        labels(np.zeros(128, np.uint8), "pong", label_set)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pnog", "pong"),
        ("brekout", "breakout"),
        ("ALE/Pacman-v5", "ms_pacman"),
        ("montezumasrevenges", "montezuma_revenge"),
    ],
)
def test_a_name_that_is_near_is_suggested(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Did you mean '{near}'"):
        game(name)


@pytest.mark.parametrize("name", ["enduro", "gravitar", "solaris", "video_cube", "x", ""])
def test_a_name_that_is_not_near_suggests_none(name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        game(name)
    assert error.value.cure is None


@pytest.mark.parametrize("name", game_names())
def test_the_columns_name_the_games_without_lives(name: str) -> None:
    lines = [line for page in (DATASET, _HEAD) for line in page.splitlines() if line.startswith("| `lives`")]
    assert len(lines) == 2
    ale = ale_py.ALEInterface()
    path = ale_py.roms.get_rom_path(name)
    assert path is not None
    ale.loadROM(path)
    ale.reset_game()
    ale.act(0)  # Amidar has none before
    assert all((ale.lives() == 0) == (game(name).title in line) for line in lines)
