"""Score one game: from features and labels to a score and predictions for every variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UsageError
from atariari_data.games import game
from atariari_data.labels import labels as decode
from builders.manifest import Manifest
from harness.metrics import Bootstrap, score_f1
from harness.probes.inputs import Features, Values
from harness.probes.probe import FEW, MOST_LEFT_OUT, Fit, Metric, ProbeRun, States, TrainRows
from harness.probes.registry import load_probe
from harness.probes.target import Kind, Target
from harness.protocol import few_draws, training_rows
from harness.results.canonical import MOST_DECIMAL
from harness.results.predictions import Predicted
from harness.results.provenance import split_of
from harness.splits import SplitRows
from harness.targets import LEAST_ROWS, is_scored, targets_of, values_of

_TINY: Final = 1e-30
PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True)
class VariableScore:
    """One variable's score under one probe, with the fields of `harness.results.variables.VariableScores`.

    ``trivial`` and ``normalised`` follow from these and are computed by the result, after rounding.
    """

    name: str
    categories: Sequence[str]
    kind: Kind
    unit: str
    period: float | None
    n: int
    classes: int
    score: float
    raw: float | None
    constant: float
    interval: tuple[float, float]
    accuracy: float | None
    constant_accuracy: float | None
    error: float | None
    constant_error: float | None
    strength_log10: float | None
    gradient_log10: float | None
    epochs: int | None
    note: str | None
    ceiling: float | None = None
    ceiling_accuracy: float | None = None
    pixels_pca: float | None = None
    random_projection: float | None = None
    random_cnn: float | None = None


@dataclass(frozen=True)
class ProbeScore:
    """One game's scores under one probe.

    Attributes:
        probe, train_rows, fitted_on, scored_on: As of a `harness.probes.probe.ProbeRun`.
        fits: The number of fits whose scores are averaged.
        predictions: A digest of the predictions and of what they are compared with.
        variables: One score for each variable.
        trivial_reason: Why there are no scores of trivial encoders beside these.
    """

    probe: str
    train_rows: TrainRows
    fitted_on: States
    scored_on: States
    fits: int
    predictions: str
    variables: Sequence[VariableScore]
    trivial_reason: str | None = None

    @property
    def run(self) -> ProbeRun:
        """The probe and its rows."""
        return ProbeRun(self.probe, self.train_rows, self.fitted_on, self.scored_on)

    @classmethod
    def from_plain(cls, kept: Mapping[str, Any]) -> ProbeScore:
        """Read what `dataclasses.asdict` returned, after a round trip through JSON."""
        return cls(**{**kept, "variables": [VariableScore(**each) for each in kept["variables"]]})


@dataclass(frozen=True, eq=False)
class Labelled:
    """The targets of a game, and their values on the rows of each split, float64 [n, t]."""

    targets: Sequence[Target]
    values: Mapping[str, Values]


@dataclass(frozen=True, eq=False)
class ProbeData:
    """The input of one game's probes.

    Attributes:
        manifest: The game's manifest.
        label_set: ``v1`` or ``anand2019``.
        rows: The rows of each split.
        features: The features of each split, float32 [n, d].
        device: A torch device.
        dry: Whether these are only some rows of each split.
    """

    manifest: Manifest
    label_set: str
    rows: Mapping[str, SplitRows]
    features: Mapping[str, Features]
    device: str
    dry: bool

    @cached_property
    def probed(self) -> Labelled:
        """The values of the probed variables, for F1."""
        variables = {v.name: v for v in game(self.manifest.game).variables(self.label_set)}
        names = self.manifest.probed(self.label_set)
        targets = [
            Target(
                n,
                "ordered" if variables[n].ordered else "nominal",
                variables[n].categories,
                variables[n].unit,
            )
            for n in names
        ]
        values = {}
        for split, rows in self.rows.items():
            decoded = decode(rows.ram, self.manifest.game, self.label_set)
            values[split] = np.stack([decoded[name] for name in names], axis=1).astype(np.float64)
        return Labelled(targets, values)

    @cached_property
    def quantities(self) -> Labelled:
        """All quantities that can be read out."""
        name = self.manifest.game
        values = {
            split: values_of(rows.ram, rows.episode, rows.step, name, self.label_set)
            for split, rows in self.rows.items()
        }
        return Labelled(targets_of(name, self.label_set), values)

    def labelled(self, metric: Metric) -> Labelled:
        """Return what is scored by a metric."""
        return self.probed if metric == "f1" else self.quantities


def score(
    data: ProbeData, runs: Sequence[ProbeRun], progress: Callable[[str], object]
) -> list[tuple[ProbeScore, Predicted]]:
    """Fit one probe to every variable of a game, and score it on one or more test splits.

    Args:
        data: Features and labels.
        runs: The probe and its rows; they differ in ``scored_on`` alone.
        progress: Called with the name of each variable when it is done.

    Returns:
        Scores and predictions for each of the runs.

    Raises:
        FeatureError: Features that are not finite.
        UsageError: Nothing varies enough to be scored.
    """
    first, probe = runs[0], load_probe(runs[0].probe)
    labelled = data.labelled(probe.metric)
    train, validation = (split_of(first.fitted_on, part) for part in PARTS[:2])
    tests = [split_of(run.scored_on, "test") for run in runs]
    everything = range(len(labelled.targets))
    scored = [
        [t for t in everything if probe.metric == "f1" or _is_scored(data, t, train, validation, test)]
        for test in tests
    ]
    for run, found in zip(runs, scored, strict=True):
        if not found:
            raise UsageError(
                f"Nothing varies enough on {data.manifest.game} to be scored under {run}.",
                cure="--limit with more rows" if data.dry else None,
            )
    fitted = sorted(set().union(*scored))
    targets = [labelled.targets[t] for t in fitted]
    held = (
        None if _chooses_alone(first) else (data.features[validation], labelled.values[validation][:, fitted])
    )
    draws = _draws(data, first, len(data.features[train]))
    fits = [
        probe.fit(
            data.features[train][rows],
            labelled.values[train][rows][:, fitted],
            [data.features[test] for test in tests],
            targets,
            validation=held,
            device=data.device,
            progress=progress if number == 0 else None,
        )
        for number, rows in enumerate(draws)
    ]
    known = labelled.values[train][draws[0] if len(draws) == 1 else slice(None)]
    return [
        _scored(
            data,
            run,
            [labelled.targets[t] for t in mine],
            labelled.values[test][:, mine],
            known[:, mine],
            [[(fit[fitted.index(t)], at) for t in mine] for fit in fits],
        )
        for at, (run, test, mine) in enumerate(zip(runs, tests, scored, strict=True))
    ]


def _is_scored(data: ProbeData, t: int, *splits: str) -> bool:
    values = (data.quantities.values[split][:, t] for split in splits)
    return is_scored(*values, least=2 if data.dry else LEAST_ROWS)


def _chooses_alone(run: ProbeRun) -> bool:
    """Return whether the training rows alone choose the strength."""
    rows = 1000 if run.train_rows == "1k" else run.train_rows
    return load_probe(run.probe).metric == "explained" and isinstance(rows, int) and rows <= MOST_LEFT_OUT


def _draws(data: ProbeData, run: ProbeRun, there: int) -> list[Any]:
    """Return the training rows of each fit, as what indexes an array."""
    if run.train_rows == FEW and load_probe(run.probe).metric == "explained":
        return few_draws(data.manifest.game, run.fitted_on, there)
    rows = training_rows(data.manifest, run)
    if rows is None:
        return [slice(None)]
    if data.dry:
        rows = np.linspace(0, there - 1, min(len(rows), there)).astype(np.int64)
    return [rows]


def _scored(
    data: ProbeData,
    run: ProbeRun,
    targets: Sequence[Target],
    truth: Values,
    known: Values,
    fits: Sequence[Sequence[tuple[Fit, int]]],
) -> tuple[ProbeScore, Predicted]:
    """Score fits on one test split.

    Args:
        data: The game.
        run: The probe and its rows.
        targets: What is scored.
        truth: float64 [n, t], on the test rows.
        known: float64 [m, t], on the training rows.
        fits: For each fit and target, the fit and the number of this test split in its predictions.
    """
    rows = data.rows[split_of(run.scored_on, "test")]
    predicted = Predicted(
        tuple(target.name for target in targets),
        truth.astype(np.float32),
        rows.episode,
        rows.step,
        np.stack([np.stack([_rounded(fit.predictions[at]) for fit, at in each], axis=1) for each in fits]),
        np.array([[fit.constant for fit, _ in each] for each in fits], np.float32),
    )
    bootstrap = Bootstrap.over(rows.episode)
    alone = len(fits) == 1
    metric = load_probe(run.probe).metric
    variables = [
        _variable(predicted, v, metric, target, bootstrap, known[:, v], fits[0][v][0] if alone else None)
        for v, target in enumerate(targets)
    ]
    return ProbeScore(*run, len(fits), predicted.digest(), variables), predicted


def _variable(
    predicted: Predicted,
    v: int,
    metric: Metric,
    target: Target,
    bootstrap: Bootstrap,
    known: Values,
    fit: Fit | None,
) -> VariableScore:
    found = predicted.score(v, metric, target, bootstrap)
    low, high = found.draws.interval(0, 1)
    constant, constant_accuracy = 0.0, found.constant_accuracy
    if metric == "f1":
        truth = predicted.truth[:, v].astype(np.uint8)
        simple = score_f1(truth, np.full_like(truth, int(predicted.constants[0, v])), bootstrap)
        constant, constant_accuracy = simple.score, simple.accuracy
    return VariableScore(
        name=target.name,
        categories=list(target.categories),
        kind=target.kind,
        unit=target.unit,
        period=target.period,
        n=int((~np.isnan(predicted.truth[:, v])).sum()),
        classes=len(np.unique(known[~np.isnan(known)])),
        score=found.score,
        raw=None if metric == "f1" else _bounded(found.raw),
        constant=constant,
        interval=(min(low, found.score), max(high, found.score)),  # of few episodes, all can lie on one side
        accuracy=found.accuracy,
        constant_accuracy=constant_accuracy,
        error=_bounded(found.error) if target.kind != "nominal" else None,
        constant_error=_bounded(found.constant_error),
        strength_log10=_log10(fit.strength) if fit else None,
        gradient_log10=_gradient_log10(fit) if fit else None,
        epochs=fit.epochs if fit else None,
        note=("; ".join(fit.notes) or None) if fit else None,
    )


def _rounded(predictions: Values) -> npt.NDArray[np.float32]:
    """Return predictions to 12 binary places, which say all that matters and compress well."""
    exact = np.clip(predictions, -1e30, 1e30).astype(np.float32)
    near = ((exact.view(np.uint32) + np.uint32(0x400)) & np.uint32(0xFFFFF800)).view(np.float32)
    return np.where(np.isnan(exact), np.float32(np.nan), near)


def _bounded(value: float | None) -> float | None:
    """Return a number as a result can hold it; features that explode give larger ones."""
    return None if value is None else max(-MOST_DECIMAL, min(MOST_DECIMAL, value))


def _gradient_log10(fit: Fit) -> float | None:
    """Return the gradient of a fit that had something to choose; that of features without any is 0."""
    if not fit.strength or fit.gradient_norm is None:
        return None
    return math.log10(max(fit.gradient_norm, _TINY))


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value else None
