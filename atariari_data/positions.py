"""Convert position variables to pixels on the screen, and tell whether the things that labels describe exist.

The annotations of label set v1 state for most position variables where their values are drawn (``drawn``),
and for things that come and go when they exist (``there``). Variables called NAME_x and NAME_y are the two
coordinates of one object.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from atariari_data.games import DEFAULT_LABEL_SET, Condition, Drawn, Variable, game
from atariari_data.labels import _as_ram, values_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ram: TypeAlias = npt.NDArray[np.uint8]
    Truth: TypeAlias = npt.NDArray[np.bool_]

AXIS = re.compile(r"(?:^|(?<=_))([xy])(?=\d*(?:_|$))")


@dataclass(frozen=True)
class Axis:
    """How a variable maps to a column or row of the screen.

    Attributes:
        variable: The variable.
        drawn: The mapping from value to pixel.
        stated: Whether the annotation states the mapping; otherwise the value is used as the pixel.
    """

    variable: Variable
    drawn: Drawn
    stated: bool

    @property
    def name(self) -> str:
        """The variable's name."""
        return self.variable.name

    def pixels(self, ram: Ram) -> npt.NDArray[np.float32]:
        """Return the pixels, float32 [...], from RAM, uint8 [..., 128]."""
        import numpy as np

        values = values_of(self.variable)[ram[..., self.variable.address]].astype(np.int64)
        return np.asarray(self.drawn.signed(values) * self.drawn.scale + self._offset(ram), np.float32)

    def _offset(self, ram: Ram) -> npt.NDArray[np.int64]:
        import numpy as np

        offsets = np.full(256, self.drawn.offset)
        if (by := self.drawn.by) is None:
            return np.asarray(offsets[0])
        for value, offset in by.offsets:
            offsets[value] = offset
        return np.asarray(offsets[_masked(ram, by.address, by.mask)])


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

    def present(self, ram: Ram) -> Truth:
        """Return whether it is there, bool [...], from RAM, uint8 [..., 128]."""
        import numpy as np

        axes = [_present(axis.variable, ram) for axis in (self.x, self.y) if axis]
        return np.asarray(np.logical_and.reduce(axes))

    def places(self, ram: Ram) -> npt.NDArray[np.float32]:
        """Return column and row, float32 [..., 2], from RAM, uint8 [..., 128]; NaN if it is not there."""
        import numpy as np

        known = {i: axis for i, axis in enumerate((self.x, self.y)) if axis}
        first = next(iter(known.values()))
        across = np.nan if first.drawn.across is None else first.drawn.across
        places = np.full((*ram.shape[:-1], 2), across, np.float32)
        for i, axis in known.items():
            places[..., i] = axis.pixels(ram)
        places[~self.present(ram)] = np.nan
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
        found.setdefault(name, {})[match[1]] = Axis(variable, drawn, variable.drawn is not None)
    return [Thing(name, axes.get("x"), axes.get("y")) for name, axes in found.items()]


def positions(ram: npt.ArrayLike, game_name: str) -> dict[str, npt.NDArray[np.float32]]:
    """Decode RAM into screen positions, using label set v1.

    Args:
        ram: Integers [..., 128] from 0 to 255, as for :func:`atariari_data.labels`.
        game_name: A game, or an environment id such as ``PongNoFrameskip-v4``.

    Returns:
        Positions by object name, float32 [..., 2]: column and row in pixels of the 160 x 210 screen, usually
        of the object's left edge and top (see the variable's description). NaN where the object is not there
        (see :func:`atariari_data.presence`), and for a coordinate that is not labelled. Objects whose
        annotations do not state where they are drawn are omitted.

    Raises:
        UsageError: ``ram`` is not RAM.
        UnknownNameError: No such game.
    """
    array = _as_ram(ram)
    known = [thing for thing in things(game(game_name).variables()) if thing.stated]
    return {thing.name: thing.places(array) for thing in known}


def presence(
    ram: npt.ArrayLike, game_name: str, label_set: str = DEFAULT_LABEL_SET
) -> dict[str, npt.NDArray[np.bool_]]:
    """Tell from RAM whether the thing that each variable describes is there.

    Games keep bytes of things that are not there: of a skull that was killed, of a key in a room that has
    none. Labels are the bytes as they are, so a label means something only where its thing is present.

    Args:
        ram: Integers [..., 128] from 0 to 255, as for :func:`atariari_data.labels`.
        game_name: A game, or an environment id such as ``PongNoFrameskip-v4``.
        label_set: ``v1`` or ``anand2019``; the annotations of ``anand2019`` state nothing.

    Returns:
        Presence by variable name, bool [...], in the order of the annotation file. It is the same for the
        column and the row of one object. True where the annotations do not state when a thing is there.

    Raises:
        UsageError: ``ram`` is not RAM.
        UnknownNameError: No such game or label set.
    """
    array = _as_ram(ram)
    return present(game(game_name).variables(label_set), array)


def present(variables: Sequence[Variable], ram: Ram) -> dict[str, Truth]:
    """Return :func:`presence` for a list of variables; RAM is uint8 [..., 128]."""
    found = {variable.name: _present(variable, ram) for variable in variables}
    for thing in things(variables):
        found.update(dict.fromkeys(thing.variables, thing.present(ram)))
    return found


def _present(variable: Variable, ram: Ram) -> Truth:
    """Return whether one variable's own conditions and values say that its thing is there, bool [...]."""
    import numpy as np

    cases = [np.logical_and.reduce([_holds(c, ram) for c in case]) for case in variable.there]
    there = np.logical_or.reduce(cases) if cases else np.ones(ram.shape[:-1], np.bool_)
    if variable.drawn and variable.drawn.absent:
        there &= ~np.isin(values_of(variable), variable.drawn.absent)[ram[..., variable.address]]
    return np.asarray(there)


def _holds(condition: Condition, ram: Ram) -> Truth:
    import numpy as np

    holds = np.isin(np.arange(256), condition.values)
    return np.asarray(holds[_masked(ram, condition.address, condition.mask)])


def _masked(ram: Ram, address: int, mask: int) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.asarray((ram[..., address] & mask) // (mask & -mask), np.uint8)
