"""The means of a result, computed alike by who writes it and who checks it.

Each level is the plain mean of the printed, rounded numbers one level below, rounded half to even at the
fourth place, in whole numbers (ten-thousandths): anyone can follow it with a pocket calculator. A mean over
something missing is null, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

METRICS = ("f1", "accuracy", "majority_f1", "majority_accuracy")

_ONE = 10_000

Row = Mapping[str, Any]


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of numbers of four decimal places, rounded half to even; None if one is missing."""
    if not values or None in values:
        return None
    total = sum([round(value * _ONE) for value in values if value is not None])
    quotient, rest = divmod(total, len(values))
    if 2 * rest > len(values) or (2 * rest == len(values) and quotient % 2):
        quotient += 1
    return quotient / _ONE if quotient % _ONE else quotient // _ONE  # 1, not 1.0, as JSON tools write it


def game_means(variables: Sequence[Row]) -> dict[str, Any]:
    """Return the category means of a game and the mean over its categories."""
    members: dict[str, list[Row]] = {}
    for variable in variables:
        for category in variable["categories"]:
            members.setdefault(category, []).append(variable)
    categories = [_category(name, members[name]) for name in sorted(members)]
    missing = [
        v["name"] for v in variables if v["categories"] and any(v[metric] is None for metric in METRICS)
    ]
    if missing:
        reason = "no score for " + ", ".join(missing)
    elif not categories:
        reason = "no variable counts in a category"
    else:
        reason = None
    return {**_means(categories), "categories": categories, "reason": reason}


def suite_means(
    probes: Sequence[Row], suite: Sequence[str], games: Mapping[str, Row]
) -> list[dict[str, Any]]:
    """Return, for every probe, the means over the games of the suite; None where a game is missing."""
    found = []
    for number, probe in enumerate(probes):
        rows = {name: game["scores"][number]["means"] for name, game in games.items() if name in suite}
        absent = [name for name in suite if name not in rows]
        without = [name for name, row in rows.items() if any(row[metric] is None for metric in METRICS)]
        reasons = [
            *([f"not evaluated: {', '.join(absent)}"] if absent else []),
            *([f"no mean for {', '.join(without)}"] if without else []),
        ]
        members: dict[str, list[Row]] = {}
        for row in rows.values():
            for category in row["categories"]:
                members.setdefault(category["category"], []).append(category)
        nothing: dict[str, Any] = dict.fromkeys(METRICS)
        categories = [_category(name, members[name]) for name in sorted(members)]
        found.append(
            {
                "probe": probe["probe"],
                "train_rows": probe["train_rows"],
                "means": {
                    **(nothing if reasons else _means(list(rows.values()))),
                    "categories": [{**c, **nothing} if absent else c for c in categories],
                    "reason": "; ".join(reasons) or None,
                },
            }
        )
    return found


def _category(name: str, members: Sequence[Row]) -> dict[str, Any]:
    return {**_means(members), "category": name, "count": len(members)}


def _means(rows: Sequence[Row]) -> dict[str, float | None]:
    if len(rows) == 1:
        return {metric: rows[0][metric] for metric in METRICS}
    return {metric: mean([row[metric] for row in rows]) for metric in METRICS}
