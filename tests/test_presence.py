"""When a thing is there: what annotations state about presence, against what the emulator draws."""

import numpy as np
import numpy.typing as npt
import pytest

from atariari_data import positions, presence
from builders.audit.branches import Branches, silenced
from builders.emulator import FIRE, NOOP

RIGHT, DOWN = 3, 5
WATER = range(80, 160)


def _ram(console: Branches) -> npt.NDArray[np.uint8]:
    return np.frombuffer(console.ram(), np.uint8)


def _begin(console: Branches) -> None:
    console.reset()
    console.act(NOOP, 30)
    if FIRE in console.minimal_actions:
        console.act(FIRE, 4)


def _play(console: Branches, generator: np.random.Generator, steps: int) -> None:
    for _ in range(steps):
        console.act(int(generator.choice(console.minimal_actions)), 4)
        if console.game_over():
            _begin(console)


def test_sharks_and_submarines_stand_where_the_first_of_their_batch_is() -> None:
    console = Branches("seaquest", 0)
    _begin(console)
    console.act(DOWN, 60)  # the game begins when the player dives
    generator, seen = np.random.default_rng(0), 0
    for _ in range(60):
        _play(console, generator, 10)
        ram, screen = _ram(console), console.look()
        water = np.bincount(screen[WATER].reshape(-1)).argmax()
        found = positions(ram, "seaquest")
        for lane in range(4):
            x, y = found[f"enemy_obstacle_{lane}"]
            left = int(ram[30 + lane]) - (256 if ram[30 + lane] >= 208 else 0)
            batch = [left + 16 * i for i in range(3) if ram[36 + lane] & (4 >> i)]
            assert np.isnan(x) == (not any(0 < column < 160 for column in batch))
            assert np.isnan(x) or x == batch[0]
            if 8 <= x <= 144:
                band = screen[int(y) - 8 : int(y) + 14]
                assert (band[:, int(x) : int(x) + 8] != water).any(), "nothing is at the mark"
                seen += 1
    assert seen > 20


def test_a_rope_swings_in_the_scenes_of_pitfall_that_are_said_to_have_one() -> None:
    console = Branches("pitfall", 1)
    _begin(console)
    found = []
    for _ in range(60):
        scene = _ram(console)[1]
        console.write(97, 150)  # Harry stands at the right edge, above the ground
        console.write(105, 32)
        while _ram(console)[1] == scene:
            console.act(RIGHT, 4)
        console.act(NOOP, 4)
        screens, ram = console.branch(console.keep(), 24)
        swings = (screens != screens[0]).any(axis=0)[60:108, 30:150].sum() > 30
        there = presence(ram[0], "pitfall")
        assert there["bottom_of_rope_y"] == swings
        found.append(bool(swings))
    assert 10 < sum(found) < 50


@pytest.mark.parametrize(
    ("name", "thing", "variable", "by"),
    [
        ("private_eye", "object", 48, 9),
        ("berzerk", "player_missile", 22, 7),
        ("venture", "sprite5", 84, 9),
        ("battle_zone", "blue_tank", 48, 9),
    ],
)
def test_writing_the_column_moves_what_is_there_and_nothing_that_is_not(
    name: str, thing: str, variable: int, by: int
) -> None:
    console = Branches(name, 0)
    _begin(console)
    said, moved = [], []
    generator = np.random.default_rng(0)
    with silenced():
        for _ in range(80):
            _play(console, generator, 6)
            state, ram = console.keep(), _ram(console)
            said.append(bool(~np.isnan(positions(ram, name)[thing]).all()))
            other = (int(ram[variable]) + by) % 150
            plain, written = console.branch(state, 3)[0], console.branch(state, 3, write=(variable, other))[0]
            moved.append(bool((plain != written).any()))
            console.go_back(state)
    there, effect = np.array(said), np.array(moved)
    assert not effect[~there].any(), "something moves that is said to be absent"
    assert not there.any() or effect[there].mean() > 0.8
    assert there.any() or name == "venture"
