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

from collections.abc import Mapping, Sequence
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

_AVERAGED = (*METRICS, *BOUNDS)
_PRINTED = (*_AVERAGED, "normalised")

Row = Mapping[str, Any]
Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.int64]


def columns_of(tables: Sequence[Mapping[str, Sequence[Any]]], keys: Sequence[str]) -> dict[str, Floats]:
    """Return the named columns of all tables stacked, each float64 [rows]."""
    return {key: np.array([value for table in tables for value in table[key]], np.float64) for key in keys}


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
    games = signed["games"]
    tables = [scores["variables"] for game in games.values() for scores in game["scores"]]
    columns = columns_of(tables, ("score", "constant", "ceiling", *TRIVIAL))
    best = best_trivial(columns)
    relative = normalised(columns["score"], best, columns["ceiling"])
    means, signed["suite"] = all_means(
        games, signed["dataset"]["suite_games"], signed["probes"], {**columns, "trivial": best}
    )
    first = 0
    for name, game in games.items():
        for scores, mean in zip(game["scores"], means[name], strict=True):
            part = slice(first, first := first + len(scores["variables"]["name"]))
            scores["variables"] |= {
                "trivial": _plain(best[part]),
                "normalised": _plain(relative[part]),
            }
            scores["means"] = mean


def all_means(
    games: Mapping[str, Any], suite: Sequence[str], probes: Sequence[Row], columns: Mapping[str, Floats]
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return the means of every game under every probe, and those of the suite.

    Args:
        games: As in a result.
        suite: All games of the suite.
        probes: As in a result.
        columns: The numbers to average, as returned by `columns_of`.

    Returns:
        The ``means`` of each game's ``scores``, by game; and ``suite``, whose means are null if a game is
        missing.
    """
    parts = [(name, n, s["variables"]) for name, game in games.items() for n, s in enumerate(game["scores"])]
    keys: list[tuple[int, str]] = []
    rows: list[int] = []
    sizes: list[int] = []
    first = 0
    for part, (_, _, variables) in enumerate(parts):
        members: dict[str, list[int]] = {}
        for number, categories in enumerate(variables["categories"], first):
            for category in categories:
                members.setdefault(category, []).append(number)
        for category in sorted(members):
            keys.append((part, category))
            rows += members[category]
            sizes.append(len(members[category]))
        first += len(variables["categories"])
    part_of = np.array([part for part, _ in keys], np.int64)
    values = np.stack([columns[key] for key in _AVERAGED], axis=1)
    of_categories = grouped(values[rows], np.repeat(np.arange(len(keys)), sizes), len(keys))
    counts = np.array([category not in APART for _, category in keys], np.bool_)
    of_parts = grouped(of_categories[counts], part_of[counts], len(parts))
    found = _means(of_parts, part_of, keys, _printed(of_categories), sizes)
    means: dict[str, list[dict[str, Any]]] = {}
    for (name, _, variables), mean in zip(parts, found, strict=True):
        means.setdefault(name, []).append({**mean, "reason": _reason(mean, variables)})

    probe_of = np.array([number for _, number, _ in parts], np.int64)
    keys = [(int(probe_of[part]), category) for part, category in keys]
    return means, _suite_means(of_parts, probe_of, of_categories, keys, means, suite, probes)


def _suite_means(
    of_games: Floats,
    probe_of: Numbers,
    of_categories: Floats,
    keys: Sequence[tuple[int, str]],
    means: Mapping[str, Sequence[Row]],
    suite: Sequence[str],
    probes: Sequence[Row],
) -> list[dict[str, Any]]:
    """Return the means of the suite from the means of games and of their categories."""
    both = sorted(set(keys))
    place = {key: number for number, key in enumerate(both)}
    groups = np.array([place[key] for key in keys], np.int64)
    found = _means(
        grouped(of_games, probe_of, len(probes)),
        np.array([number for number, _ in both], np.int64),
        both,
        _printed(grouped(of_categories, groups, len(both))),
        np.bincount(groups, minlength=len(both)).tolist(),
    )
    return [
        _of_probe(probe, number, mean, means, suite)
        for number, (probe, mean) in enumerate(zip(probes, found, strict=True))
    ]


def _means(
    values: Floats,
    part_of: Numbers,
    keys: Sequence[tuple[int, str]],
    below: Sequence[Any],
    sizes: Sequence[int],
) -> list[dict[str, Any]]:
    """Combine means with the categories below them, without a reason."""
    categories: list[list[dict[str, Any]]] = [[] for _ in values]
    for part, (_, name), row, count in zip(part_of.tolist(), keys, below, sizes, strict=True):
        categories[part].append({**row, "category": name, "count": count})
    return [{**row, "categories": c} for row, c in zip(_printed(values), categories, strict=True)]


def _printed(values: Floats) -> list[dict[str, Any]]:
    """Return rows of means as dicts, with normalised scores."""
    score, trivial, ceiling = (values[:, _AVERAGED.index(key)] for key in ("score", *BOUNDS))
    table = _plain(np.column_stack([values, normalised(score, trivial, ceiling)]))
    return [dict(zip(_PRINTED, row, strict=True)) for row in table]


def _plain(values: Floats) -> list[Any]:
    """Return an array as lists, with None for NaN and 1 for 1.0, as JSON tools write it."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    whole = values == np.rint(values)
    plain[whole] = values[whole].astype(np.int64)
    return cast("list[Any]", plain.tolist())


def _reason(mean: Row, variables: Mapping[str, Sequence[Any]]) -> str | None:
    """Return why a game's mean is missing, or None."""
    if all(mean[metric] is not None for metric in METRICS):
        return None
    rows = zip(*(variables[key] for key in ("name", "categories", *METRICS)), strict=True)
    missing = [name for name, categories, *scores in rows if categories and None in scores]
    return "no score for " + ", ".join(missing) if missing else "no variable counts in a category"


def _of_probe(
    probe: Row, number: int, mean: dict[str, Any], games: Mapping[str, Sequence[Row]], suite: Sequence[str]
) -> dict[str, Any]:
    """Return the suite's means under a probe; null, with a reason, if a game is missing."""
    nothing = dict.fromkeys(_PRINTED)
    absent = [name for name in suite if name not in games]
    without = [
        name for name, means in games.items() if any(means[number][metric] is None for metric in METRICS)
    ]
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
