"""Cells: how an archive search tells the states of a game apart.

A cell is the agent's place in steps of 8 values, small objects in steps of 32, the room, level, inventory and
lives, oxygen and fuel; with the reward so far it has a place in the archive (`builders.archive`).

The cells come from the package's label set v1. An error in it makes a search worse, but not its findings
wrong: every cell has the actions that lead to it from a reset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from atariari_data.games import Variable
from atariari_data.games import game as game_of
from atariari_data.labels import decoder
from atariari_data.positions import AXIS

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
