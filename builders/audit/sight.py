"""Sight: the visibility of each variable, from one, two and four frames and from the last screen alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atariari_data.games import Variable
from builders.audit import visibility
from builders.audit.claims import Seen
from builders.audit.claims import seen as find
from builders.audit.features import Features, features
from builders.audit.play import Play
from builders.audit.visibility import Guess, Values
from builders.statistics import entropy

Present = npt.NDArray[np.bool_] | None
LEAST = 0.02  # nats of a variable below which nothing is asked
_FRAMES: dict[str, tuple[int, ...]] = {"one": (), "two": (1,), "four": (1, 2, 3)}


@dataclass(frozen=True)
class Visibility:
    """How much of a variable stays unknown, in nats.

    Attributes:
        one: A model's cross-entropy given the dataset's frame.
        two: Given two frames, a step apart; the better of the models on the episodes it is stopped on.
        four: Given four.
        last: Given the last screen alone, not pooled with the one before.
        at_least: The lower estimate, given the frame.
        twice: Share of the rows whose pixels occur again, on which the lower estimate rests.
        examples: Pairs of equal frames with different labels: episode, step and value, twice.
    """

    one: Guess
    two: Guess
    four: Guess
    last: Guess
    at_least: float
    twice: float
    examples: Sequence[tuple[tuple[int, int, int], tuple[int, int, int]]]


class Sight:
    """Asks for each variable; what does not depend on it is done once."""

    def __init__(self, play: Play, asked: Features, seed: int) -> None:
        """Cut the rows, ask the questions of the last screens, and find equal frames."""
        self._play, self._pooled, self._last = play, asked, features(play.last)
        self._cut = visibility.parts(play.episode[play.shown], seed)
        pixels = np.ascontiguousarray(play.pooled.reshape(len(play.pooled), -1))
        self._frame = np.unique(pixels.view(f"V{pixels.shape[1]}").reshape(-1), return_inverse=True)[1]
        self._twice = float((np.bincount(self._frame)[self._frame] > 1).mean())

    def look(
        self, variable: Variable, values: Values, seen: Seen | None, present: Present
    ) -> Visibility | None:
        """Look for a variable.

        Args:
            variable: As annotated.
            values: uint8 [m], on the rows with screens.
            seen: What moves with it in play, if it is a position.
            present: bool [m], where the annotations say that the thing is there; None for everywhere.

        Returns:
            None where it is nearly constant.
        """
        learnt = values[self._cut.train]
        if min(entropy(values), entropy(learnt), entropy(values[self._cut.test])) < LEAST:
            return None
        best, guesses = dict[str, Guess](), list[Guess]()
        chosen = visibility.questions(values, self._pooled.asked, self._cut.train)
        for name, earlier in _FRAMES.items():
            guesses += self._guesses(values, self._pooled, chosen, earlier, seen)
            # Whoever sees more frames may ignore them, so the better model counts.
            best[name] = min(guesses, key=lambda g: g.stopped)
        at_last = visibility.questions(values, self._last.asked, self._cut.train)
        seen_last = find(variable, values, self._last, present) if seen else None
        last = self._guesses(values, self._last, at_last, (), seen_last)
        pairs = visibility.examples(values, self._frame)
        return Visibility(
            **best,
            last=min(last, key=lambda g: g.stopped),
            at_least=visibility.at_least(values, self._frame),
            twice=self._twice,
            examples=[(self._row(values, a), self._row(values, b)) for a, b in pairs],
        )

    def _guesses(
        self,
        values: Values,
        asked: Features,
        chosen: npt.NDArray[np.intp],
        earlier: tuple[int, ...],
        seen: Seen | None,
    ) -> Iterator[Guess]:
        place = None
        if seen:
            profile = getattr(asked, seen.axis)[:, seen.colour]
            place = visibility.placed(seen, values, profile, self._cut.train)
            if not earlier:
                yield visibility.guess(values, np.zeros((len(values), 0), np.float32), self._cut, place)
        yield visibility.guess(values, visibility.earlier(asked.asked, chosen, earlier), self._cut, place)

    def _row(self, values: Values, number: int) -> tuple[int, int, int]:
        row = self._play.shown[number]
        return int(self._play.episode[row]), int(self._play.step[row]), int(values[number])
