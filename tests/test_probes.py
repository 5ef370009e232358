"""The linear probe against scikit-learn, and what must not change its answer."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from atariari_data.errors import AtariariError, UsageError
from harness.metrics import weighted_f1
from harness.probes.inputs import FeatureError, Split
from harness.probes.linear import GAIN, STRENGTHS, LinearFit, fit_linear

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
NAMES = ["position", "rare", "flag", "still"]


def _data(n: int, d: int = 12, seed: int = 0) -> tuple[Features, Labels]:
    """Features from which a position in 8 steps, a skewed class and a flag can be read imperfectly."""
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((n, 4))
    mix = np.random.default_rng(99).standard_normal((4, d))
    features = hidden @ mix + generator.standard_normal((n, d))
    position = np.clip(4 + 2 * hidden[:, 0], 0, 7)
    rare = np.clip(np.exp(hidden[:, 1]), 0, 4)
    flag = hidden[:, 2] + hidden[:, 3] > 0.5
    columns = [position, 7 * rare.astype(int), 255 * flag, np.full(n, 42)]
    return features.astype(np.float32), np.stack([c.astype(np.uint8) for c in columns], axis=1)


def _splits(d: int = 12) -> tuple[Split, Split, Split]:
    parts = [Split(*_data(n, d, seed)) for seed, n in enumerate((600, 300, 2000))]
    return parts[0], parts[1], parts[2]


@cache
def _plain() -> list[LinearFit]:
    train, validation, test = _splits()
    return fit_linear(train, validation, test.features, names=NAMES)


def _scores(fits: list[LinearFit], labels: Labels) -> list[float]:
    return [weighted_f1(labels[:, v], fit.predictions) for v, fit in enumerate(fits)]


@pytest.mark.parametrize("rotated", [True, False])
def test_equals_scikit_learn_at_the_chosen_strength(
    rotated: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, validation, test = _splits()
    if not rotated:
        monkeypatch.setattr("harness.probes.basis.ROTATED", 4)
    fits = fit_linear(train, validation, test.features, names=NAMES)
    assert [fit.name for fit in fits] == NAMES
    scaler = StandardScaler().fit(train.features)
    for v, fit in enumerate(fits[:3]):
        model = LogisticRegression(C=1 / (len(train.features) * fit.strength), tol=1e-6, max_iter=10_000)
        model.fit(scaler.transform(train.features), train.labels[:, v])
        expected = model.predict(scaler.transform(test.features))
        assert np.mean(expected == fit.predictions) > 0.995
        assert weighted_f1(test.labels[:, v], fit.predictions) == pytest.approx(
            weighted_f1(test.labels[:, v], expected), abs=0.005
        )
        assert fit.converged
        assert fit.gradient_norm <= fit.tolerance
        tried = dict(fit.tried)
        assert max(tried.values()) <= tried[fit.strength] + GAIN
        assert {1e-2, 1e-3} <= set(tried) <= set(STRENGTHS)
        assert not fit.at_edge


def test_one_class_is_predicted_without_a_fit() -> None:
    still = _plain()[3]
    assert (still.predictions == 42).all()
    assert (still.classes, still.evaluations, still.tried, still.converged) == (1, 0, (), True)


def test_classes_that_training_does_not_have_are_never_predicted_and_choose_nothing() -> None:
    train, validation, test = _splits()
    more = np.concatenate([validation.features, 100 * validation.features])
    labels = np.concatenate([validation.labels, np.full_like(validation.labels, 200)])
    plain = _plain()
    strange = fit_linear(train, Split(more, labels), test.features, names=NAMES)
    for a, b in zip(plain, strange, strict=True):
        assert np.array_equal(a.predictions, b.predictions)
        assert dict(a.tried) == pytest.approx(dict(b.tried))
        assert 200 not in a.predictions


@pytest.mark.parametrize("change", ["small", "large", "shifted", "mixed scales", "permuted", "rows", "again"])
def test_what_does_not_change_the_score(change: str) -> None:
    train, validation, test = _splits()
    generator = np.random.default_rng(5)
    d = train.features.shape[1]
    order = generator.permutation(d) if change == "permuted" else np.arange(d)
    scale = {"small": 1e-3, "large": 1e3}.get(change, 1.0) * np.ones(d)
    if change == "mixed scales":
        scale = np.logspace(-25, 25, d)
    shift = 50.0 if change == "shifted" else 0.0

    def changed(features: Features) -> Features:
        return (features * scale + shift)[:, order].astype(np.float32)

    rows = generator.permutation(len(train.features)) if change == "rows" else slice(None)
    before = _plain()
    after = fit_linear(
        Split(changed(train.features)[rows], train.labels[rows]),
        Split(changed(validation.features), validation.labels),
        changed(test.features),
        names=NAMES,
    )
    assert [fit.strength for fit in after] == [fit.strength for fit in before]
    assert _scores(after, test.labels) == pytest.approx(_scores(before, test.labels), abs=0.002)
    if change == "again":
        assert all(np.array_equal(a.predictions, b.predictions) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("change", ["rows at once", "device"])
def test_how_it_is_computed_does_not_change_the_score(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from harness.probes import logistic

    if change == "device" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    before = _plain()
    train, validation, test = _splits()
    if change == "rows at once":
        monkeypatch.setattr(logistic, "CHUNK", 70)
    device = "cuda" if change == "device" else "cpu"
    after = fit_linear(train, validation, test.features, names=NAMES, device=device)
    assert [fit.strength for fit in after] == [fit.strength for fit in before]
    assert all(fit.converged for fit in after)
    assert _scores(after, test.labels) == pytest.approx(_scores(before, test.labels), abs=0.002)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from harness.probes import logistic
    from harness.probes.basis import Basis

    monkeypatch.setattr(logistic, "FEW_ROWS", 0)
    monkeypatch.setattr(logistic, "CHUNK", 70)
    train, validation, test = _splits()
    # One basis for both fits: it is a product of the BLAS, and some kernels share its sums among threads.
    basis = Basis.of(train.features)
    rows = {id(split.features): basis.coordinates(split.features) for split in (train, validation, test)}
    monkeypatch.setattr(Basis, "of", lambda *_, **__: basis)
    monkeypatch.setattr(Basis, "coordinates", lambda _, features: rows[id(features)])
    before, fits = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            fits.append(fit_linear(train, validation, test.features, names=NAMES))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*fits, strict=True):
        assert one.gradient_norm == three.gradient_norm
        assert np.array_equal(one.predictions, three.predictions)


def test_a_variable_does_not_hang_on_the_others() -> None:
    train, validation, test = _splits()
    together = _plain()
    alone = fit_linear(
        Split(train.features, train.labels[:, 1:2]),
        Split(validation.features, validation.labels[:, 1:2]),
        test.features,
        names=["rare"],
    )[0]
    assert alone.strength == together[1].strength
    assert np.mean(alone.predictions == together[1].predictions) > 0.998


def test_constant_and_duplicate_features_add_nothing() -> None:
    train, validation, test = _splits()
    before = _plain()

    def with_constants(features: Features) -> Features:
        noise = np.random.default_rng(len(features)).integers(0, 2, (len(features), 2)) * np.float32(1e-7)
        return np.concatenate([features, np.full((len(features), 2), 3e30), 1 + noise], axis=1).astype(
            np.float32
        )

    after = fit_linear(
        Split(with_constants(train.features), train.labels),
        Split(with_constants(validation.features), validation.labels),
        with_constants(test.features),
        names=NAMES,
    )
    assert _scores(after, test.labels) == pytest.approx(_scores(before, test.labels), abs=0.002)
    # A column twice is not a column once (its penalty halves), but a solution there is, and it is found.
    twice = fit_linear(
        Split(np.tile(train.features, 2), train.labels),
        Split(np.tile(validation.features, 2), validation.labels),
        np.tile(test.features, 2),
        names=NAMES,
    )
    assert all(fit.converged for fit in twice)
    assert _scores(twice, test.labels) == pytest.approx(_scores(before, test.labels), abs=0.03)


def test_all_features_constant_gives_the_majority() -> None:
    train, validation, test = _splits()
    ones = [np.ones_like(s.features) for s in (train, validation, test)]
    fits = fit_linear(Split(ones[0], train.labels), Split(ones[1], validation.labels), ones[2], names=NAMES)
    for v, fit in enumerate(fits):
        assert (fit.predictions == np.bincount(train.labels[:, v]).argmax()).all()
        assert fit.converged


@pytest.mark.parametrize("d", [1, 2, 300, 16_384])
def test_few_rows_and_any_number_of_features(d: int) -> None:
    train, validation, test = _splits(d)
    rows = np.arange(0, 600, 6)
    fits = fit_linear(train, validation, test.features, names=NAMES, rows=rows)
    again = fit_linear(
        Split(train.features[rows], train.labels[rows]), validation, test.features, names=NAMES
    )
    for v, (fit, same) in enumerate(zip(fits, again, strict=True)):
        assert np.array_equal(fit.predictions, same.predictions)
        assert fit.converged
        assert set(fit.predictions) <= set(train.labels[rows, v])
    scaler = StandardScaler().fit(train.features[rows])
    model = LogisticRegression(C=1 / (100 * fits[2].strength), tol=1e-6, max_iter=10_000)
    model.fit(scaler.transform(train.features[rows]), train.labels[rows, 2])
    assert np.mean(model.predict(scaler.transform(test.features)) == fits[2].predictions) > 0.99


def test_stronger_ones_are_tried_where_weaker_ones_gain_nothing() -> None:
    generator = np.random.default_rng(0)
    features = [generator.standard_normal((n, 40)).astype(np.float32) for n in (60, 2000, 2000)]
    labels = [(f[:, :4].sum(axis=1, keepdims=True) > 0).astype(np.uint8) for f in features]
    flip = generator.random((60, 1)) < 0.25
    train = Split(features[0], np.where(flip, 1 - labels[0], labels[0]).astype(np.uint8))
    fit = fit_linear(train, Split(features[1], labels[1]), features[2], names=["noisy"])[0]
    tried = dict(fit.tried)
    assert tried[1e-3] <= tried[1e-2] + GAIN, "or this is no test"
    assert 1e-1 in tried
    assert max(tried.values()) <= tried[fit.strength] + GAIN
    assert fit.at_edge is (fit.strength == STRENGTHS[0])


def test_separable_data_is_solved_without_weights_that_grow_for_ever() -> None:
    generator = np.random.default_rng(1)
    features = [generator.standard_normal((n, 20)).astype(np.float32) for n in (100, 300, 300)]
    features = [np.sign(f) + f for f in features]
    labels = [(f[:, :1] > 0).astype(np.uint8) for f in features]
    sharp = fit_linear(
        Split(features[0], labels[0]), Split(features[1], labels[1]), features[2], names=["sign"]
    )[0]
    assert sharp.converged
    assert np.mean(sharp.predictions == labels[2][:, 0]) > 0.98


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_features_that_are_not_finite_are_refused(split: str, value: float) -> None:
    train, validation, test = _splits()
    bad = {"train": train, "validation": validation, "test": test}[split].features
    bad[[17, 30], 3] = value
    with pytest.raises(
        FeatureError, match=rf"2 of [\d,]+ rows of {split} have features.*\n.*\n.*row 17, feature 3"
    ):
        fit_linear(train, validation, test.features, names=NAMES)


def test_shapes_that_do_not_fit_are_refused() -> None:
    train, validation, test = _splits()
    with pytest.raises(UsageError, match="labels of train do not match"):
        fit_linear(train, validation, test.features, names=NAMES[:2])
    with pytest.raises(UsageError, match="features of test and of train differ"):
        fit_linear(train, validation, test.features[:, :5], names=NAMES)
    with pytest.raises(AtariariError, match="features of validation have a wrong"):
        fit_linear(train, Split(validation.features[:0], validation.labels[:0]), test.features, names=NAMES)


def test_progress_names_every_variable_that_was_fitted() -> None:
    train, validation, test = _splits()
    seen: list[str] = []
    fit_linear(train, validation, test.features, names=NAMES, progress=seen.append)
    assert sorted(seen) == sorted(NAMES)


def test_input_is_left_alone() -> None:
    parts = _splits()
    copies = [(p.features.copy(), p.labels.copy()) for p in parts]
    fit_linear(parts[0], parts[1], parts[2].features, names=NAMES)
    for part, (features, labels) in zip(parts, copies, strict=True):
        assert np.array_equal(part.features, features)
        assert np.array_equal(part.labels, labels)
