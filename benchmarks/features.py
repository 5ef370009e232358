"""Features of a game for the benchmarks of probes, from the paper's random CNN or another encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

import harness
from atariari_data import game as annotated
from atariari_data import labels
from builders.manifest import load_manifest
from harness.cache import Cache
from harness.encoders.features import Features
from harness.evaluation import game as evaluation
from harness.methods.untrained import random_cnn
from harness.metrics import game_mean
from harness.probes.inputs import Split
from harness.splits import SplitRows, open_split


@dataclass(frozen=True)
class Embedded:
    """A game's splits, embedded.

    Attributes:
        game: The game's name.
        names: Names of the v probed variables.
        splits: Features [n, d] and labels [n, v] of ``train``, ``validation`` and ``test``.
        episode: Episode of each row, int32 [n], of the same splits.
        few: The 1,000 frozen training rows, or evenly spaced ones if rows were dropped.
    """

    game: str
    names: list[str]
    splits: dict[str, Split]
    episode: dict[str, np.ndarray]
    few: np.ndarray

    def across_categories(self, scores: list[float]) -> float:
        """Return the mean over categories of the means over variables."""
        categories = {v.name: v.categories for v in annotated(self.game).variables()}
        return game_mean(dict(zip(self.names, scores, strict=True)), categories) or 0.0


@contextmanager
def scored_by(function: Callable[..., Any]) -> Iterator[None]:
    """Let evaluations score features with a function in place of `harness.evaluation.scoring.score`.

    Features are taken from the cache and kept there; scores are neither.
    """
    with (
        mock.patch.object(evaluation, "score", function),
        mock.patch.object(Cache, "scored", return_value=None),
        mock.patch.object(Cache, "keep_scored", return_value=None),
    ):
        yield


def by_random_cnn(seed: int = 0) -> Callable[[SplitRows], Features]:
    """Return a function that computes a split's features [n, 256] with the random CNN."""
    encoder = harness.load_encoder(random_cnn(seed))
    return lambda split: np.concatenate([encoder.embed(batch) for batch in split.batches(encoder.spec)])


def embed(
    game: str,
    rows: int | None = None,
    variables: Sequence[str] | None = None,
    by: Callable[[SplitRows], Features] | None = None,
) -> Embedded:
    """Embed a game, optionally with evenly spaced rows of each split and with some of the variables."""
    by, manifest = by or by_random_cnn(), load_manifest(game)
    names, splits, episode = list(variables or manifest.probed("v1")), {}, {}
    for name in ("train", "validation", "test"):
        split = open_split(game, name, limit=rows)
        decoded = labels(split.ram, game)
        splits[name] = Split(by(split), np.stack([decoded[n] for n in names], axis=1))
        episode[name] = split.episode
    n = len(splits["train"].features)
    few = (
        np.array(manifest.train_rows_1k) if rows is None else np.linspace(0, n - 1, min(n, 1000)).astype(int)
    )
    return Embedded(game, names, splits, episode, few)
