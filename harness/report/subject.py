"""What a report is of: results that hold, each with its predictions, or why those are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atariari_data.errors import DataError, UsageError
from harness.metrics import weighted_f1
from harness.probes.probe import ProbeRun
from harness.protocol import RANKED, SHOWN
from harness.results import predictions_file
from harness.results.canonical import ResultError
from harness.results.comparison import check_same_rules
from harness.results.consistency import check
from harness.results.predictions import Predictions
from harness.results.result import ProbeScores, Result, Signed
from harness.results.result_file import read
from harness.results.verify import check_signatures

MOST: Final = 8
_MOST_RUNS: Final = 3
_ROUNDING = 0.0001  # of scores to four places


@dataclass(frozen=True, eq=False)
class Subject:
    """A result in a report.

    Attributes:
        number: From 0; decides its letter and its colour.
        file: Name of its file; None for a result that was not read from one.
        result: It.
        predictions: By game, or None.
        missing: Why there are no predictions, or None.
    """

    number: int
    file: str | None
    result: Result
    predictions: Mapping[str, Predictions] | None
    missing: str | None

    @property
    def letter(self) -> str:
        """Return what stands for it where its name has no room: A, B, C..."""
        return chr(ord("A") + self.number)

    @property
    def name(self) -> str:
        """Return the encoder's name."""
        return self.signed.encoder.name

    @property
    def signed(self) -> Signed:
        """Return what is signed."""
        return self.result.signed

    @property
    def runs(self) -> list[ProbeRun]:
        """Return its probes and training sizes."""
        return [p.run for p in self.signed.probes]

    def scores(self, game: str, run: ProbeRun) -> ProbeScores | None:
        """Return a game's scores under a probe, None where there are none."""
        if game not in self.signed.games or run not in self.runs:
            return None
        return self.signed.games[game].scores[self.runs.index(run)]


def load(sources: Sequence[Result | str | os.PathLike[str]]) -> list[Subject]:
    """Read results and their predictions, and check that they hold.

    Raises:
        ResultError: A file is no result, its numbers contradict each other, or they are not those of its
            predictions.
        SignatureError: It is signed, and a signature does not hold.
        UsageError: None or too many, one is there twice, or they were made under different rules.
    """
    if not 1 <= len(sources) <= MOST:
        raise UsageError("A report is of at least one result.", expected=f"1 to {MOST}", got=len(sources))
    found = [_load(number, source) for number, source in enumerate(sources)]
    digests = [subject.signed.digest for subject in found]
    for subject in found[1:]:
        if subject.signed.digest in digests[: subject.number]:
            raise UsageError(f"The result {subject.file or subject.name} is there twice.")
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
            return Subject(number, file, result, None, "The result came without its predictions.")
        else:
            found = dict(result.predictions)
    except DataError as error:
        return Subject(number, file, result, None, str(error))
    _check_scores(result.signed, found)
    return Subject(number, file, result, found, None)


def _check_scores(signed: Signed, found: Mapping[str, Predictions]) -> None:
    """Check that the scores are those of the predictions: the digests bind both, not one to the other."""
    for name, game in signed.games.items():
        truth = found[name].truth
        for scores in game.scores:
            run = scores.run
            for v, variable in enumerate(scores.variables):
                f1 = weighted_f1(truth.labels[:, v].copy(), found[name].by_run[run][:, v].copy())
                if variable.f1 is not None and abs(variable.f1 - f1) > _ROUNDING:
                    raise ResultError(
                        f"A score is not that of the predictions: {name}, {run}, {variable.name}.",
                        expected=f"F1 {f1:.4f}",
                        got=variable.f1,
                    )


def games_of(subjects: Iterable[Subject]) -> list[str]:
    """Return the games of all results, in order."""
    return sorted({game for subject in subjects for game in subject.signed.games})


def runs_of(subjects: Iterable[Subject]) -> list[ProbeRun]:
    """Return what stands side by side: the protocol's scores, or else the first three that there are."""
    there = list(dict.fromkeys(run for subject in subjects for run in subject.runs))
    return [run for run in (*RANKED, *SHOWN) if run in there] or there[:_MOST_RUNS]
