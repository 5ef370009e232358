"""Checks of numeric arguments, which may be of Python or of NumPy."""

from __future__ import annotations

import math
from numbers import Integral, Real

from atariari_data.errors import UsageError


def count(name: str, value: object, least: int = 1) -> int:
    """Return an integer argument.

    Raises:
        UsageError: The value is not an integer, or is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"Invalid {name}.", expected=f"an integer, at least {least}", got=repr(value))
    return int(value)


def not_negative(name: str, value: object) -> float:
    """Return an argument that is a number from 0 on; infinity is one.

    Raises:
        UsageError: The value is not a number, or is negative.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if number >= 0:
            return number
    raise UsageError(f"Invalid {name}.", expected="a number, at least 0", got=repr(value))


def positive(name: str, value: object) -> float:
    """Return a positive, finite argument.

    Raises:
        UsageError: The value is not a number, or is not positive and finite.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if 0 < number < math.inf:
            return number
    raise UsageError(f"Invalid {name}.", expected="a positive number", got=repr(value))
