"""The readout probe: the smallest readout that fits a variable, fitted exactly.

- *ordered*: ridge regression to the value.
- *circular*: ridge regression to the sine and cosine of the angle, whose angle is the prediction.
- *nominal*: multinomial logistic regression.

Features are centred and divided by one number, so that no feature counts for more than it varies. (With each
feature standardised by itself, PCA of Pong's pixels reads 0.33 in place of 0.73 of the positions from 100
rows: its smallest components, pure noise, then weigh as much as the largest.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.metrics import Labels, most_frequent, weighted_f1
from harness.probes.inputs import Features, Split, Values, check_features
from harness.probes.linear import GAIN, LinearFit, fit_linear
from harness.probes.probe import FEW, MOST_LEFT_OUT, NOT_CONVERGED, Fit, Probe, ProbeRun, Tolerance
from harness.probes.target import Target

if TYPE_CHECKING:
    from harness.probes.ridge import Ridge

STRENGTHS: Final = tuple(10.0**power for power in range(1, -11, -1))
"""The fixed grid of L2 strengths of ridge regression, strongest first; see `fit_ridge`."""

LEAST_ROWS: Final = 3
"""With fewer rows a target is predicted by its mean."""

NOMINAL_STRENGTHS: Final = tuple(10.0**power for power in range(0, -11, -1))
"""The fixed grid of L2 strengths of the logistic regression, strongest first; features of variance 1."""

FIRST_NOMINAL_STRENGTH: Final = 1e-4
"""The first strength tried, and the strongest where the training rows alone have to choose."""

NOMINAL_SHARE: Final = 0.01
"""What few rows choose, if less: this share of the strength that ridge regression to the classes needs."""


def fit_readout(
    features: Features,
    values: Values,
    tests: Sequence[Features],
    targets: Sequence[Target],
    *,
    validation: tuple[Features, Values] | None,
    device: str = "cpu",
    progress: Callable[[str], object] | None = None,
) -> list[Fit]:
    """Fit the readout of every target, and predict the rows of the test splits.

    Args:
        features: float32 [n, d], of the training rows.
        values: float64 [n, t], a column for each target; NaN for rows that do not have the target.
        tests: The features of each test split, float32 [m, d].
        targets: What the columns are.
        validation: Features and values of the rows that select the strengths. None if the training rows have
            to select them: by leave-one-out for ridge regression; see `_by_leave_one_out` for logistic
            regression.
        device: A torch device.
        progress: Called with the name of each target when it is done.

    Returns:
        One readout for each target.

    Raises:
        FeatureError: Some features are not finite.
        UsageError: Shapes or types do not match, or there are no rows.
    """
    check_features(
        {
            "train": features,
            **({} if validation is None else {"validation": validation[0]}),
            **{f"test {number}": test for number, test in enumerate(tests)},
        }
    )
    found: dict[int, Fit] = {}
    numbers = [t for t, target in enumerate(targets) if target.kind != "nominal"]
    found |= _regressions(features, values, tests, targets, numbers, validation, device)
    for t in numbers:
        if progress:
            progress(targets[t].name)
    codes = [t for t, target in enumerate(targets) if target.kind == "nominal"]
    found |= _classifications(features, values, tests, targets, codes, validation, device, progress)
    return [found[t] for t in range(len(targets))]


def constant_of(values: Values, target: Target) -> float:
    """Return the best guess without features: mean, circular mean, or the lowest of the most frequent values.

    Args:
        values: float64 [n], without NaN; NaN is returned if there are none.
        target: What they are.
    """
    if not len(values):
        return math.nan
    if target.kind == "ordered":
        return float(values.mean())
    if target.kind == "circular":
        sine, cosine = _on_circle(values, target).mean(axis=0)
        return float(_angle(np.array([[sine, cosine]]), target)[0])
    return most_frequent(values)


def _regressions(
    features: Features,
    values: Values,
    tests: Sequence[Features],
    targets: Sequence[Target],
    numbers: Sequence[int],
    validation: tuple[Features, Values] | None,
    device: str,
) -> dict[int, Fit]:
    from harness.probes.ridge import predict_ridge

    def coded(columns: Values) -> list[Values]:
        return [_coded(columns[:, t], targets[t]) for t in numbers]

    known = None if validation is None else (validation[0], coded(validation[1]))
    fits = _ridge(features, coded(values), known, device)
    predicted = [predict_ridge(fits, test, device=device) for test in tests]
    return {
        t: Fit(
            tuple(_decoded(of_test[at], targets[t]) for of_test in predicted),
            constant_of(values[~np.isnan(values[:, t]), t], targets[t]),
            fits[at].strength,
        )
        for at, t in enumerate(numbers)
    }


def _classifications(
    features: Features,
    values: Values,
    tests: Sequence[Features],
    targets: Sequence[Target],
    codes: Sequence[int],
    validation: tuple[Features, Values] | None,
    device: str,
    progress: Callable[[str], object] | None,
) -> dict[int, Fit]:
    """Fit the nominal targets; those that are known on the same rows together."""
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for t in codes:
        columns = [values[:, t]] + ([] if validation is None else [validation[1][:, t]])
        groups.setdefault(tuple(np.isnan(column).tobytes() for column in columns), []).append(t)
    stacked = np.concatenate(tests)
    ends = np.cumsum([len(test) for test in tests])[:-1]
    found: dict[int, Fit] = {}
    for members in groups.values():
        known = ~np.isnan(values[:, members[0]])
        if not known.any():
            nothing = tuple(np.full(len(test), math.nan) for test in tests)
            found |= {t: Fit(nothing, math.nan) for t in members}
            continue
        train = Split(features[known], values[known][:, members].astype(np.uint8))
        held = None if validation is None else _known(validation, members)
        names = [targets[t].name for t in members]
        first = FIRST_NOMINAL_STRENGTH if validation else _by_leave_one_out(train, device)
        fit_from = partial(
            fit_linear, strengths=NOMINAL_STRENGTHS, select=held is not None, common_scale=True, device=device
        )
        fits = fit_from(train, held or train, stacked, names=names, first=first, progress=progress)
        if held is not None:
            for at, strength in _hidden(train, held, fits, device):
                one, other = (Split(part.features, part.labels[:, [at]]) for part in (train, held))
                (fits[at],) = fit_from(one, other, stacked, names=[names[at]], first=strength)
        for t, fit, labels in zip(members, fits, train.labels.T, strict=True):
            found[t] = Fit(
                tuple(np.split(fit.predictions.astype(np.float64), ends)),
                constant_of(labels.astype(np.float64), targets[t]),
                fit.strength or None,
                fit.gradient_norm if fit.classes > 1 else None,
                notes=() if fit.converged else (NOT_CONVERGED,),
            )
    return found


def _known(validation: tuple[Features, Values], members: Sequence[int]) -> Split | None:
    """Return the validation rows that have the targets; None if none has."""
    features, values = validation
    known = ~np.isnan(values[:, members[0]])
    if not known.any():
        return None
    return Split(features[known], values[known][:, list(members)].astype(np.uint8))


def _by_leave_one_out(train: Split, device: str) -> list[float]:
    """Return the strength of each logistic regression that few rows choose.

    A hundred rows make too few errors to choose by. The squared errors of ridge regression to the indicators
    of the classes, each row left out in turn, do tell where the features need a weaker penalty than
    `FIRST_NOMINAL_STRENGTH`: where a few huge ones leave little of the others on the common scale.
    """
    indicators = [_indicators(column, np.unique(column)) for column in train.labels.T]
    fits = _ridge(train.features, indicators, None, device)
    return [_at_most(NOMINAL_SHARE * (fit.strength or math.inf)) for fit in fits]


def _hidden(train: Split, held: Split, fits: Sequence[LinearFit], device: str) -> Iterator[tuple[int, float]]:
    """Yield targets that were not found behind a few huge features, and the strength to begin with.

    No strength that was tried gains anything on validation over the most frequent value, but ridge regression
    to the indicators of the classes does.
    """
    from harness.probes.ridge import predict_ridge

    for at, fit in enumerate(fits):
        labels, truth = train.labels[:, at], held.labels[:, at]
        usual = np.full(len(truth), most_frequent(labels), np.uint8)
        enough = weighted_f1(truth, usual) + GAIN
        if fit.classes == 1 or max(f1 for _, f1 in fit.tried) > enough:
            continue
        classes = np.unique(labels)
        right = held.features, [_indicators(truth, classes)]
        found = _ridge(train.features, [_indicators(labels, classes)], right, device)
        guessed = classes[predict_ridge(found, held.features, device=device)[0].argmax(axis=1)]
        strength = _at_most(found[0].strength or math.inf)
        if strength < FIRST_NOMINAL_STRENGTH and weighted_f1(truth, guessed) > enough:
            yield at, strength


def _indicators(labels: Labels, classes: Labels) -> Values:
    """Return which class each row has, float64 [n, k]."""
    return np.asarray(labels[:, None] == classes, np.float64)


def _at_most(wanted: float) -> float:
    """Return the strength of the grid that is nearest below, and at most the first."""
    grid = [strength for strength in NOMINAL_STRENGTHS if strength <= FIRST_NOMINAL_STRENGTH]
    return next((strength for strength in grid if strength <= 1.1 * wanted), grid[-1])


def _ridge(
    features: Features,
    columns: Sequence[Values],
    validation: tuple[Features, Sequence[Values]] | None,
    device: str,
) -> list[Ridge]:
    from harness.probes.ridge import fit_ridge

    return fit_ridge(features, columns, validation, strengths=STRENGTHS, least_rows=LEAST_ROWS, device=device)


def _coded(values: Values, target: Target) -> Values:
    return _on_circle(values, target) if target.kind == "circular" else values[:, None]


def _decoded(predictions: Values, target: Target) -> Values:
    return _angle(predictions, target) if target.kind == "circular" else predictions[:, 0]


def _on_circle(values: Values, target: Target) -> Values:
    """Return sine and cosine, float64 [n, 2]."""
    angle = 2 * math.pi * values / float(target.period or 1)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _angle(sine_and_cosine: Values, target: Target) -> Values:
    """Return the angle in the target's unit, float64 [n], from 0 to its period."""
    turn = np.arctan2(sine_and_cosine[:, 0], sine_and_cosine[:, 1]) / (2 * math.pi)
    return np.asarray(turn % 1 * float(target.period or 1))


PROBE: Final = Probe(
    metric="explained",
    settings={
        "common_scale": True,
        "constant": "mean of the training rows; nominal: the most frequent value of the scored rows",
        "first_nominal_strength_log10": math.log10(FIRST_NOMINAL_STRENGTH),
        "least_rows": LEAST_ROWS,
        "nominal_selected_by": f"validation weighted F1, a step has to gain {GAIN} once anything was gained; "
        f"up to {MOST_LEFT_OUT} rows, the first or {NOMINAL_SHARE} of that of ridge to the classes",
        "nominal_strengths_log10": [math.log10(strength) for strength in NOMINAL_STRENGTHS],
        "selected_by": f"least squared validation error; up to {MOST_LEFT_OUT} rows, leave-one-out error",
        "strengths_log10": [math.log10(strength) for strength in STRENGTHS],
    },
    fit=fit_readout,
    runs=(
        ProbeRun("readout", FEW),
        ProbeRun("readout", "full"),
        ProbeRun("readout", "full", "play", "deep"),
        ProbeRun("readout", "full", "deep", "deep"),
    ),
    tolerances=((0, Tolerance(0.01, 0.005)), (10_000, Tolerance(0.005, 0.0005))),
)
