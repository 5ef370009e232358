"""Find: which bytes of a game's RAM are what, for a game that has no annotations yet.

Three questions, each a ranking of bytes with its evidence:

- *What counts?* Random play; a byte is compared with the rewards and the lives that ALE reports.
- *What does the joystick move?* The same state with the joystick held in opposite directions; a byte differs,
  always in the same sense.
- *What moves what is seen?* Another value is written into the byte, and the game goes on; what differs on the
  screen stands elsewhere with each value, so many pixels for a unit along an axis.

A ranking is a proposal. `atariari-data audit` decides, once the bytes are annotated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UnknownNameError, UsageError
from atariari_data.games import Variable, base_of, game, game_names, letters_of
from builders.audit.branches import Array, Branches, silenced
from builders.audit.cause import FRAMES, State, cause, states_of, values_to_write
from builders.emulator import FRAME_SKIP
from builders.frames import HEIGHT, WIDTH

HELD: Final = 12  # frames that the joystick is held
WIDE: Final = 2  # pixels around a place that is asked for
LEAST_SHARE: Final = 0.5  # of shifts that a scale has to explain
LEAST_ROWS: Final = 0.9  # of the rows that a count has to explain
POWERS: Final = range(6)
_SHOWN: Final = 20  # bytes of a table
_APART: Final = (8, -8, 40)  # from the byte that is there, to see what it moves
_ITSELF: Final = np.arange(256, dtype=np.uint8)
_WAYS: Final = {"x": (3, 4), "y": (5, 2)}  # ALE's right and left, down and up

Bytes = npt.NDArray[np.uint8]
Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]
"""Title, columns and rows."""


@dataclass(frozen=True)
class Played:
    """Random play.

    Attributes:
        ram: uint8 [n, 128].
        gained: float64 [n], sum of the positive rewards since the game was reset.
        lost: float64 [n], minus the sum of the negative ones.
        lives: int64 [n], ALE's count.
        states: Emulator states at some of the rows.
    """

    ram: Bytes
    gained: npt.NDArray[np.float64]
    lost: npt.NDArray[np.float64]
    lives: npt.NDArray[np.int64]
    states: Sequence[Any]


@dataclass(frozen=True)
class Count:
    """A byte that counts.

    Attributes:
        address: 0 to 127.
        counts: ``points``, ``points won``, ``points lost`` or ``lives``.
        form: ``binary``, ``BCD``, ``low digit`` or ``high digit``: what of the byte is compared.
        unit: What a step of 1 stands for.
        share: Share of the rows on which it is right.
        values: Number of values that it takes.
    """

    address: int
    counts: str
    form: str
    unit: int
    share: float
    values: int


@dataclass(frozen=True)
class Steered:
    """A byte that the joystick changes.

    Attributes:
        address: 0 to 127.
        axis: ``x`` (right against left) or ``y`` (down against up).
        share: Share of the states in which it differs in the more frequent sense, less that in the other.
        by: The median difference between the two directions, where there is one.
    """

    address: int
    axis: str
    share: float
    by: int


@dataclass(frozen=True)
class Mover:
    """A byte that moves something on the screen.

    Attributes:
        address: 0 to 127.
        axis: ``x`` or ``y``.
        scale: Pixels a unit.
        share: Share of the pairs of values whose distance on the screen the scale explains to a pixel.
        states: Share of the states in which anything moves.
        pixels: The median number of pixels that a write changes.
        offset: The column or row of its left end or top at value 0; None where unclear.
        shown: uint8 [2, 210, 160], what follows a state without and with another value.
    """

    address: int
    axis: str
    scale: float
    share: float
    states: float
    pixels: int
    offset: int | None
    shown: Array = field(repr=False, compare=False)


@dataclass(frozen=True)
class Found:
    """The proposals for a game, best first.

    Attributes:
        game: Its name.
        counts: Bytes that hold points or lives.
        steered: Bytes that the joystick changes.
        movers: Bytes that move something.
        known: Names of the bytes that are annotated already, by address.
        screens: uint8 [states, 210, 160], what follows each state; palette numbers 0 to 127.
    """

    game: str
    counts: Sequence[Count]
    steered: Sequence[Steered]
    movers: Sequence[Mover]
    known: Mapping[int, str]
    screens: Array

    def plain(self) -> dict[str, Any]:
        """Return the proposals as dicts and lists, without pixels."""

        def row(item: Count | Steered | Mover) -> dict[str, Any]:
            values = {f.name: getattr(item, f.name) for f in fields(item) if f.name != "shown"}
            return {**values, "known_as": self.known.get(item.address)}

        return {
            "game": self.game,
            **{part: [row(item) for item in getattr(self, part)] for part in ("counts", "steered", "movers")},
        }

    def tables(self, at: tuple[int, int] | None) -> list[Table]:
        """Return title, columns and rows of three tables.

        Args:
            at: The column and row of the thing that was asked about.
        """

        def row(item: Count | Steered | Mover, *values: object) -> tuple[object, ...]:
            return (item.address, *values, self.known.get(item.address, ""))

        moved = "something on the screen" if at is None else f"the thing at {at[0]}, {at[1]}"
        return [
            (
                "What counts",
                ("byte", "counts", "as", "unit", "rows", "values", "known as"),
                [row(c, c.counts, c.form, c.unit, f"{c.share:.0%}", c.values) for c in self.counts],
            ),
            (
                "What the joystick moves",
                ("byte", "axis", "states", "by", "known as"),
                [row(s, s.axis, f"{s.share:.0%}", s.by) for s in self.steered[:_SHOWN]],
            ),
            (
                f"What moves {moved}",
                ("byte", "axis", "px a unit", "explained", "states", "pixels", "at 0", "known as"),
                [
                    row(
                        *(m, m.axis, f"{m.scale:g}", f"{m.share:.0%}", f"{m.states:.0%}", m.pixels),
                        "" if m.offset is None else m.offset,
                    )
                    for m in self.movers[:_SHOWN]
                ],
            ),
        ]


def rom_of(name: str) -> str:
    """Return ale-py's name of a game's ROM, whether the game has annotations or not.

    Args:
        name: In any form that `atariari_data.game` takes; its title only if it has annotations.

    Raises:
        UnknownNameError: ale-py has no such ROM. The message suggests a similar name.
    """
    from ale_py import roms

    with contextlib.suppress(UnknownNameError):
        return game(name).name
    base, known = base_of(name), sorted(roms.get_all_rom_ids())
    for rom in known:
        if letters_of(rom) == letters_of(base):
            return rom
    raise UnknownNameError("ROM of ale-py", base, known, "ale_py.roms.get_all_rom_ids()")


def find(
    name: str,
    *,
    steps: int = 6000,
    states: int = 12,
    seed: int = 0,
    at: tuple[int, int] | None = None,
    state: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> Found:
    """Rank the bytes of a game.

    Args:
        name: A game of ale-py, as in `rom_of`.
        steps: Agent steps of random play.
        states: Number of states to branch from.
        seed: Of play and of the values that are written.
        at: Column and row of a thing, to find what moves it.
        state: The number of the state in which it is there.
        progress: Called with 1 after each of the 128 bytes.

    Raises:
        UnknownNameError: ale-py has no such ROM.
        DataError: The ROM was changed.
        UsageError: No such state, or a place outside the screen.
    """
    if not 0 <= state < states:
        raise UsageError("No such state.", expected=f"0 to {states - 1}", got=state)
    if at is not None and not (0 <= at[0] < WIDTH and 0 <= at[1] < HEIGHT):
        raise UsageError(
            "The place is not on the screen.",
            expected=f"columns to {WIDTH - 1}, rows to {HEIGHT - 1}",
            got=at,
        )
    name = rom_of(name)
    console, generator = Branches(name, seed), np.random.default_rng(seed)
    with silenced():
        played = play(console, steps, states, generator)
        steered = steered_bytes(console, played.states)
        looked_at = states_of(console, played.states)
    if state >= len(looked_at):
        raise UsageError("No such state.", expected=f"0 to {len(looked_at) - 1}", got=state)
    with silenced():
        here = None if at is None else bytes_at(console, looked_at[state], at)
    movers = list[Mover]()
    for address in range(128):
        if here is None or here[address]:
            with silenced():
                movers += _movers(console, played, looked_at, address, generator)
        progress(1)
    movers.sort(key=lambda m: -m.share * m.states)
    known = {v.address: v.name for v in reversed(game(name).variables())} if name in game_names() else {}
    screens = np.array([each.screens[-1] for each in looked_at])
    return Found(name, counting_bytes(played), steered, movers, known, screens)


def play(console: Branches, steps: int, states: int, generator: np.random.Generator) -> Played:
    """Play at random, each action held for one to eight steps, and keep states spread evenly over it."""
    rows, kept = [], list[Any]()
    gained = lost = 0.0
    action = held = 0
    console.reset()
    for step in range(steps):
        if console.game_over():
            console.reset()
            gained = lost = 0.0
        if not held:
            action, held = int(generator.choice(console.minimal_actions)), int(generator.integers(1, 9))
        reward, held = console.act(action, FRAME_SKIP), held - 1
        gained, lost = gained + max(reward, 0), lost + max(-reward, 0)
        rows.append((np.frombuffer(console.ram(), np.uint8), gained, lost, console.lives()))
        if len(kept) < states * (step + 1) // steps and not console.game_over():
            kept.append(console.keep())
    ram, won, gone, lives = zip(*rows, strict=True)
    return Played(np.stack(ram), np.array(won), np.array(gone), np.array(lives), kept)


def counting_bytes(played: Played) -> list[Count]:
    """Return the bytes that hold points or lives, best first."""
    ram = played.ram.astype(np.int64)
    high, low = ram >> 4, ram & 15
    decimal = (high < 10) & (low < 10)  # noqa: PLR2004
    found = list[Count]()
    totals = {
        "points": played.gained - played.lost,
        "points won": played.gained,
        "points lost": played.lost,
    }
    for counts, total in totals.items():
        if np.ptp(total) == 0 or (counts != "points" and not played.lost.any()):
            continue
        for unit in (10**power for power in POWERS):
            whole = np.floor_divide(total, unit).astype(np.int64)
            forms = {
                "binary": (ram, whole % 256),
                "BCD": (np.where(decimal, 10 * high + low, -1), whole % 100),
                "low digit": (np.where(low < 10, low, -1), whole % 10),  # noqa: PLR2004
                "high digit": (np.where(high < 10, high, -1), whole % 10),  # noqa: PLR2004
            }
            for form, (says, right) in forms.items():
                found += _equal(says, right, counts, form, unit)
    found += _equal(ram, played.lives, "lives", "binary", 1, shifted=True)
    found.sort(key=lambda c: (c.counts == "lives", -round(c.share, 2), -c.values, c.form != "binary"))
    best: dict[tuple[bool, int], Count] = {}
    for count in found:
        best.setdefault((count.counts == "lives", count.address), count)
    return list(best.values())


def _equal(
    says: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    counts: str,
    form: str,
    unit: int,
    *,
    shifted: bool = False,
) -> list[Count]:
    """Return the bytes that equal a count on most rows; if ``shifted``, but for a constant."""
    found = []
    for address in np.flatnonzero(np.ptp(says, axis=0) > 0):
        of_it = says[:, address]
        if shifted:
            apart, often = np.unique((of_it - right) % 256, return_counts=True)
            of_it = (of_it - apart[often.argmax()]) % 256
        same = of_it == right
        values = len(np.unique(right[same]))
        usual = np.unique(right, return_counts=True)[1].max() / len(right)
        if same.mean() >= max(LEAST_ROWS, usual) and values > 1:
            found.append(Count(int(address), counts, form, unit, float(same.mean()), values))
    return found


def steered_bytes(console: Branches, states: Sequence[Any]) -> list[Steered]:
    """Return the bytes that differ by the direction in which the joystick is held, best first."""
    found = list[Steered]()
    for axis, (forth, back) in _WAYS.items():
        if not {forth, back} <= set(console.minimal_actions):
            continue
        apart = []
        for state in states:
            one, other = (console.branch(state, HELD, action=a)[1][-1] for a in (forth, back))
            apart.append((one - other).astype(np.int8))  # the shorter way round
        differ = np.array(apart).reshape(-1, 128).astype(np.int64)
        for address in np.flatnonzero(differ.any(axis=0)):
            signs = np.sign(differ[:, address])
            share = abs(float(signs.mean()))
            by = int(np.median(differ[signs != 0, address]))
            found.append(Steered(int(address), axis, share, by))
    return sorted(found, key=lambda s: -s.share)


def _movers(
    console: Branches, played: Played, states: Sequence[State], address: int, generator: np.random.Generator
) -> list[Mover]:
    """Write values into a byte, and measure how what differs on the screen moves along each axis."""
    byte = Variable("byte_x", address)
    values = values_to_write(byte, played.ram[:, address], generator)
    found = cause(console, states, byte, _ITSELF, values)
    if found.movement is None:
        return []
    axes = {"x": found.movement.x, "y": found.movement.y}
    state = states[int(found.by_state[:, 1].argmax())]
    far = max(values, key=lambda v: abs(v - int(state.ram[address])))
    other, _ = console.branch(state.kept, FRAMES, write=(address, far))
    frame = int((other != state.screens).sum(axis=(1, 2)).argmax())
    shown = np.array([state.screens[frame], other[frame]])
    return [
        Mover(address, name, a.scale, a.share, found.changed_states, found.pixels, a.offset, shown)
        for name, a in axes.items()
        if a.scale and a.share >= LEAST_SHARE
    ]


def bytes_at(console: Branches, state: State, at: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which bytes change what is at a place when another value is written, bool [128].

    Args:
        console: To branch in.
        state: The state in which the thing is there.
        at: Column and row of the thing, to within two pixels.
    """
    x, y = at
    near = np.s_[:, max(0, y - WIDE) : y + WIDE + 1, max(0, x - WIDE) : x + WIDE + 1]
    found = np.zeros(128, np.bool_)
    for address in range(128):
        for by in _APART:
            written = (int(state.ram[address]) + by) % 256
            screens, _ = console.branch(state.kept, FRAMES, write=(address, written))
            found[address] |= bool((screens != state.screens)[near].any())
    return found
