"""Time the probes on a random CNN's features of a game, and print their scores.

    python benchmarks/probes.py [GAME] [--threads 2]                 # linear, full and 1k
    python benchmarks/probes.py [GAME] --adam [--seeds 3]            # anand2019
    python benchmarks/probes.py [GAME] --as-published [--seeds 3]    # with its sampling mistakes
    python benchmarks/probes.py [GAME] --as-published --scale 0.0039 # features 255 times smaller
    python benchmarks/probes.py [GAME] --adam --variables player_y   # only these variables

A "full pass" is the loss and gradient of all variables over all training rows; it allows a comparison
between machines. Means are over variables, and across categories as published.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from features import Embedded, by_random_cnn, embed

from harness.metrics import Bootstrap, most_frequent, score_f1, weighted_f1
from harness.probes.adam import SCRIPT_LEARNING_RATE, AdamSettings, fit_anand2019
from harness.probes.inputs import Split
from harness.probes.linear import fit_linear


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("game", nargs="?", default="pong")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--adam", action="store_true")
    parser.add_argument("--as-published", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the features")
    parser.add_argument(
        "--learning-rate", type=float, default=SCRIPT_LEARNING_RATE, help="learning rate of Adam"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of probe seeds")
    parser.add_argument("--variables", nargs="+", help="variables to probe; default: all")
    parser.add_argument("--encoder-seed", type=int, default=0, help="seed of the random CNN's weights")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    embedded = embed(options.game, variables=options.variables, by=by_random_cnn(options.encoder_seed))
    for name, split in embedded.splits.items():
        embedded.splits[name] = Split(split.features * np.float32(options.scale), split.labels)
    n, d = embedded.splits["train"].features.shape
    print(f"{embedded.game}: {n:,} rows, {d} features, {len(embedded.names)} variables", flush=True)
    if options.adam or options.as_published:
        for seed in range(options.seeds):
            settings = AdamSettings(seed=seed, learning_rate=options.learning_rate)
            adam(embedded, settings, as_published=options.as_published)
    else:
        linear(embedded)


def linear(embedded: Embedded) -> None:
    """Fit the converged probe."""
    train, validation, test = embedded.splits.values()
    bootstrap = Bootstrap.over(embedded.episode["test"])
    for title, rows in (("all rows", None), (f"{len(embedded.few)} rows", embedded.few)):
        wall, cpu = time.perf_counter(), time.process_time()
        fits = fit_linear(train, validation, test.features, names=embedded.names, rows=rows)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        classes = sum(fit.classes for fit in fits)
        passes = sum(fit.evaluations * fit.classes for fit in fits) / classes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"\n{title}: {wall:.1f} s, {cpu:.1f} CPU s, {passes:.0f} full passes, peak {peak:.2f} GiB")
        scores = []
        for v, fit in enumerate(fits):
            y = test.labels[:, v]
            scored = score_f1(y, fit.predictions, bootstrap)
            scores.append(scored.score)
            low, high = scored.draws.interval(0, 1)
            major = np.full_like(y, int(most_frequent(train.labels[:, v])))
            print(
                f"{fit.name:28} {fit.classes:4} classes  F1 {scores[-1]:.4f} "
                f"({low:.3f} to {high:.3f})  majority {weighted_f1(y, major):.3f}  "
                f"strength {fit.strength:.0e}  gradient {fit.gradient_norm:.1e} of {fit.tolerance:.1e}  "
                f"{fit.evaluations} evaluations"
            )
        means = f"{np.mean(scores):.3f} over variables, {embedded.across_categories(scores):.3f}"
        print(f"F1 {means} across categories", flush=True)


def adam(embedded: Embedded, settings: AdamSettings, *, as_published: bool) -> None:
    """Train the published probe, with its sampling fixed or as published."""
    train, validation, test = embedded.splits.values()
    drawn = (embedded.episode["train"], embedded.episode["validation"]) if as_published else None
    cpu = time.process_time()
    probes = fit_anand2019(train, validation, names=embedded.names, settings=settings, episodes=drawn)
    cpu = time.process_time() - cpu
    scores = [weighted_f1(test.labels[:, v], p.predict(test.features)) for v, p in enumerate(probes)]
    each = ", ".join(f"{p.name} {s:.3f} at epoch {p.best_epoch}" for p, s in zip(probes, scores, strict=True))
    print(f"seed {settings.seed}: F1 {np.mean(scores):.3f} over variables, ", end="")
    print(f"{embedded.across_categories(scores):.3f} across categories, {cpu:.0f} CPU s: {each}", flush=True)


if __name__ == "__main__":
    main()
