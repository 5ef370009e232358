"""From RAM to labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET, game

if TYPE_CHECKING:
    import numpy.typing as npt

RAM_BYTES = 128


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
    def _scalars(self) -> tuple[list[bytes], itemgetter[Any], dict[str, int]]:
        """Return the distinct decodings, what to pick from the RAM followed by each, and a template."""
        plain = bytes(range(256))
        rows = [row.tobytes() for row in self.values]
        tables = list(dict.fromkeys([plain, *rows]))
        picks = [
            RAM_BYTES * tables.index(row) + address
            for row, address in zip(rows, self.addresses.tolist(), strict=True)
        ]
        # One more index, since an itemgetter of one gives no tuple.
        return tables[1:], itemgetter(*picks, 0), dict.fromkeys(self.names, 0)

    def scalars(self, ram: bytes) -> dict[str, int]:
        """Decode the 128 bytes of one RAM into plain integers.

        One frame of emulation takes 100 to 200 microseconds and this must not be seen beside it. So no arrays,
        no loop in Python, and a copied dict, which need not grow.
        """
        tables, pick, template = self._scalars
        for table in tables:
            ram += ram[:RAM_BYTES].translate(table)
        labels = template.copy()
        labels.update(zip(self.names, pick(ram), strict=False))
        return labels

    def arrays(self, ram: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.uint8]]:
        """Decode uint8 [..., 128] into uint8 [...] for each variable."""
        if ram.ndim == 1:
            decoded = self.values[np.arange(len(self.names)), ram[self.addresses]]
            return dict(zip(self.names, decoded, strict=True))
        return {name: self.values[i][ram[..., self.addresses[i]]] for i, name in enumerate(self.names)}


@cache
def decoder(game_name: str, label_set: str = DEFAULT_LABEL_SET) -> Decoder:
    """Return the decoder of a game and label set.

    Args:
        game_name: A game, or an environment id.
        label_set: ``v1`` or ``anand2019``.

    Raises:
        UnknownNameError: No such game or label set.
    """
    byte = np.arange(256)
    variables = game(game_name).variables(label_set)
    values = np.empty((len(variables), 256), np.uint8)
    for row, variable in zip(values, variables, strict=True):
        lowest_bit = variable.mask & -variable.mask
        value = (byte & variable.mask) // lowest_bit
        row[:] = value // 16 * 10 + value % 16 if variable.bcd else value
    addresses = np.array([variable.address for variable in variables], np.intp)
    names = tuple(variable.name for variable in variables)
    return Decoder(game(game_name).name, label_set, names, addresses, values)
