"""Scores published in arXiv 1906.08226. They use another protocol and are shown for orientation only."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from atariari_data.games import Variable, game

SOURCE = "https://arxiv.org/abs/1906.08226"
_METHODS = {
    "maj-clf": "Majority",
    "random-cnn": "Random CNN",
    "vae": "VAE",
    "pixel-pred": "Pixel-Pred",
    "cpc": "CPC",
    "st-dim": "ST-DIM",
    "supervised": "Supervised",
}
_CATEGORIES = {
    "Small Loc.": "small_object_localization",
    "Agent Loc.": "agent_localization",
    "Other Loc.": "other_localization",
    "Score/Clock/Lives/Display": "score_clock_lives_display",
    "Misc.": "misc",
}


@dataclass(frozen=True)
class Published:
    """A method's F1 on frames of random play under the paper's probe (tables 2 and 3).

    Attributes:
        name: The method's name.
        mean: Mean over the games.
        games: F1 by game.
        categories: F1 by category.
        variables: F1 by game and variable of label set ``anand2019`` (appendix).
    """

    name: str
    mean: float
    games: dict[str, float]
    categories: dict[str, float]
    variables: dict[tuple[str, str], float]


@cache
def published() -> tuple[Published, ...]:
    """Return the methods, best first."""
    games, categories, variables = (
        _table(f"anand2019_{name}.csv") for name in ("games", "categories", "variables")
    )
    found = [
        Published(
            name=title,
            mean=float(next(row[column] for row in games if row["game"] == "mean")),
            games={game(row["game"]).name: float(row[column]) for row in games if row["game"] != "mean"},
            categories={_CATEGORIES[row["category"]]: float(row[column]) for row in categories},
            variables={(game(row["game"]).name, row["variable"]): float(row[column]) for row in variables},
        )
        for column, title in _METHODS.items()
    ]
    return tuple(sorted(found, key=lambda method: -method.mean))


def same_label(game_name: str, name: str, label_set: str) -> str | None:
    """Return the variable of a label set that maps one to one to an ``anand2019`` variable, or None."""

    def bits(v: Variable) -> tuple[object, ...]:
        return v.address, v.mask, v.step, v.motion  # a decimal maps one to one to its byte

    published_as = next(v for v in game(game_name).variables("anand2019") if v.name == name)
    same = (v.name for v in game(game_name).variables(label_set) if bits(v) == bits(published_as))
    return next(same, None)


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("harness.leaderboard").joinpath("data", name).read_text(encoding="ascii")
    return list(csv.DictReader(text.splitlines()))
