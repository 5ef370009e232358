"""What a probe reads out: one quantity of the game, and what kind of quantity it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["ordered", "circular", "nominal"]


@dataclass(frozen=True)
class Target:
    """One quantity that is read out.

    Attributes:
        name: A variable's name, or that of what is made from variables: ``ball_present``, ``ball_x_motion``,
            ``inventory_bit_3``.
        kind: ``ordered`` if an error has a size, ``circular`` if the values wrap around at ``period``,
            ``nominal`` if values are only equal or not.
        categories: Categories whose means include it.
        unit: The unit of its values and of its error: ``px``, ``points``...
        period: The length of the circle, in that unit; None if it is not circular.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    unit: str = ""
    period: float | None = None
