"""Make the tables of ``docs/score.md`` from results: ``python -m tools.score_page RESULTS...``.

Several results of one encoder, on different games or under different probes, count as one; those with the
labels of 2019 count apart. What no method trained counts as trivial. Of a method with several seeds or
budgets, the first seed and the largest budget are compared with the trivial encoders, which needs predictions
beside the results.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET
from harness.encoders.named import RAM
from harness.leaderboard.published import published
from harness.metrics import Floats
from harness.pages.words import game_title
from harness.probes.probe import ProbeRun
from harness.results.comparison import Compared, Resampled, compare
from tools.marks import between, table
from tools.results_page import PUBLISHED_AS

PAGE: Final = Path("docs/score.md")
TABLES: Final = ("separation", "games", "order", "methods", "pairs", "seeds", "checkpoints")
HALVES: Final = 1000
"""Random halves of the games whose orders are compared."""

_BOUNDS: Final = (RAM, "majority")
"""Encoders that are above or below all others by definition."""


Apart: TypeAlias = Mapping[tuple[str, ProbeRun], tuple[str, Compared]]
"""By game and run: the best trivial encoder, and the comparison of a trained one with it."""


@dataclass(frozen=True)
class Row:
    """An encoder.

    Attributes:
        results: Its results, of different games or under different probes.
    """

    results: Sequence[Resampled]

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return self.results[0].signed.encoder.name

    @property
    def label_set(self) -> str:
        """Its label set."""
        return self.results[0].signed.dataset.label_set

    @property
    def steps(self) -> int:
        """Steps for which a method trained it; 0 if none did."""
        return max(result.signed.encoder.steps for result in self.results)

    @property
    def seed(self) -> int:
        """The seed of its training; 0 if it has none."""
        return self.results[0].signed.encoder.seed or 0

    @property
    def runs(self) -> list[ProbeRun]:
        """What it was scored under."""
        return list(dict.fromkeys(run for result in self.results for run in result.signed.distinct_runs))

    def means(self, run: ProbeRun) -> dict[str, float]:
        """Return the mean of every game that has this run; 0 where nothing has a score."""
        return {
            game: float(scores.means.score or 0)
            for result in self.results
            for game, of_game in result.signed.games.items()
            for scores in of_game.scores
            if scores.run == run
        }

    def against(self, other: Row) -> dict[tuple[str, ProbeRun], Compared]:
        """Return the means of every game that both have, compared."""
        return {
            (row.game, row.run): row
            for one, two in itertools.product(self.results, other.results)
            if one.signed.games.keys() & two.signed.games.keys()
            if set(one.signed.distinct_runs) & set(two.signed.distinct_runs)
            for row in compare(one, two).rows
            if row.level == "game" and row.game is not None
        }


def rows_of(paths: Iterable[Path]) -> list[Row]:
    """Read results; those of one encoder are one row."""
    found: dict[tuple[object, ...], list[Resampled]] = {}
    for path in paths:
        result = Resampled(path)
        row = Row([result])
        found.setdefault((row.name, row.label_set, row.seed, row.steps), []).append(result)
    return [Row(results) for results in found.values()]


def apart(trained: Row, trivial: Sequence[Row]) -> Apart:
    """Compare an encoder with the best trivial one of every game and run, on what all with that run have."""
    rows = {other.name: trained.against(other) for other in trivial}
    found = {}
    for run in trained.runs:
        rivals = [other for other in trivial if run in other.runs]
        for key in itertools.product(_shared([trained, *rivals], [run]) if rivals else (), [run]):
            known = ((other.name, rows[other.name][key]) for other in rivals)
            found[key] = max(known, key=lambda named: named[1].b)
    return found


def units(row: Compared) -> float:
    """Return a difference in halves of the width of its interval."""
    half = (row.high - row.low) / 2
    return row.difference / half if half else 0.0


def _sides(rows: Iterable[Compared]) -> tuple[list[Compared], list[Compared]]:
    """Return the rows on which the first encoder is above the second, and those on which it is below."""
    differ = [row for row in rows if row.verdict == "differs"]
    return [row for row in differ if row.difference > 0], [row for row in differ if row.difference < 0]


def separation(found: Mapping[str, Apart], runs: Sequence[ProbeRun]) -> str:
    """Return on how many games each trained encoder is above or below the trivial ones, by run."""
    rows = []
    for run in runs:
        cells = []
        for of_encoder in found.values():
            mine = [row for (_, its_run), (_, row) in of_encoder.items() if its_run == run]
            above, below = _sides(mine)
            counts = f"{len(above)} above, {len(below)} below of {len(mine)}"
            cells.append(f"{counts}; {median(map(units, mine)):+.1f}" if mine else "")
        rows.append([str(run), *cells])
    return table(["score", *(f"`{name}`" for name in found)], rows)


def by_game(found: Mapping[str, Apart], runs: Sequence[ProbeRun]) -> str:
    """Return the best trivial encoder of each game that all have, and the trained ones, under each run."""
    rows = []
    shared = set.intersection(*map(set, found.values()))
    for game, run in sorted(shared, key=lambda key: (runs.index(key[1]), key[0])):
        known = [of_it[game, run] for of_it in found.values()]
        name, best = known[0]
        cells = [f"{row.a:.3f} ({units(row):+.1f})" for _, row in known]
        rows.append([str(run), game_title(game), f"{best.b:.3f} `{name}`", *cells])
    return table(["score", "game", "best trivial", *(f"`{name}`" for name in found)], rows)


def order(rows: Sequence[Row], relabelled: Sequence[Row], runs: Sequence[ProbeRun]) -> str:
    """Return how well the order of encoders holds, as Kendall's tau, on the games that all with a run have.

    Args:
        rows: The encoders.
        relabelled: The same encoders with the labels of 2019.
        runs: The scores.
    """
    by_name = {row.name: row for row in rows}
    lines = []
    for run in runs:
        having = [row for row in rows if run in row.runs]
        games = _shared(having, [run])
        means = _means(having, games, run)
        halves = [
            _tau(means[:, half].mean(axis=1), np.delete(means, half, axis=1).mean(axis=1))
            for half in _halves(len(games))
        ]
        single = [_tau(means[:, a], means[:, b]) for a, b in itertools.combinations(range(len(games)), 2)]
        low = np.quantile(halves, 0.05)
        same = [(by_name[row.name], row) for row in relabelled if run in row.runs and row.name in by_name]
        both = _shared(itertools.chain.from_iterable(same), [run]) if same else []
        sides = [_means(side, both, run).mean(axis=1) for side in zip(*same, strict=True)]
        lines.append(
            [
                str(run),
                f"{np.mean(halves):.2f} ({low:.2f})",
                f"{np.mean(single):.2f}",
                *([f"{_tau(*sides):.2f} ({len(both)} games)" if sides else ""] if relabelled else []),
            ]
        )
    head = ["score", "two halves of the games: mean (lowest 5 %)", "two games"]
    return table([*head, *(["labels of 2019"] if relabelled else [])], lines)


def _halves(games: int) -> list[npt.NDArray[np.intp]]:
    """Return random halves of so many games."""
    rng = np.random.default_rng(0)
    return [rng.permutation(games)[: games // 2] for _ in range(HALVES)]


def _means(rows: Iterable[Row], games: Sequence[str], run: ProbeRun) -> Floats:
    """Return the mean of every game, float64 [rows, games]."""
    return np.array([[means[game] for game in games] for means in (row.means(run) for row in rows)])


def _tau(one: Floats, two: Floats) -> float:
    return float(kendalltau(one, two).statistic)


def seeds(
    trained: Sequence[Row], again: Sequence[Row], trivial: Sequence[Row], runs: Sequence[ProbeRun]
) -> str:
    """Return how much another seed changes, on the games that all encoders have with both.

    Args:
        trained: The trained encoders.
        again: The same ones with another seed.
        trivial: The trivial encoders.
        runs: The scores.
    """
    games = _shared([*trained, *again, *trivial], runs)
    lines = []
    for run in runs:
        rivals = [row for row in trivial if run in row.runs]
        one, two, base = (_means(rows, games, run) for rows in (trained, again, rivals))
        cells = []
        for a, b in zip(one, two, strict=True):
            change, best = np.abs(a - b), base.max(axis=0)
            same = f"{((a > best) == (b > best)).sum()} of {len(games)}"
            cells.append(f"{a.mean():.3f}, {b.mean():.3f}; {change.mean():.3f} ({change.max():.3f}); {same}")
        tau = _tau(*(np.concatenate([side, base]).mean(axis=1) for side in (one, two)))
        lines.append([str(run), *cells, f"{tau:.2f}"])
    return table(["score", *(f"`{row.name}`" for row in trained), "order"], lines)


def methods(rows: Sequence[Row], runs: Sequence[ProbeRun]) -> str:
    """Return the means of methods beside the published ones, best first there, and how alike the orders are.

    Args:
        rows: The encoders. Those that the paper does not have come last, and do not count in the orders.
        runs: The scores.
    """
    papers = {paper.name: paper for paper in published()}
    games = [game for game in _shared(rows, runs) if game in next(iter(papers.values())).games]
    theirs = {
        row.name: np.array([papers[PUBLISHED_AS[row.name]].games[game] for game in games])
        for row in rows
        if row.name in PUBLISHED_AS
    }
    ordered = sorted(rows, key=lambda row: -theirs[row.name].mean() if row.name in theirs else 1.0)
    both = [row for row in ordered if row.name in theirs]
    lines = []
    for row in ordered:
        paper = f"{theirs[row.name].mean():.2f}" if row.name in theirs else ""
        means = (f"{_means([row], games, run).mean():.3f}" if run in row.runs else "" for run in runs)
        lines.append([f"`{row.name}`", paper, *means])
    of_means, of_games = ["tau of the means", ""], ["tau on a game, mean", ""]
    for run in runs:
        having = [row for row in both if run in row.runs]
        of_paper = np.array([theirs[row.name] for row in having])
        ours = _means(having, games, run)
        of_means.append(f"{_tau(of_paper.mean(axis=1), ours.mean(axis=1)):.2f}")
        of_games.append(f"{np.mean([_tau(a, b) for a, b in zip(of_paper.T, ours.T, strict=True)]):.2f}")
    lines += [of_means, of_games]
    return table(["encoder", f"paper, {len(games)} games", *map(str, runs)], lines)


def pairs(rows: Sequence[Row], run: ProbeRun) -> str:
    """Return on which games each method is above and below each other one, the best by its mean first."""
    games = _shared(rows, [run])
    ordered = sorted(rows, key=lambda row: -_means([row], games, run).mean())
    lines = []
    for one, two in itertools.combinations(ordered, 2):
        found = one.against(two)
        sides = _sides(found[game, run] for game in games)
        titles = (", ".join(game_title(str(row.game)) for row in side) for side in sides)
        cells = (
            f"all {len(games)}" if len(side) == len(games) else text
            for side, text in zip(sides, titles, strict=True)
        )
        lines.append([f"`{one.name}` against `{two.name}`", *cells])
    return table([str(run), "above on", "below on"], lines)


def checkpoints(stages: Sequence[Row], trivial: Sequence[Row], runs: Sequence[ProbeRun]) -> str:
    """Return the scores along a run of an encoder, from few steps to many."""
    games = _shared(stages, runs)
    lines = []
    for run, game in itertools.product(runs, games):
        cells = [f"{row.means(run)[game]:.3f}" for row in stages]
        best = max(row.means(run)[game] for row in trivial if run in row.runs)
        lines.append([str(run), game_title(game), *cells, f"{best:.3f}"])
    return table(["score", "game", *(f"{row.steps:,}" for row in stages), "best trivial"], lines)


def _shared(rows: Iterable[Row], runs: Iterable[ProbeRun]) -> list[str]:
    """Return the games that all encoders have, each under those of the runs that it has."""
    both = itertools.product(rows, runs)
    return sorted(set.intersection(*(set(row.means(run)) for row, run in both if run in row.runs)))


def _common(rows: Sequence[Row], some: Sequence[Row]) -> list[ProbeRun]:
    """Return the runs that all encoders have, and some of the others."""
    known = {run for row in some for run in row.runs}
    return [run for run in rows[0].runs if run in known and all(run in row.runs for row in rows)]


def tables(rows: Sequence[Row], names: Sequence[str]) -> dict[str, str]:
    """Return tables of the page by name."""
    ours = [row for row in rows if row.label_set == DEFAULT_LABEL_SET]
    relabelled = [row for row in rows if row.label_set != DEFAULT_LABEL_SET]
    trivial = [row for row in ours if not row.steps and row.name not in _BOUNDS]
    by_name: dict[str, list[Row]] = {}
    for row in sorted((row for row in ours if row.steps), key=lambda row: (row.seed, -row.steps)):
        by_name.setdefault(row.name, []).append(row)
    trained = [rows_of_it[0] for rows_of_it in by_name.values()]
    runs, everyone = trained[0].runs, [*trained, *trivial]

    def compared() -> dict[str, Apart]:
        return {row.name: apart(row, trivial) for row in trained}

    def seeds_() -> str:
        twice = [
            (row, other)
            for row, *others in by_name.values()
            for other in others
            if other.steps == row.steps and other.seed != row.seed
        ]
        if not twice:
            raise UsageError("No method has two seeds at one budget.", cure="Leave out the table: --only ...")
        one, two = (list(side) for side in zip(*twice, strict=True))
        return seeds(one, two, trivial, _common([*one, *two], trivial))

    def checkpoints_() -> str:
        by_run: dict[tuple[str, int], list[Row]] = {}
        for row in itertools.chain.from_iterable(by_name.values()):
            by_run.setdefault((row.name, row.seed), []).append(row)
        stages = max(by_run.values(), key=len)
        if len(stages) == 1:
            raise UsageError("No run has checkpoints.", cure="Leave out the table: --only ...")
        return checkpoints(sorted(stages, key=lambda row: row.steps), trivial, _common(stages, trivial))

    made = {
        "separation": lambda: separation(compared(), runs),
        "games": lambda: by_game(compared(), runs),
        "order": lambda: order(everyone, relabelled, runs),
        "methods": lambda: methods(everyone, _common(trained, trivial)),
        "pairs": lambda: pairs([row for row in everyone if row.steps or row.name in PUBLISHED_AS], runs[0]),
        "seeds": seeds_,
        "checkpoints": checkpoints_,
    }
    return {name: made[name]() for name in names}


def main() -> None:
    """Write tables of the page anew."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, metavar="TABLE")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    for name, made in tables(rows_of(options.results), options.only).items():
        page = between(page, f"<!-- {name}: begin -->", f"<!-- {name}: end -->", made)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
