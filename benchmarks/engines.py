"""What an engine costs: the same evaluation in local processes, on Dask and on Ray.

    python benchmarks/engines.py [--games pong,breakout,...] [--rows 3000] [--jobs 2] [--turns 2] [--sleep]

Starts a scheduler with one worker a job, and a Ray cluster on this machine, which needs the extras `dask` and
`ray`. The engines take turns on small recordings of some games, made and built beforehand in a folder of its
own, without a cache of features. Each is divided by the local processes of its own turn. On a busy machine,
`--sleep 30` measures the engines alone: tasks that wait for so many seconds, one for each game.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_encoder.py"
PROGRAMS = Path(sys.executable).parent


@contextlib.contextmanager
def started(*command: str) -> Iterator[None]:
    process = subprocess.Popen(
        [str(PROGRAMS / command[0]), *command[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def dask(workers: int) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    address = f"127.0.0.1:{port}"
    options = ("--nworkers", str(workers), "--nthreads", "1", "--no-dashboard")
    with (
        started("dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        started("dask", "worker", f"tcp://{address}", *options),
    ):
        yield f"dask://{address}"


@contextlib.contextmanager
def ray(workers: int) -> Iterator[str]:
    options = ("--head", "--num-cpus", str(workers), "--include-dashboard", "false", "--disable-usage-stats")
    subprocess.run([str(PROGRAMS / "ray"), "start", *options], check=True, capture_output=True)
    try:
        yield "ray"
    finally:
        subprocess.run([str(PROGRAMS / "ray"), "stop"], check=True, capture_output=True)


def prepare(games: list[str], rows: int, folder: Path) -> None:
    """Record and build some games, before anything of ours reads where recordings and caches are."""
    os.environ |= {
        "ATARIARI_RECORDINGS": str(folder / "recordings"),
        "ATARIARI_CACHE": str(folder / "cache"),
        "HF_DATASETS_CACHE": str(folder / "built"),
    }
    from builders.freeze import record_game
    from builders.record import Protocol
    from builders.recording import PRETRAIN_SPLITS, PROBE_SPLITS

    protocols = (
        Protocol(rows=rows, seed=7, splits=PROBE_SPLITS, cuts=(0.7, 0.8)),
        Protocol(rows=400, seed=8, splits=PRETRAIN_SPLITS, cuts=(0.8,)),
    )
    (folder / "recordings").mkdir()
    for game in games:
        record_game(game, folder / "recordings", num_proc=1, protocols=protocols, progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--games", default="pong,breakout,seaquest,montezuma_revenge")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--sleep", type=float, help="seconds to wait in place of evaluating a game")
    options = parser.parse_args()
    os.environ |= {"RAY_worker_niceness": "0"}  # as the local processes
    with tempfile.TemporaryDirectory(prefix="atariari-engines-") as folder:
        if options.sleep is None:
            prepare(options.games.split(","), options.rows, Path(folder))
        compare(options.games.split(","), options.jobs, options.turns, options.sleep)


def evaluate(games: list[str], jobs: int, cluster: str) -> str:
    """Evaluate, and return the digest of the scores."""
    import harness

    options = {"probes": ["linear"], "train_sizes": ["all"], "use_cache": False, "progress": False}
    return harness.evaluate(EXAMPLE, games, jobs=jobs, cluster=cluster, **options).signed.scores_digest


def wait(games: list[str], jobs: int, cluster: str, seconds: float) -> str:
    """Wait in place of each game."""
    from builders.spread import Engine, Task, spread

    tasks = [Task(game, (seconds,)) for game in games]
    return str([outcome.get() for outcome in spread(time.sleep, tasks, Engine(jobs, cluster))])


def compare(games: list[str], jobs: int, turns: int, sleep: float | None) -> None:
    from harness.splits import open_split

    for game in games if sleep is None else ():
        open_split(game, "test")
    ratios: dict[str, list[float]] = {}
    digests = set()
    with dask(jobs) as at_dask, ray(jobs) as at_ray:
        for turn in range(turns):
            local = 0.0
            for cluster in ("local", at_dask, at_ray):
                begin = time.monotonic()
                if sleep is None:
                    digests.add(evaluate(games, jobs, cluster))
                else:
                    digests.add(wait(games, jobs, cluster, sleep))
                seconds = time.monotonic() - begin
                name = cluster.partition(":")[0]
                local = seconds if cluster == "local" else local
                ratios.setdefault(name, []).append(seconds / local)
                print(f"turn {turn + 1}  {name:6} {seconds:7.1f} s  {seconds / local:5.2f}", flush=True)
    for name, found in ratios.items():
        print(f"{name:6} {median(found):5.2f} times local, {min(found):.2f} to {max(found):.2f}")
    print(f"different answers: {len(digests)}")


if __name__ == "__main__":
    main()
