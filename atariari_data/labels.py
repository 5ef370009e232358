"""From RAM to labels."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

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
    table = _tables(game_name, label_set)
    return {name: lookup[array[..., address]] for name, address, lookup in table}


@cache
def _tables(game_name: str, label_set: str) -> tuple[tuple[str, int, npt.NDArray[np.uint8]], ...]:
    """Name, address and the decoded value of each of the 256 bytes, a variable a row."""
    byte = np.arange(256)
    rows = []
    for variable in game(game_name).variables(label_set):
        lowest_bit = variable.mask & -variable.mask
        value = (byte & variable.mask) // lowest_bit
        if variable.bcd:
            value = value // 16 * 10 + value % 16
        rows.append((variable.name, variable.address, value.astype(np.uint8)))
    return tuple(rows)
