"""Time building configs, compared with only emulating the same actions with `ALEInterface.act`.

    python benchmarks/build.py [CONFIG ... | --all] [--num-proc 1 2] [--turns 3] [--keep DIR]

Both alternate in one run and the medians are printed, because only ratios are meaningful on a shared
machine. With `--num-proc 2`, emulation and reading use two processes, too. `--keep` keeps the built data in
DIR; check it with `HF_DATASETS_CACHE=DIR atariari-data verify --all`.
"""

from __future__ import annotations

import argparse
import contextlib
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
from builders.manifest import frozen_config, load_recording, recorded_configs


def emulate(config: str, lane: int) -> None:
    """Emulate the actions of a lane."""
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


def emulate_all(configs: list[str], processes: int) -> float:
    """Return the seconds that emulating all lanes of some configs takes."""
    lanes = [(config, lane) for config in configs for lane in range(len(load_recording(config).lanes))]
    with Parallel(processes) as pool:
        pool(delayed(int)() for _ in range(processes))  # start the processes before the clock
        start = time.perf_counter()
        pool(delayed(emulate)(*lane) for lane in lanes)
        return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("configs", nargs="*", default=["pong"])
    parser.add_argument("--all", action="store_true", help="all games, both configs")
    parser.add_argument("--num-proc", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--keep", metavar="DIR", help="keep the built data")
    options = parser.parse_args()
    if options.all:
        options.configs = list(recorded_configs())
    if options.keep and (options.turns > 1 or len(options.num_proc) > 1):
        parser.error("--keep is for one turn with one number of processes: a second would find it built")
    datasets.disable_progress_bars()
    print(f"{'config':24}{'processes':>10}{'bare s':>9}{'build s':>9}{'ratio':>7}", end="")
    print(f"{'bytes/row':>11}{'read rows/s':>13}")
    total = np.zeros((0, 4))
    for config in options.configs:
        splits = frozen_config(config).splits
        rows = sum(split.rows for split in splits.values())
        for processes in options.num_proc:
            bare, build, size, speed = np.median(
                [turn(config, processes, rows, options.keep) for _ in range(options.turns)], axis=0
            )
            total = np.vstack([total, (bare, build, size * rows, rows)])
            print(
                f"{config:24}{processes:>10}{bare:>9.1f}{build:>9.1f}{build / bare:>7.2f}"
                f"{size:>11.0f}{speed:>13,.0f}",
                flush=True,
            )
    bare, build, size, rows = total.sum(0)
    print(f"{len(total)} builds: {bare:.0f} s bare, {build:.0f} s built, {build / bare:.2f} times; ", end="")
    print(f"{size / rows:.0f} bytes/row on average")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB, ", end="")
    print(f"of a worker {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3:.0f} MB")


def turn(config: str, processes: int, rows: int, keep: str | None) -> tuple[float, float, float, float]:
    """Return seconds of emulation, seconds of building, bytes per row, and rows read per second."""
    bare = emulate_all([config], processes)
    with contextlib.ExitStack() as stack:
        folder = keep or stack.enter_context(tempfile.TemporaryDirectory())
        start = time.perf_counter()
        load_dataset("atariari", config, cache_dir=folder, num_proc=processes)
        build = time.perf_counter() - start
        (home,) = Path(folder).glob(f"*/{config}/")
        size = sum(file.stat().st_size for file in home.rglob("*.arrow")) / rows
        return bare, build, size, read(config, folder, processes)


def read(config: str, folder: str, processes: int) -> float:
    """Decode the train split to gray in several processes, and return rows per second."""
    table = load_dataset("atariari", config, split="train", cache_dir=folder).with_format("arrow")
    with Parallel(processes) as pool:
        pool(delayed(int)() for _ in range(processes))
        start = time.perf_counter()
        pool(delayed(decode)(table.shard(processes, i, contiguous=True)) for i in range(processes))
        return len(table) / (time.perf_counter() - start)


def decode(table: datasets.Dataset) -> None:
    """Decode all its frames to gray."""
    from builders.png import gray

    for begin in range(0, len(table), 500):
        png = table[begin : begin + 500]["frame"].combine_chunks().field("bytes")
        gray(png.to_pylist())


if __name__ == "__main__":
    main()
