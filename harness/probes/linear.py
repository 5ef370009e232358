"""The linear probe: how much of a variable a converged linear classifier decodes from the features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.metrics import most_frequent
from harness.probes.inputs import Features, Split, Values, check_probe_input
from harness.probes.probe import NOT_CONVERGED, Fit, Probe, ProbeRun, Tolerance
from harness.probes.target import Target

STRENGTHS: Final = (1e1, 1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The fixed grid of L2 strengths, strongest first."""

FIRST_STRENGTH: Final = 1e-2
"""The first strength tried. Weaker ones follow while validation improves, else stronger ones."""

GAIN: Final = 0.01
"""The gain in validation F1 that justifies the next strength; about the sampling error."""

SELECTED_BY: Final = f"validation weighted F1, a step has to gain {GAIN}"
"""The rule in words, for the protocol."""


@dataclass(frozen=True)
class LinearFit:
    """One variable's converged probe.

    Attributes:
        name: The variable's name.
        predictions: uint8 [n_test].
        classes: The number of classes in the training rows. Only these are ever predicted.
        strength: The L2 strength selected on validation; 0 if there was nothing to fit (one class).
        tried: Each strength with its weighted F1 on validation, strongest first. A fit that was stopped early
            has the score it had then.
        at_edge: Whether the selected strength is the first or last of the grid, so that a better one may lie
            beyond it.
        gradient_norm: The Euclidean norm of the objective's gradient at the end.
        tolerance: The gradient norm below which the fit counts as converged.
        converged: Whether the fit converged.
        evaluations: The number of passes over the training rows, for all strengths together.
    """

    name: str
    predictions: npt.NDArray[np.uint8]
    classes: int
    strength: float
    tried: tuple[tuple[float, float], ...]
    at_edge: bool
    gradient_norm: float
    tolerance: float
    converged: bool
    evaluations: int


def fit_linear(
    train: Split,
    validation: Split,
    test_features: npt.NDArray[np.float32],
    *,
    names: Sequence[str],
    rows: npt.NDArray[np.integer] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    first: float | Sequence[float] = FIRST_STRENGTH,
    select: bool = True,
    common_scale: bool = False,
    device: str = "cpu",
    progress: Callable[[str], object] | None = None,
) -> list[LinearFit]:
    """Fit multinomial logistic regression to every variable, and predict the test rows.

    Features are standardised with the mean and deviation of the training rows; constant features are ignored.
    The objective is the mean cross-entropy over the rows plus ``strength / 2`` times the squared norm of the
    weights (not of the intercepts), as in scikit-learn's ``LogisticRegression(C=1 / (n * strength))``. The
    strength is selected from `STRENGTHS` by weighted F1 on the validation rows, the metric that is reported:
    starting at `FIRST_STRENGTH`, weaker ones are tried while each gains more than `GAIN`, else stronger ones.
    (Selecting by log-loss would favour calibration, at a cost of 0.026 F1 with 1,000 rows of Pong.) Classes
    that do not occur in training are never predicted, and validation rows of such classes are ignored.

    Args:
        train: The rows to fit to.
        validation: The rows that select the strength.
        test_features: float32 [n_test, d].
        names: The variables' names, in the order of the columns of ``labels``.
        rows: Indices of the training rows to use; by default all.
        strengths: The grid of strengths, strongest first.
        first: The strength to begin with, of all or of each variable.
        select: Let validation select the strength; if not, the first is the only one.
        common_scale: Divide all features by one number, in place of each by its own deviation; see
            `harness.probes.basis.Basis.of`.
        device: A torch device.
        progress: Called with the name of each variable when it is done.

    Returns:
        One fit for each variable, in the order of ``names``.

    Raises:
        FeatureError: Some features are not finite; says how many and where.
        UsageError: Shapes do not match, or there are no rows.
    """
    check_probe_input(train, validation, test_features, names)
    if rows is not None:
        train = Split(train.features[rows], train.labels[rows])
    import torch

    from harness.probes.basis import Basis
    from harness.probes.lbfgs import AT_THE_END, HISTORY, choose
    from harness.probes.logistic import HISTORY_NUMBERS, Rows, predict, solve_together

    firsts = [first] * len(names) if isinstance(first, int | float) else list(first)
    basis = Basis.of(train.features, device, common=common_scale)
    classes = [np.unique(column) for column in train.labels.T]
    fitted = [v for v in range(len(names)) if len(classes[v]) > 1]

    def rows_of(split: Split) -> Rows:
        tables = [_class_indices(split.labels[:, v], classes[v]) for v in fitted]
        return Rows(basis.coordinates(split.features), [torch.from_numpy(t).to(device) for t in tables])

    def start(v: int) -> torch.Tensor:
        # Weights of zero and the intercepts that go with them: the share of each class.
        weights = np.zeros((len(classes[v]), len(basis.variances)), np.float32)
        weights[:, -1] = np.log(np.bincount(train.labels[:, v])[classes[v]] / len(train.labels))
        return torch.from_numpy(weights).to(device)

    numbers = len(basis.variances) * sum(len(classes[v]) for v in fitted)
    history = max(3, min(HISTORY, HISTORY_NUMBERS // (2 * numbers + 1)))

    solved = solve_together(
        [
            choose(start(v), strengths if select else firsts[v : v + 1], firsts[v], GAIN, history)
            for v in fitted
        ],
        rows_of(train),
        rows_of(validation),
        lambda at: progress(names[fitted[at]]) if progress else None,
    )
    if progress:
        for v in set(range(len(names))) - set(fitted):
            progress(names[v])
    guessed = predict([c.solution.weights for c in solved], basis.coordinates(test_features))
    fits = [_constant(name, classes[v][0], len(test_features)) for v, name in enumerate(names)]
    for v, chosen, index in zip(fitted, solved, guessed, strict=True):
        fits[v] = LinearFit(
            name=names[v],
            predictions=classes[v][index.cpu().numpy()],
            classes=len(classes[v]),
            strength=chosen.strength,
            tried=tuple(sorted(chosen.tried.items(), reverse=True)),
            at_edge=chosen.strength in (strengths[0], strengths[-1]),
            gradient_norm=chosen.solution.gradient_norm,
            tolerance=AT_THE_END.norm(chosen.strength),
            converged=chosen.solution.converged,
            evaluations=chosen.evaluations,
        )
    return fits


def _class_indices(labels: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return int64 [n], where each label is in ``classes``; -1 where it is not."""
    table = np.full(256, -1)
    table[classes] = np.arange(len(classes))
    return table[labels]


def _constant(name: str, value: int, n: int) -> LinearFit:
    """Return the fit of a variable that has a single value in training."""
    return LinearFit(
        name=name,
        predictions=np.full(n, value, np.uint8),
        classes=1,
        strength=0.0,
        tried=(),
        at_edge=False,
        gradient_norm=0.0,
        tolerance=0.0,
        converged=True,
        evaluations=0,
    )


def _fit(
    features: Features,
    values: Values,
    tests: Sequence[Features],
    targets: Sequence[Target],
    *,
    validation: tuple[Features, Values] | None,
    device: str,
    progress: Callable[[str], object] | None,
) -> list[Fit]:
    train = Split(features, values.astype(np.uint8))
    chosen = train if validation is None else Split(validation[0], validation[1].astype(np.uint8))
    names = [target.name for target in targets]
    fits = fit_linear(train, chosen, np.concatenate(tests), names=names, device=device, progress=progress)
    ends = np.cumsum([len(test) for test in tests])[:-1]
    return [
        Fit(
            tuple(np.split(fit.predictions.astype(np.float64), ends)),
            int(most_frequent(labels)),
            fit.strength,
            fit.gradient_norm,
            notes=(
                *(() if fit.converged else (NOT_CONVERGED,)),
                *(("the best strength is at the edge of the grid",) if fit.at_edge else ()),
                *(("one class in training",) if fit.classes == 1 else ()),
            ),
        )
        for fit, labels in zip(fits, train.labels.T, strict=True)
    ]


PROBE: Final = Probe(
    metric="f1",
    settings={
        "first_strength_log10": math.log10(FIRST_STRENGTH),
        "intercept_penalised": False,
        "selected_by": SELECTED_BY,
        "standardised": True,
        "strengths_log10": [math.log10(strength) for strength in STRENGTHS],
    },
    fit=_fit,
    runs=(ProbeRun("linear", "full"), ProbeRun("linear", "1k")),
    # Measured between two kinds of processor (docs/result.md): a variable 0.011 on 1,000 rows, where another
    # strength was selected, and 0.0002 on all rows. The tolerance on few rows is twice that. On many rows it
    # is 25 times that, which is how far a converged fit may be from the exact solution (docs/probes.md,
    # Boxing: 0.005). Differences cancel in means; 0.0001 was measured between one thread and two.
    tolerances=((0, Tolerance(0.02, 0.005)), (10_000, Tolerance(0.005, 0.001))),
)
