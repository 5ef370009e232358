"""Decode RAM into labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET, Variable, game

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RAM_BYTES = 128
SCREEN_WIDTH = 160


def labels(
    ram: npt.ArrayLike,
    game_name: str,
    label_set: str = DEFAULT_LABEL_SET,
    *,
    dtype: npt.DTypeLike = "uint8",
) -> dict[str, npt.NDArray[Any]]:
    """Decode RAM into labels.

    The values are uint8 by default, so arithmetic on them wraps around: ``9 - 10`` is 255. Pass
    ``dtype=np.int64`` to compute with them.

    Args:
        ram: Integers [..., 128] from 0 to 255: an array, a tensor or lists, such as ``ale.getRAM()`` or
            column ``ram`` of the dataset.
        game_name: A game, or an environment id such as ``PongNoFrameskip-v4``.
        label_set: ``v1`` or ``anand2019``.
        dtype: Type of the values: any numeric type that holds 0 to 255.

    Returns:
        Values [...] by variable name, in the order of the annotation file.

    Raises:
        UsageError: ``ram`` is not RAM, or ``dtype`` cannot hold the values.
        UnknownNameError: No such game or label set.
    """
    array = _as_ram(ram)
    kind = _checked_dtype(dtype)
    decoded = decoder(game_name, label_set).arrays(array)
    return decoded if kind == "uint8" else {name: values.astype(kind) for name, values in decoded.items()}


def _as_ram(ram: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    import numpy as np

    try:
        array = np.asarray(ram)
        if array.dtype == object:  # rows of pandas and Arrow
            array = np.array(array.tolist())
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors on a GPU
        raise _not_ram(f"{type(ram).__name__}: {error}") from error
    shape = f"{array.dtype} {list(array.shape)}"
    if array.dtype.kind not in "iu" or array.ndim < 1 or array.shape[-1] != RAM_BYTES:
        raise _not_ram(shape)
    if array.dtype != np.uint8 and array.size and not (array.min() >= 0 and array.max() <= 255):  # noqa: PLR2004
        raise _not_ram(f"{shape} with values from {array.min()} to {array.max()}")
    return array.astype(np.uint8, copy=False)


def _not_ram(got: str) -> UsageError:
    return UsageError(
        "Not the RAM of an Atari 2600.",
        expected=f"integers [..., {RAM_BYTES}] from 0 to 255",
        got=got,
        cure="Pass ale.getRAM(), or column `ram` of the dataset (a tensor on a GPU needs .cpu()).",
    )


def _checked_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    import numpy as np

    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind.kind not in "iuf" or not np.can_cast(np.uint8, kind):
        raise UsageError(
            "dtype cannot hold the labels.",
            expected="a numeric type that holds 0 to 255, such as int64 or float32",
            got=repr(dtype),
        )
    return kind


@dataclass(frozen=True, eq=False)
class Decoder:
    """Lookup tables that decode the RAM of one game with one label set.

    Created by :func:`decoder`. It is pickled as the names of game and label set.

    Attributes:
        game: The game's name.
        label_set: The label set's name.
        names: Names of the v variables, in the order of the annotation file.
        addresses: RAM address of each variable, intp [v].
        values: Decoded value of each possible byte, uint8 [v, 256].
    """

    game: str
    label_set: str
    names: tuple[str, ...]
    addresses: npt.NDArray[np.intp]
    values: npt.NDArray[np.uint8]

    def __reduce__(self) -> tuple[Callable[[str, str], Decoder], tuple[str, str]]:
        """Pickle only the names, so that unpickling uses the annotations installed there."""
        return decoder, (self.game, self.label_set)

    @cached_property
    def scalars(self) -> Callable[[bytes], dict[str, int]]:
        """Return a function that decodes the 128 bytes of one RAM into plain integers.

        The emulator takes about 100 microseconds per frame, and decoding must be negligible beside that.
        ``bytes.translate`` looks up all variables at once: first their bytes in the RAM, then the decoded
        values. Assigning to a copied dict by name takes two thirds of the time of zipping names and values.
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

    @cached_property
    def _all(self) -> npt.NDArray[np.int64]:
        import numpy as np

        return np.arange(len(self.names))

    def arrays(self, ram: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.uint8]]:
        """Decode uint8 [..., 128] into uint8 [...] for each variable."""
        if ram.ndim == 1:
            decoded = self.values[self._all, ram[self.addresses]]
            return dict(zip(self.names, decoded, strict=True))
        return {name: self.values[i][ram[..., self.addresses[i]]] for i, name in enumerate(self.names)}


def values_of(variable: Variable) -> npt.NDArray[np.uint8]:
    """Return the decoded value of each of the 256 bytes, uint8 [256]."""
    import numpy as np

    if variable.motion:
        delay, fine = np.arange(256) & 15, np.arange(256) >> 4
        column = np.array(variable.motion)[delay] - np.where(fine < 8, fine, fine - 16)  # noqa: PLR2004  signed
        return np.array(column % SCREEN_WIDTH, np.uint8)
    value = (np.arange(256) & variable.mask) // (variable.mask & -variable.mask)
    return np.array(value // 16 * 10 + value % 16 if variable.bcd else -(-value // variable.step), np.uint8)


def decoder(game_name: str, label_set: str = DEFAULT_LABEL_SET) -> Decoder:
    """Return the decoder of a game and label set; always the same object for the same two.

    Args:
        game_name: A game, or an environment id.
        label_set: ``v1`` or ``anand2019``.

    Raises:
        UnknownNameError: No such game or label set.
    """
    found = game(game_name)
    found.variables(label_set)  # before the cache, which needs something hashable
    return _decoder(found.name, label_set)


@cache
def _decoder(game_name: str, label_set: str) -> Decoder:
    import numpy as np

    variables = game(game_name).variables(label_set)
    values = np.array([values_of(variable) for variable in variables], np.uint8).reshape(-1, 256)
    addresses = np.array([variable.address for variable in variables], np.intp)
    names = tuple(variable.name for variable in variables)
    return Decoder(game_name, label_set, names, addresses, values)
