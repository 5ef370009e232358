"""The results in a report: verified, each with its predictions or the reason why they are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from atariari_data.errors import DataError, UsageError
from harness.metrics import Bootstrap
from harness.probes.probe import Metric, ProbeRun
from harness.protocol import RANKED, SHOWN
from harness.results import predictions_file
from harness.results.canonical import ResultError
from harness.results.comparison import Resampled, check_same_rules
from harness.results.consistency import check
from harness.results.predictions import Numbers, Predictions
from harness.results.result import Means, ProbeScores, Result, Signed
from harness.results.result_file import read
from harness.results.verify import check_signatures

MOST: Final = 8
_MOST_RUNS: Final = 3
_ROUNDING = 0.0001  # of scores to four places


@dataclass(frozen=True, eq=False)
class Subject:
    """A result in a report.

    Attributes:
        number: From 0; determines its letter and colour.
        file: Name of its file; None if it was not read from a file.
        result: The result.
        predictions: Predictions by game, or None.
        missing: Why there are no predictions, or None.
    """

    number: int
    file: str | None
    result: Result
    predictions: Mapping[str, Predictions] | None
    missing: str | None

    @property
    def letter(self) -> str:
        """The short name: A, B, C..."""
        return chr(ord("A") + self.number)

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self.signed.encoder.name

    @property
    def signed(self) -> Signed:
        """The signed part of the result."""
        return self.result.signed

    @cached_property
    def resampled(self) -> Resampled:
        """The result with its predictions, to compare it with others.

        Raises:
            UsageError: There are none.
        """
        return Resampled(self.result.with_predictions(self.predictions))

    @property
    def runs(self) -> list[ProbeRun]:
        """Its probes and training sizes; in a dry run, each with the rows that it really had, once."""
        return [self.signed.fitted(run) for run in self.signed.distinct_runs]

    def _at(self, run: ProbeRun) -> int | None:
        """Return the place of one of its runs in the result, or None."""
        fitted = [self.signed.fitted(probe.run) for probe in self.signed.probes]
        return fitted.index(run) if run in fitted else None

    def scores(self, game: str, run: ProbeRun) -> ProbeScores | None:
        """Return a game's scores under one of its runs, or None."""
        at = self._at(run)
        return None if at is None or game not in self.signed.games else self.signed.games[game].scores[at]

    def suite(self, run: ProbeRun) -> Means | None:
        """Return the suite's means under one of its runs, or None."""
        at = self._at(run)
        return None if at is None else self.signed.suite[at].means

    def metric(self, run: ProbeRun) -> Metric:
        """Return the metric of one of its runs."""
        return self.signed.probes[self._at(run) or 0].metric

    def predicted(self, game: str, run: ProbeRun, variable: str) -> tuple[Numbers, Numbers] | None:
        """Return true values and predictions of a variable, float32 [n], on the rows that it is known on.

        Of several draws of training rows, these are the predictions of the first.
        """
        found = (self.predictions or {})[game][self.signed.probes[self._at(run) or 0].run]
        if variable not in found.names:
            return None
        column = found.names.index(variable)
        truth = found.truth[:, column]
        return truth[~np.isnan(truth)], found.values[0, ~np.isnan(truth), column]


def load(sources: Sequence[Result | str | os.PathLike[str]]) -> list[Subject]:
    """Read and verify results and their predictions.

    Raises:
        ResultError: A file is not a result, its numbers are inconsistent, or they do not match its
            predictions.
        SignatureError: A signature is invalid.
        UsageError: No result, too many, a duplicate, or different protocols.
    """
    if not 1 <= len(sources) <= MOST:
        raise UsageError(
            f"A report shows at most {MOST} results." if sources else "A report needs at least one result.",
            expected=f"1 to {MOST} results",
            got=len(sources),
            cure="Choose fewer results; `harness report --csv FILE RESULTS...` takes any number."
            if sources
            else None,
        )
    found = [_load(number, source) for number, source in enumerate(sources)]
    digests = [subject.signed.digest for subject in found]
    for subject in found[1:]:
        if subject.signed.digest in digests[: subject.number]:
            raise UsageError(f"Duplicate result: {subject.file or subject.name}.")
        titles = (found[0].file or found[0].name, subject.file or subject.name)
        check_same_rules(found[0].signed, subject.signed, titles)
    return found


def _load(number: int, source: Result | str | os.PathLike[str]) -> Subject:
    result = source if isinstance(source, Result) else read(source)
    check(result.signed)
    if result.signatures:
        check_signatures(result, None)
    file = None if isinstance(source, Result) else Path(source).name
    try:
        if not isinstance(source, Result):
            found = predictions_file.read(predictions_file.file_beside(source), result.signed)
        elif result.predictions is None:
            return Subject(number, file, result, None, "The result has no predictions.")
        else:
            found = dict(result.predictions)
    except DataError as error:
        return Subject(number, file, result, None, str(error))
    _check_scores(result.signed, found)
    return Subject(number, file, result, found, None)


def _check_scores(signed: Signed, found: Mapping[str, Predictions]) -> None:
    """Check that the scores match the predictions: the digests cover both, but not their relation."""
    for name, game in signed.games.items():
        for probe, scores in zip(signed.probes, game.scores, strict=True):
            predicted = found[name][scores.run]
            bootstrap = Bootstrap.over(predicted.episode, resamples=1)
            for v, variable in enumerate(scores.variables):
                score = predicted.score(v, probe.metric, variable.target, bootstrap).score
                if variable.score is not None and abs(variable.score - score) > _ROUNDING:
                    raise ResultError(
                        f"A score does not match the predictions: {name}, {scores.run}, {variable.name}.",
                        expected=f"{score:.4f}",
                        got=variable.score,
                    )


def games_of(subjects: Iterable[Subject]) -> list[str]:
    """Return the games of all results, sorted."""
    return sorted({game for subject in subjects for game in subject.signed.games})


def runs_of(subjects: Sequence[Subject]) -> list[ProbeRun]:
    """Return the runs to show side by side: the protocol's, or else the first three."""
    there = list(dict.fromkeys(run for subject in subjects for run in subject.runs))
    dry = [run for s in subjects if s.signed.dry_run_rows is not None for run in s.runs][:_MOST_RUNS]
    found = [*(run for run in (*RANKED, *SHOWN) if run in there), *dry]
    return list(dict.fromkeys(found)) or there[:_MOST_RUNS]
