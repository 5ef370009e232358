"""Claims: whether a position is drawn where its annotation says, seen in branches and in play."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from atariari_data.games import Drawn, Variable
from atariari_data.positions import AXIS
from builders.audit import places
from builders.audit.cause import Axis, Movement
from builders.audit.features import Features
from builders.audit.places import AXES, SIZE

CLEAR = 0.4  # share of shifts that a scale explains, or lift in play, from which on a movement is clear
AHEAD = 0.25  # by how much one reading must explain more than another to beat it
OFF = 8  # pixels that the measured end may be from the claimed one
ACROSS = 12  # pixels along the other axis, to the nearest of what moves
PAIRS = 40  # of branches, the least that can contradict the axis of a position
PLACED = 150  # and the least that can contradict its scale or offset
SEEN = 0.08  # lift in play, the least that says that something is drawn there
_FEW = 100  # rows on which a thing is there
_PLACES, _MOSTLY = 8, 0.9  # branches that can tell whether a thing is beside its place, and share of them
_LEAST, _VALUES = 0.6, 8  # nats, and values, of a position below which play says nothing


@dataclass(frozen=True)
class Seen:
    """Where in play something is drawn that goes with a position.

    Attributes:
        axis: Along which it moves.
        scale: Pixels a unit.
        offset: Where its left end or top is at value 0.
        size: Its extent in pixels.
        values: How many came.
        colour: Which of the colours of `builders.audit.features` it has.
        lift: How much more often foreground is there than over all rows, as a share of rows.
        claimed: The same lift within a few pixels of where the annotation says; None where it says nothing.
    """

    axis: str
    scale: float
    offset: int
    size: int
    values: int
    colour: int
    lift: float
    claimed: float | None


def axis_of(variable: Variable) -> str | None:
    """Return ``x`` or ``y`` for a variable that is a column or a row by its name and has an order."""
    match = AXIS.search(variable.name)
    return match[1] if match and variable.ordered else None


def seen(
    variable: Variable,
    values: npt.NDArray[np.uint8],
    asked: Features,
    present: npt.NDArray[np.bool_] | None = None,
) -> Seen | None:
    """Look in play for something that moves with a position.

    Args:
        variable: A position.
        values: uint8 [m], on the rows with screens.
        asked: The features of the same rows.
        present: bool [m], where the annotations say that the thing is there; by default everywhere.
    """
    everywhere = ~np.isin(values, variable.drawn.absent if variable.drawn else ())
    found = [_seen(variable, values, asked, everywhere)]
    if present is not None and (everywhere & ~present).any():
        # What the thing's other variable says of it may be wrong, so the clearer of the two counts.
        found.append(_seen(variable, values, asked, everywhere & present))
    return max((f for f in found if f), key=lambda f: f.lift, default=None)


def _seen(
    variable: Variable, values: npt.NDArray[np.uint8], asked: Features, there: npt.NDArray[np.bool_]
) -> Seen | None:
    if there.sum() < _FEW:
        return None
    met, row = np.unique(values[there], return_inverse=True)
    if met.size < 3:  # noqa: PLR2004
        return None
    weight = np.bincount(row).astype(float)
    claim = variable.drawn
    signed = claim.signed(met.astype(np.int64)) if claim else met.astype(np.int64)
    best: Seen | None = None
    claimed: list[float] = []
    for axis in AXES:
        profile = getattr(asked, axis)[there]
        order = np.argsort(row, kind="stable")
        starts = np.flatnonzero(np.diff(row[order], prepend=-1))
        mean = np.add.reduceat(profile[order], starts, axis=0, dtype=np.int64) / weight[:, None, None]
        lift = mean - getattr(asked, axis).mean(axis=0)
        for colour in range(lift.shape[1]):
            for scale in places.SCALES:
                average = places.aligned(lift[:, colour], signed, weight, scale)
                if claim and axis == axis_of(variable) and scale == claim.scale:
                    claimed.append(_near(average, scale, claim, SIZE[axis]))
                run = places.run(average, scale, SIZE[axis])
                if run and (best is None or run[2] > best.lift + 1e-9):
                    best = Seen(axis, scale, *run[:2], met.size, colour, run[2], None)
    if best is None:
        return None
    return replace(best, claimed=max(claimed, default=0.0) if claim else None)


def there(found: Seen, values: npt.NDArray[np.uint8], profile: npt.NDArray[np.uint8]) -> float:
    """Return the share of the thing's pixels that show its colour.

    Args:
        found: Of `seen`.
        values: uint8 [r], of the position.
        profile: uint8 [r, size of the axis], the columns or rows in which its colour is.
    """
    first = np.floor(found.scale * values.astype(float)).astype(int) + found.offset
    pixels = first[:, None] + np.arange(found.size)
    inside = (pixels >= 0) & (pixels < profile.shape[1])
    shown = np.take_along_axis(profile, np.clip(pixels, 0, profile.shape[1] - 1), axis=1)
    return float(shown[inside].mean()) if inside.any() else 0.0


def disputes(
    variable: Variable,
    nats: float,
    movement: Movement | None,
    in_play: Seen | None,
    others: npt.NDArray[np.float32] | None,
    *,
    beside: bool = False,
) -> Iterator[str]:
    """Yield where a position contradicts its annotation.

    Args:
        variable: A position.
        nats: Its entropy in play.
        movement: What writing it moves.
        in_play: What moves with it in play.
        others: Where the annotations have the thing in each state, [states, 2]; NaN if not there.
        beside: Whether writing the thing's other place moved what stands where this one says; see
            `moves_beside`. What is not seen in play then does not count against it.
    """
    axis = axis_of(variable)
    if axis is None:
        return
    along, across = _axes(movement, axis)
    confirmed = bool(along and _moves(along))  # by however few pairs: they may say yes, but not no
    if movement and movement.pairs < PAIRS:
        movement = None
    if movement and across and _moves(across) and across.share > _share(along) + AHEAD:
        yield f"writing it moves something along {_other(axis)}, not along {axis}"
    elif movement and along and _moves(along):
        if movement.pairs >= PLACED:
            yield from _along(variable, axis, along)
        yield from _across(variable, axis, movement, others)
    elif (
        variable.drawn
        and not (confirmed or beside)
        and nats >= _LEAST
        and in_play
        and in_play.values >= _VALUES
    ):
        if in_play.lift >= CLEAR and in_play.axis != axis and (in_play.claimed or 0) < in_play.lift / 2:
            yield f"in play something moves with it along {in_play.axis}, not along {axis}"
        elif (in_play.claimed or 0) < SEEN:
            yield "writing it moves nothing along its axis, and in play nothing is drawn where it says"


def _axes(movement: Movement | None, axis: str) -> tuple[Axis | None, Axis | None]:
    if movement is None:
        return None, None
    return (movement.x, movement.y) if axis == "x" else (movement.y, movement.x)


def _other(axis: str) -> str:
    return "y" if axis == "x" else "x"


def _share(axis: Axis | None) -> float:
    return axis.share if axis and axis.scale else 0.0


def _moves(axis: Axis) -> bool:
    return _share(axis) >= CLEAR


def _along(variable: Variable, axis: str, along: Axis) -> Iterator[str]:
    claim: Drawn | None = variable.drawn
    if claim is None or along.offset is None:
        return
    if along.scale != claim.scale:
        yield f"it moves {along.scale:g} pixels a unit along {axis}, not {claim.scale}"
    elif (
        all(abs(along.offset - claim.offset - copy) > OFF for copy in (0, *claim.copies))
        and _near(along.average, along.scale, claim, SIZE[axis]) < along.average.max() / 2
    ):
        yield f"it is drawn from {axis} = {along.scale:g} value {along.offset:+d}, not {claim.offset:+d}"


def _across(
    variable: Variable, axis: str, movement: Movement, others: npt.NDArray[np.float32] | None
) -> Iterator[str]:
    """Compare the place along the other axis with the thing's other variable, or with ``across``."""
    if others is None:
        return
    apart = _apart(axis, movement, others)
    if apart.size >= _PLACES and float(np.median(apart)) > ACROSS:
        yield f"what it moves along {axis} is {np.median(apart):.0f} pixels from {variable.name}'s thing"


def moves_beside(
    variable: Variable, movement: Movement | None, others: npt.NDArray[np.float32] | None
) -> bool:
    """Return whether writing a position moves what is, along the other axis, where the thing is said to be.

    This confirms the thing's other place: some games tear a picture whose row alone is written.

    Args:
        variable: A position.
        movement: What writing it moves.
        others: Where the annotations have the thing in each state, [states, 2]; NaN if not there.
    """
    axis = axis_of(variable)
    if axis is None or movement is None or movement.pairs < PAIRS or others is None:
        return False
    apart = _apart(axis, movement, others)
    along, _ = _axes(movement, axis)
    return bool(along and _moves(along) and apart.size >= _PLACES and float((apart <= OFF).mean()) >= _MOSTLY)


def _apart(axis: str, movement: Movement, others: npt.NDArray[np.float32]) -> places.Floats:
    """Return how far what moves along an axis is, along the other, from where the thing is said to be."""
    other = _other(axis)
    claimed = others[movement.states, AXES.index(other)]
    pixels = np.arange(SIZE[other])
    return np.array(
        [
            np.abs(pixels[profile] - place).min()
            for profile, place in zip(movement.profiles[other], claimed, strict=True)
            if not np.isnan(place)
        ]
    )


def _near(average: places.Floats, scale: float, claim: Drawn, size: int) -> float:
    """Return the peak of an average over `places.offsets` within a few pixels of where an annotation says."""
    starts = [claim.offset + copy - places.offsets(scale, size).start for copy in (0, *claim.copies)]
    return max(float(average[max(start - OFF, 0) : start + OFF + 1].max(initial=0)) for start in starts)
