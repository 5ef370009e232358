"""Make the tables of ``docs/score.md`` from results: ``python -m tools.score_page RESULTS...``.

Every result needs its predictions beside it. Several of one encoder, on different games, count as one; those
with the labels of 2019 count apart. What no method trained counts as trivial.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

import numpy as np
from scipy.stats import kendalltau

from atariari_data.games import DEFAULT_LABEL_SET
from harness.encoders.named import RAM
from harness.metrics import Floats
from harness.pages.words import game_title
from harness.probes.probe import ProbeRun
from harness.results import predictions_file
from harness.results.comparison import Compared, compare
from harness.results.result import Result
from harness.results.result_file import read
from tools.marks import between, table

PAGE: Final = Path("docs/score.md")
_STEPS: Final = re.compile(r", \d+ steps of \d+")
_BOUNDS: Final = (RAM, "majority")
"""Encoders that are above or below all others by definition."""


Apart: TypeAlias = Mapping[tuple[str, ProbeRun], tuple[str, Compared]]
"""By game and run: the best trivial encoder, and the comparison of a trained one with it."""


@dataclass(frozen=True)
class Row:
    """An encoder.

    Attributes:
        results: Its results, of different games, with predictions.
    """

    results: Sequence[Result]

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return self.results[0].signed.encoder.name

    @property
    def label_set(self) -> str:
        """Its label set."""
        return self.results[0].signed.dataset.label_set

    @property
    def is_trained(self) -> bool:
        """Whether a method trained it."""
        return _STEPS.search(self.results[0].signed.encoder.pretraining_data) is not None

    @property
    def runs(self) -> list[ProbeRun]:
        """What it was scored under."""
        return self.results[0].signed.distinct_runs

    @property
    def games(self) -> list[str]:
        """Its games."""
        return sorted(game for result in self.results for game in result.signed.games)

    def mean(self, game: str, run: ProbeRun) -> float:
        """Return the mean of a game; 0 if it has none."""
        of_game = next(r.signed.games[game] for r in self.results if game in r.signed.games)
        return float(next(scores.means.score for scores in of_game.scores if scores.run == run) or 0)

    def against(self, other: Row) -> dict[tuple[str, ProbeRun], Compared]:
        """Return the means of every game that both have, compared."""
        return {
            (row.game, row.run): row
            for one, two in itertools.product(self.results, other.results)
            if one.signed.games.keys() & two.signed.games.keys()
            for row in compare(one, two).rows
            if row.level == "game" and row.game is not None
        }


def rows_of(paths: Iterable[Path]) -> list[Row]:
    """Read results; those of one encoder are one row."""
    found: dict[tuple[str, str], list[Result]] = {}
    for path in paths:
        result = read(path)
        predictions = predictions_file.read(predictions_file.file_beside(path), result.signed)
        key = result.signed.encoder.name, result.signed.dataset.label_set
        found.setdefault(key, []).append(result.with_predictions(predictions))
    return [Row(results) for results in found.values()]


def apart(trained: Row, trivial: Sequence[Row]) -> Apart:
    """Compare an encoder with the best trivial one of every game and run."""
    rows = {other.name: trained.against(other) for other in trivial}
    return {
        key: max(((name, of_it[key]) for name, of_it in rows.items()), key=lambda known: known[1].b)
        for key in set.intersection(*map(set, rows.values()))
    }


def units(row: Compared) -> float:
    """Return a difference in halves of the width of its interval."""
    half = (row.high - row.low) / 2
    return row.difference / half if half else 0.0


def separation(found: Mapping[str, Apart], runs: Sequence[ProbeRun]) -> str:
    """Return on how many games each trained encoder is above or below the trivial ones, by run."""
    rows = []
    for run in runs:
        cells = []
        for of_encoder in found.values():
            mine = [row for (_, its_run), (_, row) in of_encoder.items() if its_run == run]
            above, below = sum(row.low > 0 for row in mine), sum(row.high < 0 for row in mine)
            cells.append(f"{above} above, {below} below of {len(mine)}; {median(map(units, mine)):+.1f}")
        rows.append([str(run), *cells])
    return table(["score", *(f"`{name}`" for name in found)], rows)


def by_game(found: Mapping[str, Apart], games: Sequence[str], runs: Sequence[ProbeRun]) -> str:
    """Return the best trivial encoder of each game, and the trained ones, under each run."""
    rows = []
    for run, game in itertools.product(runs, games):
        known = [of_it[game, run] for of_it in found.values()]
        name, best = known[0]
        cells = [f"{row.a:.3f} ({units(row):+.1f})" for _, row in known]
        rows.append([str(run), game_title(game), f"{best.b:.3f} `{name}`", *cells])
    return table(["score", "game", "best trivial", *(f"`{name}`" for name in found)], rows)


def order(
    rows: Sequence[Row], relabelled: Sequence[Row], games: Sequence[str], runs: Sequence[ProbeRun]
) -> str:
    """Return how well the order of encoders holds, as Kendall's tau.

    Args:
        rows: The encoders.
        relabelled: The same encoders with the labels of 2019.
        games: Games that all of ``rows`` have.
        runs: The scores.
    """
    by_name = {row.name: row for row in rows}
    pairs = [(by_name[other.name], other) for other in relabelled if other.name in by_name]
    shared = sorted(set(games).intersection(*(other.games for _, other in pairs)))
    lines = []
    for run in runs:
        means = _means(rows, games, run)
        halves = [
            _tau(means[:, list(half)].mean(axis=1), np.delete(means, list(half), axis=1).mean(axis=1))
            for half in itertools.combinations(range(len(games)), len(games) // 2)
        ]
        single = [_tau(means[:, a], means[:, b]) for a, b in itertools.combinations(range(len(games)), 2)]
        low = np.quantile(halves, 0.05)
        sides = [_means(side, shared, run).mean(axis=1) for side in zip(*pairs, strict=True)]
        lines.append(
            [
                str(run),
                f"{np.mean(halves):.2f} ({low:.2f})",
                f"{np.mean(single):.2f}",
                f"{_tau(*sides):.2f}" if sides else "",
            ]
        )
    head = ["score", "two halves of the games: mean (lowest 5 %)", "two games"]
    return table([*head, f"labels of 2019, {len(shared)} games"], lines)


def _means(rows: Iterable[Row], games: Sequence[str], run: ProbeRun) -> Floats:
    """Return the mean of every game, float64 [rows, games]."""
    return np.array([[row.mean(game, run) for game in games] for row in rows])


def _tau(one: Floats, two: Floats) -> float:
    return float(kendalltau(one, two).statistic)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Return the tables of the page by name."""
    ours = [row for row in rows if row.label_set == DEFAULT_LABEL_SET]
    relabelled = [row for row in rows if row.label_set != DEFAULT_LABEL_SET]
    trained = [row for row in ours if row.is_trained]
    trivial = [row for row in ours if not row.is_trained and row.name not in _BOUNDS]
    runs, everyone = trained[0].runs, [*trained, *trivial]
    games = sorted(set.intersection(*(set(row.games) for row in everyone)))
    found = {row.name: apart(row, trivial) for row in trained}
    return {
        "separation": separation(found, runs),
        "games": by_game(found, games, runs),
        "order": order(everyone, relabelled, games, runs),
    }


def main(arguments: Sequence[str]) -> None:
    """Write the page's tables anew."""
    page = PAGE.read_text(encoding="utf-8")
    for name, made in tables(rows_of(map(Path, arguments))).items():
        page = between(page, f"<!-- {name}: begin -->", f"<!-- {name}: end -->", made)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
