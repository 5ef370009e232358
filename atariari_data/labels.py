"""From RAM to labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET, Variable, game

if TYPE_CHECKING:
    import numpy.typing as npt

RAM_BYTES = 128
SCREEN_WIDTH = 160


def labels(
    ram: npt.ArrayLike, game_name: str, label_set: str = DEFAULT_LABEL_SET
) -> dict[str, npt.NDArray[np.uint8]]:
    """Decode RAM into labels.

    Args:
        ram: uint8 [..., 128], as ``ale.getRAM()`` gives it: one RAM, or as many as wanted at once.
        game_name: A game, or an environment id such as ``PongNoFrameskip-v4``.
        label_set: ``v1`` or ``anand2019``.

    Returns:
        Name of the variable to uint8 [...], in the order of the annotation file.

    Raises:
        UsageError: ``ram`` is not uint8 with 128 bytes in its last axis.
        UnknownNameError: No such game or label set.
    """
    array = np.asarray(ram)
    if array.dtype != np.uint8 or array.ndim < 1 or array.shape[-1] != RAM_BYTES:
        raise UsageError(
            "This is not the RAM of an Atari 2600.",
            expected=f"uint8 [..., {RAM_BYTES}]",
            got=f"{array.dtype} {list(array.shape)}",
        )
    return decoder(game_name, label_set).arrays(array)


@dataclass(frozen=True, eq=False)
class Decoder:
    """What each byte of the RAM says in a game and label set.

    Made by :func:`decoder`. It pickles as the two names that it was made from.

    Attributes:
        game: Name of the game.
        label_set: Name of the label set.
        names: Of the v variables, in the order of the annotation file.
        addresses: intp [v], the byte that holds each variable.
        values: uint8 [v, 256], the decoded value of each of the 256 bytes.
    """

    game: str
    label_set: str
    names: tuple[str, ...]
    addresses: npt.NDArray[np.intp]
    values: npt.NDArray[np.uint8]

    def __reduce__(self) -> tuple[Callable[[str, str], Decoder], tuple[str, str]]:
        """Pickle the names alone, so that the annotations installed where it is read apply."""
        return decoder, (self.game, self.label_set)

    @cached_property
    def scalars(self) -> Callable[[bytes], dict[str, int]]:
        """Return a function that decodes the 128 bytes of one RAM into plain integers.

        An emulator makes a frame in a little over 100 microseconds, and this must not show beside it. Hence
        ``bytes.translate``, which looks up all variables at once: the addresses in the RAM, and what is found
        there in the table of decoded values. And hence a copied dict, its items assigned by name, which takes
        two thirds of the time of zipping names and values.
        """
        groups: dict[bytes, list[int]] = {bytes(range(256)): []}
        for i, row in enumerate(self.values):
            groups.setdefault(row.tobytes(), []).append(i)
        (_, plain), *coded = [
            (values, bytes(self.addresses[group].tolist())) for values, group in groups.items()
        ]
        items = "".join(f"labels[{self.names[i]!r}], " for group in groups.values() for i in group)
        code = f"def named(decoded):\n    labels = empty.copy()\n    {items}= decoded\n    return labels"
        space: dict[str, Any] = {"empty": dict.fromkeys(self.names, 0)}
        exec(code, space)  # noqa: S102
        named: Callable[[bytes], dict[str, int]] = space["named"]
        padding = bytes(256 - RAM_BYTES)

        def scalars(ram: bytes) -> dict[str, int]:
            ram += padding
            decoded = plain.translate(ram)
            for values, addresses in coded:
                decoded += addresses.translate(ram).translate(values)
            return named(decoded)

        return scalars

    def arrays(self, ram: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.uint8]]:
        """Decode uint8 [..., 128] into uint8 [...] for each variable."""
        if ram.ndim == 1:
            decoded = self.values[np.arange(len(self.names)), ram[self.addresses]]
            return dict(zip(self.names, decoded, strict=True))
        return {name: self.values[i][ram[..., self.addresses[i]]] for i, name in enumerate(self.names)}


def values_of(variable: Variable) -> npt.NDArray[np.uint8]:
    """Return the decoded value of each of the 256 bytes, uint8 [256]."""
    if variable.motion:
        delay, fine = np.arange(256) & 15, np.arange(256) >> 4
        column = np.array(variable.motion)[delay] - np.where(fine < 8, fine, fine - 16)  # noqa: PLR2004  signed
        return np.array(column % SCREEN_WIDTH, np.uint8)
    value = (np.arange(256) & variable.mask) // (variable.mask & -variable.mask)
    return np.array(value // 16 * 10 + value % 16 if variable.bcd else -(-value // variable.step), np.uint8)


@cache
def decoder(game_name: str, label_set: str = DEFAULT_LABEL_SET) -> Decoder:
    """Return the decoder of a game and label set.

    Args:
        game_name: A game, or an environment id.
        label_set: ``v1`` or ``anand2019``.

    Raises:
        UnknownNameError: No such game or label set.
    """
    variables = game(game_name).variables(label_set)
    values = np.array([values_of(variable) for variable in variables], np.uint8).reshape(-1, 256)
    addresses = np.array([variable.address for variable in variables], np.intp)
    names = tuple(variable.name for variable in variables)
    return Decoder(game(game_name).name, label_set, names, addresses, values)
