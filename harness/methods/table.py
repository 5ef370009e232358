"""A table of results: methods by seeds, on the same games; finished results are kept."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atariari_data.errors import AtariariError, UsageError
from harness.encoders.named import NAMED
from harness.methods import load_method
from harness.methods.by_game import settings_told
from harness.methods.run import blank_encoder, complete
from harness.methods.units import Unit, check_unit
from harness.probes.probe import ProbeRun
from harness.protocol import game_rules, protocol_digest
from harness.results.provenance import Encoder
from harness.results.result import Signed
from harness.results.result_file import read

_log = logging.getLogger(__name__)

_SEEDED: Final = ("random-cnn",)
"""Encoders without training that depend on the seed."""


@dataclass(frozen=True)
class Row:
    """One result of the table.

    Attributes:
        method: A name in `harness.methods.METHODS` or `harness.encoders.named.NAMED`.
        seed: The random seed; None if the method does not use one.
    """

    method: str
    seed: int | None

    @property
    def name(self) -> str:
        """Name of the result file and of the folder of runs."""
        return self.method if self.seed is None else f"{self.method}-{self.seed}"

    @property
    def trains(self) -> bool:
        """Whether there is a run for each game."""
        return self.seed is not None


def plan(methods: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """Return the rows: all methods with the first seed, then all with the next.

    Methods that do not use a seed (majority, PCA, the frozen random projection, RAM) have one row.

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
    """Make the missing results of a table; a row that fails does not stop the others.

    Args:
        rows: The rows of the table.
        folder: Folder of the result files, ``NAME.json``.
        wanted: What each result must contain.
        make: Makes a row's result at a path.

    Returns:
        The result files, and the names of the rows that failed.
    """
    done, failed = [], []
    for number, row in enumerate(rows, 1):
        path = folder / f"{row.name}.json"
        said = f"[{number}/{len(rows)}] {row.name}"
        try:
            wanted.check_runs(row)
            if path.exists():
                wanted.check(row, path)
                _log.info("%s: already done", said)
            else:
                _log.info("%s: started", said)
                make(row, path)
            done.append(path)
        except AtariariError as error:
            _log.error("%s: failed. %s", said, error)
            failed.append(row.name)
        except Exception:  # noqa: BLE001  whatever it is, such as a full GPU, the other rows go on
            _log.error("%s: failed. %s", said, traceback.format_exc())
            failed.append(row.name)
    return done, failed


@dataclass(frozen=True)
class Wanted:
    """What a result of the table must contain.

    Attributes:
        games: The games, sorted.
        runs: The probes and training sizes.
        label_set: The label set.
        limit: The rows per split in a dry run.
        units: Gives the trainings of a row, one for each game; none if it does not train.
    """

    games: Sequence[str]
    runs: Sequence[ProbeRun]
    label_set: str
    limit: int | None
    units: Callable[[Row], Sequence[Unit]]

    def check_runs(self, row: Row) -> None:
        """Check that the runs of a row, as far as they are there, are those of this table.

        Raises:
            UsageError: One has other settings, or was finished with another budget.
        """
        for unit in self.units(row):
            check_unit(unit)

    def check(self, row: Row, path: Path) -> None:
        """Check that an existing file is a result of this table.

        A result does not tell the budget of its training. `check_runs` compares it where the runs are.

        Raises:
            UsageError: It is a result of other rules, games, probes or rows, or of another training.
            ResultError: It is not a result.
        """
        signed = read(path).signed
        for what, expected, got in (
            ("rules", protocol_digest(self.label_set), signed.protocol.digest),
            ("games", ", ".join(self.games), ", ".join(signed.games)),
            ("rows or labels", {g: game_rules(g, self.label_set) for g in self.games}, signed.dataset.rules),
            ("probes", _said(self.runs), _said([p.run for p in signed.probes])),
            ("rows", self.limit, signed.dry_run_rows),
            *_training(self.units(row), signed.encoder),
        ):
            if expected != got:
                raise UsageError(
                    f"{path} exists, with other {what}.",
                    expected=str(expected),
                    got=str(got),
                    cure="Choose another --results folder, or move the file away.",
                )


def _training(units: Sequence[Unit], encoder: Encoder) -> Iterator[tuple[str, object, object]]:
    """Yield what a result tells about its training: what, expected, got."""
    for unit in units[:1]:  # those of the other games are alike
        settings = complete(unit.settings)
        if not load_method(settings.method).trains:
            count = sum(weight.numel() for weight in blank_encoder(settings).parameters())
            yield "parameters (--encoder, --size, --feature-size)", count, encoder.parameters
            continue
        told = {} if encoder.training is None else _flat(vars(encoder.training))
        for name, value in _flat(settings_told(settings)).items():
            yield name, value, told.get(name)
        most = unit.budget.steps or encoder.steps
        yield "steps", min(encoder.steps, most), encoder.steps


def _flat(training: Mapping[str, Any]) -> Mapping[str, object]:
    """Return how encoders were trained, without what depends on the game."""
    return {**{name: training[name] for name in ("method", "seed", "batch_size")}, **training["settings"]}


def summary(signed: Signed) -> str:
    """Return the score under each probe in a line: of the suite, or of each game if the suite has none."""
    parts = []
    for number, suite in enumerate(signed.suite):
        found = {"suite": suite.means.score}
        if suite.means.score is None:
            found = {game: scores.scores[number].means.score for game, scores in signed.games.items()}
        shown = ", ".join(f"{name} {'none' if f1 is None else f'{f1:.3f}'}" for name, f1 in found.items())
        parts.append(f"{suite.run}: {shown}")
    return "; ".join(parts)


def parse_seeds(text: str) -> list[int]:
    """Parse seeds: ``0``, ``0,1,2`` or ``0-4``.

    Raises:
        UsageError: The text has another form.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError("Not a list of seeds.", expected="0, or 0,1,2, or 0-4", got=text)
        of_part = range(int(first), int(last or first) + 1)
        if not of_part:
            raise UsageError("Not a range of seeds.", expected="the smaller number first: 0-4", got=part)
        seeds += of_part
    return seeds


def _said(runs: Sequence[ProbeRun]) -> str:
    return "; ".join(map(str, runs))
