"""How long evaluations take on 1 to 1,000 workers: measured costs of each stage, and a simulation with them.

    python benchmarks/plan.py [--rows 3000] [--encoders 1 1000] [--workers 1 10 100 1000] [--gigabits 1]

Measures on a small recording of Pong what building, opening the encoder, embedding and probing cost, and how
fast `--cluster` hands tasks out. Then simulates the task graph of some encoders on all games: a scheduler
that hands one task out after another, workers that build a game when they have no copy of it, and a link that
sends each encoder to each worker once. Rows, variables and games are those of the package.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_encoder.py"
TASKS = 400


@dataclass(frozen=True)
class Costs:
    """Seconds of one core, as measured.

    Attributes:
        build, embed: For a row.
        probe: For a row of a variable.
        start: To open an encoder in a process of its own.
        hand_out: To hand out a task and take its result.
        link: Bytes a second from the scheduler to all workers.
        sent: Bytes of an encoder.
    """

    build: float
    embed: float
    probe: float
    start: float
    hand_out: float
    link: float = 0.0
    sent: float = 0.0


@dataclass(frozen=True)
class Game:
    """The size of a game, with its deep states."""

    rows: int
    variables: int


@dataclass(frozen=True)
class Makespan:
    """Hours until the last task is done, and how these are spent by an average worker."""

    hours: float
    parts: dict[str, float]


def simulate(games: list[Game], encoders: int, workers: int, costs: Costs, *, shared: bool) -> Makespan:
    """Give each task, the longest games first, to the worker that is free first; encoders in turn.

    Args:
        games: All games.
        encoders: How many encoders are evaluated on each.
        workers: Workers of one core.
        costs: What a stage costs.
        shared: Whether a built game is for all workers, and not for the one that built it.
    """
    order = sorted(range(len(games)), key=lambda g: -games[g].rows * games[g].variables)
    free = [(0.0, worker) for worker in range(workers)]
    has_game: set[tuple[int, int]] = set()
    has_encoder: set[tuple[int, int]] = set()
    parts = dict.fromkeys(("build", "open", "embed", "probe", "wait"), 0.0)
    handed, link, end = 0.0, 0.0, 0.0
    for number in range(encoders * len(games)):
        encoder, g = divmod(number, len(games))
        game = games[order[g]]
        begin, worker = heapq.heappop(free)
        handed = max(handed, begin) + costs.hand_out  # one task after the other
        ready = handed
        if (worker, encoder) not in has_encoder:
            has_encoder.add((worker, encoder))
            link = max(link, handed) + costs.sent / costs.link  # one after the other through the link
            ready = max(ready, link)
        place = 0 if shared else worker
        build = 0.0 if (place, g) in has_game else costs.build * game.rows
        has_game.add((place, g))
        embed = costs.embed * game.rows
        probe = costs.probe * game.rows * game.variables
        for name, seconds in (("build", build), ("open", costs.start), ("embed", embed), ("probe", probe)):
            parts[name] += seconds
        parts["wait"] += ready - begin
        done = ready + build + costs.start + embed + probe
        heapq.heappush(free, (done, worker))
        end = max(end, done)
    parts["idle"] = end * workers - sum(parts.values())
    return Makespan(end / 3600, {name: seconds / (end * workers) for name, seconds in parts.items()})


def nothing(_: int) -> None:
    """Do nothing, for the time that handing out takes."""


def measure(rows: int, folder: Path, cluster: str, jobs: int) -> Costs:
    """Measure in this process, with one thread, on a recording of so many rows."""
    os.environ |= {
        "ATARIARI_RECORDINGS": str(folder / "recordings"),
        "ATARIARI_CACHE": str(folder / "cache"),
        "HF_DATASETS_CACHE": str(folder / "built"),
    }
    import torch

    import harness
    from builders.freeze import record_game
    from builders.record import Protocol
    from builders.recording import PRETRAIN_SPLITS, PROBE_SPLITS
    from builders.spread import Engine, Task, spread
    from harness.splits import open_split

    torch.set_num_threads(1)
    protocols = (
        Protocol(rows=rows, seed=7, splits=PROBE_SPLITS, cuts=(0.7, 0.8)),
        Protocol(rows=400, seed=8, splits=PRETRAIN_SPLITS, cuts=(0.8,)),
    )
    (folder / "recordings").mkdir()
    record_game("pong", folder / "recordings", num_proc=1, protocols=protocols, progress=False)
    stages = []
    for action in (
        lambda: open_split("pong", "test"),
        lambda: harness.evaluate(EXAMPLE, ["pong"], limit=20, progress=False, use_cache=False),
        lambda: harness.evaluate(EXAMPLE, ["pong"], progress=False, use_cache=False),
    ):
        begin = time.process_time(), _children()
        result = action()
        stages.append(time.process_time() - begin[0] + _children() - begin[1])
    variables = len(result.signed.games["pong"].scores[0].variables)
    features = result.signed.encoder.feature_size
    begin_probe = time.process_time()
    harness.evaluate(_Noise(features), ["pong"], progress=False, use_cache=False)
    probe = time.process_time() - begin_probe
    tasks = [Task(str(i), (i,)) for i in range(TASKS)]
    engine = Engine(jobs, cluster)
    list(spread(nothing, tasks[:jobs], engine))  # so that the workers have imported everything
    begin_tasks = time.monotonic()
    list(spread(nothing, tasks, engine))
    return Costs(
        build=stages[0] / rows,
        embed=max(0.0, stages[2] - stages[1] - probe) / rows,
        probe=probe / (rows * variables),
        start=stages[1],
        hand_out=(time.monotonic() - begin_tasks) / TASKS,
    )


class _Noise:
    """Features as wide as the example's that cost nothing to compute."""

    def __init__(self, size: int) -> None:
        self.size = size

    def encode(self, frames: object) -> object:
        import numpy as np

        pixels = np.asarray(frames).reshape(len(frames), -1)  # type: ignore[arg-type]
        return pixels[:, :: pixels.shape[1] // self.size][:, : self.size]


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--encoders", type=int, nargs="*", default=[1, 1000])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 10, 100, 1000])
    parser.add_argument("--gigabits", type=float, default=1.0, help="of the link, a second")
    parser.add_argument("--megabytes", type=float, default=100.0, help="of an encoder's files")
    parser.add_argument("--cluster", default="local")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    games = whole_games()
    with tempfile.TemporaryDirectory(prefix="atariari-plan-") as folder:
        costs = measure(options.rows, Path(folder), options.cluster, options.jobs)
    costs = replace(costs, link=options.gigabits * 1e9 / 8, sent=options.megabytes * 1e6)
    print(
        f"{len(games)} games, {sum(game.rows for game in games):,} rows. Of one core: build "
        f"{1e3 * costs.build:.2f} ms a row, embed {1e3 * costs.embed:.2f} ms a row, probe "
        f"{1e6 * costs.probe:.1f} us a row and variable, open {costs.start:.1f} s an encoder, hand out "
        f"{1e3 * costs.hand_out:.1f} ms a task\n"
    )
    print("| encoders | workers | built games | time | build | open | embed | probe | wait | idle |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for encoders in options.encoders:
        for workers in options.workers:
            for shared in (False, True):
                found = simulate(games, encoders, workers, costs, shared=shared)
                parts = " | ".join(f"{abs(share):.0%}" for share in found.parts.values())
                where = "shared" if shared else "each its own"
                time_shown = f"{found.hours:,.1f} h" if found.hours >= 1 else f"{60 * found.hours:,.0f} min"
                print(f"| {encoders:,} | {workers:,} | {where} | {time_shown} | {parts} |")


def whole_games() -> list[Game]:
    """Return the games of the package, read in a process that knows no other recordings."""
    import json
    import subprocess
    import sys

    code = """
import json
from builders.manifest import DEEP, load_manifest, recorded_games
found = []
for name in recorded_games():
    manifests = [load_manifest(name), load_manifest(name + DEEP)]
    rows = sum(s.rows for m, c in zip(manifests, (name, name + DEEP)) for s in m.configs[c].splits.values())
    found.append((rows, len(manifests[0].probed("v1"))))
print(json.dumps(found))
"""
    environment = {name: value for name, value in os.environ.items() if name != "ATARIARI_RECORDINGS"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    return [Game(*numbers) for numbers in json.loads(done.stdout)]


if __name__ == "__main__":
    main()
