"""A test split that nobody has seen: played on the spot from a private seed.

The probes stay those of the frozen training rows; only what they are asked is new. An encoder that holds a
table of the published frames knows nothing of these.
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
    """A test split recorded afresh.

    Attributes:
        rows: As of a frozen split.
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

    About as many rows as the frozen one had before any was left out. As there, rows whose pixels occur in
    train or validation are left out; and those that occur in the frozen test split, since what is asked here
    is what an encoder makes of frames that were never published.

    Args:
        manifest: Of the game.
        frozen: Its splits.
        seed: Whoever knows it can record the same.
        limit: Only this many rows, evenly spaced.
        cache_dir: As in ``load_dataset``.
        num_proc: Processes to record with.

    Raises:
        UsageError: The seed is negative, or no new frame came up.
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
            f"{manifest.game}: no frame came up that is not in the dataset.", cure="Take another seed."
        )
    if limit is not None and limit < len(new):
        new = new[np.linspace(0, len(new) - 1, limit).astype(np.int64)]
    rows = rows_of(table, new)
    digest = blake3()
    for row, ram, episode, step in zip(new, rows.ram, rows.episode, rows.step, strict=True):
        digest.update(pixels[row] + ram.tobytes() + np.array([episode, step], "<i4").tobytes())
    return FreshSplit(rows, digest.hexdigest())


def gaps(public: Result, fresh: Result) -> dict[str, dict[str, Any]]:
    """Return what the first probe loses on a fresh test split.

    Args:
        public: On the frozen one.
        fresh: Of the same encoder.

    Returns:
        By game, and as ``mean`` over the games: ``public``, ``fresh`` and ``gap``, their F1 and how far it
        falls; None where a score is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, game in fresh.signed.games.items():
        pair = public.signed.games[name].scores[0].means.f1, game.scores[0].means.f1
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
