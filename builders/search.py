"""Archive search: states of a game that random play does not reach.

The first phase of Go-Explore with domain knowledge (arXiv 1901.10995). The archive keeps one emulator state
for each *cell*: the agent's place in steps of 8 values, small objects in steps of 32, the room, level,
inventory and lives, oxygen and fuel, and the reward so far. Again and again the search returns to a cell and
goes on from it with random actions, most of them held for several steps, until a life is lost. What is the
same but for the places of agent and objects is one *stage*: a room, with an amount of reward. A quarter of
the returns each go to any cell, to the 200 cells with the most reward and rooms, to the 20 stages with the
most, and to a room that was returned to seldom. Cells that were returned to often, or in vain, are chosen
less.

The cells come from the package's label set v1. An error in it makes the search worse, but not its findings
wrong: every cell has the actions that lead to it from a reset.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

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
from builders.digest import frame_digest
from builders.emulator import FIRE, FRAME_SKIP, NOOP
from builders.files import new_file, refuse_newer

FORMAT: Final = 1
STATE_BYTES: Final = 9_000
"""Memory of a kept state, about."""
GIGABYTES: Final = 2.0
HOLD_ON: Final = 0.8
"""How likely the action is that of the step before."""

_STEPS_A_RETURN = 40
_MORE_STEPS = {"bowling": 160}  # a ball rolls and pins are set up for longer than 40 steps
_MOST_NOOPS = 30
_BEST, _BEST_STAGES = 200, 20
_KEY = b"atariari"
_NO_STATE = (SystemError, RuntimeError)  # what ale-py 0.12 and 0.11 raise on bytes that are no state
_COLUMNS = ("parent", "actions", "ram", "frame", "reward", "found", "taken", "barren", "state")
_AGENT, _SMALL, _ANYTHING = 8, 32, 32  # values to a cell
_EXACT = re.compile(r"(^|_)(room|level|inventory|scene|wave|stage|lives|frame_number|pin_existence)($|_)")
_ROOM = re.compile(r"(^|_)(room|room_number|level|level_number|scene|wave|stage|frame_number_display)$")
_SLOT = re.compile(r"(^|_)slot$")
_LIVES = re.compile(r"(^|_)lives($|_)")
_STOCK = re.compile(
    r"^(oxygen_meter_value|fuel_meter_high|divers_collected_count|igloo_blocks_count|dynamite_count)$"
)
_STOCK_BANDS = 8
# What also tells cells apart, where the game goes on around an idle agent.
_ALSO = {"gopher": re.compile(r"^gopher_[xy]$|^(hole|tunnel|carrot)_")}
_ROOM_BYTES = {"pitfall": (1,)}  # the scene, from which the game draws the room; not labelled


@dataclass(frozen=True)
class Cells:
    """How the states of a game are told apart.

    Attributes:
        sizes: How many neighbouring values count as one, by variable.
        rooms: The variables that say which room, level or wave is on the screen; may be none.
        stock: The variables that say what the agent has left to go on with; may be none.
        lives: The variables that say how many lives are left; may be none.
        room_bytes: Addresses of bytes that say which room is on the screen and are not labelled.
        slot: The variable that says which of several things the agent is; None where it is always the same.
        slots: The column and row of each of these things, NAME_x_0, NAME_y_0 and so on; empty without a slot.
    """

    game: str
    sizes: dict[str, int]
    rooms: tuple[str, ...]
    stock: tuple[str, ...]
    lives: tuple[str, ...]
    room_bytes: tuple[int, ...]
    slot: str | None = None
    slots: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, game: str) -> Cells:
        """Choose them from the label set v1."""
        variables = game_of(game).variables()
        sizes = {v.name: size for v in variables if (size := _size(v))}
        if (also := _ALSO.get(game)) is not None:
            sizes |= {
                v.name: _ANYTHING if AXIS.search(v.name) else 1 for v in variables if also.search(v.name)
            }
        slot = next((v for v in variables if _SLOT.search(v.name)), None)
        if slot is None and not any(v.categories == ("agent_localization",) for v in variables):
            # An agent that stays in the middle, as a tank seen from inside.
            sizes |= {v.name: _ANYTHING for v in variables if v.ordered and AXIS.search(v.name)}
        rooms, stock, lives = (
            tuple(name for name in sizes if pattern.search(name)) for pattern in (_ROOM, _STOCK, _LIVES)
        )
        numbers = range(slot.values[1] + 1 if slot else 0)
        slots = tuple(
            tuple(v.name for v in variables if v.name.endswith((f"_x_{n}", f"_y_{n}"))) for n in numbers
        )
        room_bytes = _ROOM_BYTES.get(game, ())
        return cls(game, sizes, rooms, stock, lives, room_bytes, slot.name if slot else None, slots)

    @property
    def has_rooms(self) -> bool:
        """Whether the game has more than one room, level or wave that can be told apart."""
        return bool(self.rooms or self.room_bytes)

    def reader(self) -> Callable[[bytes], Seen]:
        """Return the function that tells what 128 bytes of RAM mean to the search."""
        scalars, sizes, room_bytes = decoder(self.game).scalars, self.sizes, self.room_bytes
        rooms, stock, lives, slot, slots = self.rooms, self.stock, self.lives, self.slot, self.slots

        def read(ram: bytes) -> Seen:
            values = scalars(ram)
            coarse = {name: values[name] // size for name, size in sizes.items()}
            room = (*(values[name] for name in rooms), *(ram[address] for address in room_bytes))
            places = slots[values[slot]] if slot and values[slot] < len(slots) else ()
            agent = (values[name] // _AGENT for name in places)
            return Seen(
                (*coarse.values(), *agent, *room),
                room,
                tuple(coarse[name] for name in stock),
                tuple(values[name] for name in lives),
            )

        return read


class Seen(NamedTuple):
    """What a RAM means to the search.

    Attributes:
        cell: All that tells cells apart, but for the reward.
        room: Which room, level or wave is on the screen.
        stock: What the agent has left to go on with.
        lives: How many lives are left.
    """

    cell: tuple[int, ...]
    room: tuple[int, ...]
    stock: tuple[int, ...]
    lives: tuple[int, ...]


def _size(variable: Variable) -> int:
    if _EXACT.search(variable.name):
        return 1
    if _STOCK.search(variable.name):
        low, high = variable.values
        return -(-(high - low + 1) // _STOCK_BANDS)
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
        frame: The digest of the pixels (`builders.digest.frame_digest`).
        reward: The sum of rewards since the reset.
        depth: Steps since the reset.
        found: Steps of the search when it was found.
        states: Emulator states; None where memory was full and the state was let go.
        taken: How often the search returned to the cell.
        barren: How often in a row it found no cell from there.
    """

    def __init__(self, game: str, seed: int) -> None:
        """Start an empty archive."""
        self.game, self.seed, self.steps = game, seed, 0
        self.generator = np.random.default_rng(seed)
        self.parent: list[int] = []
        self.actions: list[bytes] = []
        self.ram: list[bytes] = []
        self.frame: list[bytes] = []
        self.reward: list[float] = []
        self.depth: list[int] = []
        self.found: list[int] = []
        self.states: list[Any] = []
        self.taken: list[int] = []
        self.barren: list[int] = []

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.parent)

    def add(self, parent: int, actions: bytes, ram: bytes, frame: bytes, reward: float, state: Any) -> None:
        """Add a cell."""
        self.parent.append(parent)
        self.actions.append(actions)
        self.ram.append(ram)
        self.frame.append(frame)
        self.reward.append(reward)
        self.depth.append(len(actions) + (self.depth[parent] if parent >= 0 else 0))
        self.found.append(self.steps)
        self.states.append(state)
        self.taken.append(0)
        self.barren.append(0)

    def before(self) -> list[int]:
        """Return for each cell the last one before it on its path; -1 for the first."""
        found = []
        for cell, parent in enumerate(self.parent):
            latest = cell - 1  # of the same return, unless this cell was the first that it found
            same = latest > 0 and self.parent[latest] == parent
            same = same and self.actions[cell].startswith(self.actions[latest])
            found.append(latest if same else parent)
        return found

    def path(self, cell: int) -> bytes:
        """Return the actions that lead to a cell from the end of the `opening`, each held for four frames."""
        parts = []
        while cell >= 0:
            parts.append(self.actions[cell])
            cell = self.parent[cell]
        return b"".join(reversed(parts))


def opening(seed: int, minimal_actions: Sequence[int]) -> list[tuple[int, int]]:
    """Return what is done after the reset and before the first cell.

    Args:
        seed: The seed of the search, which gives the number of no-ops, 1 to 30.
        minimal_actions: The game's minimal action set, as ALE's numbers.

    Returns:
        Actions, and the frames for which each is held: no-ops, then FIRE where the game has it.
    """
    noops = int(np.random.default_rng((seed, 0)).integers(1, _MOST_NOOPS + 1))
    return [(NOOP, noops), *([(FIRE, FRAME_SKIP)] if FIRE in minimal_actions else [])]


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
            "frame": pa.array(archive.frame, pa.binary(16)),
            "reward": pa.array(archive.reward, pa.float64()),
            "found": pa.array(archive.found, pa.int64()),
            "taken": pa.array(archive.taken, pa.int32()),
            "barren": pa.array(archive.barren, pa.int32()),
            "state": pa.array([s and _stored(s) for s in archive.states], pa.large_binary()),
        }
    ).replace_schema_metadata({_KEY: json.dumps(about)})
    with new_file(path, replace=True) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=4096)


def _stored(state: Any) -> bytes:
    """Return the bytes of an emulator state; ale-py 0.11 gives a tuple, and fails in `serialize`."""
    content = state.__getstate__()
    stored: bytes = content[0] if isinstance(content, tuple) else content
    return stored


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
            _check_emulator(path, about["ale_py"])
            columns = file.read().to_pydict()
        archive = Archive(about["game"], about["seed"])
        archive.steps = about["steps"]
        archive.generator.bit_generator.state = about["generator"]
        for parent, actions, ram, frame, reward, found, taken, barren, state in zip(
            *(columns[name] for name in _COLUMNS), strict=True
        ):
            kept = None if state is None else ale_py.ALEState(state)
            archive.add(parent, actions, ram, frame, reward, kept)
            archive.found[-1], archive.taken[-1], archive.barren[-1] = found, taken, barren
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, *_NO_STATE) as error:
        raise DataError(f"{path} is not an archive of `atariari-data explore`: {error}") from error
    return archive


def _check_emulator(path: Path, found: str) -> None:
    if found != version("ale-py"):
        raise DataError(
            f"{path} was made with another ale-py, whose emulator states may differ.",
            expected=version("ale-py"),
            got=found,
            cure=f"pip install 'ale-py=={found}', or start another search.",
        )
