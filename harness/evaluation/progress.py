"""How far an evaluation is: one bar that says what is being done and how long the whole will take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Literal

from builders.progress import draws_bars, progress_bar

Stage = Literal["embedding", "probing"]
STAGES: Final[tuple[Stage, ...]] = ("embedding", "probing")
_PROBING: Final = 0.2
"""Time of probing as a share of that of embedding, where nothing better is known. On Pong, with `readout`, it
is 0.06 for `pixels-pca`, 0.16 for `random-cnn`, and 0.18 for an encoder of 128 features."""
_SHAPE: Final = {"bar_format": "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}", "smoothing": 0}
"""A bar that counts seconds: those that have passed, of these and those that are left."""


class Progress(AbstractContextManager["Progress"]):
    """The stages of all games.

    How long a stage takes is known from the games before, and from what of it is done. Until the first game
    is probed, probing counts as a fifth of embedding, which is about what `readout` takes.
    """

    def __init__(self, work: Mapping[str, Mapping[Stage, int]], *, shown: bool) -> None:
        """Begin.

        Args:
            work: How much there is to do for each game: rows to embed, fits of probes.
            shown: False shows nothing.
        """
        self._left = {name: dict(stages) for name, stages in work.items()}
        self._planned = {stage: sum(stages[stage] for stages in work.values()) for stage in STAGES}
        self._done, self._spent = dict.fromkeys(STAGES, 0), dict.fromkeys(STAGES, 0.0)
        self._games = list(work)
        self._current: tuple[str, Stage] | None = None
        self._start = self._at = time.monotonic()
        options = _SHAPE if draws_bars() else {}
        self._bar = progress_bar(None, "", "s", shown=shown, **options)

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Close the bar."""
        self._current = None
        if error is None:
            self._say("All games")
        self._bar.close()

    def begin(self, name: str, stage: Stage) -> None:
        """Say which stage of which game begins now."""
        self._current, self._at = (name, stage), time.monotonic()
        self.advance(0)

    def advance(self, units: int = 1) -> None:
        """Say that so much of the stage is done, in rows or fits."""
        if self._current is None:
            return
        name, stage = self._current
        now = time.monotonic()
        self._spent[stage] += now - self._at
        self._done[stage] += units
        self._left[name][stage] = max(0, self._left[name][stage] - units)
        self._at = now
        self._say(self._words(name, stage))

    def skip(self, name: str, stage: Stage, units: int | None = None) -> None:
        """Say that so much of a stage, or all that is left of it, needs no time."""
        units = self._left[name][stage] if units is None else units
        self._left[name][stage] -= units
        self._planned[stage] -= units

    def _words(self, name: str, stage: Stage) -> str:
        place = f" ({self._games.index(name) + 1} of {len(self._games)})" if len(self._games) > 1 else ""
        left = self._left[name][stage]
        return f"{name}{place}, {stage}" + (f", {left:,} rows to go" if stage == "embedding" and left else "")

    def _say(self, words: str) -> None:
        elapsed = time.monotonic() - self._start
        self._bar.set_description(words, refresh=False)
        left = self._remaining()
        self._bar.total = None if left is None else elapsed + left
        self._bar.update(elapsed - self._bar.n)

    def _remaining(self) -> float | None:
        """Return the seconds that are left, as far as is known; None before anything is done."""
        whole = {
            stage: self._planned[stage] * self._spent[stage] / self._done[stage]
            for stage in STAGES
            if self._done[stage]
        }
        if not whole and any(self._planned.values()):
            return None
        guess = {"embedding": whole.get("probing", 0.0), "probing": _PROBING * whole.get("embedding", 0.0)}
        return sum(
            whole.get(stage, guess[stage])
            * sum(stages[stage] for stages in self._left.values())
            / self._planned[stage]
            for stage in STAGES
            if self._planned[stage]
        )
