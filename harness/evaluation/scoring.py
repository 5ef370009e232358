"""Score one game: from features and labels to a score and predictions for every variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.games import Variable, game
from atariari_data.labels import labels as decode
from builders.manifest import Manifest
from harness.metrics import Bootstrap, Counts, interval, majority_class
from harness.probes.inputs import Split
from harness.probes.probe import Fit, ProbeRun, TrainRows
from harness.probes.registry import load_probe
from harness.protocol import training_rows
from harness.results.predictions import Labels, Truth
from harness.splits import SplitRows

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class VariableScore:
    """One variable's score under one probe, with the fields of `harness.results.variables.VariableScores`.

    ``trivial_f1`` and ``normalised_f1`` follow from these and are computed by the result, after rounding.
    """

    name: str
    categories: Sequence[str]
    n: int
    classes: int
    f1: float
    accuracy: float
    majority_f1: float
    majority_accuracy: float
    f1_interval: tuple[float, float]
    ceiling_f1: float | None
    ceiling_accuracy: float | None
    mae: float | None
    strength_log10: float | None
    gradient_log10: float | None
    epochs: int | None
    note: str | None
    pixels_pca_f1: float | None = None
    random_projection_f1: float | None = None


@dataclass(frozen=True)
class ProbeScore:
    """One game's scores under one probe.

    Attributes:
        probe: The probe's name.
        train_rows: The rows it was fitted to: ``full``, ``1k`` or a number.
        predictions: A digest of the predictions and of what they are compared with.
        variables: One score for each variable.
        trivial_reason: Why there are no scores of trivial encoders beside these.
    """

    probe: str
    train_rows: TrainRows
    predictions: str
    variables: Sequence[VariableScore]
    trivial_reason: str | None = None

    @property
    def run(self) -> ProbeRun:
        """The probe and its training rows."""
        return ProbeRun(self.probe, self.train_rows)

    @classmethod
    def from_plain(cls, kept: Mapping[str, Any]) -> ProbeScore:
        """Read what `dataclasses.asdict` returned, after a round trip through JSON."""
        return cls(**{**kept, "variables": [VariableScore(**each) for each in kept["variables"]]})


@dataclass(frozen=True)
class ProbeData:
    """The input of one game's probes.

    Attributes:
        manifest: The game's manifest.
        label_set: ``v1`` or ``anand2019``.
        truth: The labels of each split.
        features: The features of each split, float32 [n, d].
        device: A torch device.
        dry: Whether these are only some rows of each split, for which no ceiling is known.
        fresh: Whether the test split was recorded now, for which no ceiling is known either.
    """

    manifest: Manifest
    label_set: str
    truth: Mapping[str, Truth]
    features: Mapping[str, Features]
    device: str
    dry: bool
    fresh: bool = False

    def split(self, name: str) -> Split:
        """Return features and labels of a split."""
        return Split(self.features[name], self.truth[name].labels)


def truth_of(rows: SplitRows, manifest: Manifest, label_set: str) -> Truth:
    """Decode the labels of the variables that are probed."""
    names = manifest.probed(label_set)
    decoded = decode(rows.ram, manifest.game, label_set)
    return Truth(names, np.stack([decoded[name] for name in names], axis=1), rows.episode, rows.step)


def score(data: ProbeData, run: ProbeRun, progress: Callable[[str], object]) -> tuple[ProbeScore, Labels]:
    """Fit one probe to every variable of a game and score it on the test split.

    Args:
        data: Features and labels.
        run: The probe, and the training rows to use.
        progress: Called with the name of each variable when it is done.

    Returns:
        The scores, and the predictions, uint8 [n, v].

    Raises:
        FeatureError: Features that are not finite.
    """
    train, rows = data.split("train"), _rows(data, run)
    if rows is not None:
        train = Split(train.features[rows], train.labels[rows])
    test = data.truth["test"]
    fits = load_probe(run.probe).fit(
        train,
        data.split("validation"),
        data.features["test"],
        names=test.names,
        device=data.device,
        progress=progress,
    )
    bootstrap = Bootstrap.over(test.episode)
    variables = [
        _scores(data, name, fits[v], train.labels[:, v], test.labels[:, v], bootstrap)
        for v, name in enumerate(test.names)
    ]
    predictions = np.stack([fit.predictions for fit in fits], axis=1)
    return ProbeScore(run.probe, run.train_rows, test.digest(predictions), variables), predictions


def _rows(data: ProbeData, run: ProbeRun) -> npt.NDArray[np.int64] | None:
    rows = training_rows(data.manifest, run.train_rows)
    if rows is None or not data.dry:
        return rows
    there = len(data.features["train"])
    return np.linspace(0, there - 1, min(len(rows), there)).astype(np.int64)


def _scores(
    data: ProbeData, name: str, fit: Fit, train: Labels, test: Labels, bootstrap: Bootstrap
) -> VariableScore:
    variable = _variable(data, name)
    low, high = interval(bootstrap.draws(test, fit.predictions).f1())
    ours = Counts.of(test, fit.predictions)
    simple = Counts.of(test, np.full_like(test, majority_class(train)))
    frozen = None if data.dry or data.fresh else data.manifest.label_sets[data.label_set][name]
    f1 = float(ours.f1()[0])
    return VariableScore(
        name=name,
        categories=list(variable.categories),
        n=len(test),
        classes=len(np.unique(train)),
        f1=f1,
        accuracy=float(ours.accuracy()[0]),
        majority_f1=float(simple.f1()[0]),
        majority_accuracy=float(simple.accuracy()[0]),
        f1_interval=(min(low, f1), max(high, f1)),  # of few episodes, the draws can all lie on one side
        ceiling_f1=None if frozen is None else frozen.ceiling_f1,
        ceiling_accuracy=None if frozen is None else frozen.ceiling_accuracy,
        mae=float(ours.absolute_error()[0]) if variable.ordered else None,
        strength_log10=_log10(fit.strength),
        gradient_log10=_log10(fit.gradient_norm),
        epochs=fit.epochs,
        note="; ".join(fit.notes) or None,
    )


def _variable(data: ProbeData, name: str) -> Variable:
    return next(v for v in game(data.manifest.game).variables(data.label_set) if v.name == name)


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value else None
