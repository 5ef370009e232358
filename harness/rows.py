"""The scores of a result by column: a leaderboard checks hundreds of thousands of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from harness.means import Floats

Columns: TypeAlias = list[tuple[Any, ...]]
"""The values of some fields, by field."""

NUMBERS = (
    "accuracy",
    "ceiling_accuracy",
    "ceiling_f1",
    "f1",
    "mae",
    "majority_accuracy",
    "majority_f1",
    "n",
    "normalised_f1",
    "pixels_pca_f1",
    "random_projection_f1",
    "trivial_f1",
)
"""The columns that are computed with."""


@dataclass(frozen=True)
class Rows:
    """The variables of all games under all probes, one below the other.

    Attributes:
        parts: The slice of each game and number of a probe.
        columns: Of each field, its values.
    """

    parts: Mapping[tuple[str, int], slice]
    columns: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, games: Mapping[str, Any]) -> Rows:
        """Gather them from the games of a result that has its form, as dicts and lists."""
        rows: list[dict[str, Any]] = []
        parts = {}
        for name, game in games.items():
            for number, scores in enumerate(game["scores"]):
                parts[name, number] = slice(len(rows), len(rows) + len(scores["variables"]))
                rows += scores["variables"]
        # All have the same fields in the same order.
        columns = zip(*map(dict.values, rows), strict=True)
        return cls(parts, dict(zip(rows[0], columns, strict=True)))

    def part(self, game: str, number: int, keys: Iterable[str]) -> Columns:
        """Return the values of some fields of a game under a probe, by field."""
        part = self.parts[game, number]
        return [self.columns[key][part] for key in keys]

    def numbers(self) -> dict[str, Floats]:
        """Return the columns in `NUMBERS` and both ends of the intervals, float64 [rows], NaN for null."""
        found = {key: np.array(self.columns[key], np.float64) for key in NUMBERS}
        ends = [interval or (np.nan, np.nan) for interval in self.columns["f1_interval"]]
        found["low"], found["high"] = np.array(ends, np.float64).T
        return found

    def where(self, row: int) -> str:
        """Return the game and the variable of a row."""
        (game, _), _ = next(item for item in self.parts.items() if row < item[1].stop)
        return f"{game}.{self.columns['name'][row]}"
