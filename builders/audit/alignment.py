"""Alignment: at which lag label and pixels agree best, over all rows and next to resets and lost lives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builders.audit.claims import CLEAR, Seen, there
from builders.audit.features import Features
from builders.audit.information import agreement, best_lag
from builders.audit.play import Play

LAGS = tuple(range(-4, 5))
_EDGE = 8  # steps from an episode's first or last row
_ROWS = 1200  # of those kept, spread evenly
_QUESTIONS = 3000
_FEW = 100  # rows
_LEAST = 0.02  # nats or share; noise is below


@dataclass(frozen=True)
class Alignment:
    """The lag in steps at which the label fits the pixels best, and how well it fits at -4 to 4.

    ``edges`` is the lag over rows near an episode's ends, where the game was reset or a life lost; None
    where these are too few, or say nothing.
    """

    lag: int
    scores: tuple[float, ...]
    edges: int | None


class Aligner:
    """Asks for each variable; chooses rows and questions once."""

    def __init__(self, play: Play, asked: Features) -> None:
        """Choose the rows whose neighbours up to the largest lag are in their episode."""
        self._features = asked
        step = -(-asked.asked.shape[1] // _QUESTIONS)
        self._asked = asked.asked[:, :: max(1, step)]
        reach = LAGS[-1]
        shown = play.shown
        ends = (shown >= reach) & (shown < len(play.ram) - reach)
        inside = np.flatnonzero(ends)
        same = [play.episode[shown[inside] + lag] == play.episode[shown[inside]] for lag in (-reach, reach)]
        inside = inside[same[0] & same[1]]
        self._rows = inside[:: max(1, len(inside) // _ROWS)]
        last = np.flatnonzero(np.diff(play.episode, append=-1))
        to_last = last[np.searchsorted(last, shown[inside])] - shown[inside]
        near = np.minimum(play.step[shown[inside]], to_last) < _EDGE + reach
        self._edges = inside[near]
        self._shown = shown

    def align(self, values: npt.NDArray[np.uint8], seen: Seen | None) -> Alignment | None:
        """Compare uint8 [n], one value a row of the play; None where a variable is nearly constant.

        For a position that is seen in play, the score is how much of the thing stands where the label says;
        for others, the mean of the 16 largest mutual informations of label and features, in nats.
        """
        place = bool(seen and seen.lift >= CLEAR)
        scores = self._scores(values, self._rows, seen if place else None)
        if max(scores) < _LEAST:
            return None
        edges = None
        if len(self._edges) >= _FEW:
            near = self._scores(values, self._edges, seen if place else None)
            edges = best_lag(near, LAGS) if max(near) >= 2 * _LEAST else None
        return Alignment(best_lag(scores, LAGS), tuple(scores), edges)

    def _scores(
        self, values: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], seen: Seen | None
    ) -> list[float]:
        at = [values[self._shown[rows] + lag] for lag in LAGS]
        if seen:
            profile = getattr(self._features, seen.axis)[rows, seen.colour]
            return [there(seen, value, profile) for value in at]
        return [agreement(value, self._asked[rows].astype(np.float32)) for value in at]
