"""Measure the cost of isolation: embed the same rows in this process and in a separate one.

python -m benchmarks.isolation [--encoder examples/my_encoder.py] [--rows 6000] [--times 3]

Both use `harness.evaluation.embedding.embed` and alternate, so that other load affects both. The start of
the process is timed separately.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from harness.adapters import load_encoder
from harness.encoders.objects import Request
from harness.evaluation.embedding import embed
from harness.isolation.opening import hidden_folders
from harness.isolation.process import IsolatedEncoder, Limits
from harness.splits import open_split

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_encoder.py"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--encoder", type=Path, default=EXAMPLE)
    parser.add_argument("--game", default="pong")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    rows = {"train": open_split(options.game, "train", limit=options.rows)}
    inside = load_encoder(options.encoder)
    begin = time.perf_counter()
    with IsolatedEncoder(str(options.encoder.resolve()), hidden_folders(None), Limits(), Request()) as apart:
        print(f"start {time.perf_counter() - begin:.1f} s; {apart.guards}")
        seconds: dict[str, list[float]] = {"inside": [], "apart": []}
        for _ in range(options.times):
            for name, encoder in (("inside", inside), ("apart", apart)):
                begin = time.perf_counter()
                embed(encoder, rows, lambda _: None)
                seconds[name].append(time.perf_counter() - begin)
    for name, values in seconds.items():
        rate = len(rows["train"]) / statistics.median(values)
        print(f"{name:7} {', '.join(f'{v:.1f}' for v in values)} s, {rate:,.0f} rows/s")
    ratios = [a / i for a, i in zip(seconds["apart"], seconds["inside"], strict=True)]
    print(
        f"apart over inside: {', '.join(f'{r:.2f}' for r in ratios)}, median {statistics.median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
