"""A control task: what a probe scores on labels that the frames say nothing about.

Every episode gets the RAM of the next one in its split, from a random row on and round again. ``--draws N``
takes the mean of N such exchanges, with the first to the Nth episode after it, and also prints each: few
episodes of random play come far, and whose labels they get decides what a readout makes of deep states. With
``--keep-time`` the RAM begins at the first row, so that a probe can learn what the time in an episode tells:
the points that a frame shows tell how late it is, and so about how many the other episode has.

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
from harness.results.result import ProbeScores
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
    parser.add_argument("--draws", type=int, default=1, help="exchanges of the labels to take the mean of")
    options = parser.parse_args()
    for game in options.games:
        for encoder in options.encoders:
            drawn = []
            for draw in range(options.draws):
                exchange = partial(exchanged, away=1 + draw, seed=None if options.keep_time else SEED + draw)
                with scored_by(partial(on_other_episodes, exchange=exchange)):
                    result = harness.evaluate(encoder, [game], probes=[options.probe], progress=False)
                drawn.append(result.signed.games[game].scores)
            for draws in zip(*drawn, strict=True):
                show(f"{game} {encoder} {draws[0].run}", draws)


def show(title: str, draws: Sequence[ProbeScores]) -> None:
    """Print the means of a probe's scores over some draws."""
    found: dict[str, list[float]] = {}
    for scores in draws:
        for variable in scores.variables:
            found.setdefault(variable.name, []).append(variable.score or 0.0)
    means = {name: float(np.mean(each)) for name, each in found.items()}
    most = max(means, key=lambda name: means[name])
    constant = np.mean([variable.constant for scores in draws for variable in scores.variables])
    each = [np.mean([variable.score or 0.0 for variable in scores.variables]) for scores in draws]
    by_draw = f"; by draw {' '.join(f'{mean:.3f}' for mean in each)}" if len(draws) > 1 else ""
    shown = f"{np.mean(each):.3f} (constant {constant:.3f}), {most} {means[most]:.2f}{by_draw}"
    print(f"{title}: {shown}", flush=True)


def on_other_episodes(
    data: ProbeData,
    runs: Sequence[ProbeRun],
    progress: Callable[[str], object],
    exchange: Callable[[SplitRows], SplitRows],
) -> Any:
    """Score as `harness.evaluation.scoring.score`, with the RAM of other episodes."""
    return score(
        replace(data, rows={split: exchange(each) for split, each in data.rows.items()}), runs, progress
    )


def exchanged(rows: SplitRows, away: int, seed: int | None) -> SplitRows:
    """Return rows with the RAM of a later episode, from a random row on; from its first without a seed."""
    draw = None if seed is None else np.random.default_rng(seed)
    episodes = [np.flatnonzero(rows.episode == number) for number in np.unique(rows.episode)]
    away = (away - 1) % max(1, len(episodes) - 1) + 1  # never its own, unless it is the only one
    ram = np.empty_like(rows.ram)
    for mine, other in zip(episodes, [*episodes[away:], *episodes[:away]], strict=True):
        begin = 0 if draw is None else int(draw.integers(len(other)))
        ram[mine] = rows.ram[np.resize(np.roll(other, -begin), len(mine))]
    return replace(rows, ram=ram)


if __name__ == "__main__":
    main()
