"""Intervals of means, computed from a result's predictions by a bootstrap over episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from atariari_data.games import CATEGORIES
from harness.metrics import Bootstrap, Draws
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
        means = {name: Draws.mean(draws) for name, draws in counted.items() if draws}
        for name, mean in means.items():
            found[name, run, None] = mean.interval(0, 1)
        for name, of_game in games.items():
            found |= {(name, run, c): draws.interval(0, 1) for c, draws in of_game.items()}

        if signed.suite[at].means.score is None or len(means) < len(signed.dataset.suite_games):
            continue
        found[None, run, None] = Draws.over_games(list(means.values())).interval(0, 1)
        for category in (*CATEGORIES, *APART):
            if members := [draws[category] for draws in games.values() if category in draws]:
                found[None, run, category] = Draws.over_games(members).interval(0, 1)
    return found


def _draws(signed: Signed, found: Predicted, game: str, at: int) -> dict[str, Draws]:
    """Return the score in every bootstrap draw, by category."""
    bootstrap = Bootstrap.over(found.episode)
    if bootstrap.weights.shape[1] < 2:  # noqa: PLR2004  one episode shows no spread
        return {}
    members: dict[str, list[Draws]] = {}
    for v, variable in enumerate(signed.games[game].scores[at].variables):
        if variable.categories:
            scored = found.score(v, signed.probes[at].metric, variable.target, bootstrap)
            draws = scored.draws.of_game(game)
            for category in variable.categories:
                members.setdefault(category, []).append(draws)
    return {category: Draws.mean(draws) for category, draws in members.items()}
