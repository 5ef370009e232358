"""What the linear probe reads from the RAM, as bits and as bytes, and from a variable's own byte alone.

    python benchmarks/ram.py pong --limit 2000              # all variables, so many rows of each split
    python benchmarks/ram.py video_pinball score_1s --own   # of all rows, from the eight bits of its byte

F1 is of the test split, for all training rows and for 1,000 of them; means are across categories.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from atariari_data import game as annotated
from atariari_data import labels
from builders.manifest import load_manifest
from harness.metrics import game_mean, weighted_f1
from harness.probes import Split, fit_linear
from harness.ram import bits
from harness.splits import open_split


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("game")
    parser.add_argument("variables", nargs="*", help="all that are probed, if not given")
    parser.add_argument("--limit", type=int, help="evenly spaced rows of each split")
    parser.add_argument("--own", action="store_true", help="from the variable's own byte alone")
    options = parser.parse_args()

    manifest = load_manifest(options.game)
    names = options.variables or list(manifest.probed("v1"))
    variables = {v.name: v for v in annotated(options.game).variables() if v.name in names}
    splits = [open_split(options.game, name, limit=options.limit) for name in ("train", "validation", "test")]
    few = np.array(manifest.train_rows_1k)
    if options.limit:
        few = np.linspace(0, len(splits[0]) - 1, 1000).astype(np.int64)

    def show(title: str, ram: list[npt.NDArray[np.float32]], names: list[str]) -> None:
        tables = [np.stack([labels(s.ram, options.game)[n] for n in names], axis=1) for s in splits]
        train, validation, test = (Split(x, y) for x, y in zip(ram, tables, strict=True))
        for rows in (None, few):
            fits = fit_linear(train, validation, test.features, names=names, rows=rows)
            f1 = {fit.name: weighted_f1(test.labels[:, v], fit.predictions) for v, fit in enumerate(fits)}
            mean = game_mean(f1, {name: variables[name].categories for name in names})
            each = ", ".join(f"{name} {score:.3f}" for name, score in f1.items())
            print(f"{title}, {'all' if rows is None else '1,000'} rows: {mean:.3f}: {each}", flush=True)

    if options.own:
        for name in names:
            own = [bits(s.ram[:, [variables[name].address]]) for s in splits]
            show("its own byte", own, [name])
        return
    show("1,024 bits", [bits(s.ram) for s in splits], names)
    show("128 bytes", [(s.ram / 255).astype(np.float32) for s in splits], names)


if __name__ == "__main__":
    main()
