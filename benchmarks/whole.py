"""Compare `harness evaluate` of some games from nothing with bare emulation and bare forward passes.

    python benchmarks/whole.py [--games pong,breakout,seaquest,freeway] [--jobs 2]

The evaluation is the command, with empty caches and a game in each process. Bare emulation steps the emulator
through the same actions, in as many processes. The bare pass is that of `benchmarks/evaluate.py`, on all
threads. Half of the emulation comes before the evaluation, the rest and the passes after it.
"""

from __future__ import annotations

import argparse
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time

from build import emulate_all
from evaluate import EXAMPLE, bare, blocks_of

from builders.manifest import DEEP


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--games", default="pong,breakout,seaquest,freeway")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    games = options.games.split(",")
    with tempfile.TemporaryDirectory(prefix="atariari-whole-") as folder:
        caches = {"ATARIARI_CACHE": f"{folder}/kept", "HF_DATASETS_CACHE": f"{folder}/built"}
        emulation = emulate_all(with_deep(games[::2]), options.jobs)
        start = time.perf_counter()
        command = ["evaluate", str(EXAMPLE), "--games", options.games, "--jobs", str(options.jobs)]
        subprocess.run(
            [sys.executable, "-m", "harness", *command, "--out", f"{folder}/result.json", "--quiet"],
            env={**os.environ, **caches},
            check=True,
        )
        whole = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        emulation += emulate_all(with_deep(games[1::2]), options.jobs)
        passes, rows = embed_all(games, caches["HF_DATASETS_CACHE"])
    print(f"{len(games)} games, {rows:,} rows; evaluate {whole:.0f} s")
    print(f"bare emulation {emulation:.0f} s, bare forward passes {passes:.0f} s", end="; ")
    print(f"ratio {whole / (emulation + passes):.2f}; peak memory of a process {peak:.2f} GB")


def embed_all(games: list[str], built: str) -> tuple[float, int]:
    """Return the seconds of bare forward passes over all rows of the games, and the number of rows."""
    call = runpy.run_path(str(EXAMPLE))["encoder"].eval()
    seconds, rows = 0.0, 0
    for config in with_deep(games):  # one after the other: the compressed frames of 38 games are 3 GB
        blocks = list(blocks_of([config], built))
        seconds += bare({"pass": call}, blocks)["pass"]
        rows += sum(map(len, blocks))
    return seconds, rows


def with_deep(games: list[str]) -> list[str]:
    """Return the configs of the games."""
    return [config for game in games for config in (game, game + DEEP)]


if __name__ == "__main__":
    main()
