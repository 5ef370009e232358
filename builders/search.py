"""Archive search: states of a game that random play does not reach.

The first phase of Go-Explore with domain knowledge (arXiv 1901.10995). The archive keeps one emulator state
for each cell (`builders.cells`) and amount of reward. Again and again the search returns to a cell and goes
on from it with random actions, most of them held for several steps, until a life is lost. What is the same
but for the places of agent and objects is one *stage*: a room, with an amount of reward. A quarter of the
returns each go to any cell, to the 200 cells with the most reward and rooms, to the 20 stages with the most,
and to a room that was returned to seldom. Cells that were returned to often, or in vain, are chosen less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from builders.archive import Archive, opening
from builders.audit.branches import Branches
from builders.cells import Cells, Seen
from builders.digest import frame_digest
from builders.emulator import FRAME_SKIP, NOOP

STATE_BYTES: Final = 9_000
"""Memory of a kept state, about."""
GIGABYTES: Final = 2.0
HOLD_ON: Final = 0.8
"""How likely the action is that of the step before."""

_STEPS_A_RETURN = 40
_MORE_STEPS = {"bowling": 160}  # a ball rolls and pins are set up for longer than 40 steps
_BEST, _BEST_STAGES = 200, 20


@dataclass(frozen=True)
class Reached:
    """How far a search has come.

    Attributes:
        steps: Agent steps so far, four frames each.
        cells: Cells in the archive.
        reward: The highest sum of rewards.
        rooms: Rooms, levels or waves seen; 1 where the game has none.
        longest: Steps from the reset to the furthest cell.
    """

    steps: int
    cells: int
    reward: float
    rooms: int
    longest: int


class _Stages:
    """The cells by stage (room, stock and reward), and the stages by room."""

    def __init__(self) -> None:
        self.of: list[int] = []  # the stage of each cell
        self.cells: list[list[int]] = []
        self.room: list[tuple[int, ...]] = []
        self.value: list[float] = []
        self.taken: list[int] = []
        self.rooms: dict[tuple[int, ...], list[int]] = {}
        self.room_taken: dict[tuple[int, ...], int] = {}
        self._number: dict[tuple[tuple[int, ...], tuple[int, ...], float], int] = {}
        self._best: list[int] | None = None

    def add(self, cell: int, seen: Seen, reward: float, value: float, taken: int) -> None:
        key = (seen.room, seen.stock, reward)
        stage = self._number.setdefault(key, len(self.cells))
        if stage == len(self.cells):
            self.cells.append([])
            self.room.append(seen.room)
            self.value.append(-math.inf)
            self.taken.append(0)
            self.rooms.setdefault(seen.room, []).append(stage)
        if value > self.value[stage]:
            self.value[stage], self._best = value, None
        self.cells[stage].append(cell)
        self.of.append(stage)
        self.take(cell, taken)

    def take(self, cell: int, times: int = 1) -> None:
        """Note that the search returns to a cell."""
        stage = self.of[cell]
        self.taken[stage] += times
        self.room_taken[self.room[stage]] = self.room_taken.get(self.room[stage], 0) + times

    def best(self) -> list[int]:
        """Return the stages with the highest values."""
        if self._best is None:
            order = np.argsort(-np.array(self.value), kind="stable")
            self._best = order[:_BEST_STAGES].tolist()
        return self._best


class Search:
    """A search under way: an archive that grows, and what follows from it.

    The same seed gives the same archive on every machine, and going on from one that was saved after a return
    gives what the search would have given without the break.
    """

    def __init__(self, archive: Archive, console: Branches, gigabytes: float = GIGABYTES) -> None:
        """Take up a search, or begin one.

        Args:
            archive: Empty, or from an earlier search.
            console: An emulator of the archive's game and seed.
            gigabytes: Memory for emulator states. When it is full, the states of the cells least likely to be
                returned to are let go; the cells stay.
        """
        self.archive, self._console = archive, console
        self._most = max(_BEST, int(gigabytes * 1e9 / STATE_BYTES))
        self._read = Cells.of(archive.game).reader()
        self._steps_a_return = _MORE_STEPS.get(archive.game, _STEPS_A_RETURN)
        self._known: set[tuple[tuple[int, ...], float]] = set()
        self._rooms: list[frozenset[tuple[int, ...]]] = []
        self._stages = _Stages()
        self._weight = np.zeros(1024)  # how likely a return is; 0 where the state was let go
        self._hope = np.zeros(1024)  # the same, and less where returns were in vain
        self._value = np.zeros(1024)
        self._best = np.zeros(0, np.intp)
        self._ranked = 0
        if not len(archive):
            console.reset()
            for action, frames in opening(archive.seed, console.minimal_actions):
                console.act(action, frames)
            archive.add(-1, b"", console.ram(), frame_digest(console.frame()), 0.0, console.keep())
        for cell in range(len(archive)):
            self._note(cell)

    def reached(self) -> Reached:
        """Return how far the search has come."""
        archive = self.archive
        return Reached(
            archive.steps, len(archive), max(archive.reward), len(self._stages.rooms), max(archive.depth)
        )

    def go(self, steps: int) -> None:
        """Return to a cell once and go on from it; ``steps`` is where the whole search ends."""
        archive, console, generator = self.archive, self._console, self.archive.generator
        actions = console.minimal_actions
        parent = self._choose()
        console.go_back(archive.states[parent])
        lives, action, reward = console.lives(), NOOP, archive.reward[parent]
        done, before = bytearray(), len(archive)
        while len(done) < self._steps_a_return or before == len(archive) == 1:  # a title or a tune at first
            if archive.steps >= steps:
                break
            if generator.random() > HOLD_ON or action == NOOP:
                action = actions[int(generator.integers(len(actions)))]
            reward += console.act(action, FRAME_SKIP)
            done.append(action)
            archive.steps += 1
            if console.game_over() or console.lives() < lives:
                break
            ram = console.ram()
            if (self._read(ram).cell, reward) not in self._known:
                frame = frame_digest(console.frame())
                archive.add(parent, bytes(done), ram, frame, reward, console.keep())
                self._note(len(archive) - 1)
        archive.taken[parent] += 1
        archive.barren[parent] = archive.barren[parent] + 1 if len(archive) == before else 0
        self._stages.take(parent)
        self._weigh(parent)
        if np.count_nonzero(self._weight[: len(archive)]) > self._most:
            self._let_go()

    def _note(self, cell: int) -> None:
        archive = self.archive
        seen = self._read(archive.ram[cell])
        self._known.add((seen.cell, archive.reward[cell]))
        before = self._rooms[archive.parent[cell]] if archive.parent[cell] >= 0 else frozenset()
        self._rooms.append(before if seen.room in before else before | {seen.room})
        if cell == len(self._weight):
            self._weight, self._hope, self._value = (
                np.resize(values, 2 * cell) for values in (self._weight, self._hope, self._value)
            )
        self._value[cell] = archive.reward[cell] + len(self._rooms[cell])
        self._stages.add(cell, seen, archive.reward[cell], self._value[cell], archive.taken[cell])
        self._weigh(cell)

    def _weigh(self, cell: int) -> None:
        archive = self.archive
        kept = archive.states[cell] is not None
        self._weight[cell] = kept / math.sqrt(archive.taken[cell] + 1)
        self._hope[cell] = self._weight[cell] / math.sqrt(archive.barren[cell] + 1)

    def _choose(self) -> int:
        """Draw the cell to return to."""
        stages, n = self._stages, len(self.archive)
        way = int(self.archive.generator.integers(4))
        if way == 0 or (way == 3 and len(stages.rooms) == 1):  # noqa: PLR2004  the last of four
            pool = self._rank(n)
            return int(pool[self._draw(self._weight[pool])])
        if way > 1:
            among = stages.best()
            if way == 3:  # noqa: PLR2004
                rooms = list(stages.rooms)
                among = stages.rooms[rooms[self._draw(_seldom([stages.room_taken[r] for r in rooms]))]]
            stage = among[self._draw(_seldom([stages.taken[s] for s in among]))]
            pool = np.array(stages.cells[stage])
            if self._hope[pool].any():  # not all let go
                return int(pool[self._draw(self._hope[pool])])
        return self._draw(self._hope[:n])

    def _draw(self, weights: npt.NDArray[np.float64]) -> int:
        cumulative = np.cumsum(weights)
        at = self.archive.generator.random() * cumulative[-1]
        return int(np.searchsorted(cumulative, at, side="right"))

    def _rank(self, n: int) -> npt.NDArray[np.intp]:
        """Return the best cells, chosen anew each time that the archive has grown by a fiftieth."""
        while (following := self._ranked + max(1, self._ranked // 50)) <= n:
            self._ranked = following
            self._best = np.zeros(0, np.intp)
        if not len(self._best):
            self._best = np.argsort(-self._value[: self._ranked], kind="stable")[:_BEST]
        return self._best

    def _let_go(self) -> None:
        """Let go of a tenth of the states: those least likely to be returned to, but none of the best."""
        n = len(self.archive)
        held = np.setdiff1d(np.flatnonzero(self._weight[:n]), self._rank(n))
        for cell in held[np.argsort(self._hope[held], kind="stable")[: self._most // 10]]:
            self.archive.states[cell] = None
            self._weigh(cell)


def _seldom(taken: list[int]) -> npt.NDArray[np.float64]:
    weights: npt.NDArray[np.float64] = 1 / np.sqrt(np.array(taken, np.float64) + 1)
    return weights


def search(game: str, console: Branches, steps: int, seed: int) -> Archive:
    """Search from the start of a game for a number of steps; see `Search`.

    Args:
        game: The game's name.
        console: An emulator of that game and seed.
        steps: Agent steps, four frames each.
        seed: The seed of the search.
    """
    found = Search(Archive(game, seed), console)
    while found.archive.steps < steps:
        found.go(steps)
    return found.archive
