"""Metrics against scikit-learn, and the rules of the means."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from atariari_data.errors import UsageError
from harness import metrics


def _labels(seed: int, n: int, values: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, values, n).astype(np.uint8)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 200), values=st.sampled_from([1, 2, 7, 256]))
def test_scores_are_those_of_scikit_learn(seed: int, n: int, values: int) -> None:
    labels, predictions = _labels(seed, n, values), _labels(seed + 1, n, values)
    expected = f1_score(labels, predictions, average="weighted", zero_division=0)
    assert metrics.weighted_f1(labels, predictions) == pytest.approx(expected, abs=1e-12)
    assert metrics.accuracy(labels, predictions) == pytest.approx(accuracy_score(labels, predictions))
    expected = mean_absolute_error(labels.astype(float), predictions.astype(float))
    assert metrics.mean_absolute_error(labels, predictions) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        (np.zeros(0, np.uint8), np.zeros(0, np.uint8)),
        (np.zeros(3, np.uint8), np.zeros(2, np.uint8)),
        (np.zeros(3, np.int64), np.zeros(3, np.uint8)),
    ],
)
def test_what_cannot_be_scored_is_refused(
    labels: npt.NDArray[np.uint8], predictions: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(UsageError, match="at least one, can be scored"):
        metrics.weighted_f1(labels, predictions)


def test_majority_is_the_most_frequent_and_the_lowest_of_equals() -> None:
    assert metrics.most_frequent(np.array([9, 3, 9, 3, 1], np.uint8)) == 3
    assert metrics.most_frequent(np.array([200], np.uint8)) == 200


def test_draws_equal_scoring_the_drawn_episodes_themselves() -> None:
    labels, predictions, episodes = (
        _labels(1, 300, 5),
        _labels(2, 300, 5),
        np.repeat([7, -1, 40], [50, 50, 200]),
    )
    bootstrap = metrics.Bootstrap.over(episodes, resamples=20)
    draws = bootstrap.draws(labels, predictions)
    names = np.unique(episodes)
    for at, weights in enumerate(bootstrap.weights.astype(int)):
        rows = np.concatenate(
            [
                np.flatnonzero(episodes == name)
                for name, w in zip(names, weights, strict=True)
                for _ in range(w)
            ]
        )
        assert draws.f1()[at] == pytest.approx(f1_score(labels[rows], predictions[rows], average="weighted"))
        assert draws.accuracy()[at] == pytest.approx(accuracy_score(labels[rows], predictions[rows]))
        error = mean_absolute_error(labels[rows].astype(float), predictions[rows].astype(float))
        assert draws.absolute_error()[at] == pytest.approx(error)


def test_bootstrap_is_the_same_every_time_and_does_not_hang_on_the_numbers_of_episodes() -> None:
    episodes = np.repeat(np.arange(9), 11)
    first = metrics.Bootstrap.over(episodes)
    assert np.array_equal(first.weights, metrics.Bootstrap.over(episodes * 5 - 3).weights)
    assert first.weights.shape == (metrics.RESAMPLES, 9)
    assert (first.weights.sum(axis=1) == 9).all()
    assert not np.array_equal(first.weights, metrics.Bootstrap.over(episodes, seed=1).weights)


def test_interval_of_dependent_rows_is_wider_than_that_of_independent_ones() -> None:
    right = np.repeat(np.random.default_rng(0).random(20) < 0.5, 100)
    labels, predictions = np.ones(2000, np.uint8), right.astype(np.uint8)
    widths = []
    for episodes in (np.repeat(np.arange(20), 100), np.arange(2000)):
        accuracy = metrics.Bootstrap.over(episodes).draws(labels, predictions).accuracy()
        low, high = metrics.Draws.of(right.mean(), accuracy, len(np.unique(episodes))).interval(0, 1)
        assert low < right.mean() < high
        widths.append(high - low)
    # Theory: the deviation goes with one over the root of the number of independent draws.
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.2)


def test_paired_comparison_sees_what_two_intervals_do_not() -> None:
    generator = np.random.default_rng(3)
    episodes = np.repeat(np.arange(40), 50)
    hard = generator.random(40)[episodes]  # episodes differ much more than the two encoders do
    labels = generator.integers(0, 2, 2000).astype(np.uint8)
    draw = generator.random(2000)
    worse = np.where(draw < hard, labels, 1 - labels).astype(np.uint8)
    better = np.where(draw < hard + 0.05, labels, 1 - labels).astype(np.uint8)
    bootstrap = metrics.Bootstrap.over(episodes)
    one, other = (metrics.score_f1(labels, each, bootstrap) for each in (better, worse))
    assert one.draws.interval(0, 1)[0] < other.score
    difference = metrics.Difference.of(one.score - other.score, one.draws - other.draws)
    assert 0 < difference.low < difference.value < difference.high
    assert not difference.noise
    assert metrics.Difference.of(0.0, other.draws - other.draws).noise


@pytest.mark.parametrize("episodes", [2, 5, 12])
def test_few_episodes_do_not_make_noise_a_difference(episodes: int) -> None:
    """One in twenty purely random differences is significant; the share of 1,000 deviates by 0.7 %."""
    generator = np.random.default_rng(episodes)
    significant = excluded = 0
    for _ in range(1000):
        found = generator.normal(size=episodes) / 20
        draws = generator.multinomial(episodes, [1 / episodes] * episodes, size=400) @ found / episodes
        value = float(found.mean())
        difference = metrics.Difference.of(value, metrics.Draws.of(value, draws, episodes))
        significant += difference.p < 0.05
        excluded += not difference.noise
    assert 25 <= significant <= 75
    assert 25 <= excluded <= 100


def test_the_interval_is_centred_on_the_score_where_the_draws_are_not() -> None:
    """One episode of 20 is far off: most draws include it and are cut off at 0, the others are not."""
    episodes = np.repeat(np.arange(20), 5)
    truth = np.random.default_rng(0).normal(size=100)
    guessed = truth * 0.1
    guessed[:5] = 12
    scored = metrics.score_explained(truth, guessed[None], np.zeros(1), metrics.Bootstrap.over(episodes))
    assert scored.score == 0 < scored.draws.values.mean()
    low, high = scored.draws.interval(-1, 1)
    assert low < scored.score < high
    difference = metrics.Difference.of(0.0, scored.draws)
    assert difference.noise
    assert difference.p == 1


def test_draws_without_the_variable_say_nothing_of_its_score() -> None:
    episodes = np.repeat(np.arange(6), 20)
    truth = np.where(episodes < 2, np.random.default_rng(0).normal(size=120), np.nan)
    guessed = truth + 0.01
    scored = metrics.score_explained(truth, guessed[None], np.zeros(1), metrics.Bootstrap.over(episodes))
    assert scored.score > 0.99
    assert scored.draws.values.min() > 0.99


def test_one_episode_tells_nothing() -> None:
    draws = metrics.Draws.of(0.3, np.full(100, 0.3), 1)
    found = metrics.Difference.of(0.3, draws)
    assert (found.low, found.high, found.p, found.noise) == (-1, 1, 1, True)
    assert draws.interval(0, 1) == (0, 1)


def test_means_as_published() -> None:
    scores = {"a": 0.2, "b": 0.4, "twice": 0.9, "never": 0.0}
    categories = {"a": ["misc"], "b": ["misc"], "twice": ["misc", "agent_localization"], "never": []}
    means = metrics.category_means(scores, categories)
    assert means == {"agent_localization": 0.9, "misc": pytest.approx(0.5)}
    assert list(means) == ["agent_localization", "misc"]
    assert metrics.game_mean(scores, categories) == pytest.approx(0.7)
    assert metrics.game_mean({"never": 1.0}, categories) is None
