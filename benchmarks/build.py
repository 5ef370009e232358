"""Build 50,000 rows, against the bare time of emulating the same actions with `ALEInterface.act`.

    python benchmarks/build.py [CONFIG ...] [--num-proc 1 2] [--turns 3]

All in one run and in turns, of which the median is told, since only ratios mean something on a shared
machine. With `--num-proc 2` the bare emulation runs in two processes as well.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
from joblib import Parallel, delayed

from atariari_data import load_dataset
from builders.digest import NULL_ACTION
from builders.emulator import RESET, rom
from builders.manifest import PRETRAIN, load_manifest, load_recording


def emulate(config: str, lane: int) -> None:
    """Do a lane's actions and nothing else."""
    import ale_py

    recording = load_recording(config)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", recording.header.lane_seeds[lane])
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(rom(recording.header.game)[0])
    actions = {action.value: action for action in ale.getLegalActionSet()}
    line = recording.lanes[lane]
    for number, frames in zip(line.action.tolist(), line.frames.tolist(), strict=True):
        if number == RESET:
            ale.reset_game()
        elif number != NULL_ACTION:
            action = actions[number]
            for _ in range(frames):
                ale.act(action)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("configs", nargs="*", default=["pong"])
    parser.add_argument("--num-proc", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    datasets.disable_progress_bars()
    print(f"{'config':24}{'processes':>10}{'bare s':>9}{'build s':>9}{'ratio':>7}", end="")
    print(f"{'bytes/row':>11}{'read rows/s':>13}")
    for config in options.configs:
        splits = load_manifest(config.removesuffix(PRETRAIN)).configs[config].splits
        rows = sum(split.rows for split in splits.values())
        for processes in options.num_proc:
            bare, build, size, speed = np.median(
                [turn(config, processes, rows) for _ in range(options.turns)], axis=0
            )
            print(
                f"{config:24}{processes:>10}{bare:>9.1f}{build:>9.1f}{build / bare:>7.2f}"
                f"{size:>11.0f}{speed:>13,.0f}",
                flush=True,
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB, ", end="")
    print(f"of a worker {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3:.0f} MB")


def turn(config: str, processes: int, rows: int) -> tuple[float, float, float, float]:
    """Return seconds of emulating, seconds of building, bytes a row, and rows read a second."""
    lanes = range(len(load_recording(config).lanes))
    with Parallel(processes) as pool:
        pool(delayed(int)() for _ in range(processes))  # start the processes before the clock
        start = time.perf_counter()
        pool(delayed(emulate)(config, lane) for lane in lanes)
        bare = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        load_dataset("atariari", config, cache_dir=folder, num_proc=processes)
        build = time.perf_counter() - start
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.arrow")) / rows
        return bare, build, size, read(config, folder)


def read(config: str, folder: str) -> float:
    """Decode the train split to gray, on one core; return rows a second."""
    from builders.frames import gray

    table = load_dataset("atariari", config, split="train", cache_dir=folder).with_format("arrow")
    start = time.perf_counter()
    for begin in range(0, len(table), 500):
        png = table[begin : begin + 500]["frame"].combine_chunks().field("bytes")
        gray(png.to_pylist())
    return len(table) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
