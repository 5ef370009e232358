"""Places: where on the screen something moves with a value, along which axis, how far a unit, from where.

Two sources. *Branches*: the same state with several values written; what differs from what most branches
show is the thing, and it stands elsewhere in each. *Play*: rows by value; where pixels that are not the
background's are found more often than over all rows. Both give a profile, uint or float [values, pixels]
along an axis, and the same questions are asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builders.audit.branches import Array
from builders.frames import HEIGHT, WIDTH

SCALES = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 0.25, -0.25, 3.0, -3.0, 4.0, -4.0, 8.0, -8.0, 13.0, -13.0)
AXES = ("x", "y")
SIZE = {"x": WIDTH, "y": HEIGHT}
_SCENE = 12_000  # pixels; where more change, it is not a thing that moves
_FAR = 4  # units that two values must be apart for their distance to tell the scale

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shifts:
    """How far a thing stands from itself in two branches: d pixels for u units, along x and y."""

    units: npt.NDArray[np.int64]
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]


def masks(screens: Array) -> npt.NDArray[np.bool_] | None:
    """Find the thing in each of some branches from one state.

    Args:
        screens: uint8 [n, 210, 160].

    Returns:
        bool [n, 210, 160], where a screen differs from what most show; None if nothing differs, or nearly
        all.
    """
    differs = (screens != screens[0]).any(axis=0)
    rows, columns = np.nonzero(differs)
    if not 0 < rows.size <= _SCENE:
        return None
    values = screens[:, rows, columns]
    votes = (values[:, None] == values[None]).sum(axis=1)
    background = values[votes.argmax(axis=0), np.arange(rows.size)]
    found = np.zeros(screens.shape, np.bool_)
    found[:, rows, columns] = values != background
    return found


def profiles(found: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.int64]]:
    """Count pixels by column and by row: from bool [n, 210, 160] to [n, 160] and [n, 210]."""
    return {"x": found.sum(axis=1), "y": found.sum(axis=2)}


def shifts(found: npt.NDArray[np.bool_], values: npt.NDArray[np.int64]) -> Shifts:
    """Compare the profiles of all pairs of branches whose values are far enough apart."""
    there = [i for i in range(len(found)) if found[i].any()]
    by_axis = profiles(found)
    units, moved = [], {axis: list[int]() for axis in AXES}
    for n, i in enumerate(there):
        for j in there[n + 1 :]:
            if abs(int(values[j]) - int(values[i])) < _FAR:
                continue
            units.append(int(values[j]) - int(values[i]))
            for axis in AXES:
                both = np.correlate(by_axis[axis][j].astype(float), by_axis[axis][i].astype(float), "full")
                moved[axis].append(int(both.argmax()) - SIZE[axis] + 1)
    return Shifts(*(np.array(column, np.int64) for column in (units, moved["x"], moved["y"])))


def join(parts: Sequence[Shifts]) -> Shifts:
    """Put the shifts of many states together."""
    return Shifts(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("units", "x", "y")))


def scale_of(units: npt.NDArray[np.int64], moved: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the scale that explains most shifts to within a pixel, and the share that it explains.

    A thing that does not move along the axis has scale 0.
    """
    if units.size == 0:
        return 0.0, 0.0
    shares = {s: float((np.abs(moved - s * units) <= 1).mean()) for s in (0.0, *SCALES)}
    best = max(shares, key=lambda s: (round(shares[s], 6), -abs(s)))
    return best, shares[best]


def aligned(profile: Floats, values: npt.NDArray[np.int64], weight: Floats, scale: float) -> Floats:
    """Average profiles after moving each back by scale times its value.

    Args:
        profile: [n, size].
        values: [n].
        weight: [n].
        scale: Pixels a unit.

    Returns:
        An average for each offset of `offsets`; 0 where too few profiles cover it.
    """
    size = profile.shape[1]
    spread = offsets(scale, size)
    total, count = np.zeros(len(spread)), np.zeros(len(spread))
    for row, value, by in zip(profile, values, weight, strict=True):
        start = -int(np.floor(scale * value)) - spread.start
        total[start : start + size] += by * row
        count[start : start + size] += by
    return np.where(count >= weight.sum() / 4, total / np.maximum(count, 1e-9), 0.0)


def offsets(scale: float, size: int) -> range:
    """Return the offsets at which a thing can stand on an axis of ``size`` pixels."""
    reach = int(np.ceil(abs(scale) * 255)) + size
    return range(-reach, reach)


def run(average: Floats, scale: float, size: int) -> tuple[int, int, float] | None:
    """Return the offset at which the run of at least half the peak begins, its length, and the peak."""
    peak = int(average.argmax())
    height = float(average[peak])
    if height <= 0:
        return None
    high = average >= height / 2
    first, last = peak, peak
    while first > 0 and high[first - 1]:
        first -= 1
    while last + 1 < high.size and high[last + 1]:
        last += 1
    return first + offsets(scale, size).start, last + 1 - first, height
