"""How long the linear probes take, and what comes out.

    python benchmarks/probes.py FEATURES.npz [--threads 2] [--rows 1000] [--adam | --as-published] [--seeds 3]

FEATURES.npz holds `features` float32 [n, d], `labels` uint8 [n, v], `names` [v], `episode` [n] and the row
numbers `train`, `validation` and `test`. `--rows 1000` draws the rows of the small probe as many as said;
`--adam` trains the published probe for comparison, and `--as-published` with its sampling mistakes.
A "full pass" is loss and gradient of all variables over all training rows, so that runs on machines of
different speed can be compared.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from harness.adam_probe import AdamSettings, fit_anand2019
from harness.metrics import Bootstrap, interval, majority_class, weighted_f1
from harness.probes import Split, fit_linear


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the probes on features that are at hand.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--adam", action="store_true")
    parser.add_argument("--as-published", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the features by this")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    data = np.load(arguments.file)
    features, labels = data["features"] * np.float32(arguments.scale), data["labels"]
    names = [str(name) for name in data["names"]]
    rows = {part: data[part] for part in ("train", "validation", "test")}
    train, validation, test = (Split(features[index], labels[index]) for index in rows.values())
    print(f"{len(train.features):,} rows, {features.shape[1]} features, {len(names)} variables")
    if arguments.adam or arguments.as_published:
        adam(train, validation, test, names, data["episode"], rows, arguments)
    else:
        linear(train, validation, test, names, data["episode"][rows["test"]], arguments.rows)


def linear(
    train: Split, validation: Split, test: Split, names: list[str], episodes: np.ndarray, few: int
) -> None:
    bootstrap = Bootstrap.over(episodes)
    small = np.sort(np.random.default_rng(0).permutation(len(train.features))[:few])
    for title, chosen in (("all rows", None), (f"{few} rows", small)):
        wall, cpu = time.perf_counter(), time.process_time()
        fits = fit_linear(train, validation, test.features, names=names, rows=chosen)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        classes = sum(fit.classes for fit in fits)
        passes = sum(fit.evaluations * fit.classes for fit in fits) / classes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"\n{title}: {wall:.1f} s, {cpu:.1f} CPU s, {passes:.0f} full passes, peak {peak:.2f} GiB")
        for v, fit in enumerate(fits):
            y = test.labels[:, v]
            low, high = interval(bootstrap.draws(y, fit.predictions).f1())
            major = np.full_like(y, majority_class(train.labels[:, v]))
            print(
                f"{fit.name:28} {fit.classes:4} classes  F1 {weighted_f1(y, fit.predictions):.4f} "
                f"({low:.3f} to {high:.3f})  majority {weighted_f1(y, major):.3f}  "
                f"strength {fit.strength:.0e}  gradient {fit.gradient_norm:.1e} of {fit.tolerance:.1e}  "
                f"{fit.evaluations} evaluations"
            )
        scores = [weighted_f1(test.labels[:, v], fit.predictions) for v, fit in enumerate(fits)]
        print(f"mean F1 {np.mean(scores):.4f}")


def adam(
    train: Split,
    validation: Split,
    test: Split,
    names: list[str],
    episode: np.ndarray,
    rows: dict[str, np.ndarray],
    arguments: argparse.Namespace,
) -> None:
    drawn = (episode[rows["train"]], episode[rows["validation"]]) if arguments.as_published else None
    for seed in range(arguments.seeds):
        cpu = time.process_time()
        probes = fit_anand2019(
            train, validation, names=names, settings=AdamSettings(seed=seed), episodes=drawn
        )
        cpu = time.process_time() - cpu
        f1 = [weighted_f1(test.labels[:, v], p.predict(test.features)) for v, p in enumerate(probes)]
        each = ", ".join(f"{p.name} {s:.3f} at epoch {p.best_epoch}" for p, s in zip(probes, f1, strict=True))
        print(f"seed {seed}: mean F1 {np.mean(f1):.4f}, {cpu:.1f} CPU s: {each}", flush=True)


if __name__ == "__main__":
    main()
