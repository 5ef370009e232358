"""What is read out of a game: its annotated variables as quantities, each by what it is.

- A variable with an order keeps its value, or where the annotation says where it is drawn, its pixel.
- A variable that wraps around (``period`` in its annotation) is circular.
- A code or flag is nominal, a bit map is one flag for each bit, and so is the presence of each thing.
- The motion of a thing is how far each of its coordinates moved since the row before, in pixels.

All are unknown (NaN) on the rows on which their thing is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from atariari_data.games import Variable, game
from atariari_data.labels import labels as decode
from atariari_data.positions import Axis, presence, things
from harness.probes.target import Kind, Target

MOTION: Final = "motion"
"""The category of motions, whose mean is shown but is not part of a game's mean."""

MOST_MOTION: Final = 40.0
"""Pixels from row to row; what went further appeared somewhere else, and did not move."""

LEAST_ROWS: Final = 100
LEAST_PRESENT: Final = 0.05
LEAST_OTHER: Final = 0.1

SCORED: Final = (
    f"on the rows fitted to, selected by and scored on: present in {LEAST_ROWS} rows and {LEAST_PRESENT} of "
    f"all, and {LEAST_OTHER} of those differ from the most frequent value"
)
"""The rule that decides which quantities are scored, in words, for the protocol."""

_BITS = "bit map"
_TWO_PIXELS = "2 px"

Values = npt.NDArray[np.float64]
Present = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Rows of a game, as targets are made from them.

    Attributes:
        ram: uint8 [n, 128].
        before: int64 [n], the row of the step before in the same episode; -1 if it is not among the rows.
        labels: uint8 [n] by variable.
        present: Whether the variable's thing is there, bool [n] by variable.
    """

    ram: npt.NDArray[np.uint8]
    before: npt.NDArray[np.int64]
    labels: dict[str, npt.NDArray[np.uint8]]
    present: dict[str, Present]


Make = Callable[[Rows], Values]


def targets_of(game_name: str, label_set: str) -> tuple[Target, ...]:
    """Return everything that can be read out of a game, in the order of the annotations, motions last."""
    return tuple(target for target, _ in _columns(game_name, label_set))


def rules_of(game_name: str, label_set: str) -> tuple[object, ...]:
    """Return what decides the values of `targets_of`: these, and the annotations without their words."""
    variables = game(game_name).variables(label_set)
    silent = [replace(v, description="", source="", values=(0, 255)) for v in variables]
    return targets_of(game_name, label_set), silent, MOST_MOTION


def values_of(
    ram: npt.NDArray[np.uint8],
    episode: npt.NDArray[np.int32],
    step: npt.NDArray[np.int32],
    game_name: str,
    label_set: str,
) -> Values:
    """Return the values of `targets_of`, float64 [n, t]; NaN where the thing is not there.

    Args:
        ram: uint8 [n, 128].
        episode: int32 [n], the number of each row's episode.
        step: int32 [n], the step within it.
        game_name: The game's name.
        label_set: ``v1`` or ``anand2019``.
    """
    rows = Rows(
        ram,
        _before(episode, step),
        decode(ram, game_name, label_set),
        presence(ram, game_name, label_set),
    )
    return np.stack([make(rows) for _, make in _columns(game_name, label_set)], axis=1)


def is_scored(*parts: Values, least: int = LEAST_ROWS) -> bool:
    """Return whether a target has enough rows and varies enough to be scored; see `SCORED`.

    Args:
        parts: Its values on the rows that the probe is fitted to, on those that select its strength, and on
            the test rows, float64 [n] each; NaN where it is absent.
        least: The least number of rows; fewer than `LEAST_ROWS` in a dry run.
    """
    return all(_varies(values, least) for values in parts)


def _varies(values: Values, least: int) -> bool:
    there = values[~np.isnan(values)]
    if len(there) < max(least, LEAST_PRESENT * len(values)):
        return False
    count = np.unique(there, return_counts=True)[1]
    return bool(count.max() <= (1 - LEAST_OTHER) * len(there))


def _columns(game_name: str, label_set: str) -> Iterator[tuple[Target, Make]]:
    """Yield each target, and what makes its values."""
    variables = [v for v in game(game_name).variables(label_set) if v.visible]
    found = [thing for thing in things(variables) if thing.stated]
    drawn = {axis.name: axis for thing in found for axis in (thing.x, thing.y) if axis}
    for variable in variables:
        if variable.unit == _BITS:
            yield from _bits(variable)
        else:
            yield _quantity(variable, drawn.get(variable.name))
    for thing in found:
        first = next(v for v in variables if v.name in thing.variables)
        yield Target(f"{thing.name}_present", "nominal", first.categories), _present(first)
    for variable in variables:
        if variable.name in drawn:
            yield _motion(variable, drawn[variable.name])


def _quantity(variable: Variable, axis: Axis | None) -> tuple[Target, Make]:
    """Return a variable as one quantity, in pixels where it is drawn."""
    kind: Kind = "circular" if variable.period else "ordered" if variable.ordered else "nominal"
    scale = abs(axis.drawn.scale) if axis else 2 if variable.unit == _TWO_PIXELS and kind != "nominal" else 1
    unit = "px" if axis or variable.unit == _TWO_PIXELS else variable.unit
    period = variable.period * scale if variable.period else None

    def make(rows: Rows) -> Values:
        if axis:
            values = np.asarray(axis.pixels(rows.ram), np.float64)
        else:
            values = np.asarray(rows.labels[variable.name].astype(np.float64) * scale, np.float64)
        return np.where(rows.present[variable.name], values, np.nan)

    return Target(variable.name, kind, variable.categories, unit, period), make


def _bits(variable: Variable) -> Iterator[tuple[Target, Make]]:
    """Yield each bit of a bit map."""
    for bit in range(int(variable.mask // (variable.mask & -variable.mask)).bit_length()):

        def make(rows: Rows, bit: int = bit) -> Values:
            values = (rows.labels[variable.name] >> bit & 1).astype(np.float64)
            return np.where(rows.present[variable.name], values, np.nan)

        yield Target(f"{variable.name}_bit_{bit}", "nominal", variable.categories), make


def _present(variable: Variable) -> Make:
    return lambda rows: rows.present[variable.name].astype(np.float64)


def _motion(variable: Variable, axis: Axis) -> tuple[Target, Make]:
    """Return how far a coordinate moved since the row before."""
    target, place = _quantity(variable, axis)

    def make(rows: Rows) -> Values:
        here = place(rows)
        moved: Values = np.where(rows.before >= 0, here - here[rows.before], np.nan)
        if target.period:
            moved = np.asarray((moved + target.period / 2) % target.period - target.period / 2, np.float64)
        return np.where(np.abs(moved) <= MOST_MOTION, moved, np.nan)

    return Target(f"{variable.name}_motion", "ordered", (MOTION,), "px"), make


def _before(episode: npt.NDArray[np.int32], step: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return int64 [n], the row of the step before in the same episode; -1 if there is none."""
    order = np.lexsort((step, episode))
    follows = (np.diff(episode[order]) == 0) & (np.diff(step[order]) == 1)
    before = np.full(len(order), -1)
    before[order[1:][follows]] = order[:-1][follows]
    return before
