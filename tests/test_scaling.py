"""Evaluations spread over processes and clusters give what one process gives; what is finished is kept."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import harness
from atariari_data.errors import AtariariError, UsageError
from harness.cache import Cache
from harness.encoders.objects import Request
from harness.evaluation import parcel as parcels
from harness.evaluation import units
from harness.evaluation.parcel import Parcel
from harness.isolation.process import Limits
from harness.results.result import Signed
from harness.results.result_file import read

GAMES = ["breakout", "pong"]
ENCODER = """
import numpy as np
from layers import every
def encode(frames):
    return frames[:, 0, ::every, ::every].reshape(len(frames), -1)
"""
OPTIONS: dict[str, Any] = {"games": GAMES, "probes": ["linear"], "limit": 80, "progress": False}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that needs a file beside it."""
    folder = tmp_path_factory.mktemp("project") / "mine"
    folder.mkdir()
    (folder / "layers.py").write_text("every = 10\n", encoding="utf-8")
    (folder / "coarse.py").write_text(ENCODER, encoding="utf-8")
    return folder / "coarse.py"


@pytest.fixture(scope="module")
def alone(encoder: Path) -> Signed:
    return harness.evaluate(encoder, **OPTIONS, use_cache=False).signed


def _same(one: Signed, other: Signed) -> None:
    """Everything is the same but times, hardware and what identifies the run."""
    apart = {"run_id", "started", "finished", "elapsed_seconds", "environment"}
    a, b = ({k: v for k, v in signed.plain.items() if k not in apart} for signed in (one, other))
    assert a == b
    assert one.scores_digest == other.scores_digest


def coarse(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)


def test_a_game_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breakout has nothing to read out in the small recordings; Pong is what one process gives."""
    options: dict[str, Any] = {"probes": ["readout"], "train_sizes": ["all"], "progress": False}
    with pytest.raises(AtariariError, match=r"1 of 2 games failed: breakout(.|\n)*Nothing varies enough"):
        harness.evaluate(coarse, GAMES, **options, jobs=2)
    alone = harness.evaluate(coarse, ["pong"], **options, use_cache=False).signed
    monkeypatch.setattr("harness.evaluation.game.open_split", lambda *_, **__: pytest.fail("built again"))
    _same(alone, harness.evaluate(coarse, ["pong"], **options).signed)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(encoder: Path, alone: Signed) -> None:
    _same(alone, harness.evaluate(encoder, **OPTIONS, use_cache=False, jobs=2).signed)
    assert "machines" not in alone.plain["environment"]


def test_an_object_that_cannot_be_sent_is_refused() -> None:
    class Odd:
        def __init__(self) -> None:
            self.lock = threading.Lock()  # which cannot be pickled

        def encode(self, frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return frames.reshape(len(frames), -1)

    with pytest.raises(UsageError, match="cannot be sent"):
        harness.evaluate(Odd(), **OPTIONS, jobs=2)


def test_an_encoder_travels_with_its_own_files(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path / "cache"))
    (encoder.parent / ".env").write_text("TOKEN=secret", encoding="utf-8")
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"weights")
    packed = Parcel.of(str(encoder), weights)
    assert packed is not None
    assert sorted(packed.files) == ["mine/coarse.py", "mine/layers.py", "weights/w.pt"]
    source, request = packed.unpack(Request(weights=weights))
    assert Path(source).read_text(encoding="utf-8") == ENCODER
    assert request.weights is not None
    assert request.weights.read_bytes() == b"weights"
    assert Path(source).parents[1].name == packed.digest
    assert not Path(source).is_relative_to(tmp_path / "cache"), "the cache is closed to encoders"
    with monkeypatch.context() as laid_out:
        laid_out.setattr("pathlib.Path.write_bytes", lambda *_: pytest.fail("laid out again"))
        assert packed.unpack(Request(weights=weights))[0] == source
    again = Parcel.of(str(encoder), weights)
    assert again is not None
    assert again.digest == packed.digest
    with pytest.raises(UsageError, match="Cannot read a file of the encoder"):
        Parcel.of(str(encoder), tmp_path / "missing.pt")
    at_noon = encoder.parent.rename(encoder.parent.with_name("12:00"))
    packed = Parcel.of(str(at_noon / encoder.name), None)
    assert packed is not None
    assert Path(packed.unpack(Request())[0]).is_file()
    at_noon.rename(encoder.parent)
    assert Parcel.of("random-cnn", None) is None
    assert Parcel.of("timm:resnet18", None) is None
    monkeypatch.setattr(parcels, "_MOST_BYTES", 100)
    with pytest.raises(UsageError, match="too large to be sent"):
        Parcel.of(str(encoder), None)


def test_a_game_from_elsewhere_is_kept_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[units.Evaluated] = []
    evaluate_games = units.evaluate_games

    def seen(*arguments: Any) -> Any:
        done = evaluate_games(*arguments)
        found.extend(done[0].values())
        return done

    monkeypatch.setattr("harness.evaluation.evaluate.evaluate_games", seen)
    harness.evaluate(
        "random-projection", ["pong"], probes=["linear"], limit=40, progress=False, isolate=False
    )
    cache = Cache(tmp_path)
    units._keep(cache, f"{1:064x}", found[0])
    kept = units._read(cache, f"{1:064x}")
    assert kept is not None
    assert (kept.encoder, kept.guards, kept.environment) == (
        found[0].encoder,
        found[0].guards,
        found[0].environment,
    )
    assert kept.game.splits == found[0].game.splits
    assert kept.game.embeddings == found[0].game.embeddings
    one, other = (json.dumps([asdict(s) for s in e.game.scores]) for e in (kept, found[0]))
    assert one == other
    ours, theirs = kept.game.predictions, found[0].game.predictions
    assert {run: one.digest() for run, one in ours.items()} == {
        run: one.digest() for run, one in theirs.items()
    }
    assert units._read(cache, "other") is None


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert units._own_device("cpu") == "cpu"
    assert units._own_device(None) is None
    for name, device in (("MainProcess", "cuda:0"), ("LokyProcess-3", "cuda:1"), ("LokyProcess-4", "cuda:0")):
        monkeypatch.setattr(
            "multiprocessing.current_process", lambda name=name: type("P", (), {"name": name})
        )
        assert units._own_device("cuda:0, cuda:1") == device


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def _started(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the environment's, in a group of its own, and end it."""
    program = str(Path(sys.executable).parent / command[0])
    process = subprocess.Popen(
        [program, *command[1:]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _dask(*disks: Path) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """A scheduler, a worker for each disk, and what gives the workers' process ids."""
    pytest.importorskip("distributed")
    from distributed import Client

    port = _free_port()
    worker = ["dask", "worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard"]
    with ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        stack.enter_context(_started("dask", "scheduler", *options))
        for disk in disks:
            caches = {"ATARIARI_CACHE": str(disk / "kept"), "HF_DATASETS_CACHE": str(disk / "built")}
            stack.enter_context(_started(*worker, **caches))
        client = stack.enter_context(Client(f"tcp://127.0.0.1:{port}", set_as_default=False, timeout=60))
        client.wait_for_workers(len(disks), timeout=60)
        yield f"dask://127.0.0.1:{port}", lambda: list(client.run(os.getpid).values())


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """A scheduler and two workers with disks of their own."""
    with _dask(tmp_path / "a", tmp_path / "b") as cluster:
        yield cluster


def _evaluate(encoder: Path, cluster: str, out: Path, cache: Path) -> subprocess.Popen[str]:
    arguments = ["evaluate", str(encoder), "--games", ",".join(GAMES), "--probe", "linear", "--limit", "80"]
    code = "from harness.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--cluster", cluster, "--out", str(out)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ATARIARI_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_dask_gives_what_one_process_gives(
    encoder: Path, alone: Signed, dask: tuple[str, Callable[[], list[int]]], tmp_path: Path
) -> None:
    address, _ = dask
    run = _evaluate(encoder, address, tmp_path / "r.json", tmp_path / "mine")
    told = run.communicate(timeout=200)[0]
    assert run.returncode == 0, told
    _same(alone, read(tmp_path / "r.json").signed)
    assert re.search(r"pong: done on \S+:\d+, \d+ s", told)
    again = _evaluate(encoder, address, tmp_path / "s.json", tmp_path / "mine")
    told = again.communicate(timeout=100)[0]
    assert told.count("kept from an earlier call") == 2
    _same(alone, read(tmp_path / "s.json").signed)


@pytest.mark.slow
def test_dask_s_worker_may_be_killed(
    encoder: Path, alone: Signed, dask: tuple[str, Callable[[], list[int]]], tmp_path: Path
) -> None:
    address, workers = dask
    before = workers()
    run = _evaluate(encoder, address, tmp_path / "r.json", tmp_path / "mine")
    time.sleep(8)
    assert run.poll() is None
    os.kill(before[0], signal.SIGKILL)
    told = run.communicate(timeout=300)[0]
    assert run.returncode == 0, told
    assert workers() != before
    _same(alone, read(tmp_path / "r.json").signed)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no folders")
def test_dask_s_worker_may_have_no_disk(encoder: Path, alone: Signed, tmp_path: Path) -> None:
    with _dask(Path("/proc/none"), tmp_path / "b") as (address, _):
        run = _evaluate(encoder, address, tmp_path / "r.json", tmp_path / "mine")
        told = run.communicate(timeout=300)[0]
    assert run.returncode == 0, told
    assert "is done again" in told
    _same(alone, read(tmp_path / "r.json").signed)


@pytest.mark.slow
def test_ray_gives_what_one_process_gives_also_if_a_worker_is_killed(
    encoder: Path, alone: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    run = _evaluate(encoder, "ray", tmp_path / "r.json", tmp_path / "mine")
    assert run.stdout is not None
    told, killed = "", False
    for line in run.stdout:
        told += line
        found = re.search(r"PoolActor.* on \S+?:(\d+)\]", line)
        if found and not killed:
            os.kill(int(found[1]), signal.SIGKILL)
            killed = True
    assert run.wait(300) == 0, told
    assert killed, told
    _same(alone, read(tmp_path / "r.json").signed)


@pytest.mark.slow
def test_a_job_array_fills_one_cache_without_locks(encoder: Path, alone: Signed, tmp_path: Path) -> None:
    """Eight processes at once, four a game; a last call finds both games and computes nothing."""
    code = """
import errno, fcntl, os, sys
def flock(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = fcntl.lockf = flock
if sys.argv[1:2] == ["last"]:
    import harness.evaluation.game
    del harness.evaluation.game.open_split, sys.argv[1]
from harness.cli.main import main; main()
"""
    shared = {"ATARIARI_CACHE": str(tmp_path / "cache"), "HF_DATASETS_CACHE": str(tmp_path / "built")}

    def start(out: str, games: str, *more: str) -> subprocess.Popen[str]:
        options = ["--probe", "linear", "--limit", "80", "--games", games, "--out", str(tmp_path / out)]
        return subprocess.Popen(
            [sys.executable, "-c", code, *more, "evaluate", str(encoder), *options],
            env={**os.environ, **shared},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    array = [start(f"{number}.json", GAMES[number % 2]) for number in range(8)]
    told = [process.communicate(timeout=900)[0] for process in array]
    assert [process.returncode for process in array] == [0] * 8, told
    last = start("all.json", ",".join(GAMES), "last")
    told = [last.communicate(timeout=100)[0]]
    assert last.returncode == 0, told
    _same(alone, read(tmp_path / "all.json").signed)


def test_encoders_side_by_side_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.isolation.process.free_memory", lambda: 10e9)
    assert Limits().for_each_of(3).gigabytes == pytest.approx(3)
    assert Limits(gigabytes=5).for_each_of(3).gigabytes == 5
    monkeypatch.setattr("harness.isolation.process.free_memory", lambda: float("inf"))
    assert Limits().for_each_of(3).gigabytes is None
