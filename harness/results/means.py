"""The means in a result, computed by the same code when a result is written and when it is checked.

Each level is the plain mean of the rounded numbers one level below, rounded half to even at the fourth place.
The arithmetic uses integers (ten-thousandths), so the means can be checked with a pocket calculator. A mean
over a missing number is null, with a reason. Normalised scores are not averaged, because variables with
little room between trivial encoder and ceiling would dominate: the normalised mean is computed from the means
of the score, of the best trivial encoder and of the ceiling.

A leaderboard checks hundreds of thousands of rows, so all means of a result are computed at once, as float64
arrays with NaN for missing numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

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

LEAST_ROOM = 100
"""Smallest distance of trivial encoder and ceiling for a normalised score, in ten-thousandths."""

AVERAGED = (*METRICS, *BOUNDS)
"""Columns whose means a result has."""

_PRINTED = (*AVERAGED, "normalised")

Row = Mapping[str, Any]
Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.int64]


def columns_of(tables: Sequence[Mapping[str, Sequence[Any]]], keys: Sequence[str]) -> dict[str, Floats]:
    """Return the named columns of all tables stacked, each float64 [rows], NaN for null or no such column."""
    sizes = [len(table["name"]) for table in tables]
    there = [key for key in keys if any(key in table for table in tables)]
    values = chain.from_iterable(
        table.get(key) or [None] * size for key in there for table, size in zip(tables, sizes, strict=True)
    )
    rows = np.array(list(values), np.float64).reshape(len(there), sum(sizes))
    nothing = np.full(sum(sizes), np.nan)
    return dict.fromkeys(keys, nothing) | dict(zip(there, rows, strict=True))


def best_trivial(columns: Mapping[str, Floats]) -> Floats:
    """Return the score of each row's best trivial encoder or constant; NaN if no encoder's is known."""
    known = np.array([columns[key] for key in TRIVIAL])
    best = np.where(np.isnan(known), -np.inf, known).max(axis=0)
    return np.where(np.isinf(best), np.nan, np.maximum(best, columns["constant"]))


def normalised(score: Floats, trivial: Floats, ceiling: Floats) -> Floats:
    """Return the score rescaled so that the best trivial encoder is 0 and the ceiling is 1.

    It is negative below the trivial encoder, and NaN if one of the two is unknown or the ceiling is less than
    0.01 above the trivial encoder, which leaves no room to tell encoders apart.
    """
    above, room = np.rint((score - trivial) * ONE), np.rint((ceiling - trivial) * ONE)
    return _divided(above * ONE, np.where(room >= LEAST_ROOM, room, 0))


def grouped(values: Floats, groups: Numbers, count: int) -> Floats:
    """Return the mean of each group of rows.

    Args:
        values: float64 [rows, k], with four decimal places; NaN for missing numbers.
        groups: int64 [rows], the group of each row.
        count: Number of groups.

    Returns:
        float64 [count, k], rounded half to even; NaN for an empty group or one with a missing number.
    """
    sizes = np.bincount(groups, minlength=count)
    units = np.rint(values * ONE)  # whole numbers, so that their sums are exact
    totals = np.array([np.bincount(groups, column, minlength=count) for column in units.T], np.float64)
    return _divided(totals.T, sizes[:, None])


def _divided(dividend: Floats, divisor: npt.NDArray[Any]) -> Floats:
    """Divide whole numbers, in ten-thousandths, rounded half to even; NaN for a divisor of 0 or a NaN."""
    known = ~np.isnan(dividend) & (divisor > 0)
    above = np.where(known, dividend, 0).astype(np.int64)
    below = np.broadcast_to(np.where(divisor > 0, divisor, 1), above.shape).astype(np.int64)
    quotient, rest = np.divmod(2 * above + below, 2 * below)
    quotient -= (rest == 0) & (quotient % 2 == 1)  # exactly half, rounded up to an odd number
    return np.where(known, quotient / ONE, np.nan)


def fill(signed: dict[str, Any]) -> None:
    """Add everything computed from the scores to the signed part of a result, given as dicts and lists."""
    games, probes = signed["games"], signed["probes"]
    parts = _parts(games, probes)
    tables = [scores["variables"] for _, _, scores in parts]
    columns = columns_of(tables, ("score", "constant", "ceiling", *TRIVIAL))
    columns["trivial"] = best_trivial(columns)
    means, signed["suite"] = all_means(games, signed["dataset"]["suite_games"], probes, columns)
    for number, name, scores in parts:
        scores["means"] = means[name][number]


def all_means(
    games: Mapping[str, Any], suite: Sequence[str], probes: Sequence[Row], columns: Mapping[str, Floats]
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return the means of every game under every probe, and those of the suite.

    Args:
        games: As in a result.
        suite: All games of the suite.
        probes: As in a result.
        columns: The numbers to average, as returned by `columns_of`: of all games under the first probe, then
            under the next one.

    Returns:
        The ``means`` of each game's ``scores``, by game; and ``suite``, whose means are null if a game is
        missing.
    """
    parts = _parts(games, probes)
    members = [_categories(games[name], probes[number], scores) for number, name, scores in parts]
    names = list(chain.from_iterable(members))
    rows = np.repeat(np.arange(len(names)), list(map(len, names)))
    part_of = np.repeat(np.arange(len(parts)), list(map(len, members)))[rows]
    keys, groups = _numbered(zip(part_of.tolist(), chain.from_iterable(names), strict=True))
    values = np.stack([columns[key] for key in AVERAGED], axis=1)
    of_categories = grouped(values[rows], groups, len(keys))
    counts = np.array([category not in APART for _, category in keys], np.bool_)
    of_parts = grouped(of_categories[counts], np.array([p for p, _ in keys], np.int64)[counts], len(parts))
    means: dict[str, list[dict[str, Any]]] = {}
    found = _means(of_parts, keys, of_categories, groups)
    for (_, name, scores), categories, mean in zip(parts, members, found, strict=True):
        means.setdefault(name, []).append({**mean, "reason": _reason(mean, scores["variables"], categories)})

    probe_of = np.array([number for number, _, _ in parts], np.int64)
    both, groups = _numbered((parts[part][0], category) for part, category in keys)
    of_probes = grouped(of_parts, probe_of, len(probes))
    found = _means(of_probes, both, grouped(of_categories, groups, len(both)), groups)
    return means, [
        _of_suite(probe, mean, {name: of_game[number] for name, of_game in means.items()}, suite)
        for number, (probe, mean) in enumerate(zip(probes, found, strict=True))
    ]


def _parts(games: Mapping[str, Any], probes: Sequence[Row]) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the scores of all games under the first probe, then under the next one, with probe and game."""
    of_games = (game["scores"] for game in games.values())
    return [
        (number, name, scores)
        for number, (_, *found) in enumerate(zip(probes, *of_games, strict=True))
        for name, scores in zip(games, found, strict=True)
    ]


def _numbered(keys: Iterable[tuple[int, str]]) -> tuple[list[tuple[int, str]], Numbers]:
    """Return the different keys, sorted, and the number of each given key among them."""
    keys = list(keys)
    found = sorted(set(keys))
    numbers = {key: number for number, key in enumerate(found)}
    return found, np.array([numbers[key] for key in keys], np.int64)


def _means(
    values: Floats, keys: Sequence[tuple[int, str]], below: Floats, groups: Numbers
) -> list[dict[str, Any]]:
    """Combine means with those of their categories, without a reason.

    Args:
        values: The means.
        keys: Of each category, the number of the mean that it belongs to, and its name.
        below: The means of the categories.
        groups: The category of each row that they are means over.
    """
    categories: list[list[dict[str, Any]]] = [[] for _ in values]
    sizes = np.bincount(groups, minlength=len(keys)).tolist()
    of_each = _printed(below, category=[name for _, name in keys], count=sizes)
    for (number, _), mean in zip(keys, of_each, strict=True):
        categories[number].append(mean)
    return _printed(values, categories=categories)


def _printed(values: Floats, **more: Sequence[Any]) -> list[dict[str, Any]]:
    """Return rows of means as dicts, with normalised scores and further fields."""
    score, trivial, ceiling = (values[:, AVERAGED.index(key)] for key in ("score", *BOUNDS))
    numbers = plain(np.vstack([values.T, normalised(score, trivial, ceiling)]))
    columns = {**dict(zip(_PRINTED, numbers, strict=True)), **more}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plain(values: Floats) -> list[Any]:
    """Return an array as lists, with None for NaN and 1 for 1.0, as JSON tools write it."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    whole = values == np.rint(values)
    plain[whole] = values[whole].astype(np.int64)
    return cast("list[Any]", plain.tolist())


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
    nothing = dict.fromkeys(_PRINTED)
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
