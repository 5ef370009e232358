"""Compare `harness evaluate` with a bare forward pass of the same encoder over the same frames in memory.

The bare pass is measured with the module as its file makes it, and in the layout of the harness (channels
last). Because the speed of a machine varies, the two alternate block by block, half of the blocks before
the evaluation and half after it.

    python benchmarks/evaluate.py [--games pong] [--probe linear]

The frames are those that the probe needs: of random play, and of deep states if it is fitted to or scored on
these. The game is built in advance, and the cache of features is not used.
"""

from __future__ import annotations

import argparse
import resource
import runpy
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import harness
from atariari_data import load_dataset
from builders.manifest import DEEP
from builders.png import gray
from harness.protocol import choose_runs

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_encoder.py"
BATCH = 128
BLOCK = 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--games", nargs="*", default=["pong"])
    parser.add_argument("--probe", default="readout", help="the probe to fit; default: readout")
    options = parser.parse_args()
    deep = any(run.is_deep for run in choose_runs([options.probe]))
    for game in options.games:
        blocks = list(blocks_of([game, game + DEEP] if deep else [game]))
        passes = {
            "bare forward pass": runpy.run_path(str(EXAMPLE))["encoder"].eval(),
            "channels last": harness.load_encoder(EXAMPLE).call,
        }
        before = bare(passes, blocks[::2])
        start = time.perf_counter()
        result = harness.evaluate(
            EXAMPLE, games=[game], probes=[options.probe], use_cache=False, progress=False
        )
        whole = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        after = bare(passes, blocks[1::2])
        print(f"{game}: {sum(map(len, blocks)):,} rows; evaluate {whole:.1f} s")
        for name in passes:
            seconds = before[name] + after[name]
            print(f"  {name} {seconds:.1f} s, ratio {whole / seconds:.2f}", end="; ")
            print(f"of it {before[name]:.1f} s before the evaluation")
        means = ", ".join(f"{s.run} {s.means.score:.3f}" for s in result.signed.games[game].scores)
        print(f"  peak memory {peak:.2f} GB; across categories: {means}")


def blocks_of(configs: Iterable[str], cache_dir: str | None = None) -> Iterator[Any]:
    """Yield the PNGs of all rows, in blocks."""
    for config in configs:
        for split in load_dataset("atariari", config, cache_dir=cache_dir).values():
            arrow = split.with_format("arrow")
            yield from (arrow[begin : begin + BLOCK]["frame"] for begin in range(0, len(split), BLOCK))


def bare(passes: Mapping[str, Any], blocks: Iterable[Any]) -> dict[str, float]:
    """Return the seconds of each pass over the frames."""
    seconds = dict.fromkeys(passes, 0.0)
    for block in blocks:
        png = block.combine_chunks().field("bytes")
        frames = torch.from_numpy(gray(png.to_pylist())[:, None].astype("float32") / 255)
        for name, call in passes.items():
            start = time.perf_counter()
            with torch.inference_mode():
                for i in range(0, len(frames), BATCH):
                    call(frames[i : i + BATCH])
            seconds[name] += time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
