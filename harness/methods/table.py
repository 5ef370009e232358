"""A table of results: methods by seeds, each on the same games; what is finished is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atariari_data.errors import AtariariError, UsageError
from builders.console import say
from harness.encoders.named import NAMED
from harness.methods import load_method
from harness.probes.probe import ProbeRun
from harness.protocol import protocol_digest
from harness.results.result import Signed
from harness.results.result_file import read

_SEEDED: Final = ("random-cnn",)
"""Of those that need no training, which there are many of."""


@dataclass(frozen=True)
class Row:
    """One result of the table.

    Attributes:
        method: Of `harness.methods.METHODS` or `harness.encoders.named.NAMED`.
        seed: None where nothing is drawn.
    """

    method: str
    seed: int | None

    @property
    def name(self) -> str:
        """Of its file and of its folder of runs."""
        return self.method if self.seed is None else f"{self.method}-{self.seed}"

    @property
    def trains(self) -> bool:
        """Whether it has a run for each game."""
        return self.seed is not None


def plan(methods: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """Return the rows, all methods under the first seed, then all under the next.

    What draws nothing (majority, PCA, RAM, and the projection, which is frozen) has one row.

    Raises:
        UnknownNameError: No such method.
    """
    for method in methods:
        if method not in NAMED:
            load_method(method)
    rows = [
        Row(method, None if method in NAMED and method not in _SEEDED else seed)
        for seed in seeds
        for method in methods
    ]
    return list(dict.fromkeys(rows))


def fill(
    rows: Sequence[Row], folder: Path, wanted: Wanted, make: Callable[[Row, Path], None]
) -> tuple[list[Path], list[str]]:
    """Make the results that are not there yet.

    A row that fails does not keep the others from being made.

    Args:
        rows: Of the table.
        folder: Where ``NAME.json`` is written.
        wanted: What each is of.
        make: Makes one, at a path.

    Returns:
        The files that are there, and why others are not.
    """
    done, failed = [], []
    for number, row in enumerate(rows, 1):
        path = folder / f"{row.name}.json"
        said = f"{number} of {len(rows)}, {row.name}"
        try:
            if path.exists():
                wanted.check(path)
                say(f"{said}: is there.")
            else:
                say(f"{said}: begins.")
                make(row, path)
            done.append(path)
        except AtariariError as error:
            say(f"{said}: failed. {error}")
            failed.append(row.name)
    return done, failed


@dataclass(frozen=True)
class Wanted:
    """What a result of the table is of.

    Attributes:
        games: Sorted.
        runs: Probes and training sizes.
        label_set: Of the labels.
        limit: Rows of a dry run.
    """

    games: Sequence[str]
    runs: Sequence[ProbeRun]
    label_set: str
    limit: int | None

    def check(self, path: Path) -> None:
        """Refuse a file that is there and is of something else.

        Raises:
            UsageError: It is; says of what.
            ResultError: It is no result.
        """
        signed = read(path).signed
        for what, expected, got in (
            ("rules", protocol_digest(self.label_set), signed.protocol.digest),
            ("games", ", ".join(self.games), ", ".join(signed.games)),
            ("probes", _said(self.runs), _said([p.run for p in signed.probes])),
            ("rows", self._dry, signed.dry_run_rows is not None),
        ):
            if expected != got:
                raise UsageError(
                    f"{path} is there, and is of other {what}.",
                    expected=str(expected),
                    got=str(got),
                    cure="Another --results, or move that file away.",
                )

    @property
    def _dry(self) -> bool:
        return self.limit is not None


def summary(signed: Signed) -> str:
    """Say F1 under each probe in a line: of the suite, or of each game where that has none."""
    parts = []
    for number, suite in enumerate(signed.suite):
        found = {"suite": suite.means.f1}
        if suite.means.f1 is None:
            found = {game: scores.scores[number].means.f1 for game, scores in signed.games.items()}
        shown = ", ".join(f"{name} {'none' if f1 is None else f'{f1:.3f}'}" for name, f1 in found.items())
        parts.append(f"{suite.run}: {shown}")
    return "; ".join(parts)


def parse_seeds(text: str) -> list[int]:
    """Read seeds: ``0``, ``0,1,2`` or ``0-4``.

    Raises:
        UsageError: It is something else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError("These are no seeds.", expected="0, or 0,1,2, or 0-4", got=text)
        seeds += range(int(first), int(last or first) + 1)
    if not seeds:
        raise UsageError("These are no seeds.", expected="the smaller number first, as 0-4", got=text)
    return seeds


def _said(runs: Sequence[ProbeRun]) -> str:
    return "; ".join(map(str, runs))
