"""Information: entropies in nats, coverage, and which bytes hold the same as a variable.

All are plug-in estimates over rows, with the correction of Miller and Madow where it is said: the plug-in
entropy is too low by about (values - 1) / (2 rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builders.statistics import entropy

Values = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """What values were met: how many, the least and the greatest, their entropy, and what never came.

    ``never`` are runs of the stated range, inclusive.
    """

    count: int
    low: int
    high: int
    nats: float
    never: tuple[tuple[int, int], ...]
    outside: float


def coverage(values: Values, stated: tuple[int, int]) -> Coverage:
    """Describe uint8 [n] and compare it with the stated range."""
    met = np.unique(values)
    missing = np.setdiff1d(np.arange(stated[0], stated[1] + 1), met)
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1) if missing.size else []
    outside = (values < stated[0]) | (values > stated[1])
    return Coverage(
        count=int(met.size),
        low=int(met[0]),
        high=int(met[-1]),
        nats=entropy(values),
        never=tuple((int(run[0]), int(run[-1])) for run in runs),
        outside=float(outside.mean()),
    )


def unknown_given(values: Values, given: npt.NDArray[np.intp] | Values, *, corrected: bool = True) -> float:
    """Return H(values | given) in nats, plug-in, by default plus the correction of Miller and Madow."""
    given = np.unique(given, return_inverse=True)[1]
    joint = np.unique(given.astype(np.int64) * 256 + values, return_counts=True)[1]
    alone = np.bincount(given)
    n = len(values)
    plug_in = float((alone * np.log(alone)).sum() - (joint * np.log(joint)).sum()) / n
    correction = (len(joint) - np.count_nonzero(alone)) / (2 * n) if corrected else 0.0
    return max(0.0, plug_in + correction)


@dataclass(frozen=True)
class Same:
    """A byte that holds what a variable holds: the share of its entropy that the byte tells, and back."""

    byte: int
    of_variable: float
    of_byte: float


def same_bytes(values: Values, ram: Values, but: int, *, at_least: float = 0.9) -> list[Same]:
    """Find the bytes that determine a variable.

    Args:
        values: uint8 [n].
        ram: uint8 [n, 128].
        but: The variable's own byte.
        at_least: Share of the variable's entropy that a byte must determine.
    """
    nats = entropy(values)
    found = []
    for byte in range(ram.shape[1]):
        other = ram[:, byte]
        if byte == but or nats == 0 or not (other != other[0]).any():
            continue
        share = 1 - unknown_given(values, other) / nats
        if share >= at_least:
            back = 1 - unknown_given(other, values) / entropy(other)
            found.append(Same(byte, share, max(0.0, back)))
    return sorted(found, key=lambda s: (-round(s.of_variable, 3), -round(s.of_byte, 3), s.byte))


def tables(values: Values, asked: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Count by value: rows, [v], and rows on which each question is answered yes, [v, d]."""
    met, row = np.unique(values, return_inverse=True)
    member = (row == np.arange(met.size)[:, None]).astype(np.float32)
    # Whole numbers under 2 ** 24 are exact in float32, whatever the order of the sums.
    return member.sum(axis=1).astype(np.float64), (member @ asked).astype(np.float64)


def shared(rows: Floats, yes: Floats) -> Floats:
    """Return what each question shares with the variable, in nats (plug-in): from [v], [v, d] to [v, d].

    The sum over values is the mutual information; each summand is one value's part.
    """
    n = rows.sum()
    every = np.zeros(yes.shape)
    for count in (yes, rows[:, None] - yes):
        expected = rows[:, None] * (count.sum(axis=0) / n)
        ratio = np.divide(count, expected, out=np.ones_like(count), where=count > 0)
        every += count / n * np.log(ratio)
    return every


def agreement(values: Values, asked: npt.NDArray[np.float32], most: int = 16) -> float:
    """Return how well label and pixels agree: the mean of the largest mutual informations, in nats."""
    every = shared(*tables(values, asked)).sum(axis=0)
    return float(np.sort(every)[-most:].mean()) if every.size else 0.0


def best_lag(scores: Sequence[float], lags: Sequence[int]) -> int:
    """Return the lag with the best score; the one nearest to 0 among those within a twentieth of it."""
    near = [lag for lag, score in zip(lags, scores, strict=True) if score >= 0.95 * max(scores)]
    return min(near, key=lambda lag: (abs(lag), lag))
