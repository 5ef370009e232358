"""Intervals of means, computed from a result's predictions by a bootstrap over episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from atariari_data.games import CATEGORIES
from harness.metrics import SEED, Bootstrap, Floats, interval
from harness.probes.probe import ProbeRun
from harness.results.means import APART
from harness.results.predictions import Predicted, Predictions
from harness.results.result import Signed

Intervals: TypeAlias = Mapping[tuple[str | None, ProbeRun, str | None], tuple[float, float]]
"""Intervals by game (None: the suite), probe, and category (None: the mean over categories)."""


def mean_intervals(signed: Signed, predictions: Mapping[str, Predictions]) -> Intervals:
    """Return 95 % intervals of the score of every category, game and suite mean.

    The variables of a game are resampled together, so that the interval of their mean includes what one
    episode does to all of them. Games are resampled independently. A game with a single test episode has no
    interval.
    """
    found: dict[tuple[str | None, ProbeRun, str | None], tuple[float, float]] = {}
    for at, probe in enumerate(signed.probes):
        run = signed.fitted(probe.run)
        games = {name: _draws(signed, predictions[name][probe.run], name, at) for name in signed.games}
        counted = {
            name: [draws for category, draws in of_game.items() if category not in APART]
            for name, of_game in games.items()
        }
        means = {name: np.mean(draws, axis=0) for name, draws in counted.items() if draws}
        for name, mean in means.items():
            found[name, run, None] = interval(mean)
        for name, of_game in games.items():
            found |= {(name, run, c): interval(draws) for c, draws in of_game.items()}

        if signed.suite[at].means.score is None or len(means) < len(signed.dataset.suite_games):
            continue
        found[None, run, None] = interval(np.mean(list(means.values()), axis=0))
        for category in (*CATEGORIES, *APART):
            if members := [draws[category] for draws in games.values() if category in draws]:
                found[None, run, category] = interval(np.mean(members, axis=0))
    return found


def _draws(signed: Signed, found: Predicted, game: str, at: int) -> dict[str, Floats]:
    """Return the score in every bootstrap draw, by category."""
    bootstrap = Bootstrap.over(found.episode)
    if bootstrap.weights.shape[1] < 2:  # noqa: PLR2004  one episode shows no spread
        return {}
    order = np.random.default_rng([SEED, *game.encode()]).permutation(len(bootstrap.weights))
    members: dict[str, list[Floats]] = {}
    for v, variable in enumerate(signed.games[game].scores[at].variables):
        if variable.categories:
            draws = found.score(v, signed.probes[at].metric, variable.target, bootstrap).draws[order]
            for category in variable.categories:
                members.setdefault(category, []).append(draws)
    return {category: np.mean(draws, axis=0) for category, draws in members.items()}
