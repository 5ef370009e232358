"""Compare the linear probe with scikit-learn's `LogisticRegression` on the same features and penalty.

    python benchmarks/agreement.py [GAME] [--rows 5000]

It prints the test F1 of both for every probed variable, and the largest difference.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from features import embed
from sklearn.linear_model import LogisticRegression

from harness.metrics import weighted_f1
from harness.probes.linear import fit_linear


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("game", nargs="?", default="pong")
    parser.add_argument("--rows", type=int, default=5000)
    options = parser.parse_args()
    embedded = embed(options.game, options.rows)
    parts, names = embedded.splits, embedded.names
    start = time.process_time()
    fits = fit_linear(parts["train"], parts["validation"], parts["test"].features, names=names)
    ours_seconds = time.process_time() - start
    train = parts["train"]
    mean, deviation = train.features.mean(0, dtype=np.float64), train.features.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    standard = {n: (s.features - mean) / deviation for n, s in parts.items()}
    worst, seconds = 0.0, 0.0
    print(f"{'variable':28}{'classes':>8}{'strength':>10}{'ours':>8}{'sklearn':>9}{'difference':>12}")
    for v, fit in enumerate(fits):
        start = time.process_time()
        model = LogisticRegression(C=1 / (len(standard["train"]) * fit.strength), tol=1e-7, max_iter=20_000)
        model.fit(standard["train"], train.labels[:, v])
        seconds += time.process_time() - start
        truth = parts["test"].labels[:, v]
        ours = weighted_f1(truth, fit.predictions)
        theirs = weighted_f1(truth, model.predict(standard["test"]).astype(np.uint8))
        worst = max(worst, abs(ours - theirs))
        print(f"{fit.name:28}{fit.classes:>8}{fit.strength:>10.0e}", end="")
        print(f"{ours:>8.4f}{theirs:>9.4f}{ours - theirs:>12.4f}")
    print(f"largest difference {worst:.4f}; CPU s: ", end="")
    print(f"ours (all strengths) {ours_seconds:.1f}, scikit-learn (one strength) {seconds:.1f}")


if __name__ == "__main__":
    main()
