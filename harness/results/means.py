"""The means in a result, computed by the same code when a result is written and when it is checked.

Each level is the plain mean of the rounded numbers one level below, rounded half to even at the fourth place.
The arithmetic uses integers (ten-thousandths), so the means can be checked with a pocket calculator. A mean
over a missing number is null, with a reason. Normalised scores are not averaged, because variables with
little room between trivial encoder and ceiling would dominate: the normalised mean is computed from the means
of the score, of the best trivial encoder and of the ceiling.

This is plain Python, because a leaderboard's gate needs it and is installed without NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

METRICS = ("score", "constant")
"""Metrics whose mean has a reason when it is null."""

BOUNDS = ("trivial", "ceiling")
"""What a score is compared with, where known."""

TRIVIAL = ("pixels_pca", "random_projection", "random_cnn")
"""Columns with the scores of the trivial encoders."""

APART = ("motion",)
"""Categories whose means are shown, but are not part of a game's mean."""

ONE = 10_000
"""A score of 1, in ten-thousandths."""

LEAST_ROOM = 500
"""Smallest distance of trivial encoder and ceiling for a normalised score, in ten-thousandths."""

AVERAGED = (*METRICS, *BOUNDS)
"""Columns whose means a result has."""

Row = Mapping[str, Any]
Number: TypeAlias = float | None
"""A number with four decimal places, as in a result; None if it is missing."""
Averaged: TypeAlias = tuple[Number, ...]
"""One number for each of `AVERAGED`."""
_NOTHING = (None,) * len(AVERAGED)


def column_of(table: Mapping[str, Sequence[Any]], key: str) -> Sequence[Number]:
    """Return a column of a table, which leaves out those that are null throughout."""
    return table[key] if key in table else [None] * len(table["name"])


def best_trivial(table: Mapping[str, Sequence[Any]]) -> list[Number]:
    """Return the score of each row's best trivial encoder or constant; None if no encoder's is known."""
    constants = column_of(table, "constant")
    encoders = [table[key] for key in TRIVIAL if key in table]
    if encoders and not any(None in column for column in (constants, *encoders)):
        return list(map(max, constants, *encoders))  # nearly always, and fast
    return [_best(*row) for row in zip(constants, *encoders, strict=True)]


def _best(constant: Number, *scores: Number) -> Number:
    known = [score for score in scores if score is not None]
    return max(constant, *known) if known and constant is not None else None


def normalised(score: Number, trivial: Number, ceiling: Number) -> Number:
    """Return the score rescaled so that the best trivial encoder is 0 and the ceiling is 1.

    It is negative below the trivial encoder, down to -1: as far below it as the ceiling is above, or farther.
    None if one of the three is unknown or the ceiling is less than 0.05 above the trivial encoder, which
    leaves no room to tell encoders apart.
    """
    if score is None or trivial is None or ceiling is None:
        return None
    above, room = round((score - trivial) * ONE), round((ceiling - trivial) * ONE)
    return max(-1, _divided(above * ONE, room)) if room >= LEAST_ROOM else None


def mean(values: Sequence[Number]) -> Number:
    """Return the mean, rounded half to even; None if there is no number or one is missing."""
    if not values or None in values:
        return None
    total = sum(cast("Sequence[float]", values))
    return _divided(round(total * ONE), len(values))  # exact, as a whole number of ten-thousandths


def _divided(dividend: int, divisor: int) -> float:
    """Divide a whole number of ten-thousandths by a positive one, rounded half to even; 1 for 1.0.

    A quotient of floats is exactly half only if the true one is: others are half a divisor's fraction away.
    """
    units = round(dividend / divisor)
    return units / ONE if units % ONE else units // ONE


def fill(signed: dict[str, Any]) -> None:
    """Add everything computed from the scores to the signed part of a result, given as dicts and lists."""
    games = signed["games"]
    for scores in (scores for game in games.values() for scores in game["scores"]):
        _check_numbers(scores["variables"])
    means, signed["suite"] = all_means(games, signed["dataset"]["suite_games"], signed["probes"])
    for name, game in games.items():
        for scores, of_it in zip(game["scores"], means[name], strict=True):
            scores["means"] = of_it


def _check_numbers(table: Mapping[str, Sequence[Any]]) -> None:
    for key in (*METRICS, "ceiling", *TRIVIAL):
        for value in column_of(table, key):
            if not isinstance(value, int | float | None):
                raise TypeError(f"{key} is {value!r}")


def all_means(
    games: Mapping[str, Any], suite: Sequence[str], probes: Sequence[Row]
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return the means of every game under every probe, and those of the suite.

    Args:
        games: As in a result.
        suite: All games of the suite.
        probes: As in a result.

    Returns:
        The ``means`` of each game's ``scores``, by game; and ``suite``, whose means are null if a game is
        missing.
    """
    means: dict[str, list[dict[str, Any]]] = {name: [] for name in games}
    of_suite = []
    for probe, *of_games in zip(probes, *(game["scores"] for game in games.values()), strict=True):
        wholes, below = [], []
        for (name, game), scores in zip(games.items(), of_games, strict=True):
            variables, categories = scores["variables"], _categories(game, probe, scores)
            found = _grouped(zip(_averaged(variables), categories, strict=True))
            of_categories = {category: _mean(rows) for category, rows in found.items()}
            whole = _mean([row for category, row in of_categories.items() if category not in APART])
            printed = _printed(whole, of_categories, found)
            means[name].append({**printed, "reason": _reason(printed, variables, categories)})
            wholes.append(whole)
            below += [(row, (category,)) for category, row in of_categories.items()]
        found = _grouped(below)
        of_it = _printed(_mean(wholes), {category: _mean(rows) for category, rows in found.items()}, found)
        last = {name: of_game[-1] for name, of_game in means.items()}
        of_suite.append(_of_suite(probe, of_it, last, suite))
    return means, of_suite


def _averaged(table: Mapping[str, Sequence[Any]]) -> Iterable[Averaged]:
    """Return the numbers of each row that are averaged."""
    columns = [best_trivial(table) if key == "trivial" else column_of(table, key) for key in AVERAGED]
    return zip(*columns, strict=True)


def _grouped(rows: Iterable[tuple[Averaged, Iterable[str]]]) -> dict[str, list[Averaged]]:
    """Return the rows of each category, by name in alphabetical order."""
    found: dict[str, list[Averaged]] = {}
    for row, categories in rows:
        for category in categories:
            found.setdefault(category, []).append(row)
    return dict(sorted(found.items()))


def _mean(rows: Sequence[Averaged]) -> Averaged:
    return tuple(map(mean, zip(*rows, strict=True))) if rows else _NOTHING


def _printed(
    whole: Averaged, of_categories: Mapping[str, Averaged], rows: Mapping[str, Sequence[Averaged]]
) -> dict[str, Any]:
    """Return a mean as a dict, with those of its categories, without a reason."""
    categories = [
        {**_numbers(row), "category": category, "count": len(rows[category])}
        for category, row in of_categories.items()
    ]
    return {**_numbers(whole), "categories": categories}


def _numbers(row: Averaged) -> dict[str, Number]:
    score, constant, trivial, ceiling = row
    return {
        "score": score,
        "constant": constant,
        "trivial": trivial,
        "ceiling": ceiling,
        "normalised": normalised(score, trivial, ceiling),
    }


def _categories(game: Mapping[str, Any], probe: Row, scores: Mapping[str, Any]) -> list[list[str]]:
    """Return the categories of each variable that a probe scored."""
    known = game["variables"][probe["metric"]]
    if known["name"] == scores["variables"]["name"]:
        return cast("list[list[str]]", known["categories"])
    found = dict(zip(known["name"], known["categories"], strict=True))
    return [found[name] for name in scores["variables"]["name"]]


def _reason(
    mean: Row, variables: Mapping[str, Sequence[Any]], categories: Sequence[Sequence[str]]
) -> str | None:
    """Return why a game's mean is missing, or None."""
    if all(mean[metric] is not None for metric in METRICS):
        return None
    names = variables["name"]
    nothing = [None] * len(names)
    scores = zip(*(variables.get(metric, nothing) for metric in METRICS), strict=True)
    rows = zip(names, categories, scores, strict=True)
    missing = [name for name, of_it, found in rows if of_it and None in found]
    return "no score for " + ", ".join(missing) if missing else "no variable counts in a category"


def _of_suite(
    probe: Row, mean: dict[str, Any], games: Mapping[str, Row], suite: Sequence[str]
) -> dict[str, Any]:
    """Return the suite's means under a probe; null, with a reason, if a game is missing."""
    nothing = _numbers(_NOTHING)
    absent = [name for name in suite if name not in games]
    without = [name for name, means in games.items() if any(means[metric] is None for metric in METRICS)]
    reasons = [
        *([f"not evaluated: {', '.join(absent)}"] if absent else []),
        *([f"no mean for {', '.join(without)}"] if without else []),
    ]
    if reasons:
        mean = {**mean, **nothing}
    if absent:
        mean["categories"] = [{**category, **nothing} for category in mean["categories"]]
    return {
        **{key: probe[key] for key in ("probe", "train_rows", "fitted_on", "scored_on")},
        "means": {**mean, "reason": "; ".join(reasons) or None},
    }
