"""A result as a table for a terminal."""

from __future__ import annotations

from typing import Any

from builders.console import print_table
from harness.result import ProbeScores, Result

METRIC_NOTE = (
    "F1: weighted, by a converged linear probe on all training rows (full) and on 1,000 (1k); with a 95 %\n"
    "interval from a bootstrap over episodes. majority: always the commonest class of training."
)
_COLUMNS = ("variable", "F1 full", "95 %", "F1 1k", "acc", "majority", "ceiling")


def print_result(result: Result) -> None:
    """Print per-variable, per-category and per-game scores, with the majority baseline beside them."""
    for name, game in result.signed.games.items():
        full, few = game.scores
        rows: list[tuple[object, ...]] = []
        for category in full.means.categories:
            rows.append((category.category.replace("_", " "), *_mean_cells(category, few, category.category)))
            rows.extend(_variable_rows(full, few, category.category))
        rows.append((f"{name}, mean over categories", *_mean_cells(full.means, few, None)))
        print_table(_COLUMNS, rows, f"\n{name}")
    if len(result.signed.games) > 1:
        means = result.signed.suite[0].means
        said = "no suite mean: " + str(means.reason) if means.f1 is None else f"suite mean F1 {means.f1:.3f}"
        print_table((said[:400],), [])


def _variable_rows(full: ProbeScores, few: ProbeScores, category: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for v, w in zip(full.variables, few.variables, strict=True):
        if category not in v.categories:
            continue
        interval = None if v.f1_interval is None else f"{v.f1_interval[0]:.3f}-{v.f1_interval[1]:.3f}"
        numbers = (v.f1, interval, w.f1, v.accuracy, v.majority_f1, v.ceiling_accuracy)
        rows.append((f"  {v.name}", *map(_number, numbers)))
    return rows


def _mean_cells(means: Any, few: ProbeScores, category: str | None) -> tuple[object, ...]:
    other = few.means if category is None else next(c for c in few.means.categories if c.category == category)
    return tuple(map(_number, (means.f1, None, other.f1, means.accuracy, means.majority_f1, None)))


def _number(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.3f}"
