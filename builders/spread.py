"""Spread work over processes and machines, with `joblib.Parallel` and its backends: loky, Dask and Ray.

The unit of work is whatever one call of a function does: one game, say. A call that fails costs no other
call. Work whose process or machine is lost is done again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from atariari_data.checks import count
from atariari_data.errors import AtariariError, DataError, MissingExtraError, UsageError
from builders.package import source_digest

Made = TypeVar("Made")

LOCAL: Final = "local"
_ADDRESS: Final = re.compile(r"(dask|ray)://[^/\s:]+:[0-9]{1,5}")
_FORMS: Final = "local, dask://HOST:PORT, ray or ray://HOST:PORT"
_LOGS: Final = ("atariari_data", "builders", "harness")
_TRIES: Final = 3
_OF_MACHINES: Final = (DataError, OSError, MemoryError)
"""Errors that another machine may not have: a full disk, another version of the emulator."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_WAIT: Final = 600.0
"""Seconds to wait for the workers of a cluster."""
_CONNECT: Final = 60.0
"""Seconds to wait for its scheduler."""

_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()


class ClusterError(AtariariError):
    """The engine failed, not the work: no scheduler, no workers, or work that ends every worker."""


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    Attributes:
        jobs: How many processes work at the same time; None for one, or for all that a cluster has.
        cluster: ``local``, ``dask://HOST:PORT``, ``ray`` (a running cluster, or else a new one on
            this machine) or ``ray://HOST:PORT``.
    """

    jobs: int | None = None
    cluster: str = LOCAL

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            UsageError: One of them has no meaning.
        """
        if self.jobs is not None:
            count("jobs", self.jobs)
        if self.cluster not in (LOCAL, "ray") and not _ADDRESS.fullmatch(self.cluster):
            raise UsageError("Not a cluster.", expected=_FORMS, got=self.cluster)

    @property
    def is_local(self) -> bool:
        """Whether the work stays on this machine, in processes that see its files."""
        return self.cluster == LOCAL

    def spreads(self, tasks: int) -> bool:
        """Whether so many tasks are done elsewhere than in this process."""
        return not self.is_local or (min(self.jobs or 1, tasks) > 1)

    def left_for_each(self, tasks: int) -> int:
        """Return how many processes each task may use for itself, where there are fewer tasks than jobs."""
        return max(1, (self.jobs or 1) // max(1, tasks)) if self.is_local else 1


@dataclass(frozen=True)
class Task:
    """One call.

    Attributes:
        name: What log lines and errors call it: a game, say.
        arguments: What the function is called with. Large ones travel to each worker once.
    """

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome(Generic[Made]):
    """What came of a task.

    Attributes:
        number: The task's place among the tasks.
        name: Its name.
        worker: Where it was done, ``HOST:PROCESS``.
        made: What the function returned; None if it failed.
        error: Why it failed; None if it did not.
    """

    number: int
    name: str
    worker: str
    made: Made | None
    error: AtariariError | None

    def get(self) -> Made:
        """Return what was made.

        Raises:
            AtariariError: It failed.
        """
        if self.error is not None:
            raise self.error
        return self.made  # type: ignore[return-value]


def spread(function: Callable[..., Made], tasks: Sequence[Task], engine: Engine) -> Iterator[Outcome[Made]]:
    """Call a function once for each task, and yield the outcomes as they come.

    What the workers log appears on standard error, with the task's name and the worker. A task is done again
    if its worker was lost, and on a cluster also if it failed for a reason that another machine may not have.
    With Ray, whose backend gives back everything at the end, outcomes come together.

    Args:
        function: Any that can be imported by a worker.
        tasks: What to call it with.
        engine: Where.

    Raises:
        ClusterError: The engine cannot be reached, or loses its workers again and again.
        MissingExtraError: The package of the engine is not installed.
    """
    left, tries, avoid = dict(enumerate(tasks)), dict.fromkeys(range(len(tasks)), 1), set[str]()
    losses = 0
    while left:
        try:
            with _ENGINES[engine.cluster.partition(":")[0]](engine, len(left), avoid) as parallel:
                from joblib import delayed

                sender = _Sender(_level(), _worker(), source_digest())
                calls = [
                    delayed(_work)(function, number, task.name, sender, *task.arguments)
                    for number, task in left.items()
                ]
                for outcome in parallel(calls):
                    again = isinstance(outcome.error, _OF_MACHINES) and not engine.is_local
                    if again and tries[outcome.number] < _TRIES:
                        _log.warning("%s failed on %s and is done again. %s", *_told(outcome))
                        tries[outcome.number] += 1
                        avoid.add(outcome.worker)
                        continue
                    losses = 0
                    del left[outcome.number]
                    yield outcome
        except _lost() as error:
            losses += 1
            names = ", ".join(task.name for task in left.values())
            if losses == _TRIES:
                raise ClusterError(
                    f"The workers of {engine.cluster} were lost {_TRIES} times: {names} not done.",
                    got=_first_line(error),
                    cure="Look for what ends them, such as too little memory, and run the command again. "
                    "What is finished is kept.",
                ) from error
            _log.warning("A worker was lost (%s). Done again: %s.", _first_line(error), names)


@dataclass(frozen=True)
class _Sender:
    """Who spreads work: the level of its log, its name as a worker, and the digest of its packages."""

    level: int
    worker: str
    package: str


def _check_package(wanted: str) -> None:
    if wanted != source_digest():
        raise DataError(
            f"The worker on {platform.node()} has another version of atariari.",
            expected=wanted,
            got=source_digest(),
            cure=f"pip install atariari=={version('atariari')} on all machines.",
        )


def _work(
    function: Callable[..., Made], number: int, name: str, sender: _Sender, *arguments: Any
) -> Outcome[Made]:
    """Do a task in a worker, one at a time in each process: encoders and progress are of a process."""
    worker = _worker()
    with _one_at_a_time, contextlib.ExitStack() as stack:
        if worker != sender.worker:
            _keep_memory()
            stack.enter_context(_telling(f"{name} on {worker}", sender.level))
        stack.enter_context(_without_cluster())
        try:
            _check_package(sender.package)
            return Outcome(number, name, worker, function(*arguments), None)
        except AtariariError as error:
            return Outcome(number, name, worker, None, error)
        except Exception as error:  # noqa: BLE001  whatever it is, the other tasks go on
            _log.error("%s", traceback.format_exc())
            kind = DataError if isinstance(error, _OF_MACHINES) else AtariariError
            return Outcome(number, name, worker, None, kind(f"{name} failed.", got=_first_line(error)))


def _keep_memory() -> None:
    """Let glibc reuse the memory of arrays of up to 32 MiB, as it does by default.

    Dask sets MALLOC_TRIM_THRESHOLD_ for its workers. Whatever the value, glibc then maps new pages for each
    array of 128 KiB and more, and an evaluation takes a quarter longer (`benchmarks/engines.py`).
    """
    if sys.platform != "linux" or "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return
    with contextlib.suppress(AttributeError, OSError):  # another libc
        import ctypes

        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**25)
        library.mallopt(_TRIM_THRESHOLD, 2**26)


@contextlib.contextmanager
def _without_cluster() -> Iterator[None]:
    """Work as in a process of one's own.

    What runs in parallel inside a task stays on its machine: Dask's backend would spread it, too. Modules do
    not come from the folder that Dask adds for uploads: its locks there would pass for files of an encoder.
    """
    import datasets
    from joblib import parallel_config

    shown, path = datasets.is_progress_bar_enabled(), list(sys.path)
    datasets.disable_progress_bars()
    with contextlib.suppress(KeyError, ValueError):  # no Dask here, or not in one of its workers
        scratch = Path(sys.modules["distributed"].get_worker().local_directory)
        sys.path[:] = [place for place in path if Path(place) not in (scratch, scratch.parent)]
    try:
        with parallel_config("loky", n_jobs=1):
            yield
    finally:
        sys.path[:] = path
        if shown:
            datasets.enable_progress_bars()


class _Teller(logging.Handler):
    """Prints what a worker logs where the command was typed."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self._who = who

    def emit(self, record: logging.LogRecord) -> None:
        dask = sys.modules.get("distributed")
        tell = print if dask is None else dask.print  # as the builtin, and also to the clients of a scheduler
        tell(f"[{self._who}] {record.getMessage()}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _telling(who: str, level: int) -> Iterator[None]:
    teller, logs = _Teller(who), [logging.getLogger(name) for name in _LOGS]
    before = [log.level for log in logs]
    for log in logs:
        log.addHandler(teller)
        log.setLevel(level)
    try:
        yield
    finally:
        for log, old in zip(logs, before, strict=True):
            log.removeHandler(teller)
            log.setLevel(old)


@contextlib.contextmanager
def _local(engine: Engine, tasks: int, avoid: set[str]) -> Iterator[Any]:
    from joblib import Parallel

    del avoid
    processes = max(2, min(engine.jobs or 1, tasks))  # a single one would be this process
    # Ctrl-C reaches every foreground process: the workers ignore it, and this process ends them.
    deaf = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    with _terminated_as_interrupted():
        yield Parallel(
            processes,
            backend="loky",
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="all",
            **deaf,
        )


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does, and with it its workers, which would work on alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _dask(engine: Engine, tasks: int, avoid: set[str]) -> Iterator[Any]:
    """Connect to a scheduler of Dask, and use joblib's own backend for it."""
    del tasks
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("distributed", "dask") from error
    from joblib import Parallel, parallel_config

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a lost scheduler is told below
    with contextlib.ExitStack() as stack:
        try:
            address = engine.cluster.replace("dask://", "tcp://")
            client = stack.enter_context(Client(address, timeout=_CONNECT, set_as_default=False))
        except OSError as error:
            raise ClusterError(
                f"No scheduler answers at {engine.cluster}.",
                got=_first_line(error),
                cure="Start one: dask scheduler",
            ) from error
        threads = _wait_for_workers(client, engine)
        if len(threads) < sum(threads.values()):
            _log.warning(
                "Each worker does one task at a time, whatever its threads. For more at once: dask worker "
                "--nworkers N --nthreads 1."
            )
        where = client.run(_worker, on_error="ignore")  # of those that answer and have this package
        if not where:
            raise ClusterError(
                f"No worker of {engine.cluster} has atariari.",
                cure=f"pip install atariari=={version('atariari')} on all machines.",
            )
        good = [address for address in where if where[address] not in avoid] or list(where)
        limits = {"workers": good} if len(good) < len(threads) else {}
        stack.enter_context(parallel_config("dask", client=client, **limits))
        yield Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=engine.jobs or "all")


def _wait_for_workers(client: Any, engine: Engine) -> dict[str, int]:
    """Return the threads of each worker, once there are two: with one, joblib would use this process."""
    until = time.monotonic() + _WAIT
    threads: dict[str, int] = client.ncores()
    if sum(threads.values()) < 2:  # noqa: PLR2004
        _log.warning("Waiting for workers of %s.", engine.cluster)
    while sum(threads.values()) < 2:  # noqa: PLR2004
        if time.monotonic() > until:
            raise ClusterError(
                f"{engine.cluster} has too few workers.",
                expected="two, or one with two threads",
                got=len(threads),
                cure="Start some: dask worker HOST:PORT --nworkers 2 --nthreads 1",
            )
        time.sleep(0.5)
        threads = client.ncores()
    return threads


@contextlib.contextmanager
def _ray(engine: Engine, tasks: int, avoid: set[str]) -> Iterator[Any]:
    """Connect to a cluster of Ray, and use its own backend for joblib."""
    del avoid
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines of two games may differ in a number alone
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    from joblib import Parallel, parallel_config

    register_ray()
    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(None if engine.cluster == "ray" else engine.cluster)
        except (ConnectionError, OSError, RuntimeError) as error:
            raise ClusterError(
                f"No cluster answers at {engine.cluster}.",
                got=_first_line(error),
                cure="Start one: ray start --head",
            ) from error
    try:
        cores = int(ray.cluster_resources().get("CPU", 0))
        if cores < 2:  # noqa: PLR2004
            raise ClusterError(f"{engine.cluster} has too few cores.", expected="two or more", got=cores)
        processes = max(2, min(engine.jobs or cores, cores, tasks))
        again = {"max_restarts": _TRIES, "max_task_retries": _TRIES, "num_cpus": 1}
        with parallel_config("ray", ray_remote_args=again):
            yield Parallel(processes, batch_size=1, pre_dispatch="all")
    finally:
        if mine:
            ray.shutdown()


_ENGINES: Final = {LOCAL: _local, "dask": _dask, "ray": _ray}


def _lost() -> tuple[type[BaseException], ...]:
    """Return what the engines raise if a worker, or what hands work out, is gone."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    found: list[type[BaseException]] = [BrokenProcessPool]
    if "distributed" in sys.modules:
        from distributed import CancelledError, KilledWorker
        from distributed.client import FutureCancelledError

        found += [CancelledError, FutureCancelledError, KilledWorker, ConnectionError]
    if "ray" in sys.modules:
        from ray.exceptions import RayError

        found += [RayError, ConnectionError]
    return tuple(found)


def _level() -> int:
    """Return the level from which this process shows what is logged."""
    return min(logging.getLogger(name).getEffectiveLevel() for name in _LOGS)


def _worker() -> str:
    return f"{platform.node()}:{os.getpid()}"


def _told(outcome: Outcome[Any]) -> tuple[str, str, str]:
    return outcome.name, outcome.worker, _first_line(outcome.error)


def _first_line(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
