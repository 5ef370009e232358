"""The loop that trains every method: batches, validation, budget, and a state that survives a kill."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import torch
from tqdm.auto import tqdm

from atariari_data.errors import UnknownNameError, UsageError
from builders.console import say
from builders.manifest import DATASET_VERSION, PRETRAIN, load_manifest, recorded_games
from harness.encoders.torch_modules import resolve_device
from harness.methods import load_method
from harness.methods.learner import Learner, read_batches
from harness.methods.method import Batch, Loss, parse_options
from harness.methods.rows import GIGA, Rows, open_rows
from harness.methods.run import (
    CONFIG,
    STATE,
    Budget,
    Config,
    Settings,
    Training,
    complete,
    read_config,
    write_config,
    write_weights,
)
from harness.methods.sampling import draw_epoch, validation_batches
from harness.methods.trackers import Trackers

LOG_EVERY: Final = 20
MOST_VALIDATION_BATCHES: Final = 100


@dataclass(frozen=True)
class Surroundings:
    """What does not decide the weights.

    Attributes:
        device: Torch device.
        save_seconds: Between saved states; 0 saves after every step.
        trackers: As in `harness.methods.trackers.TRACKERS`.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
        num_proc: Processes to build it with.
        progress: Show it on standard error.
    """

    device: str = "cpu"
    save_seconds: float = 60.0
    trackers: tuple[str, ...] = ()
    cache_dir: str | None = None
    num_proc: int | None = None
    progress: bool = True


def train(
    settings: Settings,
    out: Path,
    budget: Budget | None = None,
    surroundings: Surroundings | None = None,
    *,
    rows: tuple[Rows, Rows] | None = None,
) -> Config:
    """Train a method, or go on with the run in ``out``; one that has ended is left as it is.

    On the CPU, a run that was killed and resumed ends with the weights that it would have ended with,
    as long as no budget of minutes stops it and torch has as many threads as before.

    Args:
        settings: What decides the weights.
        out: Folder of the run.
        budget: When to stop; a run that is resumed may be given another.
        surroundings: What does not decide the weights.
        rows: Train and validation, in the place of the game's pretraining split.

    Returns:
        What ``config.json`` then says.

    Raises:
        UnknownNameError: No such method, game, encoder, option or tracker.
        UsageError: ``out`` holds something else, or a run with other settings.
        DataError: As `atariari_data.load_dataset`; or no room for the frames, or too few of them.
        TrainingError: The loss is not a number any more, or grows out of all bounds.
    """
    around, budget = surroundings or Surroundings(), budget or Budget()
    device = resolve_device(around.device)
    if settings.game not in recorded_games():
        raise UnknownNameError("game", settings.game, recorded_games())
    settings = complete(settings)
    config = _claim(out, settings, budget)
    if config.training is not None:
        if around.progress:
            say(f"{out}: has ended already.")
        return config
    kind = load_method(settings.method)
    options = parse_options(kind, settings.options)
    kind.check_options(options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = kind.make_encoder(settings.network, options)
        if not kind.trains:
            return _finish(out, config, encoder.state_dict(), _outcome("untrained", device))
        method = kind(encoder, options)
    if rows is None:
        rows = (_open(settings, "train", around), _open(settings, "validation", around))
    learner = Learner(method, settings, device)
    if (out / STATE).is_file():
        learner.load(out / STATE)
        if around.progress:
            say(f"{out}: goes on at step {learner.step:,}.")
    stopped_by = _run(learner, rows, budget, out, around)
    config = _finish(out, config, learner.best_weights, _outcome(stopped_by, device, learner))
    (out / STATE).unlink(missing_ok=True)
    return config


def _run(learner: Learner, rows: tuple[Rows, Rows], budget: Budget, out: Path, around: Surroundings) -> str:
    """Learn until a budget or patience ends it; return which."""
    settings, method = learner.settings, learner.method
    sample: dict[str, Any] = {"length": method.frames_per_sample, "batch_size": settings.batch_size}
    sample["random_frame"] = method.random_frame
    checked = validation_batches(rows[1], **sample, most=MOST_VALIDATION_BATCHES)
    an_epoch = len(draw_epoch(rows[0], **sample, seed=settings.seed, epoch=0))
    every = settings.validate_every or an_epoch
    steps = min(an_epoch * budget.epochs, budget.steps or an_epoch * budget.epochs)
    clock = _Clock(learner.seconds, budget.max_minutes)
    with (
        Trackers(out, learner.step, f"{settings.method}-{settings.game}", around.trackers) as trackers,
        tqdm(total=steps, initial=learner.step, unit="step", disable=not around.progress) as bar,
    ):
        log = _Log(learner, trackers, bar, clock)
        batches = _batches(learner, rows[0], sample, an_epoch)
        saved = time.monotonic()
        stopped_by = _end(learner, steps, budget, clock)
        while stopped_by is None:
            batch = next(batches)
            if around.progress and bar.n == bar.initial:
                bar.write(
                    f"Training takes about {learner.memory(batch) / GIGA:.2f} GB of memory.", sys.stderr
                )
            loss = learner.learn(batch)
            learner.seconds = clock.seconds()
            stopped_by = _end(learner, steps, budget, clock)
            log.add(loss, last=stopped_by is not None)
            if learner.step % every == 0 and stopped_by is None:
                log.validated(learner.validate(rows[1], checked))
                if learner.waited >= settings.patience:
                    stopped_by = "patience"
            if stopped_by is None and time.monotonic() - saved >= around.save_seconds:
                learner.save(out / STATE)
                saved = time.monotonic()
        if stopped_by != "patience":  # then it has just been done
            log.validated(learner.validate(rows[1], checked))
    return stopped_by


def _batches(learner: Learner, rows: Rows, sample: dict[str, Any], an_epoch: int) -> Iterator[Batch]:
    """Give the batches from the learner's step on, without end."""
    first = learner.step % an_epoch
    for epoch in count(learner.step // an_epoch):
        index = draw_epoch(rows, **sample, seed=learner.settings.seed, epoch=epoch)
        yield from read_batches(rows, index[first:], learner.device)
        first = 0


def _end(learner: Learner, steps: int, budget: Budget, clock: _Clock) -> str | None:
    if learner.step >= steps:
        return "steps" if steps == budget.steps else "epochs"
    return "minutes" if clock.is_up() else None


class _Clock:
    """Seconds of all sessions, and whether they are used up."""

    def __init__(self, before: float, max_minutes: float | None) -> None:
        self._start = time.monotonic() - before
        self.limit = None if max_minutes is None else 60 * max_minutes

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def is_up(self) -> bool:
        return self.limit is not None and self.seconds() >= self.limit


class _Log:
    """Takes every loss; now and then tells trackers and progress bar the mean, and sees that it can go on."""

    def __init__(self, learner: Learner, trackers: Trackers, bar: tqdm[Any], clock: _Clock) -> None:
        self._learner, self._trackers, self._bar, self._clock = learner, trackers, bar, clock
        self._window: list[torch.Tensor] = []
        self._since = clock.seconds()
        self._steps = int(bar.total or 0)

    def add(self, loss: Loss, *, last: bool) -> None:
        """Take the loss of a step, on the device: it is not waited for."""
        self._window.append(loss.total)
        self._bar.update()
        learner = self._learner
        if learner.step % LOG_EVERY and not last:
            return
        mean, now = float(torch.stack(self._window).mean()), self._clock.seconds()
        learner.check(mean)
        samples = len(self._window) * learner.settings.batch_size
        self._trackers.write(
            {
                "step": learner.step,
                "split": "train",
                "loss": mean,
                **{name: float(part) for name, part in loss.parts.items()},
                "learning_rate": learner.optimizer.param_groups[0]["lr"],
                "samples_per_second": round(samples / max(now - self._since, 1e-9), 1),
                "seconds": round(now, 1),
            }
        )
        self._bar.set_postfix(loss=f"{mean:.4g}", refresh=False)
        if self._clock.limit is not None:
            in_time = round(learner.step * self._clock.limit / max(now, 1e-9))
            self._bar.total = min(self._steps, max(in_time, learner.step))
        self._window, self._since = [], now

    def validated(self, loss: float) -> None:
        """Take the mean loss of a validation."""
        self._learner.seconds = self._clock.seconds()
        self._trackers.write({"step": self._learner.step, "split": "validation", "loss": loss})


def _open(settings: Settings, split: str, around: Surroundings) -> Rows:
    return open_rows(
        settings.game,
        split,
        settings.size,
        cache_dir=around.cache_dir,
        num_proc=around.num_proc,
        progress=around.progress,
    )


def _claim(out: Path, settings: Settings, budget: Budget) -> Config:
    """Make the folder of a new run, or find the run that is to go on.

    Raises:
        UsageError: Something else is there.
    """
    if out.is_dir():
        for partial in out.glob(f".{STATE}.*"):  # of a killed save
            shutil.rmtree(partial, ignore_errors=True)
    if out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        if not (out / CONFIG).is_file():
            raise UsageError(f"{out} is there, and is no run.", cure="Name another folder with --out.")
        config = read_config(out)
        there, wanted = config.settings.model_dump(), settings.model_dump()
        other = [name for name in wanted if wanted[name] != there[name]]
        if other and (
            config.training is not None or (out / STATE).is_file()
        ):  # else there is nothing to lose
            raise UsageError(
                f"{out} is a run with other settings.",
                expected=", ".join(f"{name}={there[name]}" for name in other),
                got=", ".join(f"{name}={wanted[name]}" for name in other),
                cure="Name another folder with --out, or give the settings that it was started with.",
            )
        if config.training is not None:
            return config
    elif out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", expected="a folder, or nothing")
    splits = load_manifest(settings.game).configs[settings.game + PRETRAIN].splits
    digests = {name: f"blake3:{split.digest}" for name, split in splits.items()}
    config = Config(settings=settings, budget=budget, data={"dataset": DATASET_VERSION, **digests})
    write_config(out, config)
    return config


def _outcome(stopped_by: str, device: torch.device, learner: Learner | None = None) -> Training:
    return Training(
        stopped_by=stopped_by,
        steps=0 if learner is None else learner.step,
        samples=0 if learner is None else learner.step * learner.settings.batch_size,
        best_step=0 if learner is None else learner.best_step,
        validation_loss=None if learner is None else learner.best_loss,
        seconds=0.0 if learner is None else round(learner.seconds, 1),
        device=str(device),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        finished=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _finish(out: Path, config: Config, weights: dict[str, torch.Tensor], outcome: Training) -> Config:
    """Write the weights, then that they are there."""
    write_weights(out, weights)
    config = config.model_copy(update={"training": outcome})
    write_config(out, config)
    return config
