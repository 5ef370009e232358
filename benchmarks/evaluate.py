"""`harness evaluate`, against one bare forward pass of the same encoder over the same frames in memory.

The bare pass is that of the module as its file makes it, and again as the harness lays it out (channels
last); the two take turns, a block of frames each.

    python benchmarks/evaluate.py [--games pong] [--rows 50000]

The game is built before the clock starts; nothing is taken from the cache of features.
"""

from __future__ import annotations

import argparse
import resource
import runpy
import time
from pathlib import Path

import torch

import harness
from atariari_data import load_dataset
from builders.png import gray

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_encoder.py"
BATCH = 128


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--games", nargs="*", default=["pong"])
    options = parser.parse_args()
    for game in options.games:
        data = load_dataset("atariari", game)
        start = time.perf_counter()
        result = harness.evaluate(EXAMPLE, games=[game], use_cache=False, progress=False)
        whole = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        rows = 0
        passes = {
            "bare forward pass": runpy.run_path(str(EXAMPLE))["encoder"].eval(),
            "channels last": harness.load_encoder(EXAMPLE).call,
        }
        seconds = dict.fromkeys(passes, 0.0)
        for split in data.values():
            table = split.with_format("arrow")[:]
            for begin in range(0, table.num_rows, 8192):
                png = table["frame"].slice(begin, 8192).combine_chunks().field("bytes")
                frames = torch.from_numpy(gray(png.to_pylist())[:, None].astype("float32") / 255)
                rows += len(frames)
                for name, call in passes.items():
                    start = time.perf_counter()
                    with torch.inference_mode():
                        for i in range(0, len(frames), BATCH):
                            call(frames[i : i + BATCH])
                    seconds[name] += time.perf_counter() - start
        scores = {s.train_rows: s for s in result.signed.games[game].scores}
        f1 = [sum(v.f1 or 0 for v in s.variables) / len(s.variables) for s in scores.values()]
        print(f"{game}: {rows:,} rows; evaluate {whole:.1f} s")
        for name, bare in seconds.items():
            print(f"  {name} {bare:.1f} s, ratio {whole / bare:.2f}")
        print(
            f"  peak memory {peak:.2f} GB; F1 over variables {f1[0]:.3f} (full), {f1[1]:.3f} (1k);", end=" "
        )
        print(f"across categories {scores['full'].means.f1:.3f}, {scores['1k'].means.f1:.3f}")


if __name__ == "__main__":
    main()
