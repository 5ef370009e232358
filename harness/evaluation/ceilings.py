"""Ceilings of a readout: the best score of any function of a single frame.

Such a function gives equal frames equal answers. The best answer for the rows that share a frame is the mean
of their values, the circular mean, or the most frequent value.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from builders.manifest import DEEP
from harness.encoders.frame_spec import FrameSpec
from harness.metrics import Bootstrap
from harness.probes.probe import ProbeRun
from harness.probes.readout import constant_of
from harness.probes.target import Target
from harness.results.predictions import Predicted
from harness.results.result import Result
from harness.splits import open_split


def ceilings_of(
    result: Result, game: str, runs: Container[ProbeRun], cache_dir: str | None
) -> dict[ProbeRun, dict[str, float]]:
    """Return the ceiling of every variable of a game, for some runs of a result whose score is a readout's.

    Args:
        result: A result with predictions, which say what is true and what the constants are.
        game: The game's name.
        runs: The runs.
        cache_dir: Where the dataset is built.
    """
    found: dict[ProbeRun, dict[str, float]] = {}
    for probe, scores in zip(result.signed.probes, result.signed.games[game].scores, strict=True):
        if probe.metric != "explained" or scores.run not in runs or result.predictions is None:
            continue
        config = game if scores.scored_on == "play" else game + DEEP
        frames = _same_frames(config, cache_dir)
        predicted = result.predictions[game][scores.run]
        found[scores.run] = {
            variable.name: _ceiling(predicted, v, variable.target, frames)
            for v, variable in enumerate(scores.variables)
        }
    return found


def best_of_frames(
    truth: npt.NDArray[np.float64], frames: npt.NDArray[np.int64], target: Target
) -> npt.NDArray[np.float64]:
    """Return the best answer of a function of the frame, float64 [n].

    Args:
        truth: float64 [n]; NaN on rows that do not count.
        frames: int64 [n], the number of each row's frame.
        target: What it is.
    """
    best = np.full(len(truth), math.nan)
    order = np.argsort(frames, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(frames[order])) + 1):
        there = rows[~np.isnan(truth[rows])]
        best[there] = truth[there[0]] if len(there) == 1 else constant_of(truth[there], target)
    return best


def _ceiling(predicted: Predicted, v: int, target: Target, frames: npt.NDArray[np.int64]) -> float:
    truth = predicted.truth[:, v].astype(np.float64)
    best = best_of_frames(truth, frames, target).astype(np.float32)
    fits = len(predicted.values)
    alone = Predicted(
        predicted.names[v : v + 1],
        predicted.truth[:, v : v + 1],
        predicted.episode,
        predicted.step,
        np.broadcast_to(best[None, :, None], (fits, len(best), 1)),
        predicted.constants[:, v : v + 1],
    )
    score = alone.score(0, "explained", target, Bootstrap.over(predicted.episode, resamples=1)).score
    return round(score, 4)


@lru_cache(2)  # the splits of one game; its label sets share them
def _same_frames(config: str, cache_dir: str | None) -> npt.NDArray[np.int64]:
    """Return the number of each test row's frame, int64 [n]; equal frames have equal numbers."""
    digests: list[bytes] = []
    for batch in open_split(config, "test", cache_dir=cache_dir).batches(FrameSpec(color="rgb")):
        digests += [blake3(np.ascontiguousarray(frame).data).digest(length=16) for frame in batch]
    return _numbers(digests)


def _numbers(digests: Sequence[bytes]) -> npt.NDArray[np.int64]:
    return np.unique(np.array(digests), return_inverse=True)[1].reshape(-1).astype(np.int64)
