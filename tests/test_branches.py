"""Emulator states that are gone back to, in every game: faults of the emulator do not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atariari_data.games import game_names
from builders.audit.branches import Branches
from builders.emulator import NOOP

STATES, FRAMES = 6, 3  # an odd number of frames: Yars' Revenge is restored wrongly on every other one

Array = npt.NDArray[np.uint8]

GAMES = [
    game if game in ("qbert", "yars_revenge") else pytest.param(game, marks=pytest.mark.slow)
    for game in game_names()
]


def _played(console: Branches) -> tuple[list[Any], list[Array], list[Array]]:
    """Play at random; return some states, and the screens and the RAM of the frames that followed them."""
    generator, actions = np.random.default_rng(0), console.minimal_actions
    states, screens, ram = list[Any](), list[Array](), list[Array]()
    console.reset()
    for _ in range(STATES):
        for _ in range(int(generator.integers(10, 30))):
            console.act(actions[int(generator.integers(len(actions)))], 4)
            if console.game_over():
                console.reset()
        states.append(console.keep())
        for _ in range(FRAMES):
            console.act(NOOP, 1)
            screens.append(console.look())
            ram.append(np.frombuffer(console.ram(), np.uint8))
    shape = (STATES, FRAMES)
    return states, list(np.reshape(screens, (*shape, 210, 160))), list(np.reshape(ram, (*shape, 128)))


@pytest.mark.parametrize("game", GAMES)
def test_a_state_goes_on_in_a_new_emulator_as_it_did(game: str) -> None:
    states, screens, ram = _played(Branches(game, 0))
    for state, shown, held in zip(states, screens, ram, strict=True):
        console = Branches(game, 0)
        after, values = console.branch(state, FRAMES)
        assert np.array_equal(values, held)
        assert np.array_equal(after[1:], shown[1:])
        assert np.mean(after[0] != shown[0]) < 0.001  # Yars' Revenge
    console = Branches(game, 0)
    console.go_back(states[0])
    console.act(NOOP, 1)
    assert console.ram() == ram[0][0].tobytes()


@pytest.mark.parametrize("game", GAMES)
def test_branches_of_a_state_do_not_depend_on_what_was_drawn_before(game: str) -> None:
    console = Branches(game, 0)
    states, _, _ = _played(console)

    def branches(order: Sequence[int]) -> dict[int, Array]:
        return {number: console.branch(states[number], FRAMES)[0] for number in order}

    forwards, backwards = branches(range(STATES)), branches(range(STATES)[::-1])
    assert all(np.array_equal(forwards[number], backwards[number]) for number in range(STATES))
