"""Embedding a game: every frame once, in random order, and a sample of them twice.

Rows whose frames are the same in every pixel are one; on these games that is a row in twenty or more.

The rows of all splits go through together, shuffled with an unpredictable seed. Batches are filled up, so
that a row's features do not depend on how many rows are left. A sample goes through again among the others,
in batches of other sizes, one of them a single row.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UsageError
from atariari_data.labels import RAM_BYTES
from harness.encoders.features import EncoderError, Features, excess
from harness.encoders.frame_spec import Frames, FrameSpec
from harness.isolation.process import free_memory
from harness.splits import SplitRows, first_of_its_kind, prefetch

_BATCH = 512
_FILL = 64
_SAMPLE = 256
_SHOWN = 5
_KEEP_EVERY = 60  # seconds
_DECODERS = 4  # threads that decode frames for a GPU; where the encoder has the cores, one is enough

Rows = npt.NDArray[np.int64]


class Embeds(Protocol):
    """What embedding needs of an encoder: `LoadedEncoder` and `IsolatedEncoder` have it."""

    @property
    def spec(self) -> FrameSpec:
        """The frames it takes."""

    @property
    def sees(self) -> Literal["frames", "ram"]:
        """What its input is made from."""

    @property
    def precision(self) -> str:
        """The precision of its arithmetic."""

    @property
    def device(self) -> str:
        """The torch device that it runs on."""

    def embed(self, frames: Frames) -> Features:
        """Embed a batch."""


@dataclass(frozen=True)
class _Batch:
    """Rows that are embedded together, the first ``new`` of them for the first time."""

    rows: Rows
    new: int
    again: bool


def embed(
    encoder: Embeds,
    splits: Mapping[str, SplitRows],
    progress: Callable[[int], object],
    *,
    done: Features | None = None,
    keep: Callable[[Features], object] = lambda _: None,
) -> dict[str, Features]:
    """Embed every row of a game.

    Args:
        encoder: The encoder, which is told neither split nor row nor order.
        splits: The rows of every split, by name.
        progress: Called with the number of rows that were just embedded.
        done: The features that an earlier call passed to ``keep``.
        keep: Called with all features, NaN for rows not yet embedded, every minute and when something fails.

    Returns:
        float32 [n, d] for every split, in the order of its rows.

    Raises:
        EncoderError: The encoder fails, or returns different features when it sees a sample again.
        UsageError: There are no rows, or not enough memory for their features.
    """
    names = list(splits)
    starts = np.cumsum([0, *(len(splits[name]) for name in names)])
    total = int(starts[-1])
    if not total:
        raise UsageError("The game has no rows.")
    if done is not None and len(done) != total:
        done = None
    like = first_of_its_kind(list(splits.values()), None if encoder.sees == "ram" else encoder.spec.stack)
    missing = np.unique(like if done is None else like[np.isnan(done[like, 0])])
    batches = _plan(missing, total, np.random.default_rng(secrets.randbits(128)))
    progress(total - len(missing))
    kept, second = _Kept(total, done, keep), []
    try:
        threads = 1 if encoder.device == "cpu" else min(_DECODERS, os.cpu_count() or 1)
        for batch, frames in prefetch(batches, _decoder(splits, starts, encoder), threads=threads):
            found = encoder.embed(frames)
            if batch.again:
                second.append((batch.rows, found))
            else:
                kept.take(batch.rows[: batch.new], found[: batch.new])
                progress(batch.new)
    except BaseException:
        kept.keep()
        raise
    features, others = kept.features, np.flatnonzero(like != np.arange(total))
    features[others] = features[like[others]]
    _compare(features, second, encoder.precision, names, starts)
    return {name: features[starts[i] : starts[i + 1]] for i, name in enumerate(names)}


class _Kept:
    """The features of a game while they come in."""

    def __init__(self, total: int, done: Features | None, keep: Callable[[Features], object]) -> None:
        self._total, self._keep, self._at = total, keep, time.monotonic()
        self.features = np.empty((0, 0), np.float32) if done is None else done

    def take(self, rows: Rows, found: Features) -> None:
        if not len(self.features):
            _check_memory(self._total, found.shape[1])
            self.features = np.full((self._total, found.shape[1]), np.nan, np.float32)
        self.features[rows] = found
        if time.monotonic() - self._at > _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        if len(self.features):
            self._keep(self.features)
        self._at = time.monotonic()


def _check_memory(rows: int, width: int) -> None:
    """Refuse features that do not fit into memory with their probes, before hours are spent on them."""
    products = 8 * min(rows, width) ** 2  # of features, or of rows; three such matrices are held at a time
    needed, free = 4 * rows * width + 3 * products, free_memory()
    if needed > free:
        raise UsageError(
            f"There is not enough memory for the features: {rows:,} rows of {width:,}.",
            expected=f"{needed / 1e9:.1f} GB",
            got=f"{free / 1e9:.1f} GB free",
            cure="Pool the features (--pool mean, or in the encoder) to a few thousand per frame.",
        )


def _decoder(
    splits: Mapping[str, SplitRows], starts: npt.NDArray[np.int64], encoder: Embeds
) -> Callable[[_Batch], Frames]:
    of_ram = encoder.sees == "ram"

    def decode(batch: _Batch) -> Frames:
        n = len(batch.rows)
        frames = np.empty((n, RAM_BYTES) if of_ram else encoder.spec.raw_shape(n), np.uint8)
        owner = np.searchsorted(starts, batch.rows, side="right") - 1
        for number, split in enumerate(splits.values()):
            mine = np.flatnonzero(owner == number)
            if len(mine):
                own = batch.rows[mine] - starts[number]
                frames[mine] = split.ram[own] if of_ram else split.frames(own, encoder.spec)
        return frames

    return decode


def _plan(missing: Rows, total: int, generator: np.random.Generator) -> list[_Batch]:
    order = generator.permutation(missing)
    first = []
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        fill = generator.choice(total, -len(rows) % _FILL)
        first.append(_Batch(np.concatenate([rows, fill]), len(rows), again=False))
    sample = generator.choice(total, min(_SAMPLE, total), replace=False)
    again, size = [], 1  # an encoder that fails on a single frame always does so here
    while len(sample):
        again.append(_Batch(sample[:size], 0, again=True))
        sample = sample[size:]
        size = int(generator.integers(1, _FILL))
    # The first batch is a first look, so that nobody can tell the second from its place.
    mixed = [*first[1:], *again]
    return [*first[:1], *(mixed[i] for i in generator.permutation(len(mixed)))]


def _compare(
    features: Features,
    second: list[tuple[Rows, Features]],
    precision: str,
    names: list[str],
    starts: npt.NDArray[np.int64],
) -> None:
    rows = np.concatenate([rows for rows, _ in second])
    before, after = features[rows], np.concatenate([found for _, found in second])
    times, tolerance = excess(before, after, precision)
    by_row = times.max(axis=1)
    bad = int((by_row > 1).sum())
    if not bad:
        return
    shown = []
    for i in np.argsort(-by_row)[: min(bad, _SHOWN)]:
        column = int(times[i].argmax())
        by = abs(float(before[i, column]) - float(after[i, column]))
        split = int(np.searchsorted(starts, rows[i], side="right") - 1)
        shown.append(f"{names[split]} {rows[i] - starts[split]} by {by:.3g} in feature {column}")
    worst = int(times.max(axis=0).argmax())
    raise EncoderError(
        "The encoder returns different features when it sees the same frames again.",
        expected="the same up to rounding, whatever came before and whatever is in the batch: for feature "
        f"{worst} within {tolerance[worst]:.3g} on average",
        got=f"{bad} of {len(rows)} rows differ: {', '.join(shown)}" + (", ..." if bad > _SHOWN else ""),
        cure="Remove state, dropout and batch statistics; `harness check` shows the broken rule.",
    )
