"""Convert position variables to pixels on the screen.

The annotations of label set v1 state for most position variables where their values are drawn (``drawn``).
Variables called NAME_x and NAME_y are the two coordinates of one object.
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
    """How a variable maps to a column or row of the screen.

    Attributes:
        name: The variable's name.
        drawn: The mapping from value to pixel.
        stated: Whether the annotation states the mapping; otherwise the value is used as the pixel.
    """

    name: str
    drawn: Drawn
    stated: bool

    def pixels(self, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the pixels, float32 of the same shape; NaN if the object is not on the screen."""
        every = self.drawn.signed(np.arange(256)).astype(np.float32) * self.drawn.scale + self.drawn.offset
        every[list(self.drawn.absent)] = np.nan
        return every[values].astype(np.float32)


@dataclass(frozen=True)
class Thing:
    """An object on the screen whose column, row or both are labelled.

    Attributes:
        name: The name of its variables, without x and y.
        x: Its column, if a variable holds it.
        y: Its row, if a variable holds it.
    """

    name: str
    x: Axis | None
    y: Axis | None

    @property
    def stated(self) -> bool:
        """Whether the annotations state where it is drawn."""
        return all(axis.stated for axis in (self.x, self.y) if axis)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its variables."""
        return tuple(axis.name for axis in (self.x, self.y) if axis)

    def places(self, values: Mapping[str, npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return column and row, float32 [..., 2], from the labels; NaN if not on the screen."""
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
    """Decode RAM into screen positions, using label set v1.

    Args:
        ram: Integers [..., 128] from 0 to 255, as for :func:`atariari_data.labels`.
        game_name: A game, or an environment id such as ``PongNoFrameskip-v4``.

    Returns:
        Positions by object name, float32 [..., 2]: column and row in pixels of the 160 x 210 screen, usually
        of the object's left edge and top (see the variable's description). NaN if the object is not on the
        screen, and for a coordinate that is not labelled. Objects whose annotations do not state where they
        are drawn are omitted.

    Raises:
        UsageError: ``ram`` is not RAM.
        UnknownNameError: No such game.
    """
    values = labels(ram, game_name)
    known = [thing for thing in things(game(game_name).variables()) if thing.stated]
    return {thing.name: thing.places(values) for thing in known}
