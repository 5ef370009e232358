"""The readout of a game's features: against scikit-learn, and what features that say nothing cost it.

Features are taken from the cache of evaluations, and kept there. Ridge regression is compared with
scikit-learn's `Ridge` at the strength that was chosen, and on the first draw of a hundred rows with
`RidgeCV`, which chooses for itself: the difference is that of `r2_score` on the test split. Logistic
regression is compared with `LogisticRegression` by the share of predictions that differ. With ``--noise`` the
means of ``play`` and ``few`` are printed without and with normal features of so many times the usual
deviation.

    python benchmarks/readout.py pong [--encoder random-cnn] [--noise 1000 --columns 3]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from features import scored_by
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import r2_score

import harness
from harness.evaluation.scoring import ProbeData, score
from harness.probes.probe import FEW, ProbeRun
from harness.probes.readout import STRENGTHS, fit_readout
from harness.protocol import few_draws
from harness.targets import is_scored

SEED = 0
SPLITS = ("train", "validation", "test")
RUNS = (ProbeRun("readout", FEW), ProbeRun("readout", "full"))

Features = npt.NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("game")
    parser.add_argument("--encoder", default="random-cnn")
    parser.add_argument("--noise", type=float, help="deviation of added features, in that of the usual one")
    parser.add_argument("--columns", type=int, default=3, help="how many are added")
    options = parser.parse_args()
    found: list[ProbeData] = []

    def keep(data: ProbeData, runs: Sequence[ProbeRun], progress: Callable[[str], object]) -> Any:
        found.append(data)
        return score(data, runs, progress)

    with scored_by(keep):
        harness.evaluate(options.encoder, [options.game], train_sizes=["full"], progress=False)
    data = found[0]
    if options.noise is None:
        compare(data)
        return
    for what, features in (("as they are", data.features), ("with noise", noisy(data.features, options))):
        means = means_of(replace(data, features=features))
        print(f"{options.game}, {options.encoder}, {what}: {means}")


def compare(data: ProbeData) -> None:
    """Print the largest difference from scikit-learn."""
    values = data.quantities.values
    chosen = [t for t in range(len(data.quantities.targets)) if is_scored(*(values[s][:, t] for s in SPLITS))]
    targets = [data.quantities.targets[t] for t in chosen]
    train, validation, test = (
        (data.features[split], np.asarray(values[split][:, chosen])) for split in SPLITS
    )
    ridge, logistic, few = {}, {}, {}
    hundred = few_draws(data.manifest.game, "play", len(train[0]))[0]
    fits = fit_readout(*train, [test[0]], targets, validation=validation)
    alone = fit_readout(train[0][hundred], train[1][hundred], [test[0]], targets, validation=None)
    for at, (target, fit, by_few) in enumerate(zip(targets, fits, alone, strict=True)):
        known, there = (~np.isnan(of_split[1][:, at]) for of_split in (train, test))
        x, y, truth = train[0][known].astype(np.float64), train[1][known, at], test[1][there, at]
        wanted = test[0][there].astype(np.float64)
        if target.kind == "nominal" and fit.strength:
            centre, size = x.mean(axis=0), np.sqrt(x.var(axis=0).sum())
            model = LogisticRegression(C=1 / (len(x) * fit.strength), tol=1e-6, max_iter=20_000)
            model.fit((x - centre) / size, y)
            theirs = model.predict((wanted - centre) / size)
            logistic[target.name] = float((theirs != fit.predictions[0][there]).mean())
        if target.kind != "ordered":
            continue
        variance = train[0].var(axis=0, dtype=np.float64).sum()
        theirs = Ridge(alpha=len(x) * variance * fit.strength).fit(x, y).predict(wanted)
        ridge[target.name] = abs(r2_score(truth, theirs) - r2_score(truth, fit.predictions[0][there]))
        rows = hundred[known[hundred]]
        if by_few.strength:
            variance = train[0][hundred].var(axis=0, dtype=np.float64).sum()
            model = RidgeCV(alphas=len(rows) * variance * np.array(STRENGTHS), gcv_mode="svd")
            model.fit(train[0][rows].astype(np.float64), train[1][rows, at])
            theirs = model.predict(wanted)
            few[target.name] = abs(r2_score(truth, theirs) - r2_score(truth, by_few.predictions[0][there]))
    tell("Ridge, all rows, R2", ridge)
    tell("RidgeCV, 100 rows, R2", few)
    tell("LogisticRegression, all rows, share of predictions", logistic)


def tell(what: str, apart: Mapping[str, float]) -> None:
    """Print which variable is furthest apart."""
    if apart:
        worst = max(apart, key=lambda name: apart[name])
        print(f"{what}: {len(apart)} variables, at most {apart[worst]:.1e} apart ({worst})", flush=True)


def noisy(features: Mapping[str, Features], options: argparse.Namespace) -> dict[str, Features]:
    """Add features that say nothing."""
    generator = np.random.default_rng(SEED)
    size = options.noise * np.sqrt(features["train"].var(axis=0, dtype=np.float64).mean())
    return {
        split: np.concatenate(
            [x, (size * generator.standard_normal((len(x), options.columns))).astype(np.float32)], axis=1
        )
        for split, x in features.items()
    }


def means_of(data: ProbeData) -> str:
    """Return the means of both kinds of variables, in words."""
    parts = []
    for run in RUNS:
        ((scores, _),) = score(data, [run], lambda _: None)
        for kind in ("ordered", "nominal"):
            mine = [v.score for v in scores.variables if v.kind == kind and "motion" not in v.categories]
            if mine:
                parts.append(f"{run} {kind} {np.mean([s for s in mine if s is not None]):.3f}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
