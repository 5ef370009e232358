"""Probe the RAM: as bits, as bytes, and only the byte of a variable.

    python benchmarks/ram.py pong --limit 2000              # all variables, 2,000 rows of each split
    python benchmarks/ram.py video_pinball score_1s --own   # all rows, the eight bits of its byte

F1 is on the test split, with all training rows and with 1,000; means are across categories.
"""

from __future__ import annotations

import argparse

import numpy as np
from features import Embedded, embed

from atariari_data import game as annotated
from builders.manifest import load_manifest
from harness.encoders.ram import bits
from harness.metrics import weighted_f1
from harness.probes.linear import fit_linear


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("game")
    parser.add_argument("variables", nargs="*", help="variables to probe; default: all")
    parser.add_argument("--limit", type=int, help="number of evenly spaced rows of each split")
    parser.add_argument("--own", action="store_true", help="use only the byte of the variable")
    options = parser.parse_args()

    names = options.variables or load_manifest(options.game).probed("v1")
    if options.own:
        address = {v.name: v.address for v in annotated(options.game).variables()}
        for name in names:
            own = address[name]
            byte = embed(
                options.game, options.limit, [name], lambda split, own=own: bits(split.ram[:, [own]])
            )
            show("its own byte", byte)
        return
    show("1,024 bits", embed(options.game, options.limit, names, lambda split: bits(split.ram)))
    show("128 bytes", embed(options.game, options.limit, names, lambda split: np.float32(split.ram) / 255))


def show(title: str, embedded: Embedded) -> None:
    """Fit and print."""
    train, validation, test = embedded.splits.values()
    for rows in (None, embedded.few):
        fits = fit_linear(train, validation, test.features, names=embedded.names, rows=rows)
        scores = [weighted_f1(test.labels[:, v], fit.predictions) for v, fit in enumerate(fits)]
        each = ", ".join(f"{name} {f1:.3f}" for name, f1 in zip(embedded.names, scores, strict=True))
        size = "all" if rows is None else f"{len(rows):,}"
        print(f"{title}, {size} rows: {embedded.across_categories(scores):.3f}: {each}", flush=True)


if __name__ == "__main__":
    main()
