"""A control task: what a probe scores on labels that the frames say nothing about.

Every episode gets the RAM of the next one in its split, from the start again where that is shorter. A probe
can then learn only what the time in an episode tells. Features are taken from the cache of evaluations, and
kept there. For each encoder it prints the plain mean over the variables, and the one with the highest score.

    python benchmarks/control.py pong seaquest [--encoders pixels-pca random-cnn] [--probe linear]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

import harness
from harness.cache import Cache
from harness.evaluation import game as evaluation
from harness.evaluation.scoring import ProbeData, score
from harness.probes.probe import ProbeRun
from harness.splits import SplitRows

ENCODERS = ["pixels-pca", "random-projection", "random-cnn"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", nargs="+")
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--probe", default="readout")
    options = parser.parse_args()
    for game in options.games:
        for encoder in options.encoders:
            with (
                mock.patch.object(evaluation, "score", on_other_episodes),
                mock.patch.object(Cache, "scored", return_value=None),
                mock.patch.object(Cache, "keep_scored", return_value=None),
            ):
                result = harness.evaluate(encoder, [game], probes=[options.probe], progress=False)
            for scores in result.signed.games[game].scores:
                found = {v.name: v.score or 0.0 for v in scores.variables}
                most = max(found, key=lambda name: found[name])
                mean = np.mean(list(found.values()))
                print(f"{game} {encoder} {scores.run}: {mean:.3f}, {most} {found[most]:.2f}", flush=True)


def on_other_episodes(data: ProbeData, runs: Sequence[ProbeRun], progress: Callable[[str], object]) -> Any:
    """Score as `harness.evaluation.scoring.score`, with the RAM of other episodes."""
    return score(replace(data, rows={s: exchanged(rows) for s, rows in data.rows.items()}), runs, progress)


def exchanged(rows: SplitRows) -> SplitRows:
    """Return rows with the RAM of the next episode."""
    episodes = [np.flatnonzero(rows.episode == number) for number in np.unique(rows.episode)]
    ram = np.empty_like(rows.ram)
    for mine, other in zip(episodes, [*episodes[1:], episodes[0]], strict=True):
        ram[mine] = rows.ram[np.resize(other, len(mine))]
    return replace(rows, ram=ram)


if __name__ == "__main__":
    main()
