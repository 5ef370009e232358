"""Archive search: states that random play from the start of the game does not reach.

Go-Explore's first phase with domain knowledge (arXiv 1901.10995), small: a cell is the agent's place in
steps of eight values (where no variable holds it, all places in steps of 32), the room, level and inventory
where the game has them, and the reward so far; a state
is kept for each cell; again and again a state is taken up, rarely taken ones and those with more reward
first, and random actions, most of them held for several steps, lead on from it until a life is lost. Which
bytes these are is read from the package's label set v1, whatever set is audited: an error in it makes the
search worse, and its findings no less true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.games import game as game_of
from atariari_data.labels import decoder
from atariari_data.positions import AXIS
from builders.audit.branches import Branches
from builders.emulator import FIRE, FRAME_SKIP, NOOP

_STEPS_A_RETURN = 24
_HOLD_ON = 0.8
_COARSE, _COARSER = 8, 32
_PLACE = re.compile(r"(^|_)(room_number|room|level|level_number|inventory|scene)($|_)")


@dataclass(frozen=True)
class Archive:
    """The cells that a search found, in order of discovery.

    Attributes:
        states: The emulator's state at each cell.
        ram: The RAM at each cell, uint8 [n, 128].
    """

    states: Sequence[Any]
    ram: npt.NDArray[np.uint8]


def cells(game: str) -> Callable[[bytes], tuple[int, ...]]:
    """Return the function that tells the cells of a game apart by RAM."""
    variables = game_of(game).variables()
    coarse = {v.name: _COARSE for v in variables if v.categories == ("agent_localization",)}
    if not coarse:  # an agent that stays in the middle, as a tank from inside
        coarse = {v.name: _COARSER for v in variables if v.ordered and AXIS.search(v.name)}
    coarse |= {v.name: 1 for v in variables if _PLACE.search(v.name)}
    scalars = decoder(game).scalars

    def cell(ram: bytes) -> tuple[int, ...]:
        values = scalars(ram)
        return tuple(values[name] // step for name, step in coarse.items())

    return cell


def leaves_its_room(game: str, ram: npt.NDArray[np.uint8]) -> bool:
    """Return whether the room changes on the rows uint8 [n, 128]; True where the game has no rooms."""
    rooms = [v.address for v in game_of(game).variables() if "room" in v.name and "number" in v.name]
    return not rooms or bool((ram[:, rooms] != ram[0, rooms]).any())


def search(game: str, console: Branches, steps: int, seed: int) -> Archive:
    """Search from the start of the game for a number of steps."""
    generator, cell = np.random.default_rng(seed), cells(game)
    console.reset()
    console.act(NOOP, 30)
    if FIRE in console.minimal_actions:
        console.act(FIRE, FRAME_SKIP)
    states, ram, chosen, earned = [console.keep()], [console.ram()], [0], [0.0]
    known = {(cell(ram[0]), 0.0)}
    done = 0
    while done < steps:
        weight = (1 + 3 * (np.array(earned) >= np.median(np.unique(earned)))) / np.sqrt(
            np.array(chosen) + 1.0
        )
        number = int(generator.choice(len(states), p=weight / weight.sum()))
        chosen[number] += 1
        console.go_back(states[number])
        lives, action, reward = console.lives(), NOOP, earned[number]
        last = min(steps, done + _STEPS_A_RETURN)
        while done < last:
            if generator.random() > _HOLD_ON or action == NOOP:
                action = int(generator.choice(console.minimal_actions))
            reward += console.act(action, FRAME_SKIP)
            done += 1
            if console.game_over() or console.lives() < lives:
                break
            now = console.ram()
            found = (cell(now), reward)
            if len(states) == 1:  # nothing to go back to yet: a title, a tune
                last = min(steps, done + _STEPS_A_RETURN)
            if found not in known:
                known.add(found)
                states.append(console.keep())
                ram.append(now)
                chosen.append(0)
                earned.append(reward)
    return Archive(states, np.frombuffer(b"".join(ram), np.uint8).reshape(-1, 128))
