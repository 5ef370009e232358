"""Compare the linear probe with the original ProbeTrainer of 2019, on the same features in one run.

    git clone https://github.com/mila-iqia/atari-representation-learning ORIGINAL
    python benchmarks/original.py ORIGINAL [--game pong] [--threads 1]

The original code runs unchanged, except for an argument that torch has removed (``verbose`` of a schedule).
On precomputed features it trains to the end. With the encoder in the loop, as by default, it would take
hours, so the time of a few batches is multiplied by the number of batches that training on features needed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import Embedded, embed

import harness
from atariari_data import labels
from harness.metrics import weighted_f1
from harness.probes.inputs import Split
from harness.probes.linear import fit_linear
from harness.splits import open_split

TIMED = 20  # batches with the encoder inside the loop
BATCH = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("original", type=Path, help="a clone of its repository")
    parser.add_argument("--game", default="pong")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.path.insert(0, str(options.original))
    embedded = embed(options.game)
    n, d = embedded.splits["train"].features.shape
    print(f"{embedded.game}: {n:,} training rows, {d} features, {len(embedded.names)} variables", flush=True)

    ours = 0.0
    train, validation, test = embedded.splits.values()
    for title, rows in (("full", None), ("1k", embedded.few)):
        cpu = time.process_time()
        fits = fit_linear(train, validation, test.features, names=embedded.names, rows=rows)
        cpu = time.process_time() - cpu
        ours += cpu
        scores = [weighted_f1(test.labels[:, v], fit.predictions) for v, fit in enumerate(fits)]
        print(f"linear, {title}: {cpu:.1f} CPU s, F1 {told(embedded, scores)}", flush=True)

    cpu, batches, scores = theirs(embedded)
    print(
        f"2019, on vectors: {cpu:.1f} CPU s, F1 {told(embedded, scores)}; {cpu / ours:.1f} times ours",
        flush=True,
    )
    one = with_encoder(embedded)
    print(
        f"2019, the encoder in the loop: {one:.3f} CPU s a batch and variable, {batches:,} of them would be "
        f"{one * batches:,.0f} CPU s, {one * batches / ours:.0f} times ours"
    )


def told(embedded: Embedded, scores: list[float]) -> str:
    """Format both means of scores."""
    return f"{np.mean(scores):.3f} over variables, {embedded.across_categories(scores):.3f} across categories"


def theirs(embedded: Embedded) -> tuple[float, int, list[float]]:
    """Train and test the original on vectors.

    Returns:
        CPU seconds, batches of single variables, and F1 on all test rows.
    """
    parts = {name: episodes(embedded, name) for name in embedded.splits}
    trainer = trainer_of(None)
    cpu = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train(parts["train"][0], parts["validation"][0], parts["train"][1], parts["validation"][1])
        trainer.test(*parts["test"])
    cpu = time.process_time() - cpu
    test = embedded.splits["test"]
    features = torch.from_numpy(test.features)
    guessed = {name: probe(features).argmax(1).numpy() for name, probe in trainer.probes.items()}
    scores = [
        weighted_f1(test.labels[:, v], guessed[n].astype(np.uint8)) for v, n in enumerate(embedded.names)
    ]
    return cpu, trainer.asked, scores


def with_encoder(embedded: Embedded) -> float:
    """Return the CPU seconds of a training batch of one variable, with the encoder in the loop."""
    encoder = harness.load_encoder("random-cnn")
    split = open_split(embedded.game, "train", limit=TIMED * BATCH)
    frames = torch.from_numpy(split.frames(np.arange(len(split)), encoder.spec))
    decoded = labels(split.ram, embedded.game)
    rows = [{name: int(decoded[name][row]) for name in embedded.names} for row in range(len(split))]
    trainer = trainer_of(Module(encoder))
    trainer.create_probes(rows[0])
    cpu = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.do_one_epoch([list(frames)], [rows])
    return (time.process_time() - cpu) / trainer.asked


class Module(torch.nn.Module):
    """A loaded encoder as a torch module."""

    def __init__(self, encoder: harness.LoadedEncoder) -> None:
        """Store the encoder."""
        super().__init__()
        self.call = encoder.call

    def forward(self, frames: torch.Tensor) -> Any:
        """Embed."""
        return self.call(frames)


class Schedule(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """The schedule, with the argument of 2019."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, verbose: bool, **options: Any) -> None:
        """Drop ``verbose``."""
        del verbose
        super().__init__(optimizer, **options)


def trainer_of(encoder: torch.nn.Module | None) -> Any:
    """Return the original trainer with the settings of its script; it counts the batches of its probes."""
    torch.optim.lr_scheduler.ReduceLROnPlateau = Schedule
    from atariari.benchmark.probe import ProbeTrainer

    class Counting(ProbeTrainer):
        asked = 0

        def probe(self, batch: torch.Tensor, k: str) -> Any:
            self.asked += 1
            return super().probe(batch, k)

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  it draws from there
    return Counting(encoder, device=torch.device("cpu"), lr=3e-4, save_dir=tempfile.mkdtemp())


def episodes(embedded: Embedded, name: str) -> tuple[list[list[torch.Tensor]], list[list[dict[str, int]]]]:
    """Return a split in the original format, with vectors times 255, because the original divides them."""
    split: Split = embedded.splits[name]
    vectors, states = [], []
    for episode in np.unique(embedded.episode[name]):
        mine = np.flatnonzero(embedded.episode[name] == episode)
        vectors.append(list(torch.from_numpy(split.features[mine] * np.float32(255))))
        states.append([dict(zip(embedded.names, map(int, split.labels[row]), strict=True)) for row in mine])
    return vectors, states


if __name__ == "__main__":
    main()
