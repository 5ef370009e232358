"""Where on the screen things are: from the variables that hold a column or a row to pixels.

The annotations of label set v1 say for most places where their values are drawn (``drawn``). A variable that
is called NAME_x and one called NAME_y are the two places of one thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atariari_data.games import Drawn, Variable, game
from atariari_data.labels import labels

AXIS = re.compile(r"(?:^|(?<=_))([xy])(?=\d*(?:_|$))")


@dataclass(frozen=True)
class Axis:
    """How a variable becomes a column or a row of the screen.

    Attributes:
        name: Of the variable.
        drawn: How.
        stated: Whether the annotation says so; if not, the value is taken for the pixel.
    """

    name: str
    drawn: Drawn
    stated: bool

    def pixels(self, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return float32 of the same shape; NaN where the thing is not there."""
        every = self.drawn.signed(np.arange(256)).astype(np.float32) * self.drawn.scale + self.drawn.offset
        every[list(self.drawn.absent)] = np.nan
        return every[values].astype(np.float32)


@dataclass(frozen=True)
class Thing:
    """Something on the screen whose place the labels tell: column, row or both.

    Attributes:
        name: Of the variables, without x and y.
        x: Its column, if a variable holds it.
        y: Its row, likewise.
    """

    name: str
    x: Axis | None
    y: Axis | None

    @property
    def stated(self) -> bool:
        """Whether the annotations say where its values are drawn."""
        return all(axis.stated for axis in (self.x, self.y) if axis)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables."""
        return tuple(axis.name for axis in (self.x, self.y) if axis)

    def places(self, values: Mapping[str, npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return column and row, float32 [..., 2], from the labels; NaN where there is none."""
        known = {i: axis for i, axis in enumerate((self.x, self.y)) if axis}
        first = next(iter(known.values()))
        across = np.nan if first.drawn.across is None else first.drawn.across
        places = np.full((*values[first.name].shape, 2), across, np.float32)
        for i, axis in known.items():
            places[..., i] = axis.pixels(values[axis.name])
        absent = np.isnan(places[..., [*known]]).any(axis=-1)
        places[absent] = np.nan
        return places


def things(variables: Sequence[Variable]) -> list[Thing]:
    """Pair the variables that hold a column (NAME_x) and a row (NAME_y), in the order of the label set."""
    found: dict[str, dict[str, Axis]] = {}
    for variable in variables:
        match = AXIS.search(variable.name)
        if match is None or variable.unit not in ("px", "2 px", ""):
            continue
        name = (variable.name[: match.start()] + variable.name[match.end() :]).replace("__", "_").strip("_")
        drawn = variable.drawn or Drawn(scale=2 if variable.unit == "2 px" else 1)
        found.setdefault(name, {})[match[1]] = Axis(variable.name, drawn, variable.drawn is not None)
    return [Thing(name, axes.get("x"), axes.get("y")) for name, axes in found.items()]


def positions(ram: npt.ArrayLike, game_name: str) -> dict[str, npt.NDArray[np.float32]]:
    """Tell where on the screen things are, as label set v1 has it.

    Args:
        ram: uint8 [..., 128], as ``ale.getRAM()`` gives it: one RAM, or as many as wanted at once.
        game_name: A game, or an environment id such as ``PongNoFrameskip-v4``.

    Returns:
        Name of the thing to float32 [..., 2], its column and row in pixels of the 160 x 210 screen: its left
        edge and its top, where the variable's description says nothing else. NaN where the thing is not
        there, and for a column or a row that no variable holds. Things whose place the annotations do not
        state are left out.

    Raises:
        UsageError: ``ram`` is not uint8 with 128 bytes in its last axis.
        UnknownNameError: No such game.
    """
    values = labels(ram, game_name)
    known = [thing for thing in things(game(game_name).variables()) if thing.stated]
    return {thing.name: thing.places(values) for thing in known}
