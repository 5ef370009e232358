"""The readout probe against scikit-learn, and what must not change its answer."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.linear_model import Ridge as ReferenceRidge
from sklearn.metrics import r2_score

from atariari_data.errors import UsageError
from harness.probes.inputs import FeatureError
from harness.probes.probe import Fit
from harness.probes.readout import (
    FIRST_NOMINAL_STRENGTH,
    LEAST_ROWS,
    NOMINAL_STRENGTHS,
    STRENGTHS,
    constant_of,
    fit_readout,
)
from harness.probes.ridge import fit_ridge, predict_ridge
from harness.probes.target import Target

Features = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

GRID: Any = {"strengths": STRENGTHS, "least_rows": LEAST_ROWS}

TARGETS = (
    Target("position", "ordered", unit="px"),
    Target("sometimes", "ordered", unit="px"),
    Target("rarely", "ordered", unit="px"),
    Target("heading", "circular", unit="code", period=16),
    Target("flag", "nominal"),
    Target("kind", "nominal"),
)


def _data(n: int, d: int = 24, seed: int = 0) -> tuple[Features, Values]:
    """Features of uneven size from which positions, a heading, a flag and a code can be read imperfectly."""
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((n, 4))
    mix = np.random.default_rng(99).standard_normal((4, d)) * np.logspace(0, -1, d)
    features = hidden @ mix + 0.3 * generator.standard_normal((n, d)) + 5
    heading = np.round(np.arctan2(hidden[:, 0], hidden[:, 1]) / (2 * math.pi) * 16) % 16
    columns = [
        80 + 30 * hidden[:, 0],
        80 + 30 * hidden[:, 1],
        hidden[:, 2] + hidden[:, 3],
        heading,
        hidden[:, 2] > 0.5,
        np.clip(np.round(hidden[:, 3] + 2), 0, 4),
    ]
    values = np.stack(columns, axis=1).astype(np.float64)
    values[hidden[:, 3] < -0.5, 1] = np.nan
    values[hidden[:, 2] < 1, 2] = np.nan
    values[hidden[:, 0] < -1, 5] = np.nan
    return features.astype(np.float32), values


def _scores(fits: Sequence[Fit], values: Values, targets: Sequence[Target] = TARGETS) -> list[float]:
    """Return R2 against the training mean, or the share of the majority's errors that is avoided."""
    found = []
    for fit, target, truth in zip(fits, targets, values.T, strict=True):
        there = ~np.isnan(truth)
        apart = fit.predictions[0][there] - truth[there]
        simple = fit.constant - truth[there]
        if target.period:
            apart, simple = (
                (x + target.period / 2) % target.period - target.period / 2 for x in (apart, simple)
            )
        power = 0 if target.kind == "nominal" else 2
        found.append(
            1 - (np.abs(apart) ** power)[apart != 0].sum() / (np.abs(simple) ** power)[simple != 0].sum()
        )
    return found


def _fit(
    rows: int = 1500, d: int = 24, change: object = None, *, few: bool = False
) -> tuple[list[Fit], list[float]]:
    parts = [_data(n, d, seed) for seed, n in enumerate((rows, 400, 1000))]
    if callable(change):
        parts = [(change(features), values) for features, values in parts]
    train, validation, test = parts
    fits = fit_readout(*train, [test[0]], TARGETS, validation=None if few else validation)
    return fits, _scores(fits, test[1])


@pytest.mark.parametrize(("rows", "d"), [(1500, 24), (150, 400)])
def test_equals_scikit_learn_on_the_rows_that_have_the_target(rows: int, d: int) -> None:
    (features, values), (test, truth) = _data(rows, d), _data(500, d, 1)
    columns = [column[:, None] for column in values.T[:3]]
    validation = _data(300, d, 2)
    fits = fit_ridge(features, columns, (validation[0], [c[:, None] for c in validation[1].T[:3]]), **GRID)
    variance = features.var(axis=0, dtype=np.float64).sum()
    for fit, column, right in zip(fits, columns, truth.T, strict=False):
        known, there = ~np.isnan(column[:, 0]), ~np.isnan(right)
        assert fit.strength is not None
        reference = ReferenceRidge(alpha=known.sum() * variance * fit.strength)
        reference.fit(features[known].astype(np.float64), column[known, 0])
        theirs = reference.predict(test[there].astype(np.float64))
        ours = predict_ridge([fit], test)[0][there, 0]
        assert r2_score(right[there], ours) == pytest.approx(r2_score(right[there], theirs), abs=1e-8)
        assert 0.2 < r2_score(right[there], ours) < 1


WIDE = """
import resource
import sys
import numpy as np
import torch
from sklearn.linear_model import Ridge
from harness.probes.readout import fit_readout
from harness.probes.target import Target

torch.set_num_threads(1)
generator = np.random.default_rng(0)
n, d = 100, 16_384
hidden = generator.standard_normal(3 * n)
features = (0.2 * hidden[:, None] + generator.standard_normal((3 * n, d))).astype(np.float32)
values = np.stack([10 * hidden, hidden > 0], axis=1)
train, held, test = (slice(start, start + n) for start in (0, n, 2 * n))
targets = (Target("position", "ordered"), Target("flag", "nominal"))
validation = (features[held], values[held]) if sys.argv[1] == "validation" else None
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
fits = fit_readout(features[train], values[train], [features[test]], targets, validation=validation)
print((peak() - before) // 1024)
variance = features[train].var(axis=0, dtype=np.float64).sum()
reference = Ridge(alpha=n * variance * fits[0].strength).fit(features[train].astype(float), values[train, 0])
apart = fits[0].predictions[0] - reference.predict(features[test].astype(float))
print(np.abs(apart).max(), (fits[1].predictions[0] == values[test, 1]).mean())
"""


@pytest.mark.parametrize("chosen_by", ["validation", "training"])
def test_16_384_features_of_100_rows_need_little_memory(chosen_by: str) -> None:
    """The matrix of the features' products alone would take 2 GB; that of the rows is used."""
    done = subprocess.run([sys.executable, "-c", WIDE, chosen_by], check=True, capture_output=True, text=True)
    megabytes, apart, right = map(float, done.stdout.split())
    assert megabytes < 200  # 30 were measured
    assert apart < 1e-5
    assert right > 0.9


@pytest.mark.parametrize("d", [8, 24, 300])
def test_leave_one_out_chooses_what_scikit_learn_chooses(d: int) -> None:
    features, values = _data(100, d)
    fits = fit_ridge(features, [values[:, :1], values[:, 1:2]], None, **GRID)
    for fit, column in zip(fits, values.T, strict=False):
        known = ~np.isnan(column)
        alphas = known.sum() * features.var(axis=0, dtype=np.float64).sum() * np.array(STRENGTHS)
        reference = RidgeCV(alphas=alphas, gcv_mode="svd").fit(
            features[known].astype(np.float64), column[known]
        )
        assert fit.strength == STRENGTHS[int(np.argmin(np.abs(np.log(alphas / reference.alpha_))))]
        theirs = reference.predict(features.astype(np.float64))
        assert np.abs(predict_ridge([fit], features)[0][:, 0] - theirs).max() < 1e-6


def test_nominal_equals_scikit_learn_at_the_chosen_strength() -> None:
    (features, values), (test, truth), validation = _data(1500), _data(500, seed=1), _data(400, seed=2)
    fits = fit_readout(features, values[:, 5:], [test], TARGETS[5:], validation=validation_of(validation, 5))
    known = ~np.isnan(values[:, 5])
    scaled = (features - features[known].mean(0)) / np.sqrt(features[known].var(0, dtype=np.float64).sum())
    reference = LogisticRegression(
        C=1 / (known.sum() * float(fits[0].strength or 0)), tol=1e-8, max_iter=10000
    )
    reference.fit(scaled[known], values[known, 5])
    there = ~np.isnan(truth[:, 5])
    agree = reference.predict(scaled_like(test, features[known]))[there] == fits[0].predictions[0][there]
    assert agree.mean() > 0.99


def validation_of(data: tuple[Features, Values], first: int) -> tuple[Features, Values]:
    """Return features and the last columns of the values."""
    return data[0], data[1][:, first:]


def scaled_like(features: Features, train: Features) -> Values:
    """Return features less the training mean, divided by the root of the total variance."""
    return np.asarray((features - train.mean(0)) / np.sqrt(train.var(0, dtype=np.float64).sum()), np.float64)


def _rotate(features: Features) -> Features:
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((24, 24)))[0]
    return np.asarray(features @ turn, np.float32)


CHANGES = {
    "scale": lambda x: x * np.float32(1e-4),
    "large": lambda x: x * np.float32(1e6),
    "shift": lambda x: x + np.float32(7),
    "rotation": _rotate,
    "permutation": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "constants": lambda x: np.concatenate([x, np.full((len(x), 3), 9, np.float32)], axis=1),
    "a large constant": lambda x: np.concatenate([x, np.full((len(x), 1), 1e9, np.float32)], axis=1),
}


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_change_the_score(change: str, few: bool) -> None:
    rows = 100 if few else 1500
    before, after = _fit(rows, few=few)[1], _fit(rows, change=CHANGES[change], few=few)[1]
    numbers = [at for at, target in enumerate(TARGETS) if target.kind != "nominal"]
    for at, (one, other) in enumerate(zip(before, after, strict=True)):
        assert other == pytest.approx(one, abs=1e-4 if at in numbers else 0.01)


def test_the_order_of_the_rows_does_not_change_the_score() -> None:
    (features, values), validation, (test, truth) = (
        _data(n, seed=s) for s, n in enumerate((1500, 400, 1000))
    )
    order = np.random.default_rng(3).permutation(len(features))
    one = fit_readout(features, values, [test], TARGETS, validation=validation)
    other = fit_readout(features[order], values[order], [test], TARGETS, validation=validation)
    assert _scores(one, truth) == pytest.approx(_scores(other, truth), abs=1e-3)


def _with_noise(features: Features, columns: int, deviation: float) -> Features:
    noise = deviation * np.random.default_rng(len(features)).standard_normal((len(features), columns))
    return np.concatenate([features, noise.astype(np.float32)], axis=1)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("deviation", [1e2, 1e3])
def test_a_few_huge_features_do_not_drown_the_others(few: bool, deviation: float) -> None:
    rows = 100 if few else 1500
    before = _fit(rows, few=few)[1]
    after = _fit(rows, change=lambda x: _with_noise(x, 3, deviation), few=few)[1]
    assert after == pytest.approx(before, abs=0.05)


def test_many_noisy_features_do_not_drown_the_others_where_there_are_rows() -> None:
    before, after = _fit(12_000)[1], _fit(12_000, change=lambda x: _with_noise(x, 500, 0.3))[1]
    assert after == pytest.approx(before, abs=0.1)


def test_targets_are_known_on_validation_rows_of_their_own() -> None:
    """Two targets that are known on the same training rows may be absent on different validation rows."""
    train, (held, held_values), (test, truth) = (_data(n, seed=s) for s, n in enumerate((1500, 400, 1000)))
    columns = [0, 0, 4, 4]
    targets = [TARGETS[c] for c in columns]
    values = held_values[:, columns]
    values[:350, [1, 3]] = np.nan
    values[350:, [0, 2]] = np.nan
    for order in ([0, 1, 2, 3], [1, 0, 3, 2]):
        together = fit_readout(
            train[0],
            train[1][:, columns],
            [test],
            [targets[t] for t in order],
            validation=(held, values[:, order]),
        )
        for t, fit in zip(order, together, strict=True):
            there = ~np.isnan(values[:, t])
            (alone,) = fit_readout(
                train[0],
                train[1][:, [columns[t]]],
                [test],
                [targets[t]],
                validation=(held[there], values[there][:, [t]]),
            )
            assert fit.strength == alone.strength
            assert fit.predictions[0] == pytest.approx(alone.predictions[0], abs=1e-6)
    assert min(_scores(together, truth[:, columns], targets)) > 0.7


def test_perfect_features_give_1_and_shuffled_labels_give_0() -> None:
    (_, values), (_, truth) = _data(1500), _data(1000, seed=2)
    columns = [0, 4]
    targets = [TARGETS[c] for c in columns]
    train, test = (np.nan_to_num(v[:, columns]).astype(np.float32) for v in (values, truth))
    held = (test, truth[:, columns])
    perfect = fit_readout(train, values[:, columns], [test], targets, validation=held)
    assert _scores(perfect, truth[:, columns], targets) == pytest.approx([1, 1], abs=1e-4)
    shuffled = np.random.default_rng(0).permutation(values[:, columns])
    control = fit_readout(train, shuffled, [test], targets, validation=(held[0], shuffled[:1000]))
    assert max(_scores(control, truth[:, columns], targets)) < 0.02


def test_a_heading_wraps_around() -> None:
    angle = np.linspace(0, 16, 400, endpoint=False)
    features = np.stack([np.sin(angle / 16 * 2 * math.pi), np.cos(angle / 16 * 2 * math.pi)], 1).astype(
        np.float32
    )
    fit = fit_readout(
        features, angle[:, None], [features], TARGETS[3:4], validation=(features, angle[:, None])
    )
    apart = np.abs(fit[0].predictions[0] - angle)
    assert np.minimum(apart, 16 - apart).max() < 0.01
    assert constant_of(np.array([15.0, 1.0]), TARGETS[3]) % 16 == pytest.approx(0, abs=1e-9)


def test_without_anything_to_fit_the_constant_is_predicted() -> None:
    features, values = _data(60)
    test = _data(10, seed=1)[0]
    still = np.full_like(features, 3)
    for fit, column in zip(
        fit_readout(still, values, [np.full_like(test, 3)], TARGETS, validation=None), values.T, strict=True
    ):
        if not np.isnan(column).all():
            assert fit.predictions[0] == pytest.approx(fit.constant)
    one = fit_readout(features[:1], values[:1, [0, 4]], [test], [TARGETS[0], TARGETS[4]], validation=None)
    assert one[0].predictions[0] == pytest.approx(values[0, 0])
    assert (one[1].predictions[0] == values[0, 4]).all()
    absent = np.full((60, 2), np.nan)
    for fit in fit_readout(features, absent, [test], [TARGETS[0], TARGETS[4]], validation=None):
        assert np.isnan(fit.constant)
        assert np.isnan(fit.predictions[0]).all()


def test_several_test_splits_are_predicted_by_one_fit() -> None:
    (features, values), validation, (test, _) = _data(1000), _data(300, seed=1), _data(50, seed=2)
    both = fit_readout(features, values, [test, test[:20]], TARGETS, validation=validation)
    for fit in both:
        assert [len(part) for part in fit.predictions] == [50, 20]
        assert np.array_equal(fit.predictions[0][:20], fit.predictions[1])


def test_few_rows_use_a_weaker_strength_only_where_huge_features_need_it() -> None:
    assert [fit.strength for fit in _fit(100, few=True)[0][4:]] == [FIRST_NOMINAL_STRENGTH] * 2
    for deviation in (1e3, 1e5):
        huge, _ = _fit(100, change=lambda x, by=deviation: _with_noise(x, 3, by), few=True)
        assert max(fit.strength or 1 for fit in huge[4:]) < FIRST_NOMINAL_STRENGTH / 100
        assert {fit.strength for fit in huge[4:]} <= set(NOMINAL_STRENGTHS)


@pytest.mark.parametrize("split", [0, 1, 2])
def test_features_that_are_not_finite_are_refused(split: int) -> None:
    parts = [_data(n, seed=s) for s, n in enumerate((80, 40, 40))]
    parts[split][0][3, 2] = np.nan
    name = ["train", "validation", "test 0"][split]
    with pytest.raises(FeatureError, match=f"1 of .* rows of {name} have features that are not finite"):
        fit_readout(*parts[0], [parts[2][0]], TARGETS, validation=parts[1])


def test_features_of_different_length_are_refused() -> None:
    with pytest.raises(UsageError, match="differ in length"):
        fit_readout(*_data(80), [_data(40, d=5)[0]], TARGETS, validation=None)
