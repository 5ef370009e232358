"""Archive search: states of a game that random play does not reach.

The first phase of Go-Explore with domain knowledge (arXiv 1901.10995). The archive keeps one emulator state
for each *cell*: the agent's place in steps of 8 values, small objects in steps of 32, the room, level,
inventory and lives, and the reward so far. Again and again the search returns to a cell and goes on from it
with random actions, most of them held for several steps, until a life is lost. Half of the returns go to any
cell, half to the 200 cells with the most reward and rooms. Cells that were returned to often are chosen less.

The cells come from the package's label set v1. An error in it makes the search worse, but not its findings
wrong: every cell has the actions that lead to it from a reset.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from atariari_data.errors import DataError
from atariari_data.games import Variable
from atariari_data.games import game as game_of
from atariari_data.labels import decoder
from atariari_data.positions import AXIS
from builders.audit.branches import Branches
from builders.emulator import FIRE, FRAME_SKIP, NOOP
from builders.files import new_file
from builders.recording import refuse_newer

FORMAT: Final = 1
STATE_BYTES: Final = 9_000
"""Memory of a kept state, about."""
GIGABYTES: Final = 2.0
PRELUDE_NOOPS: Final = 30
"""Frames of NOOP after the reset, as many as the protocol has at most; then FIRE where the game has it."""

_STEPS_A_RETURN = 40
_HOLD_ON = 0.8
_BEST = 200
_KEY = b"atariari"
_COLUMNS = ("parent", "actions", "ram", "reward", "found", "taken", "state")
_AGENT, _SMALL, _ANYTHING = 8, 32, 32  # values to a cell
_EXACT = re.compile(r"(^|_)(room|level|inventory|scene|wave|stage|lives)($|_)")
_ROOM = re.compile(r"(^|_)(room|room_number|level|level_number|scene|wave|stage)$")


@dataclass(frozen=True)
class Cells:
    """How the states of a game are told apart.

    Attributes:
        sizes: How many neighbouring values count as one, by variable.
        rooms: The variables that say which room, level or wave is on the screen; may be none.
    """

    game: str
    sizes: dict[str, int]
    rooms: tuple[str, ...]

    @classmethod
    def of(cls, game: str) -> Cells:
        """Choose them from the label set v1."""
        variables = game_of(game).variables()
        sizes = {v.name: size for v in variables if (size := _size(v))}
        if not any(v.categories == ("agent_localization",) for v in variables):
            # An agent that stays in the middle, as a tank seen from inside.
            sizes |= {v.name: _ANYTHING for v in variables if v.ordered and AXIS.search(v.name)}
        return cls(game, sizes, tuple(name for name in sizes if _ROOM.search(name)))

    def reader(self) -> Callable[[bytes], tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return the function that gives the cell and the room of 128 bytes of RAM."""
        scalars, sizes, rooms = decoder(self.game).scalars, tuple(self.sizes.items()), self.rooms

        def read(ram: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
            values = scalars(ram)
            return tuple(values[name] // size for name, size in sizes), tuple(values[name] for name in rooms)

        return read


def _size(variable: Variable) -> int:
    if _EXACT.search(variable.name):
        return 1
    return {"agent_localization": _AGENT, "small_object_localization": _SMALL}.get(variable.categories[0], 0)


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


class Archive:
    """The cells of a search, in the order of discovery.

    Attributes:
        game: The game's name.
        seed: The seed of the emulator and of the search.
        steps: Agent steps so far.
        generator: Draws what is random, and goes on where it was when a search is resumed.
        parent: For each cell, the one that the search had returned to; -1 for the first.
        actions: ALE's action numbers from the parent on, each held for four frames.
        ram: The RAM, 128 bytes.
        reward: The sum of rewards since the reset.
        depth: Steps since the reset.
        found: Steps of the search when it was found.
        states: Emulator states; None where memory was full and the state was let go.
        taken: How often the search returned to the cell.
    """

    def __init__(self, game: str, seed: int) -> None:
        """Start an empty archive."""
        self.game, self.seed, self.steps = game, seed, 0
        self.generator = np.random.default_rng(seed)
        self.parent: list[int] = []
        self.actions: list[bytes] = []
        self.ram: list[bytes] = []
        self.reward: list[float] = []
        self.depth: list[int] = []
        self.found: list[int] = []
        self.states: list[Any] = []
        self.taken: list[int] = []

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.parent)

    def add(self, parent: int, actions: bytes, ram: bytes, reward: float, state: Any) -> None:
        """Add a cell."""
        self.parent.append(parent)
        self.actions.append(actions)
        self.ram.append(ram)
        self.reward.append(reward)
        self.depth.append(len(actions) + (self.depth[parent] if parent >= 0 else 0))
        self.found.append(self.steps)
        self.states.append(state)
        self.taken.append(0)

    def path(self, cell: int) -> bytes:
        """Return the actions that lead to a cell from the end of `begin`, each held for four frames."""
        parts = []
        while cell >= 0:
            parts.append(self.actions[cell])
            cell = self.parent[cell]
        return b"".join(reversed(parts))


def begin(console: Branches) -> None:
    """Reset a game and do what comes before the first cell."""
    console.reset()
    console.act(NOOP, PRELUDE_NOOPS)
    if FIRE in console.minimal_actions:
        console.act(FIRE, FRAME_SKIP)


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
        self._known: set[tuple[tuple[int, ...], float]] = set()
        self._rooms: list[frozenset[tuple[int, ...]]] = []
        self._weight = np.zeros(1024)  # how likely a return is; 0 where the state was let go
        self._value = np.zeros(1024)
        self._best = np.zeros(0, np.intp)
        self._ranked = 0
        if not len(archive):
            begin(console)
            archive.add(-1, b"", console.ram(), 0.0, console.keep())
        for cell in range(len(archive)):
            self._note(cell)

    def reached(self) -> Reached:
        """Return how far the search has come."""
        archive = self.archive
        rooms = len(frozenset().union(*set(self._rooms)))
        return Reached(archive.steps, len(archive), max(archive.reward), rooms, max(archive.depth))

    def go(self, steps: int) -> None:
        """Return to a cell once and go on from it; ``steps`` is where the whole search ends."""
        archive, console, generator = self.archive, self._console, self.archive.generator
        actions = console.minimal_actions
        parent = self._choose()
        console.go_back(archive.states[parent])
        lives, action, reward = console.lives(), NOOP, archive.reward[parent]
        done, before = bytearray(), len(archive)
        while len(done) < _STEPS_A_RETURN or before == len(archive) == 1:  # a title or a tune at first
            if archive.steps >= steps:
                break
            if generator.random() > _HOLD_ON or action == NOOP:
                action = actions[int(generator.integers(len(actions)))]
            reward += console.act(action, FRAME_SKIP)
            done.append(action)
            archive.steps += 1
            if console.game_over() or console.lives() < lives:
                break
            ram = console.ram()
            if (self._read(ram)[0], reward) not in self._known:
                archive.add(parent, bytes(done), ram, reward, console.keep())
                self._note(len(archive) - 1)
        archive.taken[parent] += 1
        self._weigh(parent)
        if np.count_nonzero(self._weight[: len(archive)]) > self._most:
            self._let_go()

    def _note(self, cell: int) -> None:
        archive = self.archive
        key, room = self._read(archive.ram[cell])
        self._known.add((key, archive.reward[cell]))
        before = self._rooms[archive.parent[cell]] if archive.parent[cell] >= 0 else frozenset()
        self._rooms.append(before if room in before else before | {room})
        if cell == len(self._weight):
            self._weight, self._value = np.resize(self._weight, 2 * cell), np.resize(self._value, 2 * cell)
        self._value[cell] = archive.reward[cell] + len(self._rooms[cell])
        self._weigh(cell)

    def _weigh(self, cell: int) -> None:
        archive = self.archive
        self._weight[cell] = 0.0 if archive.states[cell] is None else 1 / math.sqrt(archive.taken[cell] + 1)

    def _choose(self) -> int:
        """Draw the cell to return to."""
        archive, generator = self.archive, self.archive.generator
        pool, n = np.arange(len(archive)), len(archive)
        if generator.random() < 0.5:  # noqa: PLR2004  half of the returns
            pool = self._rank(n)
        weights = np.cumsum(self._weight[pool])
        return int(pool[np.searchsorted(weights, generator.random() * weights[-1], side="right")])

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
        for cell in held[np.argsort(self._weight[held], kind="stable")[: self._most // 10]]:
            self.archive.states[cell] = None
            self._weight[cell] = 0.0


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


def save(archive: Archive, path: Path) -> None:
    """Write an archive as Parquet, one row per cell, replacing an existing file.

    Raises:
        DataError: It cannot be written.
    """
    about = {
        "format": FORMAT,
        "game": archive.game,
        "seed": archive.seed,
        "steps": archive.steps,
        "generator": archive.generator.bit_generator.state,
        "ale_py": version("ale-py"),
    }
    table = pa.table(
        {
            "parent": pa.array(archive.parent, pa.int32()),
            "actions": pa.array(archive.actions, pa.binary()),
            "ram": pa.array(archive.ram, pa.binary(128)),
            "reward": pa.array(archive.reward, pa.float64()),
            "found": pa.array(archive.found, pa.int64()),
            "taken": pa.array(archive.taken, pa.int32()),
            "state": pa.array([s and s.serialize() for s in archive.states], pa.large_binary()),
        }
    ).replace_schema_metadata({_KEY: json.dumps(about)})
    with new_file(path, replace=True) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=4096)


def load(path: Path) -> Archive:
    """Read an archive that `save` wrote.

    Raises:
        DataError: It is not one, of a newer format, or of another ale-py, whose states may differ.
    """
    import ale_py

    try:
        with pq.ParquetFile(path) as file:
            about = json.loads((file.schema_arrow.metadata or {})[_KEY])
            refuse_newer(f"archive {path}", about["format"], FORMAT)
            columns = file.read().to_pydict()
        archive = Archive(about["game"], about["seed"])
        archive.steps = about["steps"]
        archive.generator.bit_generator.state = about["generator"]
        for parent, actions, ram, reward, found, taken, state in zip(
            *(columns[name] for name in _COLUMNS), strict=True
        ):
            archive.add(parent, actions, ram, reward, None if state is None else ale_py.ALEState(state))
            archive.found[-1], archive.taken[-1] = found, taken
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is not an archive of `atariari-data explore`: {error}") from error
    if about["ale_py"] != version("ale-py"):
        raise DataError(
            f"{path} was made with another ale-py, whose emulator states may differ.",
            expected=version("ale-py"),
            got=about["ale_py"],
            cure=f"pip install 'ale-py=={about['ale_py']}', or start another search.",
        )
    return archive
