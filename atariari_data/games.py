"""The games and what their RAM means: one TOML file a game, in ``annotations/``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, get_args

from atariari_data.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Category = Literal[
    "agent_localization",
    "small_object_localization",
    "other_localization",
    "score_clock_lives_display",
    "misc",
]
LabelSet = Literal["v1", "anand2019"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
LABEL_SETS: tuple[LabelSet, ...] = get_args(LabelSet)
DEFAULT_LABEL_SET: LabelSet = "v1"


@dataclass(frozen=True)
class Drawn:
    """Where on the screen the value of a position is drawn: at pixel ``scale * value + offset``.

    Attributes:
        scale: Pixels a unit; negative where the value counts from below.
        offset: In pixels.
        absent: Values that mean that the thing is not there.
        across: Row (of a column) or column (of a row) where the thing always is, if there is one.
        negative: The first value that stands for one under 0, the value less 256: off the screen, or partly.
        copies: Pixels further on where the thing may be instead, or too: the places of a batch.
    """

    scale: int = 1
    offset: int = 0
    absent: tuple[int, ...] = ()
    across: int | None = None
    negative: int = 256
    copies: tuple[int, ...] = ()

    def signed(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the values that the scale applies to, any shape: those from `negative` on less 256."""
        return values - 256 * (values >= self.negative)


@dataclass(frozen=True)
class Variable:
    """One labelled quantity: which bits of the RAM hold it, and what it is in words.

    Attributes:
        name: As in ``info["labels"]``.
        address: Byte of the 128 (0 to 127) that holds it.
        mask: Bits of the byte that count; the value is shifted down to bit 0.
        bcd: The byte holds two decimal digits, 0x42 meaning 42.
        step: Of a byte that is finer than what is drawn: how many bytes are drawn alike. The value is the
            bits divided by it, rounded up.
        motion: For a column kept as the TIA's motion and delay code: the column of each of the 16 delays in
            the low nibble, from which the signed high nibble is taken, modulo 160; empty for anything else.
        categories: The means it counts in; one in ``v1``, none or two for some of ``anand2019``.
        description: What it is, in words.
        unit: Of the value: ``px``, ``points``, ``lives``, ``code``...
        values: Inclusive range of the decoded value.
        visible: Whether the screen shows it. What it does not show is a label, but not probed.
        ordered: Whether neighbouring values mean neighbouring states, so that an error has a size.
        drawn: Where on the screen its values are; None where that is not known, or means nothing.
        source: Where the address comes from.
    """

    name: str
    address: int
    mask: int = 0xFF
    bcd: bool = False
    step: int = 1
    motion: tuple[int, ...] = ()
    categories: tuple[Category, ...] = ()
    description: str = ""
    unit: str = ""
    values: tuple[int, int] = (0, 255)
    visible: bool = True
    ordered: bool = True
    drawn: Drawn | None = None
    source: str = "arXiv 1906.08226"


@dataclass(frozen=True)
class Game:
    """A game of the suite.

    Attributes:
        name: As in the dataset's configs and ale-py's ROM names: ``ms_pacman``.
        title: For people: ``Ms. Pac-Man``.
        label_sets: Name of the label set to its variables, in the order of the file.
    """

    name: str
    title: str
    label_sets: Mapping[LabelSet, tuple[Variable, ...]]

    def variables(self, label_set: str = DEFAULT_LABEL_SET) -> tuple[Variable, ...]:
        """Return the variables of a label set.

        Raises:
            UnknownNameError: The game has no such label set.
        """
        for known, variables in self.label_sets.items():
            if known == label_set:
                return variables
        raise UnknownNameError(f"label set of {self.name}", label_set, self.label_sets)


@cache
def game_names() -> tuple[str, ...]:
    """Return the names of all games, sorted."""
    files = resources.files("atariari_data").joinpath("annotations").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def game(name: str) -> Game:
    """Return a game by its name or by an environment id.

    Args:
        name: ``ms_pacman``, ``MsPacman``, ``ALE/MsPacman-v5`` or ``MsPacmanNoFrameskip-v4``.

    Raises:
        UnknownNameError: No such game; says which are known, and the nearest.
        DataError: The annotation file is broken.
    """
    base = re.sub(r"(NoFrameskip|Deterministic)?(-v\d+)?$", "", name.removeprefix("ALE/"))
    squashed = re.sub(r"[^a-z0-9]", "", base.lower())
    for known in game_names():
        if known.replace("_", "") == squashed:
            return _read(known)
    raise UnknownNameError("game", base, game_names())


@cache
def _read(name: str) -> Game:
    file = resources.files("atariari_data").joinpath("annotations", f"{name}.toml")
    return parse(name, file.read_bytes(), cure="Reinstall atariari.")


def parse(name: str, content: bytes, *, cure: str) -> Game:
    """Read an annotation file.

    Args:
        name: Of the game.
        content: Of the file.
        cure: What to do if it is broken.

    Raises:
        DataError: It is.
    """
    try:
        found = tomllib.loads(content.decode())
        sets = {s: _variables(s, found[s]) for s in LABEL_SETS if s in found}
        return Game(name=name, title=found["title"], label_sets=sets)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"The annotation file of {name} cannot be read: {error}", cure=cure) from error


def _variables(label_set: LabelSet, entries: Mapping[str, Mapping[str, Any]]) -> tuple[Variable, ...]:
    found = []
    for name, entry in entries.items():
        fields = dict(entry)
        if "category" in fields:
            fields["categories"] = [fields.pop("category")]
        fields["categories"] = tuple(fields["categories"])
        if "values" in fields:
            low, high = fields["values"]
            fields["values"] = (low, high)
        if "motion" in fields:
            fields["motion"] = tuple(fields["motion"])
        if "drawn" in fields:
            drawn = dict(fields["drawn"])
            lists = {key: tuple(drawn.get(key, ())) for key in ("absent", "copies")}
            fields["drawn"] = Drawn(**{**drawn, **lists})
        variable = Variable(name=name, **fields)
        _check(label_set, variable)
        found.append(variable)
    return tuple(found)


def _check(label_set: LabelSet, variable: Variable) -> None:
    if not 0 <= variable.address <= 127:  # noqa: PLR2004  the 2600 has 128 bytes
        raise ValueError(f"{variable.name}: address {variable.address} is not in 0..127")
    if not 1 <= variable.mask <= 0xFF:  # noqa: PLR2004
        raise ValueError(f"{variable.name}: mask {variable.mask} is not in 1..255")
    if variable.motion and (len(variable.motion) != 16 or variable.mask != 0xFF or variable.bcd):  # noqa: PLR2004
        raise ValueError(f"{variable.name}: motion wants 16 columns, the whole byte and no bcd")
    if not 1 <= variable.step <= 255 or (variable.step > 1 and (variable.motion or variable.bcd)):  # noqa: PLR2004
        raise ValueError(f"{variable.name}: step wants a number from 1 to 255, no motion and no bcd")
    if unknown := set(variable.categories) - set(CATEGORIES):
        raise ValueError(f"{variable.name}: unknown category {sorted(unknown)}")
    if label_set == "v1" and (len(variable.categories) != 1 or not variable.description or not variable.unit):
        raise ValueError(f"{variable.name}: v1 wants one category, a description and a unit")
