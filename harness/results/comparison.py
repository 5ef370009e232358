"""Compare two results on the same test rows: which variables differ, by how much, and what is noise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np

from atariari_data.errors import UsageError
from atariari_data.games import CATEGORIES
from harness.metrics import LEVEL, Bootstrap, Difference, Draws, Scored, holm
from harness.probes.probe import ProbeRun, States
from harness.results import predictions_file
from harness.results.means import APART
from harness.results.predictions import Predicted
from harness.results.result import Result, Signed
from harness.results.result_file import read

MULTIPLICITY: Final = (
    "Each interval is for its row alone. A row is `noise` if its interval includes zero. A row whose "
    "interval excludes zero `differs` if it is also significant at 5 % after Holm's correction over all "
    "variables (or categories, or games) under the probe; otherwise it is `unclear`, as one in twenty is by "
    "chance."
)


@dataclass(frozen=True)
class Compared:
    """One row: a variable, or the mean of a category, a game or the suite.

    Attributes:
        probe: The probe's name.
        train_rows: Its training rows.
        fitted_on: Where they come from.
        scored_on: Where the test rows come from.
        game: The game's name; None for the suite.
        level: ``variable``, ``category``, ``game`` or ``suite``.
        name: The name of the variable, category or game, or ``suite``.
        a: Score of the first result.
        b: Score of the second result.
        difference: a - b.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end of that interval.
        p: Two-sided p-value of no difference.
        verdict: ``differs``, ``unclear`` or ``noise``.
    """

    probe: str
    train_rows: str | int
    fitted_on: States
    scored_on: States
    game: str | None
    level: str
    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    verdict: str

    @property
    def run(self) -> ProbeRun:
        """The probe and its rows."""
        return ProbeRun(self.probe, self.train_rows, self.fitted_on, self.scored_on)


@dataclass(frozen=True)
class Comparison:
    """The comparison of two results.

    Attributes:
        a: Name of the first encoder.
        b: Name of the second encoder.
        rows: Sorted by probe, game and category.
        statements: Remarks, such as games or probes that only one result has, and dry runs.
    """

    a: str
    b: str
    rows: tuple[Compared, ...]
    statements: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison for ``--json``, with numbers to four places and p-values to six."""
        rows = [
            {k: round(v, 6 if k == "p" else 4) if isinstance(v, float) else v for k, v in asdict(row).items()}
            for row in self.rows
        ]
        parts = {"a": self.a, "b": self.b, "level": LEVEL, "multiplicity": MULTIPLICITY}
        return {**parts, "statements": list(self.statements), "rows": rows}


Source: TypeAlias = Result | str | os.PathLike[str]


class Resampled:
    """A result to compare with others: its scores, and those in every draw of a bootstrap over the episodes.

    A game is read and drawn when it is first compared, and its predictions are not kept. So many games take
    little memory, and a result that is compared with several others is drawn once.

    Attributes:
        title: The file, or the encoder of a result in memory.
        signed: The result.

    Raises:
        ResultError: The file is not a result.
        UsageError: A result in memory has no predictions.
    """

    def __init__(self, source: Source) -> None:
        """Open a result file with its predictions next to it, or a result in memory."""
        if isinstance(source, Result):
            if source.predictions is None:
                raise UsageError(
                    "This result has no predictions.",
                    expected="a file with its predictions next to it, or what `harness.evaluate` returned",
                )
            self.title, self.signed = source.signed.encoder.name, source.signed
        else:
            self.title, self.signed = str(source), read(source).signed
        self._source = source
        self._drawn: dict[tuple[str, ProbeRun], _Drawn] = {}

    def drawn(self, game: str, run: ProbeRun) -> _Drawn:
        """Return the scores of a game under a probe."""
        if (game, run) not in self._drawn:
            self._drawn[game, run] = _Drawn.of(self._predicted(game, run), self.signed, game, run)
        return self._drawn[game, run]

    def _predicted(self, game: str, run: ProbeRun) -> Predicted:
        if isinstance(self._source, Result):
            return (self._source.predictions or {})[game][run]
        beside = predictions_file.file_beside(self._source)
        return predictions_file.read_run(beside, self.signed, game, run)


@dataclass(frozen=True)
class _Drawn:
    """Scores of one game under one probe.

    Attributes:
        rows: A digest of the test rows and what is true there.
        count: How many rows these are.
        episodes: How many episodes they are from.
        scores: The score of each variable, by name.
    """

    rows: str
    count: int
    episodes: int
    scores: Mapping[str, Scored]

    @classmethod
    def of(cls, predicted: Predicted, signed: Signed, game: str, run: ProbeRun) -> _Drawn:
        bootstrap = Bootstrap.over(predicted.episode)
        at = signed.at(run)
        metric, variables = signed.probes[at].metric, signed.games[game].scores[at].variables
        scores = {
            variable.name: predicted.score(v, metric, variable.target, bootstrap)
            for v, variable in enumerate(variables)
        }
        rows = replace(predicted, values=predicted.values[:0], constants=predicted.constants[:0])
        return cls(rows.digest(), len(predicted.truth), bootstrap.weights.shape[1], scores)


@dataclass(frozen=True)
class _Scored:
    """The score of both sides, and the draws of their difference."""

    a: float
    b: float
    draws: Draws

    @classmethod
    def mean(
        cls, items: Sequence[_Scored], draws: Callable[[Sequence[Draws]], Draws] = Draws.mean
    ) -> _Scored:
        """Return the mean over variables or categories of a game; or over games, with `Draws.over_games`."""
        return cls(
            float(np.mean([i.a for i in items])),
            float(np.mean([i.b for i in items])),
            draws([i.draws for i in items]),
        )

    @property
    def difference(self) -> Difference:
        return Difference.of(self.a - self.b, self.draws)


def compare(a: Source | Resampled, b: Source | Resampled) -> Comparison:
    """Compare two results by a paired bootstrap over the episodes of the test split.

    Both were scored on the same rows, so episodes that are hard for both do not widen the intervals.

    Args:
        a: A result file with its predictions next to it, or what `harness.evaluate` returned. To compare it
            with several others, make it `Resampled` once.
        b: The other result.

    Returns:
        Differences in score, a - b, with 95 % intervals, for each variable and for the means over
        categories, games and the suite.

    Raises:
        ResultError: A file is not a result.
        PredictionsError: Predictions are missing or do not match their result.
        UsageError: The results differ in protocol, label set, dataset or test rows, or have no game or probe
            in common.
    """
    one, other = (side if isinstance(side, Resampled) else Resampled(side) for side in (a, b))
    check_same_rules(one.signed, other.signed, (one.title, other.title))
    games = [name for name in one.signed.games if name in other.signed.games]
    runs = [run for run in one.signed.distinct_runs if run in other.signed.distinct_runs]
    for what, found in (("game", games), ("probe", runs)):
        if not found:
            raise UsageError(f"The results have no {what} in common.")
    scored = {run: {name: _game(one, other, name, run) for name in games} for run in runs}
    suite = _is_suite(games, one, other)
    rows = (row for run in runs for row in _rows(one.signed, run, scored[run], suite=suite))
    names = [side.signed.encoder.name for side in (one, other)]
    return Comparison(names[0], names[1], tuple(rows), tuple(_statements(one, other)))


def check_same_rules(one: Signed, other: Signed, titles: tuple[str, str]) -> None:
    """Check that two results were made under the same rules and can be compared.

    Args:
        one: The first result.
        other: The second result.
        titles: Their names, for error messages.

    Raises:
        UsageError: They differ in protocol, label set, test split, or in the rows or labels of a game.
    """
    shared = [name for name in one.games if name in other.games]
    for what, left, right in (
        ("label sets", one.dataset.label_set, other.dataset.label_set),
        ("test splits", one.dataset.fresh_seed, other.dataset.fresh_seed),
        ("protocols", one.protocol.digest, other.protocol.digest),
        *(
            (f"rows or labels of {name}", one.dataset.rules[name], other.dataset.rules[name])
            for name in shared
        ),
    ):
        if left != right:
            raise UsageError(
                f"The results cannot be compared: they have different {what}.",
                expected=f"the same as {titles[0]}: {left}",
                got=f"{titles[1]}: {right}",
            )


def _statements(a: Resampled, b: Resampled) -> Iterable[str]:
    for side in (a, b):
        if not side.signed.ranked:
            yield f"{side.title} cannot be ranked: {side.signed.unranked_reason}."
    for one, other in ((a, b), (b, a)):
        if games := [name for name in one.signed.games if name not in other.signed.games]:
            yield f"Not compared, only in {one.title}: {', '.join(games)}."
        theirs = other.signed.distinct_runs
        if runs := [str(run) for run in one.signed.distinct_runs if run not in theirs]:
            yield f"Not compared, only in {one.title}: {'; '.join(runs)}."
    common = [name for name in a.signed.games if name in b.signed.games]
    if not _is_suite(common, a, b):
        suite = min((side.signed.dataset.suite_games for side in (a, b)), key=len)
        there = sum(name in suite for name in common)
        yield f"No suite mean: both results have {there} of its {len(suite)} games."


def _is_suite(games: Sequence[str], a: Resampled, b: Resampled) -> bool:
    """Return whether games are all those of the suite of one of the results."""
    return any(list(games) == list(side.signed.dataset.suite_games) for side in (a, b))


def _game(a: Resampled, b: Resampled, name: str, run: ProbeRun) -> dict[str, _Scored]:
    """Return scores and bootstrap draws of every variable of a game."""
    one, other = (side.drawn(name, run) for side in (a, b))
    if one.rows != other.rows:
        raise UsageError(
            f"The results cannot be compared: they were scored on different rows of {name}.",
            expected=f"{a.title}: {one.count:,} rows",
            got=f"{b.title}: {other.count:,} rows",
            cure="Evaluate both without --limit.",
        )
    if one.episodes < 2:  # noqa: PLR2004  one episode shows no spread
        raise UsageError(f"All test rows of {name} are from one episode, so noise cannot be estimated.")
    pairs = ((variable, left, other.scores[variable]) for variable, left in one.scores.items())
    return {
        variable: _Scored(left.score, right.score, (left.draws - right.draws).of_game(name))
        for variable, left, right in pairs
    }


def _rows(
    signed: Signed, run: ProbeRun, scored: Mapping[str, Mapping[str, _Scored]], *, suite: bool
) -> Iterable[Compared]:
    """Yield the rows of one probe: for each game, its categories with their variables, and the mean.

    Args:
        signed: One of the results.
        run: The probe and its rows.
        scored: The score of every variable, by game.
        suite: Whether the games are those of a suite.
    """
    found = list(_items(signed, run, scored))
    games = [item for _, level, _, item in found if level == "game"]
    if suite and len(games) > 1:
        found.append((None, "suite", "suite", _Scored.mean(games, Draws.over_games)))
    differences = [item.difference for *_, item in found]
    sure: dict[int, bool] = {}
    for wanted in dict.fromkeys(level for _, level, *_ in found):
        family = [at for at, (_, level, *_) in enumerate(found) if level == wanted]
        sure |= zip(family, holm([differences[at].p for at in family]), strict=True)
    for at, ((game, level, name, item), d) in enumerate(zip(found, differences, strict=True)):
        verdict = "noise" if d.noise else "differs" if sure[at] else "unclear"
        yield Compared(
            *signed.fitted(run), game, level, name, item.a, item.b, d.value, d.low, d.high, d.p, verdict
        )


def _items(
    signed: Signed, run: ProbeRun, scored: Mapping[str, Mapping[str, _Scored]]
) -> Iterable[tuple[str | None, str, str, _Scored]]:
    """Yield game, level, name and score of every row but the suite's, in order."""
    for game, variables in scored.items():
        table = signed.games[game].scores[signed.at(run)].variables
        categories = dict(zip(*table.take(("name", "categories")), strict=True))
        means = {}
        for category in (*CATEGORIES, *APART):
            members = [name for name in variables if category in categories[name]]
            if members:
                means[category] = _Scored.mean([variables[name] for name in members])
                yield game, "category", category, means[category]
                yield from ((game, "variable", name, variables[name]) for name in members)
        yield from ((game, "variable", v, variables[v]) for v in variables if not categories[v])
        counted = [mean for category, mean in means.items() if category not in APART]
        if counted:
            yield game, "game", game, _Scored.mean(counted)
