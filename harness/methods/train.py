"""The training loop of all methods, with validation, budgets and resuming."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock, Timeout
from tqdm.std import tqdm

from atariari_data.errors import UnknownNameError, UsageError
from builders.manifest import PRETRAIN, load_manifest, recorded_games
from builders.progress import progress_bar
from harness.encoders.torch_modules import resolve_device
from harness.methods import load_method
from harness.methods.learner import Learner, read_batches
from harness.methods.method import Batch, Loss, parse_options
from harness.methods.rows import GIGA, Rows, open_rows
from harness.methods.run import (
    CHECKPOINTS,
    CONFIG,
    LOCK,
    STATE,
    Budget,
    Config,
    Settings,
    Training,
    check_same,
    complete,
    read_config,
    write_config,
    write_weights,
)
from harness.methods.sampling import Indices, draw_epoch, validation_batches
from harness.methods.trackers import Trackers, check_trackers

_log = logging.getLogger(__name__)

LOG_EVERY: Final = 20
MOST_VALIDATION_BATCHES: Final = 100


@dataclass(frozen=True)
class Surroundings:
    """Options that do not affect the weights.

    Attributes:
        device: Torch device.
        save_seconds: Seconds between saved states; 0 saves after every step.
        trackers: Names in `harness.methods.trackers.TRACKERS`.
        cache_dir: Folder of the built dataset, as in ``load_dataset``.
        num_proc: Processes that build it.
        progress: Show progress on standard error.
        checkpoints: Steps after which the encoder as it is then is kept, a finished run of its own in the
            folder ``checkpoints/STEP`` of the run.
    """

    device: str = "cpu"
    save_seconds: float = 60.0
    trackers: tuple[str, ...] = ()
    cache_dir: str | None = None
    num_proc: int | None = None
    progress: bool = True
    checkpoints: tuple[int, ...] = ()


def train(
    settings: Settings,
    out: Path,
    budget: Budget | None = None,
    surroundings: Surroundings | None = None,
    *,
    rows: tuple[Rows, Rows] | None = None,
) -> Config:
    """Train a method, or resume the run in ``out``; a finished run is left as it is.

    On the CPU, a run that was killed and resumed ends with exactly the weights of an uninterrupted run,
    unless ``max_minutes`` ends it or torch uses another number of threads. If another process trains in
    ``out``, this one waits for it.

    Args:
        settings: Everything but the budget that determines the weights.
        out: Folder of the run.
        budget: When to stop; it may change when a run is resumed, but not once it is finished.
        surroundings: Options that do not affect the weights.
        rows: Training and validation rows to use instead of the game's pretraining split.

    Returns:
        The content of ``config.json``.

    Raises:
        UnknownNameError: No such method, game, encoder, option or tracker.
        UsageError: ``out`` is not a run, is a run with other settings or on other rows, or is a finished run
            with another budget; or a checkpoint is past the budget.
        DataError: As `atariari_data.load_dataset`, or the disk is too full, or there are too few frames.
        TrainingError: Training diverges.
    """
    around, budget = surroundings or Surroundings(), budget or Budget()
    device = resolve_device(around.device)
    if settings.game not in recorded_games():
        raise UnknownNameError("game", settings.game, recorded_games())
    settings = complete(settings)
    beyond = [step for step in around.checkpoints if not 0 < step <= (budget.steps or step)]
    if beyond:
        raise UsageError(
            "Training does not reach this checkpoint.",
            expected=f"a step from 1 to {budget.steps}" if budget.steps else "a step from 1 on",
            got=beyond[0],
        )
    if (there := run_there(out, settings)) is not None:
        check_budget(out, there, budget)
    with _alone(out):
        return _train(settings, out, budget, around, device, rows)


def _train(
    settings: Settings,
    out: Path,
    budget: Budget,
    around: Surroundings,
    device: torch.device,
    rows: tuple[Rows, Rows] | None,
) -> Config:
    config = _claim(out, settings, budget)
    if config.training is not None:
        _log.info("%s: already finished", out)
        _tell_missing(out, around)
        return config
    kind = load_method(settings.method)
    options = parse_options(kind, settings.options)
    kind.check_options(options)
    check_trackers(around.trackers)
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
        _log.info("%s: resuming at step %s", out, f"{learner.step:,}")
    stopped_by = _run(learner, rows, config, out, around)
    config = _finish(out, config, learner.best_weights, _outcome(stopped_by, device, learner))
    (out / STATE).unlink(missing_ok=True)
    for partial in out.glob(f".{STATE}.*"):  # of a killed save; before the end, it could be another process's
        shutil.rmtree(partial, ignore_errors=True)
    _tell_missing(out, around)
    return config


def check_budget(out: Path, there: Config, budget: Budget) -> None:
    """Check that the run in a folder is not finished, or has this budget.

    Raises:
        UsageError: It was finished with another budget.
    """
    if there.training is None or not there.training.steps:  # not finished, or no training
        return
    if there.budget != budget:
        raise UsageError(
            f"{out} is a finished run with another budget.",
            expected=str(there.budget),
            got=str(budget),
            cure="Choose another folder, or use the budget of the run.",
        )


def _run(learner: Learner, rows: tuple[Rows, Rows], config: Config, out: Path, around: Surroundings) -> str:
    """Train until the budget or patience ends it, and return which."""
    settings, method, budget = learner.settings, learner.method, config.budget
    sample: dict[str, Any] = {"length": method.frames_per_sample, "batch_size": settings.batch_size}
    sample["random_frame"] = method.random_frame
    checked = validation_batches(rows[1], **sample, most=MOST_VALIDATION_BATCHES)
    an_epoch = len(draw_epoch(rows[0], **sample, seed=settings.seed, epoch=0))
    every = settings.validate_every or an_epoch
    steps = min(an_epoch * budget.epochs, budget.steps or an_epoch * budget.epochs)
    clock = _Clock(learner.seconds, budget.max_minutes)
    with (
        Trackers(out, learner.step, f"{settings.method}-{settings.game}", around.trackers) as trackers,
        progress_bar(
            steps, f"Training {settings.game}", "step", shown=around.progress, initial=learner.step
        ) as bar,
    ):
        log = _Log(learner, trackers, bar, clock)
        batches = _batches(learner, rows[0], sample, an_epoch)
        if not (out / STATE).is_file():
            learner.save(out / STATE)  # from now on, runs with other settings refuse the folder
            write_config(out, config)  # one of these may have claimed it until now
        saved = time.monotonic()
        stopped_by = _end(learner, steps, budget, clock)
        while stopped_by is None:
            batch = next(batches)
            if around.progress and bar.n == bar.initial:
                _log.info("Training needs about %.2f GB of memory.", learner.memory(batch) / GIGA)
            loss = learner.learn(batch)
            learner.seconds = clock.seconds()
            stopped_by = _end(learner, steps, budget, clock)
            log.add(loss, last=stopped_by is not None)
            if learner.step in around.checkpoints:
                _keep(learner, config, out / CHECKPOINTS / str(learner.step))
            if learner.step % every == 0 and stopped_by is None:
                log.validate(rows[1], checked)
                if learner.waited >= settings.patience:
                    stopped_by = "patience"
            if stopped_by is None and time.monotonic() - saved >= around.save_seconds:
                learner.save(out / STATE)
                saved = time.monotonic()
        if stopped_by != "patience":  # which follows a validation
            log.validate(rows[1], checked)
    return stopped_by


def _keep(learner: Learner, config: Config, folder: Path) -> None:
    """Keep the encoder as it is, without a validation, which would change what comes after."""
    outcome = _outcome("checkpoint", learner.device, learner)
    outcome = outcome.model_copy(update={"best_step": learner.step, "validation_loss": None})
    _finish(folder, config, learner.method.encoder.state_dict(), outcome)


def _batches(learner: Learner, rows: Rows, sample: dict[str, Any], an_epoch: int) -> Iterator[Batch]:
    """Yield batches from the learner's step on, endlessly."""
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
    """Time over all sessions, and its limit."""

    def __init__(self, before: float, max_minutes: float | None) -> None:
        self._start = time.monotonic() - before
        self.limit = None if max_minutes is None else 60 * max_minutes

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def is_up(self) -> bool:
        return self.limit is not None and self.seconds() >= self.limit


class _Log:
    """Collects losses; every `LOG_EVERY` steps logs their means and checks that of the whole."""

    def __init__(self, learner: Learner, trackers: Trackers, bar: tqdm[Any], clock: _Clock) -> None:
        self._learner, self._trackers, self._bar, self._clock = learner, trackers, bar, clock
        self._window: list[Loss] = []
        self._since = clock.seconds()
        self._steps = int(bar.total or 0)

    def add(self, loss: Loss, *, last: bool) -> None:
        """Add the loss of a step, without waiting for the device."""
        self._window.append(loss)
        self._bar.update()
        learner = self._learner
        if learner.step % LOG_EVERY and not last:
            return
        mean, now = _mean(one.total for one in self._window), self._clock.seconds()
        learner.check(mean)
        samples = len(self._window) * learner.settings.batch_size
        self._trackers.write(
            {
                "step": learner.step,
                "split": "train",
                "loss": mean,
                **{name: _mean(one.parts[name] for one in self._window) for name in loss.parts},
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

    def validate(self, rows: Rows, batches: Indices) -> None:
        """Validate and log the mean loss; its time is not that of training samples."""
        start = self._clock.seconds()
        loss = self._learner.validate(rows, batches)
        self._learner.seconds = self._clock.seconds()
        self._since += self._learner.seconds - start
        self._trackers.write({"step": self._learner.step, "split": "validation", "loss": loss})


def _mean(losses: Iterable[torch.Tensor]) -> float:
    return float(torch.stack(list(losses)).mean())


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
    """Make the folder of a new run, or open the run to resume.

    Raises:
        UsageError: The folder is not a run, is a run with other settings or on other rows, or is a finished
            run with another budget.
    """
    there = run_there(out, settings)
    if there is not None:
        check_budget(out, there, budget)
    manifest = load_manifest(settings.game)
    splits = manifest.configs[settings.game + PRETRAIN].splits
    digests = {name: f"blake3:{split.digest}" for name, split in splits.items()}
    is_trained = there is not None and there.training is not None and there.training.steps
    if there is not None and (is_trained or _has_progress(out)) and not digests.items() <= there.data.items():
        raise UsageError(
            f"{out} is a run on other rows of {settings.game}.",
            expected=str(there.data),
            got=str({"dataset": manifest.dataset_version, **digests}),
            cure="Choose another folder with --out, or use the dataset of the run.",
        )
    if there is not None and there.training is not None:
        return there
    config = Config(settings=settings, budget=budget, data={"dataset": manifest.dataset_version, **digests})
    write_config(out, config)
    return config


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a run, where it has locks, and wait for one that is in it."""
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("%s: another process trains this run. Waiting for it to end.", out)
            lock.acquire()
    except (OSError, NotImplementedError) as error:  # read-only, or a file system without locks
        _log.debug("%s is not locked: %s", out, error)
    try:
        yield
        with contextlib.suppress(OSError):
            (out / LOCK).unlink()  # the run is finished: whoever waits for it leaves it as it is
    finally:
        lock.release()


def run_there(out: Path, settings: Settings) -> Config | None:
    """Return the configuration of the run in a folder; None if there is none.

    Raises:
        UsageError: The folder is not a run, or is a run with other settings.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", expected="a new folder, or a run to resume")
    if not out.is_dir() or all(path.name.startswith(".") for path in out.iterdir()):
        return None
    if not (out / CONFIG).is_file():
        raise UsageError(f"{out} exists and is not a run.", cure="Choose another folder with --out.")
    config = read_config(out)
    if config.training is not None or _has_progress(out):
        check_same(out, config.settings, settings)
    return config  # with other settings only if nothing would be lost


def _has_progress(out: Path) -> bool:
    return any((out / kept).exists() for kept in (STATE, CHECKPOINTS))


def _tell_missing(out: Path, around: Surroundings) -> None:
    """Say which checkpoints a finished run does not have."""
    missing = [step for step in around.checkpoints if not (out / CHECKPOINTS / str(step)).is_dir()]
    if missing:
        _log.warning("%s has no checkpoint of step %s.", out, ", ".join(map(str, missing)))


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
    """Write the weights, then the outcome."""
    write_weights(out, weights)
    config = config.model_copy(update={"training": outcome})
    write_config(out, config)
    return config
