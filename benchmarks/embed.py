"""Compare ``embed`` with a bare forward pass of the same frames, in CPU seconds.

python benchmarks/embed.py [my_encoder.py] [--frames 512]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from harness.adapters import load_encoder
from harness.encoders.encoder import sample_frames
from harness.encoders.python_files import find_encoder, import_file

EXAMPLE = Path(__file__).parent.parent / "examples" / "my_encoder.py"
BATCH = 64
ROUNDS = 5


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--frames", type=int, default=512)
    arguments = parser.parse_args()
    path, rows = arguments.file.resolve(), arguments.frames
    encoder = load_encoder(path)
    frames = np.resize(sample_frames(encoder.spec, 64), encoder.spec.raw_shape(rows))
    module, _ = import_file(path)
    bare = find_encoder(module, path).eval()
    ready = torch.from_numpy(encoder.spec.prepare(frames))

    def forward() -> None:
        with torch.no_grad():
            for start in range(0, rows, BATCH):
                bare(ready[start : start + BATCH])

    forward()
    pairs = [(cpu_seconds(forward), cpu_seconds(lambda: encoder.embed(frames))) for _ in range(ROUNDS)]
    alone, whole = (min(times) for times in zip(*pairs, strict=True))
    print(f"embed / bare forward, best of {ROUNDS}: {whole / alone:.2f}")
    print(f"{rows / whole:,.0f} frames a CPU second with {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
