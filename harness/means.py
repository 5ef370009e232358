"""The means of a result, computed alike by who writes it and who checks it.

Each level is the plain mean of the printed, rounded numbers one level below, rounded half to even at the
fourth place, in whole numbers (ten-thousandths): anyone can follow it with a pocket calculator. A mean over
something missing is null, with the reason. A normalised score is not averaged: it is computed from the means
of F1, of the best trivial encoder and of the ceiling, since a variable with little room would rule the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

METRICS = ("f1", "accuracy", "majority_f1", "majority_accuracy")
"""What a mean says why it is missing."""

BOUNDS = ("trivial_f1", "ceiling_f1")
"""What F1 is measured against, where it is known."""

ONE = 10_000
"""Scores are whole numbers of ten-thousandths."""

LEAST_ROOM = 100
"""Of them between the best trivial encoder and the ceiling, for a normalised score."""

_AVERAGED = (*METRICS, *BOUNDS)
_scores_of = itemgetter(*_AVERAGED)
_trivial_of = itemgetter("majority_f1", "pixels_pca_f1", "random_projection_f1")

Row = Mapping[str, Any]
_Values = tuple[float | None, ...]


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of numbers of four decimal places, rounded half to even; None if one is missing."""
    try:
        total = math.fsum(values)  # type: ignore[arg-type]  # None raises, which costs least
    except TypeError:
        return None
    # This sum of the doubles is nearer to the sum of the decimals than half of the last place.
    return _divided(round(total * ONE), len(values)) if values else None


def _divided(dividend: int, divisor: int) -> float:
    """Return a quotient in ten-thousandths, rounded half to even, as a number."""
    quotient, rest = divmod(2 * dividend + divisor, 2 * divisor)
    if not rest and quotient % 2:  # it was half, and went up to odd
        quotient -= 1
    return quotient / ONE if quotient % ONE else quotient // ONE  # 1, not 1.0, as JSON tools write it


def trivial_f1(variable: Row) -> float | None:
    """Return F1 of the best trivial encoder of a variable; None where one of the three is not known."""
    known = _trivial_of(variable)
    return None if None in known else max(known)


def relative(variable: Row) -> dict[str, float | None]:
    """Return what follows from the other scores of a variable: best trivial encoder and normalised score."""
    best = trivial_f1(variable)
    return {"trivial_f1": best, "normalised_f1": normalised(variable["f1"], best, variable["ceiling_f1"])}


def normalised(f1: float | None, trivial: float | None, ceiling: float | None) -> float | None:
    """Return where F1 lies between the best trivial encoder (0) and the ceiling (1).

    Under the trivial encoder it is negative. None where one of them is not known, and where the ceiling is
    less than 0.01 above the trivial encoder, so that there is no room to tell encoders apart.
    """
    if f1 is None or trivial is None or ceiling is None:
        return None
    above, room = round((f1 - trivial) * ONE), round((ceiling - trivial) * ONE)
    return _divided(above * ONE, room) if room >= LEAST_ROOM else None


def game_means(variables: Sequence[Row]) -> dict[str, Any]:
    """Return the category means of a game and the mean over its categories."""
    members: dict[str, list[_Values]] = {}
    for variable in variables:
        scores = _scores_of(variable)
        for category in variable["categories"]:
            members.setdefault(category, []).append(scores)
    categories = [_category(name, members[name]) for name in sorted(members)]
    means, reason = _means([_scores_of(c) for c in categories]), None
    if any(means[metric] is None for metric in METRICS):
        missing = [v["name"] for v in variables if v["categories"] and None in _scores_of(v)[: len(METRICS)]]
        reason = "no score for " + ", ".join(missing) if missing else "no variable counts in a category"
    return {**means, "categories": categories, "reason": reason}


def suite_means(
    probes: Sequence[Row], suite: Sequence[str], games: Mapping[str, Row]
) -> list[dict[str, Any]]:
    """Return, for every probe, the means over the games of the suite; None where a game is missing."""
    found = []
    nothing: dict[str, Any] = dict.fromkeys((*_AVERAGED, "normalised_f1"))
    for number, probe in enumerate(probes):
        rows = {name: game["scores"][number]["means"] for name, game in games.items() if name in suite}
        absent = [name for name in suite if name not in rows]
        without = [name for name, row in rows.items() if any(row[metric] is None for metric in METRICS)]
        reasons = [
            *([f"not evaluated: {', '.join(absent)}"] if absent else []),
            *([f"no mean for {', '.join(without)}"] if without else []),
        ]
        members: dict[str, list[_Values]] = {}
        for row in rows.values():
            for category in row["categories"]:
                members.setdefault(category["category"], []).append(_scores_of(category))
        categories = [_category(name, members[name]) for name in sorted(members)]
        found.append(
            {
                "probe": probe["probe"],
                "train_rows": probe["train_rows"],
                "means": {
                    **(nothing if reasons else _means([_scores_of(row) for row in rows.values()])),
                    "categories": [{**c, **nothing} if absent else c for c in categories],
                    "reason": "; ".join(reasons) or None,
                },
            }
        )
    return found


def _category(name: str, members: Sequence[_Values]) -> dict[str, Any]:
    return {**_means(members), "category": name, "count": len(members)}


def _means(rows: Sequence[_Values]) -> dict[str, float | None]:
    columns = zip(*rows, strict=True) if rows else [()] * len(_AVERAGED)
    found = {name: mean(column) for name, column in zip(_AVERAGED, columns, strict=True)}
    found["normalised_f1"] = normalised(found["f1"], found["trivial_f1"], found["ceiling_f1"])
    return found
