"""Cause: write another value, go on, and compare with the branch where it was not written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.games import Variable
from atariari_data.positions import AXIS
from builders.audit import places
from builders.audit.branches import Array, Branches
from builders.audit.places import AXES, SIZE

FRAMES = 4
VALUES = 8
_SIDE_EFFECT = 0.5  # of the writes after which another byte is another


@dataclass(frozen=True)
class State:
    """Where branches begin: the emulator's state, its RAM, and what follows when nothing is written."""

    kept: Any
    ram: npt.NDArray[np.uint8]
    screens: Array
    ram_after: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cause:
    """What writing a variable does.

    Attributes:
        writes: How many were made, each another value in some state.
        changed: Share of them after which the screen is another within four frames.
        changed_states: Share of the states in which any of them did.
        by_state: int64 [states, 2], for each state its writes and how many of them changed the screen.
        lag: Frames until then, the most common; 1 is the first frame after the write. None if never.
        pixels: That differ at that frame, the median.
        overwritten: Share of the writes that the game has put right after one frame.
        side_effects: Other bytes that differ after one frame in at least half of the writes.
        movement: How the thing moves, for positions; None if nothing was seen to move.
    """

    writes: int
    changed: float
    changed_states: float
    by_state: npt.NDArray[np.int64]
    lag: int | None
    pixels: int
    overwritten: float
    side_effects: tuple[int, ...]
    movement: Movement | None


@dataclass(frozen=True)
class Axis:
    """How a thing moves along an axis: pixels a unit, the share of shifts that this explains to a pixel.

    ``offset`` is where its left end or top stands at value 0, ``size`` its extent; None where unclear.
    ``average`` is how often something differs at each of `places.offsets`, for that scale.
    """

    scale: float
    share: float
    offset: int | None
    size: int | None
    average: places.Floats


@dataclass(frozen=True)
class Movement:
    """How a thing moves when its position is written: pairs of branches compared, and each axis.

    For each of n branches, ``states`` has the state's number, ``profiles`` the columns and the rows in which
    something differs, bool [n, 160] and [n, 210].
    """

    pairs: int
    x: Axis
    y: Axis
    states: npt.NDArray[np.intp]
    profiles: Mapping[str, npt.NDArray[np.bool_]]


def states_of(console: Branches, kept: Sequence[Any]) -> list[State]:
    """Look at what follows each state when nothing is written."""
    found = []
    for state in kept:
        console.go_back(state)
        ram = np.frombuffer(console.ram(), np.uint8)
        found.append(State(state, ram, *console.branch(state, FRAMES)))
    return found


def bytes_to_write(
    variable: Variable, table: npt.NDArray[np.uint8], byte: int, values: Sequence[int]
) -> list[int]:
    """Return a byte for each value that differs from the present one, the bits of others left as they are."""
    rest = 0xFF & ~variable.mask
    every = np.arange(256)
    same_rest = (every & rest) == (byte & rest)
    wanted = [v for v in values if v != table[byte]]
    candidates = [every[same_rest & (table == v)] for v in wanted]
    return [int(c[0]) for c in candidates if c.size]


def values_to_write(
    variable: Variable, seen: npt.NDArray[np.uint8], generator: np.random.Generator
) -> list[int]:
    """Choose values that play has shown, spread evenly; from the stated range where it shows one only."""
    absent = variable.drawn.absent if variable.drawn else ()
    choice = np.setdiff1d(np.unique(seen), absent).astype(int)
    if choice.size < 2:  # noqa: PLR2004  two values are the least that can be compared
        choice = np.arange(variable.values[0], variable.values[1] + 1)
    if choice.size <= VALUES:
        return [int(v) for v in choice]
    if not variable.ordered:
        return [int(v) for v in np.sort(generator.choice(choice, VALUES, replace=False))]
    return [int(v) for v in choice[np.linspace(0, choice.size - 1, VALUES).round().astype(int)]]


def cause(
    console: Branches,
    states: Sequence[State],
    variable: Variable,
    table: npt.NDArray[np.uint8],
    values: Sequence[int],
    present: npt.NDArray[np.bool_] | None = None,
) -> Cause:
    """Write the values into each state and compare.

    Args:
        console: To branch in.
        states: Of `states_of`.
        variable: What is written.
        table: uint8 [256], the value of each byte.
        values: To write; the one that is there is left out.
        present: bool [states], where the annotations say that the thing is there; others do not count, unless
            all are such. By default all do.
    """
    counted = present if present is not None and present.any() else np.ones(len(states), np.bool_)
    lags, sizes, overwritten, sides = list[int](), list[int](), 0, Counter[int]()
    by_state = np.zeros((len(states), 2), np.int64)
    states_changed = writes = 0
    movements: list[list[tuple[int, npt.NDArray[np.int64], Array]]] = [[] for _ in range(FRAMES)]
    moves = variable.ordered and AXIS.search(variable.name) is not None
    for number, state in enumerate(states):
        address, byte = variable.address, int(state.ram[variable.address])
        written = bytes_to_write(variable, table, byte, values)
        branches, after, any_changed = [state.screens], [table[state.ram_after[:, address]]], False
        for other in written:
            screens, ram = console.branch(state.kept, FRAMES, write=(address, other))
            branches.append(screens)
            after.append(table[ram[:, address]])
            differs = (screens != state.screens).sum(axis=(1, 2))
            any_changed |= bool(differs.any())
            by_state[number] += (1, bool(differs.any()))
            if not counted[number]:
                continue
            writes += 1
            if differs.any():
                lag = int(differs.argmax())
                lags.append(lag + 1)
                sizes.append(int(differs[lag]))
            overwritten += bool(table[ram[0, address]] == table[state.ram_after[0, address]])
            sides.update(np.flatnonzero(ram[0] != state.ram_after[0]).tolist())
        states_changed += any_changed and bool(counted[number])
        if moves and any_changed:
            # What the variable says at the frame: the game may have moved on from what was written.
            says = np.array(after, np.int64)
            says = variable.drawn.signed(says) if variable.drawn else says
            for frame in range(FRAMES):
                movements[frame].append((number, says[:, frame], np.array([b[frame] for b in branches])))
    del sides[variable.address]
    return Cause(
        writes=writes,
        changed=len(lags) / max(writes, 1),
        changed_states=states_changed / max(int(counted.sum()), 1),
        by_state=by_state,
        lag=Counter(lags).most_common(1)[0][0] if lags else None,
        pixels=int(np.median(sizes)) if sizes else 0,
        overwritten=overwritten / max(writes, 1),
        side_effects=tuple(sorted(b for b, n in sides.items() if n >= _SIDE_EFFECT * writes)),
        movement=_movement(movements),
    )


def _movement(frames: Sequence[Sequence[tuple[int, npt.NDArray[np.int64], Array]]]) -> Movement | None:
    """Take the frame after the write in which things are seen to move best."""
    found = [m for m in map(_movement_at, frames) if m]
    return max(found, key=lambda m: m.pairs * max(a.share * (a.scale != 0) for a in (m.x, m.y)), default=None)


def _movement_at(states: Sequence[tuple[int, npt.NDArray[np.int64], Array]]) -> Movement | None:
    parts, seen, values, numbers = [], [], [], []
    for number, written, screens in states:
        found = places.masks(screens)
        if found is None:
            continue
        parts.append(places.shifts(found, written))
        there = found.any(axis=(1, 2))
        seen.append(found[there])
        values.append(written[there])
        numbers += [number] * int(there.sum())
    if not parts:
        return None
    shifts, found, value = places.join(parts), np.concatenate(seen), np.concatenate(values)
    if not shifts.units.size:
        return None
    profiles = {axis: profile > 0 for axis, profile in places.profiles(found).items()}
    axes = {axis: _axis(axis, profiles[axis], value, shifts) for axis in AXES}
    return Movement(int(shifts.units.size), axes["x"], axes["y"], np.array(numbers, np.intp), profiles)


def _axis(
    axis: str, profile: npt.NDArray[np.bool_], value: npt.NDArray[np.int64], shifts: places.Shifts
) -> Axis:
    scale, share = places.scale_of(shifts.units, getattr(shifts, axis))
    average = places.aligned(profile.astype(float), value, np.ones(len(value)), scale)
    run = places.run(average, scale, SIZE[axis]) if scale else None
    return Axis(scale, share, run[0] if run else None, run[1] if run else None, average)
