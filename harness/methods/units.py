"""Trainings as units of work: which are left, and how workers share them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from atariari_data.errors import AtariariError
from builders.files import new_file
from builders.package import source_digest
from builders.progress import progress_bar
from builders.spread import Engine, Outcome, Task, spread
from harness.cache import default_dir
from harness.methods.run import CHECKPOINTS, CONFIG, METRICS, WEIGHTS, Budget, Config, Settings, complete
from harness.methods.trackers import TensorBoard
from harness.methods.train import Surroundings, check_budget, run_there, train


@dataclass(frozen=True)
class Unit:
    """A training, as `train` takes it."""

    settings: Settings
    out: Path
    budget: Budget
    surroundings: Surroundings

    @property
    def name(self) -> str:
        """What log lines and errors call it."""
        return f"{self.out.parent.name}, {self.settings.game}"

    def train(self) -> Config:
        """Train, as `train` does."""
        return train(self.settings, self.out, self.budget, self.surroundings)


def train_spread(units: Sequence[Unit], engine: Engine, *, progress: bool) -> Iterator[Outcome[Path]]:
    """Train in workers, and yield what became of each unit.

    Workers on this machine train in the folders of the runs. Others train in folders of their own, where the
    same command finds them again, and send the finished run.

    Args:
        units: What to train.
        engine: Where.
        progress: Show a progress bar of the units.

    Raises:
        ClusterError: As `builders.spread.spread`.
    """
    todo: list[Unit] = []
    for number, unit in enumerate(units):
        try:
            if not is_finished(unit):
                todo.append(unit)
        except AtariariError as error:
            yield Outcome(number, unit.name, platform.node(), None, error)
    units, each = todo, engine.left_for_each(len(todo))
    tasks = [
        Task(
            unit.name,
            (
                replace(unit, surroundings=replace(unit.surroundings, progress=False, num_proc=each)),
                engine.is_local,
            ),
        )
        for unit in units
    ]
    with progress_bar(len(tasks), "Training", "run", shown=progress) as bar:
        for outcome in spread(_train_there, tasks, engine):
            bar.update()
            out = units[outcome.number].out
            for name, content in (outcome.made or {}).items():
                with new_file(out / name, replace=True) as part:
                    part.write_bytes(content)
            yield Outcome(
                outcome.number,
                outcome.name,
                outcome.worker,
                None if outcome.made is None else out,
                outcome.error,
            )


def is_finished(unit: Unit) -> bool:
    """Return whether a training was finished earlier.

    Raises:
        UsageError: Its folder is not a run, or is a run with other settings.
    """
    there = run_there(unit.out, complete(unit.settings))
    return there is not None and there.training is not None


def check_unit(unit: Unit) -> None:
    """Check that a training was not finished earlier with another budget.

    Raises:
        UsageError: It was; or its folder is not a run, or is a run with other settings.
    """
    there = run_there(unit.out, complete(unit.settings))
    if there is not None:
        check_budget(unit.out, there, unit.budget)


def _train_there(unit: Unit, on_this_disk: bool) -> dict[str, bytes]:
    """Train in a worker; return the files of the run if it is on another disk."""
    out = unit.out
    if not on_this_disk:
        what = (unit.settings, unit.budget, unit.surroundings.checkpoints, source_digest())
        out = default_dir() / "runs" / blake3(repr(what).encode()).hexdigest()[:32]
    replace(unit, out=out).train()
    if on_this_disk:
        return {}
    # The configuration last: with it, the run counts as finished.
    kept = sorted((out / CHECKPOINTS).glob("*"))
    files = [folder / name for folder in (*kept, out) for name in (METRICS, WEIGHTS, CONFIG)]
    files = [*out.glob(TensorBoard.files), *files]
    return {str(file.relative_to(out)): file.read_bytes() for file in files if file.is_file()}
