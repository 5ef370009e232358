"""Scores and what they mean: baselines, means as published, and intervals from a bootstrap over episodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UsageError
from atariari_data.games import CATEGORIES

RESAMPLES: Final = 1000
SEED: Final = 20190619  # of the bootstrap: the day of arXiv 1906.08226v1, the same for every result
LEVEL: Final = 0.95
VALUES: Final = 256

Labels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """All that F1, accuracy and the absolute error need to know, in groups of rows (episodes) that add up.

    Attributes:
        hits: float64 [e, 256], rows of each class that were predicted right.
        true: float64 [e, 256], rows of each class.
        predicted: float64 [e, 256], rows predicted as each class.
        error: float64 [e], sum of absolute differences.
    """

    hits: Floats
    true: Floats
    predicted: Floats
    error: Floats

    @classmethod
    def of(
        cls, labels: Labels, predictions: Labels, episodes: npt.NDArray[np.integer] | None = None
    ) -> Counts:
        """Count; all rows are one group where no episodes are given.

        Args:
            labels: uint8 [n].
            predictions: uint8 [n].
            episodes: Index of the group of each row, from 0, [n].

        Raises:
            UsageError: Not uint8 of the same length, or no rows.
        """
        for array in (labels, predictions):
            if array.dtype != np.uint8 or array.shape != (len(labels),) or not len(labels):
                raise UsageError(
                    "Only uint8 labels and as many predictions, at least one, can be scored.",
                    expected=f"uint8 [{len(labels)}]",
                    got=f"{array.dtype} {list(array.shape)}",
                )
        group = np.zeros(len(labels), np.int64) if episodes is None else np.asarray(episodes, np.int64)
        groups = int(group.max()) + 1

        def table(values: Labels, weights: npt.NDArray[np.bool_] | None = None) -> Floats:
            flat = np.bincount(group * VALUES + values, weights=weights, minlength=groups * VALUES)
            return flat.reshape(groups, VALUES).astype(np.float64)

        distance = np.abs(labels.astype(np.int16) - predictions)
        error = np.bincount(group, weights=distance, minlength=groups).astype(np.float64)
        return cls(table(labels, labels == predictions), table(labels), table(predictions), error)

    def resampled(self, weights: Floats) -> Counts:
        """Return the sums of ``weights`` [b, e] times the groups: [b, 256] and [b]."""
        return Counts(
            weights @ self.hits, weights @ self.true, weights @ self.predicted, weights @ self.error
        )

    def f1(self) -> Floats:
        """Return for each group the weighted F1, as scikit-learn defines it (0 for a class without a hit)."""
        either = self.true + self.predicted
        per_class = 2 * self.hits / np.where(either > 0, either, 1)
        return np.asarray((per_class * self.true).sum(axis=1) / self.true.sum(axis=1))

    def accuracy(self) -> Floats:
        """Return for each group the share of rows that are right."""
        return np.asarray(self.hits.sum(axis=1) / self.true.sum(axis=1))

    def absolute_error(self) -> Floats:
        """Return for each group the mean absolute difference, in the unit of the labels."""
        return np.asarray(self.error / self.true.sum(axis=1))


def weighted_f1(labels: Labels, predictions: Labels) -> float:
    """Return F1 averaged over classes by their share, scikit-learn's ``f1_score(average="weighted")``."""
    return float(Counts.of(labels, predictions).f1()[0])


def accuracy(labels: Labels, predictions: Labels) -> float:
    """Return the share of rows that are right."""
    return float(Counts.of(labels, predictions).accuracy()[0])


def mean_absolute_error(labels: Labels, predictions: Labels) -> float:
    """Return the mean distance, in the unit of the variable; for ordered variables only."""
    return float(Counts.of(labels, predictions).absolute_error()[0])


@dataclass(frozen=True)
class Bootstrap:
    """Episodes drawn with replacement, since rows of one episode are not independent.

    One object serves all variables and encoders of a split, so that means over variables and differences
    between encoders are taken draw by draw.

    Attributes:
        group: int64 [n], index of the episode of each row.
        weights: float64 [resamples, e], how often each draw takes each episode.
    """

    group: npt.NDArray[np.int64]
    weights: Floats

    @classmethod
    def over(
        cls, episodes: npt.NDArray[np.integer], *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> Bootstrap:
        """Draw.

        Args:
            episodes: Number of the episode of each row, [n]; any integers.
            resamples: How many draws.
            seed: The seed of the draws; the same seed and episodes give the same draws.
        """
        names, group = np.unique(np.asarray(episodes), return_inverse=True)
        generator = np.random.Generator(np.random.PCG64(seed))
        share = np.full(len(names), 1 / len(names))
        weights = generator.multinomial(len(names), share, size=resamples).astype(np.float64)
        return cls(group.reshape(-1).astype(np.int64), weights)

    def draws(self, labels: Labels, predictions: Labels) -> Counts:
        """Return the counts of every draw: [resamples, 256] and [resamples]."""
        return Counts.of(labels, predictions, self.group).resampled(self.weights)


@dataclass(frozen=True)
class Draws:
    """A score, or the difference of two, and what it is in every draw of a bootstrap over episodes.

    Attributes:
        value: That of all episodes.
        values: float64 [resamples], with the variance of the mean of independent episodes.
        freedom: Degrees of freedom: the number of episodes less one.
    """

    value: float
    values: Floats
    freedom: float

    @classmethod
    def of(cls, value: float, values: Floats, episodes: int) -> Draws:
        """Spread the values of a bootstrap over few episodes, which underestimates their variance.

        Args:
            value: That of all episodes.
            values: float64 [resamples].
            episodes: How many episodes there are to draw from.
        """
        if episodes > 1:  # one episode shows no spread
            middle = values.mean()
            values = np.asarray(middle + (values - middle) * math.sqrt(episodes / (episodes - 1)))
        return cls(value, values, episodes - 1)

    @classmethod
    def mean(cls, items: Sequence[Draws]) -> Draws:
        """Return the mean over variables or categories of a game, which were drawn together."""
        value = math.fsum(i.value for i in items) / len(items)
        return cls(value, np.mean([i.values for i in items], axis=0), max(i.freedom for i in items))

    @classmethod
    def over_games(cls, items: Sequence[Draws]) -> Draws:
        """Return the mean over games, which are independent.

        Its degrees of freedom are those of Welch and Satterthwaite.
        """
        known = [(float(i.values.var(ddof=1)), i.freedom) for i in items if i.freedom > 0]
        total = sum(variance for variance, _ in known)
        mean = cls.mean(items)
        return replace(mean, freedom=total**2 / sum(v**2 / f for v, f in known)) if total else mean

    def __sub__(self, other: Draws) -> Draws:
        """Return the difference of two scores of the same episodes."""
        freedom = min(self.freedom, other.freedom)
        return Draws(self.value - other.value, self.values - other.values, freedom)

    def of_game(self, game: str) -> Draws:
        """Return them in a game's own order: games are independent, though episodes are drawn alike."""
        order = np.random.default_rng([SEED, *game.encode()]).permutation(len(self.values))
        return replace(self, values=self.values[order])

    def interval(self, least: float, most: float) -> tuple[float, float]:
        """Return the 95 % interval, cut off at the bounds of the score; all between them if nothing is known.

        The percentile interval, moved by as much as the mean of the draws is off: scores that are cut off at
        0 are higher on average in few episodes than in all. That of a few episodes is too short, by the ratio
        of Student's quantile to the normal one, and is widened by it.
        """
        from scipy.special import ndtri, stdtrit

        if self.freedom <= 0:
            return least, most
        tail = (1 - LEVEL) / 2
        wider = stdtrit(self.freedom, tail) / ndtri(tail)
        apart = np.quantile(self.values, (tail, 1 - tail)) - self.values.mean()
        low, high = (float(each) for each in self.value + wider * apart)
        return max(low, least), min(high, most)


@dataclass(frozen=True)
class Scored:
    """The score of one variable under one probe.

    Attributes:
        score: From 0 to 1.
        raw: The same where it is not cut off at 0 and 1.
        draws: The score in every draw of a bootstrap.
        accuracy: The share of rows that are right; None of what has an order and is no class.
        constant_accuracy: That of the best constant.
        error: The mean absolute error; None of what has no order.
        constant_error: That of the best constant; None for F1.
    """

    score: float
    raw: float
    draws: Draws
    accuracy: float | None = None
    constant_accuracy: float | None = None
    error: float | None = None
    constant_error: float | None = None


def score_f1(truth: Labels, predictions: Labels, bootstrap: Bootstrap) -> Scored:
    """Score classes, uint8 [n], by weighted F1."""
    counts = Counts.of(truth, predictions)
    f1 = float(counts.f1()[0])
    draws = Draws.of(f1, bootstrap.draws(truth, predictions).f1(), bootstrap.weights.shape[1])
    error = float(counts.absolute_error()[0])
    return Scored(f1, f1, draws, accuracy=float(counts.accuracy()[0]), error=error)


def score_explained(
    truth: Floats,
    predictions: Floats,
    constants: Floats,
    bootstrap: Bootstrap,
    *,
    nominal: bool = False,
    period: float | None = None,
) -> Scored:
    """Score by the share of what a constant leaves unknown: ``1 - error / error of the constant``.

    The error is the number of wrong rows of a nominal variable, and the sum of squared distances otherwise
    (around the circle, if there is one). The constant of a nominal variable is the most frequent value of
    these rows: that of other rows may be wrong on nearly all of them, and guessing would be better. Several
    fits are scored one by one, cut off at 0 and 1, and averaged.

    Args:
        truth: float64 [n]; NaN on rows that do not count.
        predictions: float64 [fits, n].
        constants: What each fit predicts without features, float64 [fits]; NaN, like predictions that are
            NaN, of a fit that saw no row of the variable, which scores 0.
        bootstrap: Over the same n rows.
        nominal: Whether values are only equal or not.
        period: The length of the circle.
    """
    there = ~np.isnan(truth)
    usual = most_frequent(truth[there]) if nominal else None
    group, episodes = bootstrap.group[there], bootstrap.weights.shape[1]
    raw, resampled, errors, of_constant = [], [], [], []
    for found, constant in zip(predictions[:, there], constants, strict=True):
        if np.isnan(constant):
            raw.append(0.0)
            resampled.append(np.zeros(len(bootstrap.weights)))
            continue
        apart = _distance(found - truth[there], nominal=nominal, period=period)
        best = constant if usual is None else usual
        simple = _distance(best - truth[there], nominal=nominal, period=period)
        sums, simple_sums = (
            np.bincount(group, weights=each**2, minlength=episodes) for each in (apart, simple)
        )
        raw.append(float(_explained(sums.sum(), simple_sums.sum(), 0.0)))
        draws = _explained(bootstrap.weights @ sums, bootstrap.weights @ simple_sums, raw[-1])
        resampled.append(draws.clip(0, 1))
        errors.append(float(apart.mean()))
        of_constant.append(float(simple.mean()))
    known = errors or [0.0]
    error, constant_error = math.fsum(known) / len(known), math.fsum(of_constant or [0.0]) / len(known)
    score = math.fsum(min(1.0, max(0.0, each)) for each in raw) / len(raw)
    spread = Draws.of(score, np.mean(resampled, axis=0), len(np.unique(group)))
    mean = math.fsum(raw) / len(raw)
    if nominal:
        return Scored(score, mean, spread, accuracy=1 - error, constant_accuracy=1 - constant_error)
    return Scored(score, mean, spread, error=error, constant_error=constant_error)


def most_frequent(values: Floats | Labels) -> float:
    """Return the most frequent value, the lowest of equals; NaN if there are none."""
    different, count = np.unique(values, return_counts=True)
    return float(different[count.argmax()]) if len(values) else math.nan


def _distance(apart: Floats, *, nominal: bool, period: float | None) -> Floats:
    if nominal:
        return np.asarray(apart != 0, np.float64)
    if period is not None:
        apart = (apart + period / 2) % period - period / 2
    return np.abs(apart)


def _explained(error: npt.ArrayLike, of_constant: npt.ArrayLike, otherwise: float) -> Floats:
    """Return 1 - error / error of the constant; ``otherwise`` where the constant has none.

    A draw without an episode in which the variable occurs says nothing of its score.
    """
    unknown = np.asarray(of_constant, np.float64)
    there = unknown > 0
    return np.where(there, 1 - np.asarray(error) / np.where(there, unknown, 1), otherwise)


@dataclass(frozen=True)
class Difference:
    """How much better ``a`` is than ``b`` on the same rows.

    Attributes:
        value: Score of ``a`` minus score of ``b``.
        low: Lower end of the 95 % interval of the paired bootstrap; -1 if nothing is known.
        high: Upper end; 1 if nothing is known.
        p: Two-sided, of no difference: by Student's distribution with the standard error of the bootstrap.
    """

    value: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, value: float, draws: Draws) -> Difference:
        """Make it from a difference and its draws."""
        from scipy.special import stdtr

        low, high = draws.interval(-1, 1)
        if draws.freedom <= 0:
            return cls(value, low, high, 1.0)
        error = float(draws.values.std(ddof=1))
        p = float(2 * stdtr(draws.freedom, -abs(value) / error)) if error else float(not value)
        return cls(value, low, high, p)

    @property
    def noise(self) -> bool:
        """Whether zero lies in the interval, so that the rows do not tell the two apart."""
        return self.low <= 0 <= self.high


def holm(p: Sequence[float], level: float = 1 - LEVEL) -> list[bool]:
    """Return which hypotheses Holm's method rejects: in all of them together, a false one at ``level``.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    rejected = [False] * len(p)
    for rank, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[at] > level / (len(p) - rank):
            break
        rejected[at] = True
    return rejected


def category_means(scores: Mapping[str, float], categories: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """Return the mean score of each category that has a variable, in the order of ``CATEGORIES``.

    Args:
        scores: Name of the variable to its score.
        categories: Name of the variable to the categories it counts in: one in ``v1``; in ``anand2019`` also
            two (it counts in both) or none (it does not count), as its code had it.
    """
    members: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    for name, score in scores.items():
        for category in categories[name]:
            members[category].append(score)
    return {category: math.fsum(m) / len(m) for category, m in members.items() if m}


def game_mean(scores: Mapping[str, float], categories: Mapping[str, Iterable[str]]) -> float | None:
    """Return the mean over the categories' means, the published score of a game; None if nothing counts."""
    means = category_means(scores, categories)
    return math.fsum(means.values()) / len(means) if means else None
