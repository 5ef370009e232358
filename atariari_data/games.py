"""The games and the meaning of their RAM: one TOML file per game, in ``annotations/``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
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

ATARI_100K = (
    *("alien", "amidar", "assault", "asterix", "bank_heist", "battle_zone", "boxing", "breakout"),
    *("chopper_command", "crazy_climber", "demon_attack", "freeway", "frostbite", "gopher", "hero"),
    *("jamesbond", "kangaroo", "krull", "kung_fu_master", "ms_pacman", "pong", "private_eye", "qbert"),
    *("road_runner", "seaquest", "up_n_down"),
)
"""The 26 games of the Atari 100k benchmark (arXiv 1903.00374)."""

# Module, namespace and suffixes around a game's name in the ids of Gymnasium, Gym and EnvPool; ROM files.
_ENV_ID = re.compile(
    r"(?:[\w.]+:)?(?:ALE/|atari_)?(?P<game>.*?)(?:-ram)?(?:NoFrameskip|Deterministic)?(?:-v\d+)?(?:\.bin)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Condition:
    """A condition on one byte of the RAM.

    Attributes:
        address: RAM address, 0 to 127.
        values: Values for which it holds.
        mask: Bits of the byte to use; the value is shifted down to bit 0.
    """

    address: int
    values: tuple[int, ...]
    mask: int = 0xFF


@dataclass(frozen=True)
class OffsetBy:
    """Offsets that depend on another byte of the RAM.

    Attributes:
        address: RAM address, 0 to 127.
        offsets: Pairs of a value of that byte and the offset in pixels that replaces the usual one.
        mask: Bits of the byte to use; the value is shifted down to bit 0.
    """

    address: int
    offsets: tuple[tuple[int, int], ...]
    mask: int = 0xFF


@dataclass(frozen=True)
class Drawn:
    """How a position value maps to the screen: it is drawn at pixel ``scale * value + offset``.

    Attributes:
        scale: Pixels per unit; negative if the value counts from the bottom.
        offset: Offset in pixels.
        by: Other offsets that depend on another byte, such as the room's number; None if there are none.
        absent: Values that mean the object is not on the screen.
        across: Fixed coordinate on the other axis, if the object always stays on one row or column.
        negative: First value that stands for a negative number (value - 256): partly or fully off-screen.
        copies: Offsets in pixels at which further copies of the object may appear.
    """

    scale: int = 1
    offset: int = 0
    by: OffsetBy | None = None
    absent: tuple[int, ...] = ()
    across: int | None = None
    negative: int = 256
    copies: tuple[int, ...] = ()

    def signed(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return signed values: 256 is subtracted from those that are `negative` or more."""
        return values - 256 * (values >= self.negative)


@dataclass(frozen=True)
class Variable:
    """A labelled quantity: the bits of RAM that hold it, and a description.

    Attributes:
        name: The variable's name, as in ``info["labels"]``.
        address: RAM address, 0 to 127.
        mask: Bits of the byte to use; the value is shifted down to bit 0.
        bcd: Whether the byte is binary-coded decimal, 0x42 meaning 42.
        step: Divisor for a byte with a finer resolution than the screen; the result is rounded up.
        motion: For a column stored as the TIA's motion and delay code: the column for each of the 16 delays
            in the low nibble. The signed high nibble is subtracted from it, modulo 160. Empty otherwise.
        categories: Categories whose means include the variable: one in ``v1``, up to two in ``anand2019``.
        description: Description of the variable.
        unit: Unit of the value: ``px``, ``points``, ``lives``, ``code``...
        values: Inclusive range of the decoded value.
        visible: Whether the screen shows it. Invisible variables are labelled, but not probed.
        ordered: Whether nearby values mean nearby states, so that an absolute error is meaningful.
        drawn: Where the value is drawn on the screen; None if unknown or not applicable.
        there: When the thing exists that the variable describes: in each of these cases, if all of the case's
            conditions hold. Empty if nothing is stated. See :func:`atariari_data.presence`.
        period: Number of values after which it starts again at the first one, as a heading does; None if it
            does not wrap around.
        source: Source of the address.
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
    there: tuple[tuple[Condition, ...], ...] = ()
    period: int | None = None
    source: str = "arXiv 1906.08226"


@dataclass(frozen=True)
class Game:
    """A game of the suite.

    Attributes:
        name: Name of the dataset config and of ale-py's ROM: ``ms_pacman``.
        title: Display name: ``Ms. Pac-Man``.
        label_sets: Variables by label set, in the order of the file.
        modes: What is known of modes and difficulties other than the default ones.
    """

    name: str
    title: str
    label_sets: Mapping[LabelSet, tuple[Variable, ...]]
    modes: str = ""

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


def suites(label_set: str = DEFAULT_LABEL_SET) -> dict[str, tuple[str, ...]]:
    """Return the games of each suite that have a label set, sorted, by the suite's name.

    ``all`` is every game, ``paper`` those of the 2019 paper, ``atari100k`` those of Atari 100k.
    """
    known = [name for name in game_names() if label_set in game(name).label_sets]
    paper = [name for name in known if "anand2019" in game(name).label_sets]
    return {
        "all": tuple(known),
        "paper": tuple(paper),
        "atari100k": tuple(name for name in known if name in ATARI_100K),
    }


def games_named(names: Iterable[str], of_suites: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the games with these names, each once; a suite's name stands for its games.

    Args:
        names: Names of games in any form that `game` takes, and of suites.
        of_suites: The games of each suite.

    Raises:
        UnknownNameError: No such game or suite. The message lists the known ones and suggests a similar name.
    """
    found: dict[str, None] = {}
    for name in names:
        try:
            found |= dict.fromkeys(of_suites.get(name) or (game(name).name,))
        except UnknownNameError as error:
            raise UnknownNameError("game or suite", name, (*of_suites, *game_names())) from error
    return list(found)


def game(name: str) -> Game:
    """Return a game by its name or by an environment id.

    Args:
        name: ``ms_pacman``, ``Ms. Pac-Man``, ``ALE/MsPacman-v5``, ``MsPacmanNoFrameskip-v4``. All forms:
            https://atariari.github.io/atariari/wrapper.html#names-of-games

    Raises:
        UnknownNameError: No such game. The message lists the known games and suggests a similar name.
        DataError: The annotation file is damaged.
    """
    if not isinstance(name, str):
        raise UnknownNameError("game", name, game_names())
    return _read(_canonical(name))


@cache
def _canonical(name: str) -> str:
    base = base_of(name)
    letters = letters_of(base)
    for known in game_names():
        if letters_of(known) == letters:
            return known
    for known in game_names():
        if letters_of(_read(known).title) == letters:
            return known
    raise UnknownNameError("game", base, game_names())


def base_of(name: str) -> str:
    """Return a game's name without what an environment id adds: ``MsPacman`` for ``ALE/MsPacman-v5``."""
    match = _ENV_ID.fullmatch(name.strip())
    return match["game"] if match else name


def letters_of(text: str) -> str:
    """Return what is compared of names: letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def _read(name: str) -> Game:
    file = resources.files("atariari_data").joinpath("annotations", f"{name}.toml")
    return parse(name, file.read_bytes(), cure="Reinstall atariari.")


def parse(name: str, content: bytes, *, cure: str) -> Game:
    """Parse an annotation file.

    Args:
        name: The game's name.
        content: The file's content.
        cure: Advice for the error message.

    Raises:
        DataError: The file is damaged.
    """
    try:
        found = tomllib.loads(content.decode())
        sets = {s: _variables(s, found[s]) for s in LABEL_SETS if s in found}
        if not isinstance(found["title"], str):
            raise TypeError("the title is not a text")  # noqa: TRY301  told below
        return Game(name=name, title=found["title"], label_sets=sets, modes=found.get("modes", ""))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
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
            fields["drawn"] = _drawn(name, fields["drawn"])
        if "there" in fields:
            fields["there"] = _there(name, fields["there"])
        variable = Variable(name=name, **fields)
        _check(label_set, variable)
        found.append(variable)
    return tuple(found)


def _drawn(name: str, entry: Mapping[str, Any]) -> Drawn:
    fields = dict(entry)
    fields["copies"] = tuple(fields.get("copies", ()))
    fields["absent"] = _values(name, fields.get("absent", ()), 0xFF)
    if "by" in fields:
        by = dict(fields["by"])
        _check_byte(name, by["address"], by.get("mask", 0xFF))
        offsets = {int(value): offset for value, offset in by.pop("offsets").items()}
        _values(name, [*offsets], by.get("mask", 0xFF))
        if not offsets or not all(type(offset) is int for offset in offsets.values()):
            raise ValueError(f"{name}: offsets {offsets} are not a table of integers")
        fields["by"] = OffsetBy(offsets=tuple(offsets.items()), **by)
    drawn = Drawn(**fields)
    numbers = (drawn.scale, drawn.offset, *drawn.copies)
    if not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"{name}: scale, offset or copies are not numbers: {numbers}")
    return drawn


def _there(name: str, entries: Sequence[Any]) -> tuple[tuple[Condition, ...], ...]:
    """Read a list of conditions, or a list of such lists: cases, of which one is enough."""
    cases = entries if all(isinstance(entry, list) for entry in entries) else [entries]
    if not cases or not all(cases):
        raise ValueError(f"{name}: there has no conditions")
    return tuple(tuple(_condition(name, entry) for entry in case) for case in cases)


def _condition(name: str, entry: Mapping[str, Any]) -> Condition:
    fields = dict(entry)
    _check_byte(name, fields["address"], fields.get("mask", 0xFF))
    mask = fields.get("mask", 0xFF)
    if ("values" in fields) == ("absent" in fields):
        raise ValueError(f"{name}: a condition needs either values or absent")
    present = "values" in fields
    given = _values(name, fields.pop("values" if present else "absent"), mask)
    values = given if present else tuple(v for v in range(_greatest(mask) + 1) if v not in given)
    if not given or not values or len(values) > _greatest(mask):
        raise ValueError(f"{name}: the condition on byte {fields['address']} holds always or never")
    return Condition(values=values, **fields)


def _values(name: str, entries: Sequence[Any], mask: int) -> tuple[int, ...]:
    """Read a list of values and of ranges, [low, high] with both ends."""
    found: list[int] = []
    for entry in entries:
        low, high = entry if isinstance(entry, list) else (entry, entry)
        if type(low) is not int or type(high) is not int or not 0 <= low <= high <= _greatest(mask):
            raise ValueError(f"{name}: {entry} is not a value or a range in 0..{_greatest(mask)}")
        found += range(low, high + 1)
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: a value is stated twice in {entries}")
    return tuple(found)


def _greatest(mask: int) -> int:
    return mask // (mask & -mask)


def _check(label_set: LabelSet, variable: Variable) -> None:
    _check_byte(variable.name, variable.address, variable.mask)
    if variable.motion and (len(variable.motion) != 16 or variable.mask != 0xFF or variable.bcd):  # noqa: PLR2004
        raise ValueError(f"{variable.name}: motion needs 16 columns, the whole byte and no bcd")
    if not 1 <= variable.step <= 255 or (variable.step > 1 and (variable.motion or variable.bcd)):  # noqa: PLR2004
        raise ValueError(f"{variable.name}: step must be 1 to 255, without motion or bcd")
    if type(variable.step) is not int or type(variable.period) not in (int, type(None)):
        raise ValueError(f"{variable.name}: step or period is not an integer")
    if variable.period is not None and variable.period < 2:  # noqa: PLR2004  values of a circle
        raise ValueError(f"{variable.name}: period {variable.period} is less than 2")
    if unknown := set(variable.categories) - set(CATEGORIES):
        raise ValueError(f"{variable.name}: unknown category {sorted(unknown)}")
    if label_set == "v1" and (len(variable.categories) != 1 or not variable.description or not variable.unit):
        raise ValueError(f"{variable.name}: v1 needs one category, a description and a unit")


def _check_byte(name: str, address: int, mask: int) -> None:
    if type(address) is not int or not 0 <= address <= 127:  # noqa: PLR2004  the 2600 has 128 bytes
        raise ValueError(f"{name}: address {address} is not in 0..127")
    if type(mask) is not int or not 1 <= mask <= 0xFF:  # noqa: PLR2004
        raise ValueError(f"{name}: mask {mask} is not in 1..255")
