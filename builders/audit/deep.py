"""Deep states, and what writing does in each room and where a thing is said to be absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.audit.branches import Branches
from builders.audit.cause import Cause
from builders.audit.play import walk
from builders.cells import Cells
from builders.manifest import DEEP, load_recording, recorded_configs
from builders.recording import Recording
from builders.search import search

Truth = npt.NDArray[np.bool_]


_ROWS = 6_000
_EVERY = 20  # rows from one state to the next


@dataclass(frozen=True)
class Deep:
    """Deep states of a game.

    Attributes:
        ram: The RAM of all rows that were looked at, uint8 [n, 128].
        states: Emulator states at some of them, of every room if there are enough.
        place: Says which room or level a RAM, uint8 [128], is in; empty where the game has none.
    """

    ram: npt.NDArray[np.uint8]
    states: Sequence[Any]
    place: Callable[[npt.NDArray[np.uint8]], str]


def deep(game: str, console: Branches, *, steps: int, seed: int, states: int) -> Deep:
    """Replay episodes of ``GAME_deep`` and choose states from their rooms in turn.

    A game whose deep states are not recorded yet is searched instead.

    Args:
        game: The game's name.
        console: For the search.
        steps: How long to search.
        seed: Decides the search, and which episodes are replayed.
        states: How many.
    """
    config = game + DEEP
    if config in recorded_configs():
        ram, kept = _recorded(load_recording(config), seed)
    else:
        archive = search(game, console, steps, seed)
        ram = archive.ram
        kept = {i: state for i, state in enumerate(archive.states) if state is not None}
    place = _place_of(game)
    rooms: dict[str, list[Any]] = {}
    for row, state in kept.items():
        rooms.setdefault(place(np.frombuffer(ram[row], np.uint8)), []).append(state)
    share = -(-states // len(rooms))
    spread = [
        [members[j] for j in np.unique(np.linspace(0, len(members) - 1, share).round().astype(int))]
        for members in rooms.values()
    ]
    in_turn = [room[i] for i in range(share) for room in spread if i < len(room)]
    return Deep(np.frombuffer(b"".join(ram), np.uint8).reshape(-1, 128), in_turn[:states], place)


def _recorded(recording: Recording, seed: int) -> tuple[list[bytes], dict[int, Any]]:
    """Return the RAM of the rows of some episodes, and the emulator's state at every 20th of them."""
    ram: list[bytes] = []
    kept: dict[int, Any] = {}
    for number in np.random.default_rng(seed).permutation(len(recording.lanes)).tolist():
        console = Branches(recording.header.game, recording.header.lane_seeds[number])
        lane = recording.lanes[number]
        for row in walk(lane, console, len(lane.action)):
            if len(ram) % _EVERY == _EVERY // 2:
                kept[len(ram)] = console.keep()
            ram.append(row[0])
        if len(ram) >= _ROWS:
            break
    return ram, kept


def _place_of(game: str) -> Callable[[npt.NDArray[np.uint8]], str]:
    cells = Cells.of(game)
    read = cells.reader()
    names = (*cells.rooms, *(f"byte {address}" for address in cells.room_bytes))

    def place(ram: npt.NDArray[np.uint8]) -> str:
        return ", ".join(
            f"{name} {value}" for name, value in zip(names, read(ram.tobytes()).room, strict=True)
        )

    return place


def moves_by_place(found: Cause, where: Sequence[str], present: Truth) -> dict[str, Any]:
    """Return by room: its states, those with the variable's thing, and the share of writes there that show.

    Args:
        found: Of `cause.cause`.
        where: The room of each state; nothing is returned where games have none.
        present: bool [states], where the annotations say that the thing is there.
    """
    rooms = np.array(where)
    every: dict[str, Any] = {}
    for room in sorted(set(where) - {""}):
        here = rooms == room
        writes, changed = found.by_state[here & present].sum(axis=0)
        every[room] = {
            "states": int(here.sum()),
            "there": int((here & present).sum()),
            "changed": round(float(changed / writes), 3) if writes else None,
        }
    return every


def moves_where_absent(found: Cause, absent: Truth) -> Mapping[str, Any] | None:
    """Return how many writes show in the states, bool [states], whose conditions say that it is absent."""
    if not absent.any():
        return None
    writes, changed = found.by_state[absent].sum(axis=0)
    return {
        "states": int(absent.sum()),
        "writes": int(writes),
        "changed": round(float(changed / max(writes, 1)), 3),
    }
