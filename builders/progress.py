"""Progress on standard error: a bar in a terminal or a notebook, else a plain line now and then."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

from tqdm.asyncio import tqdm_asyncio
from tqdm.auto import tqdm as auto
from tqdm.std import tqdm

EVERY: Final = 30.0
"""Seconds between two lines."""
_alone = False


def progress_bar(total: float | None, what: str, unit: str, *, shown: bool, **options: Any) -> tqdm[Any]:
    """Make a bar.

    Args:
        total: How many units there are.
        what: What is being done.
        unit: The unit's name in the singular. Of seconds, ``s``, a line shows the share instead.
        shown: False hides it.
        **options: As of ``tqdm``.
    """
    kind: type[tqdm[Any]] = auto if draws_bars() else Lines
    return kind(total=total, desc=what, unit=unit, disable=not shown, **options)


def draws_bars() -> bool:
    """Whether standard error can show a bar: it is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or auto is not tqdm_asyncio


def is_wanted() -> bool:
    """Whether progress is shown while a dataset is built: unless the bars of `datasets` are switched off."""
    import datasets

    return _alone or bool(datasets.is_progress_bar_enabled())


@contextlib.contextmanager
def without_bars_of_datasets() -> Iterator[None]:
    """Hide the bars of `datasets` where bars cannot be drawn: in a log file each step would be a line."""
    import datasets

    global _alone  # noqa: PLW0603  as the switch of `datasets`
    if draws_bars() or not datasets.is_progress_bar_enabled():
        yield
        return
    datasets.disable_progress_bars()
    _alone = True
    try:
        yield
    finally:
        _alone = False
        datasets.enable_progress_bars()


class Lines(tqdm):  # type: ignore[type-arg]
    """Progress for a log file: a line every 30 seconds and one at the end, without carriage returns."""

    _printed: float | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Make one, as ``tqdm``."""
        super().__init__(*arguments, **{**options, "mininterval": 0.1, "miniters": 1, "file": sys.stderr})

    def refresh(self, *_: Any, **__: Any) -> None:
        """Print a line if it is time."""
        if self.disable:
            return
        now = self._time()  # type: ignore[attr-defined]
        if self._printed is None:
            self._printed = now
        elif now - self._printed >= EVERY:
            self._printed = now
            self._print(f"{self._state()}, {self._times()}")

    def clear(self, *_: Any, **__: Any) -> None:
        """Leave what is printed."""

    def close(self) -> None:
        """Print the last line."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)  # type: ignore[attr-defined]
            self._print(f"{self._state()}, took {self._clock(self.format_dict['elapsed'])}")

    def _state(self) -> str:
        what = str(self.desc).removesuffix(": ")
        if self.unit == "s":
            return f"{what}: {100 * self.n / self.total:.0f} % of the whole" if self.total else what
        of = "" if self.total is None else f" of {self.total:,}"
        return f"{what}: {self.n:,}{of} {self.unit}s" + (f", {self.postfix}" if self.postfix else "")

    def _times(self) -> str:
        elapsed, done = self.format_dict["elapsed"], self.n - self.initial
        after = self._clock(elapsed)
        if not done or self.total is None:
            return f"{after} so far"
        return f"{after}, about {self._clock(elapsed * (self.total - self.n) / done)} left"

    @staticmethod
    def _clock(seconds: float) -> str:
        return tqdm.format_interval(max(0, round(seconds)))

    def _print(self, line: str) -> None:
        self.fp.write(f"{line}\n")
        self.fp.flush()
