"""A fresh test split, recorded now from a private seed.

The probes are still fitted to the frozen training rows; only the test rows are new. An encoder that has
memorised the published frames gains nothing on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3

from atariari_data.dataset import load_dataset
from atariari_data.errors import UsageError
from builders.manifest import Manifest
from builders.png import rgb
from harness.results.result import Result
from harness.splits import SplitRows, rows_of

_BATCH = 512


@dataclass(frozen=True)
class FreshSplit:
    """A test split that was recorded now.

    Attributes:
        rows: Its rows, as those of a frozen split.
        digest: BLAKE3 over the pixels' digest (16 bytes), RAM, episode and step (int32, little-endian) of
            every row.
    """

    rows: SplitRows
    digest: str


def record_test(
    manifest: Manifest,
    frozen: Mapping[str, SplitRows],
    seed: int,
    *,
    limit: int | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> FreshSplit:
    """Record a test split of a game.

    It is about as large as the frozen one was before duplicates were removed. Rows whose pixels occur in
    train, validation or the frozen test split are removed: the fresh split has only unpublished frames.

    Args:
        manifest: The game's manifest.
        frozen: The game's frozen splits.
        seed: The seed; anyone who knows it can record the same rows.
        limit: Use only this many rows, evenly spaced.
        cache_dir: As in ``load_dataset``.
        num_proc: Processes to record with.

    Raises:
        UsageError: The seed is negative, or every recorded frame is in the dataset already.
    """
    test = manifest.configs[manifest.game].splits["test"]
    data = load_dataset(
        name=manifest.game,
        split="train",
        seed=seed,
        steps=test.rows + test.left_out,
        unsplit=True,
        cache_dir=cache_dir,
        num_proc=num_proc,
    )
    table = data.with_format("arrow")[:]
    known = {digest for split in frozen.values() for digest in _pixels(split.png)}
    pixels = list(_pixels(rows_of(table).png))
    new = np.flatnonzero([digest not in known for digest in pixels])
    if not len(new):
        raise UsageError(
            f"{manifest.game}: every recorded frame is in the dataset already.", cure="Use another seed."
        )
    if limit is not None and limit < len(new):
        new = new[np.linspace(0, len(new) - 1, limit).astype(np.int64)]
    rows = rows_of(table, new)
    digest = blake3()
    for row, ram, episode, step in zip(new, rows.ram, rows.episode, rows.step, strict=True):
        digest.update(pixels[row] + ram.tobytes() + np.array([episode, step], "<i4").tobytes())
    return FreshSplit(rows, digest.hexdigest())


def gaps(public: Result, fresh: Result) -> dict[str, dict[str, Any]]:
    """Return how much the score under the first probe drops on a fresh test split.

    Args:
        public: The result on the frozen test split.
        fresh: The result of the same encoder on the fresh one.

    Returns:
        For each game, and as ``mean`` over the games: ``public`` and ``fresh``, the score on both splits, and
        ``gap``, their difference; None where a score is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, game in fresh.signed.games.items():
        pair = public.signed.games[name].scores[0].means.score, game.scores[0].means.score
        found[name] = {"public": pair[0], "fresh": pair[1], "gap": _difference(*pair)}
    means = {
        side: None
        if any(f[side] is None for f in found.values())
        else _mean([f[side] for f in found.values()])
        for side in ("public", "fresh")
    }
    return {**found, "mean": {**means, "gap": _difference(means["public"], means["fresh"])}}


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)


def _difference(public: float | None, fresh: float | None) -> float | None:
    return None if public is None or fresh is None else round(public - fresh, 4)


def _pixels(png: pa.Array) -> Iterator[bytes]:
    for start in range(0, len(png), _BATCH):
        frames: npt.NDArray[np.uint8] = rgb(png.slice(start, _BATCH).to_pylist())
        for frame in frames:
            yield blake3(frame.data).digest(length=16)
