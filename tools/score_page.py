"""Make the tables of ``docs/score.md`` from results: ``python -m tools.score_page RESULTS...``.

Every result needs its predictions beside it. Results are told apart by what they are:

- Runs of a method, and everything else: an encoder that nothing was trained for counts as trivial.
- Runs of a method with the most frequent number of steps, and others, which are checkpoints.
- Runs of label set ``v1`` and of ``anand2019``, which say the same of other variables.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from scipy.stats import kendalltau

from harness.encoders.named import RAM
from harness.metrics import Floats
from harness.pages.words import game_title
from harness.probes.probe import ProbeRun
from harness.results import predictions_file
from harness.results.comparison import compare
from harness.results.result import Result
from harness.results.result_file import read

PAGE: Final = Path("docs/score.md")
_STEPS: Final = re.compile(r", (\d+) steps of \d+")
_SEED: Final = re.compile(r"-(\d+)$")
_BOUNDS: Final = (RAM, "majority")
"""Encoders that are above or below all others by definition."""


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes:
        path: Its file; the name ends in the seed of a trained encoder.
    """

    path: Path

    @cached_property
    def result(self) -> Result:
        """The result with its predictions."""
        result = read(self.path)
        found = predictions_file.read(predictions_file.file_beside(self.path), result.signed)
        return result.with_predictions(found)

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return self.result.signed.encoder.name

    @property
    def label_set(self) -> str:
        """The label set."""
        return self.result.signed.dataset.label_set

    @property
    def steps(self) -> int | None:
        """Steps of training; None of what was not trained."""
        found = _STEPS.search(self.result.signed.encoder.pretraining_data or "")
        return int(found[1]) if found else None

    @property
    def seed(self) -> int:
        """The seed of training."""
        found = _SEED.search(self.path.name.removesuffix(".json"))
        return int(found[1]) if found and self.steps is not None else 0

    @property
    def games(self) -> list[str]:
        """Its games."""
        return sorted(self.result.signed.games)

    def mean(self, game: str, run: ProbeRun) -> float | None:
        """Return the mean of a game; None if it has none."""
        of_game = self.result.signed.games.get(game)
        found = next((scores for scores in of_game.scores if scores.run == run), None) if of_game else None
        return None if found is None or found.means.score is None else float(found.means.score)


@dataclass(frozen=True)
class Apart:
    """A trained encoder on a game, against the best of the trivial ones there.

    Attributes:
        score: Of the trained encoder.
        trivial: Name and score of the best trivial encoder.
        low, high: The 95 % interval of the difference, by a bootstrap over the episodes of both.
    """

    score: float
    trivial: tuple[str, float]
    low: float
    high: float

    @property
    def units(self) -> float:
        """The difference, in halves of the width of its interval."""
        half = (self.high - self.low) / 2
        return (self.score - self.trivial[1]) / half if half else 0.0


def apart(
    trained: Row, trivial: Sequence[Row], runs: Sequence[ProbeRun]
) -> dict[tuple[str, ProbeRun], Apart]:
    """Return how far an encoder is from the best trivial one, for every game and run."""
    rows = {
        other.name: {
            (row.game, row.run): row
            for row in compare(trained.result, other.result).rows
            if row.level == "game" and row.game is not None
        }
        for other in trivial
    }
    found = {}
    for game, run in itertools.product(trained.games, runs):
        known = {name: of_it[game, run] for name, of_it in rows.items() if (game, run) in of_it}
        if known:
            name, row = max(known.items(), key=lambda item: item[1].b)
            found[game, run] = Apart(row.a, (name, row.b), row.low, row.high)
    return found


def separation(found: Mapping[str, Mapping[tuple[str, ProbeRun], Apart]], runs: Sequence[ProbeRun]) -> str:
    """Return on how many games each trained encoder is above or below the trivial ones, by run."""
    rows = []
    for run in runs:
        cells = []
        for of_encoder in found.values():
            mine = [each for (_, its_run), each in of_encoder.items() if its_run == run]
            above, below = sum(each.low > 0 for each in mine), sum(each.high < 0 for each in mine)
            cells.append(
                f"{above} above, {below} below of {len(mine)}; {_signed(median(e.units for e in mine))}"
            )
        rows.append([str(run), *cells])
    return _table(["score", *(f"`{name}`" for name in found)], rows)


def by_game(
    found: Mapping[str, Mapping[tuple[str, ProbeRun], Apart]], games: Sequence[str], runs: Sequence[ProbeRun]
) -> str:
    """Return the best trivial encoder of each game, and the trained ones, under each run."""
    rows = []
    for run, game in itertools.product(runs, games):
        known = {name: of_it[game, run] for name, of_it in found.items() if (game, run) in of_it}
        if known:
            best = next(iter(known.values())).trivial
            cells = [f"{known[n].score:.3f} ({_signed(known[n].units)})" if n in known else "" for n in found]
            rows.append([str(run), game_title(game), f"{best[1]:.3f} `{best[0]}`", *cells])
    return _table(["score", "game", "best trivial", *(f"`{name}`" for name in found)], rows)


def order(rows: Sequence[Row], other: Sequence[Row], games: Sequence[str], runs: Sequence[ProbeRun]) -> str:
    """Return how well the order of encoders holds, as Kendall's tau.

    Args:
        rows: One run of each encoder, with ``v1``.
        other: The same encoders with other labels.
        games: Games that all have.
        runs: The scores.
    """
    relabelled = {row.name: row for row in other}
    pairs = [(row, relabelled[row.name]) for row in rows if row.name in relabelled]
    table = []
    for run in runs:
        means = _means(rows, games, run)
        halves = [
            _tau(means[:, list(half)].mean(axis=1), np.delete(means, list(half), axis=1).mean(axis=1))
            for half in itertools.combinations(range(len(games)), len(games) // 2)
        ]
        single = [_tau(means[:, a], means[:, b]) for a, b in itertools.combinations(range(len(games)), 2)]
        shared = [game for game in games if all(two.mean(game, run) is not None for _, two in pairs)]
        sides = (_means(side, shared, run).mean(axis=1) for side in zip(*pairs, strict=True))
        labels = f"{_tau(*sides):.2f}, {len(shared)} games" if pairs and shared else ""
        low = np.quantile(halves, 0.05)
        table.append([str(run), f"{np.mean(halves):.2f} ({low:.2f})", f"{np.mean(single):.2f}", labels])
    head = ["score", "two halves of the games: mean (lowest 5 %)", "two games", "labels of 2019"]
    return _table(head, table)


def seeds(pairs: Sequence[tuple[Row, Row]], runs: Sequence[ProbeRun]) -> str:
    """Return how far two runs of one method are apart, with the interval of the difference."""
    table = []
    for one, two in pairs:
        for game in [game for game in one.games if game in two.games]:
            cells = []
            known = {
                row.run: row
                for row in compare(one.result, two.result).rows
                if row.level == "game" and row.game == game
            }
            for run in runs:
                row = known.get(run)
                cells.append(f"{row.a:.3f}, {row.b:.3f} ({row.difference:+.3f})" if row else "")
            table.append([f"`{one.name}`", game_title(game), *cells])
    return _table(["encoder", "game", *map(str, runs)], table)


def checkpoints(rows: Sequence[Row], runs: Sequence[ProbeRun]) -> str:
    """Return the scores of one method along its training."""
    table = []
    for game in sorted({game for row in rows for game in row.games}):
        for row in sorted(rows, key=lambda row: row.steps or 0):
            if game in row.games:
                cells = [_score(row.mean(game, run)) for run in runs]
                table.append([game_title(game), f"{row.steps or 0:,}", *cells])
    return _table(["game", "steps", *map(str, runs)], table)


def _means(rows: Iterable[Row], games: Sequence[str], run: ProbeRun) -> Floats:
    """Return the mean of every game, float64 [rows, games]."""
    return np.array([[row.mean(game, run) or 0.0 for game in games] for row in rows])


def _tau(one: Floats, two: Floats) -> float:
    return float(kendalltau(one, two).statistic)


def _signed(number: float) -> str:
    return f"{number:+.1f}"


def _score(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Return the tables of the page by name."""
    v1 = [row for row in rows if row.label_set == "v1"]
    steps = [row.steps for row in v1 if row.steps is not None]
    usual = max(set(steps), key=steps.count)
    full = [row for row in v1 if row.steps == usual]
    first = [row for row in full if row.seed == 0]
    trivial = [row for row in v1 if row.steps is None and row.name not in _BOUNDS]
    runs = list(dict.fromkeys(run for row in first for run in row.result.signed.distinct_runs))
    games = sorted(set.intersection(*(set(row.games) for row in (*first, *trivial))))
    found = {row.name: apart(row, trivial, runs) for row in first}
    again = [(one, two) for one in first for two in full if two.seed and two.name == one.name]
    along = {row.name for row in v1 if row.steps not in {None, usual}}
    start = [row for row in trivial if row.name == "random-cnn"]
    return {
        "separation": separation(found, runs),
        "games": by_game(found, games, runs),
        "order": order([*first, *trivial], [row for row in rows if row.label_set != "v1"], games, runs),
        "seeds": seeds(again, runs),
        "checkpoints": checkpoints([*start, *(r for r in v1 if r.name in along and r.seed == 0)], runs),
    }


def main(arguments: Sequence[str]) -> None:
    """Write the page's tables anew."""
    page = PAGE.read_text(encoding="utf-8")
    for name, made in tables([Row(Path(argument)) for argument in arguments]).items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, rest = page.split(begin)
        page = before + begin + made + end + rest.split(end)[1]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
