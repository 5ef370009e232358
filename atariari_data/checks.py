"""Checks of numeric arguments."""

from __future__ import annotations

import math

import numpy as np

from atariari_data.errors import UsageError


def count(name: str, value: object, least: int = 1) -> int:
    """Return an integer argument.

    Raises:
        UsageError: The value is not an integer, or is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"Invalid {name}.", expected=f"an integer, at least {least}", got=repr(value))
    return int(value)


def positive(name: str, value: object) -> float:
    """Return a positive, finite argument.

    Raises:
        UsageError: The value is not a number, or is not positive and finite.
    """
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        number = float(value)
        if 0 < number < math.inf:
            return number
    raise UsageError(f"Invalid {name}.", expected="a positive number", got=repr(value))
