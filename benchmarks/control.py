"""A control task: what a probe scores on labels that the frames say nothing about.

Every episode gets the RAM of the next one in its split, from a random row on and round again. With
``--keep-time`` it begins at the first row, so that a probe can learn what the time in an episode tells: the
points that a frame shows tell how late it is, and so about how many the other episode has.

Features are taken from the cache of evaluations, and kept there. For each encoder it prints the plain mean
over the variables, the same of the constant (0 under ``readout``), and the variable with the highest score.

    python benchmarks/control.py pong seaquest [--encoders pixels-pca random-cnn] [--probe linear]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from features import scored_by

import harness
from harness.evaluation.scoring import ProbeData, score
from harness.probes.probe import ProbeRun
from harness.splits import SplitRows

SEED = 20190619
ENCODERS = ["pixels-pca", "random-projection", "random-cnn"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", nargs="+")
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--probe", default="readout")
    parser.add_argument("--keep-time", action="store_true", help="rows of the same time in an episode")
    options = parser.parse_args()
    score_control = partial(on_other_episodes, seed=None if options.keep_time else SEED)
    for game in options.games:
        for encoder in options.encoders:
            with scored_by(score_control):
                result = harness.evaluate(encoder, [game], probes=[options.probe], progress=False)
            for scores in result.signed.games[game].scores:
                found = {v.name: v.score or 0.0 for v in scores.variables}
                most = max(found, key=lambda name: found[name])
                mean = np.mean(list(found.values()))
                constant = np.mean([v.constant for v in scores.variables])
                shown = f"{mean:.3f} (constant {constant:.3f}), {most} {found[most]:.2f}"
                print(f"{game} {encoder} {scores.run}: {shown}", flush=True)


def on_other_episodes(
    data: ProbeData, runs: Sequence[ProbeRun], progress: Callable[[str], object], seed: int | None
) -> Any:
    """Score as `harness.evaluation.scoring.score`, with the RAM of other episodes."""
    rows = {split: exchanged(each, seed) for split, each in data.rows.items()}
    return score(replace(data, rows=rows), runs, progress)


def exchanged(rows: SplitRows, seed: int | None) -> SplitRows:
    """Return rows with the RAM of the next episode, from a random row on; from its first without a seed."""
    draw = None if seed is None else np.random.default_rng(seed)
    episodes = [np.flatnonzero(rows.episode == number) for number in np.unique(rows.episode)]
    ram = np.empty_like(rows.ram)
    for mine, other in zip(episodes, [*episodes[1:], episodes[0]], strict=True):
        begin = 0 if draw is None else int(draw.integers(len(other)))
        ram[mine] = rows.ram[np.resize(np.roll(other, -begin), len(mine))]
    return replace(rows, ram=ram)


if __name__ == "__main__":
    main()
