"""The means of a result, computed alike by who writes it and who checks it.

Each level is the plain mean of the printed, rounded numbers one level below, rounded half to even at the
fourth place, in whole numbers (ten-thousandths): anyone can follow it with a pocket calculator. A mean over
something missing is null, with the reason. A normalised score is not averaged: it is computed from the means
of F1, of the best trivial encoder and of the ceiling, since a variable with little room would rule the mean.

A leaderboard checks hundreds of thousands of rows, so all of a result are computed at once, as float64 arrays
with NaN for what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

METRICS = ("f1", "accuracy", "majority_f1", "majority_accuracy")
"""What a mean says why it is missing."""

BOUNDS = ("trivial_f1", "ceiling_f1")
"""What F1 is measured against, where it is known."""

TRIVIAL = ("majority_f1", "pixels_pca_f1", "random_projection_f1")
"""F1 of the trivial encoders."""

ONE = 10_000
"""Scores are whole numbers of ten-thousandths."""

LEAST_ROOM = 100
"""Of them between the best trivial encoder and the ceiling, for a normalised score."""

_AVERAGED = (*METRICS, *BOUNDS)
_PRINTED = (*_AVERAGED, "normalised_f1")

Row = Mapping[str, Any]
Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.int64]


def columns_of(tables: Sequence[Mapping[str, Sequence[Any]]], keys: Sequence[str]) -> dict[str, Floats]:
    """Return the numbers of tables by name, one table below the other, each float64 [rows]."""
    return {key: np.array([value for table in tables for value in table[key]], np.float64) for key in keys}


def best_trivial(columns: Mapping[str, Floats]) -> Floats:
    """Return F1 of the best trivial encoder of each row; NaN where one of the three is not known."""
    return np.asarray(np.max([columns[key] for key in TRIVIAL], axis=0))


def normalised(f1: Floats, trivial: Floats, ceiling: Floats) -> Floats:
    """Return where F1 lies between the best trivial encoder (0) and the ceiling (1).

    Under the trivial encoder it is negative. NaN where one of them is not known, and where the ceiling is
    less than 0.01 above the trivial encoder, so that there is no room to tell encoders apart.
    """
    above, room = np.rint((f1 - trivial) * ONE), np.rint((ceiling - trivial) * ONE)
    return _divided(above * ONE, np.where(room >= LEAST_ROOM, room, 0))


def grouped(values: Floats, groups: Numbers, count: int) -> Floats:
    """Return the means of the rows of each group.

    Args:
        values: float64 [rows, k], numbers of four decimal places, NaN for what is missing.
        groups: int64 [rows], the group of each row.
        count: Number of groups.

    Returns:
        float64 [count, k], rounded half to even; NaN for a group without rows, or with one that is missing.
    """
    sizes = np.bincount(groups, minlength=count)
    units = np.rint(values * ONE)  # whole numbers, so that their sums are exact
    totals = np.array([np.bincount(groups, column, minlength=count) for column in units.T], np.float64)
    return _divided(totals.T, sizes[:, None])


def _divided(dividend: Floats, divisor: npt.NDArray[Any]) -> Floats:
    """Return quotients of whole numbers in ten-thousandths, rounded half to even; NaN over 0 or of NaN."""
    known = ~np.isnan(dividend) & (divisor > 0)
    above = np.where(known, dividend, 0).astype(np.int64)
    below = np.broadcast_to(np.where(divisor > 0, divisor, 1), above.shape).astype(np.int64)
    quotient, rest = np.divmod(2 * above + below, 2 * below)
    quotient -= (rest == 0) & (quotient % 2 == 1)  # it was half, and went up to odd
    return np.where(known, quotient / ONE, np.nan)


def fill(signed: dict[str, Any]) -> None:
    """Put what follows from the scores into the signed part of a result, as dicts and lists."""
    games = signed["games"]
    tables = [scores["variables"] for game in games.values() for scores in game["scores"]]
    columns = columns_of(tables, ("f1", "accuracy", "majority_accuracy", "ceiling_f1", *TRIVIAL))
    best = best_trivial(columns)
    relative = normalised(columns["f1"], best, columns["ceiling_f1"])
    means, signed["suite"] = all_means(
        games, signed["dataset"]["suite"], signed["probes"], {**columns, "trivial_f1": best}
    )
    first = 0
    for name, game in games.items():
        for scores, mean in zip(game["scores"], means[name], strict=True):
            part = slice(first, first := first + len(scores["variables"]["name"]))
            scores["variables"] |= {
                "trivial_f1": _plain(best[part]),
                "normalised_f1": _plain(relative[part]),
            }
            scores["means"] = mean


def all_means(
    games: Mapping[str, Any], suite: Sequence[str], probes: Sequence[Row], columns: Mapping[str, Floats]
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return the means of every game under every probe, and those of the suite.

    Args:
        games: As in a result.
        suite: All games of the suite, which has these.
        probes: As in a result.
        columns: What is averaged, as `columns_of`.

    Returns:
        ``means`` of each game's ``scores``, by game; and ``suite``, whose means are null where a game is
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
    of_parts = grouped(of_categories, part_of, len(parts))
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
    """Return the means of the suite from those of games and of their categories, each with its probe."""
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
    """Put means and the categories under them together, without a reason."""
    categories: list[list[dict[str, Any]]] = [[] for _ in values]
    for part, (_, name), row, count in zip(part_of.tolist(), keys, below, sizes, strict=True):
        categories[part].append({**row, "category": name, "count": count})
    return [{**row, "categories": c} for row, c in zip(_printed(values), categories, strict=True)]


def _printed(values: Floats) -> list[dict[str, Any]]:
    """Return rows of means as dicts, with the normalised score."""
    f1, trivial, ceiling = (values[:, _AVERAGED.index(key)] for key in ("f1", *BOUNDS))
    table = _plain(np.column_stack([values, normalised(f1, trivial, ceiling)]))
    return [dict(zip(_PRINTED, row, strict=True)) for row in table]


def _plain(values: Floats) -> list[Any]:
    """Return an array as lists: None for NaN and 1 for 1.0, as JSON tools write it."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    whole = values == np.rint(values)
    plain[whole] = values[whole].astype(np.int64)
    return cast("list[Any]", plain.tolist())


def _reason(mean: Row, variables: Mapping[str, Sequence[Any]]) -> str | None:
    """Say why a mean over the variables of a game is missing."""
    if all(mean[metric] is not None for metric in METRICS):
        return None
    rows = zip(*(variables[key] for key in ("name", "categories", *METRICS)), strict=True)
    missing = [name for name, categories, *scores in rows if categories and None in scores]
    return "no score for " + ", ".join(missing) if missing else "no variable counts in a category"


def _of_probe(
    probe: Row, number: int, mean: dict[str, Any], games: Mapping[str, Sequence[Row]], suite: Sequence[str]
) -> dict[str, Any]:
    """Return the means of the suite under a probe; null, with the reason, where a game is missing."""
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
        "probe": probe["probe"],
        "train_rows": probe["train_rows"],
        "means": {**mean, "reason": "; ".join(reasons) or None},
    }
