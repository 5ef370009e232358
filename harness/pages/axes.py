"""Axis ticks."""

from __future__ import annotations

import math


def ticks(low: float, high: float, about: int, *, whole: bool = False) -> list[float]:
    """Return about ``about`` round numbers between ``low`` and ``high``; integers only if ``whole``."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]
