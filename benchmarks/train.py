"""Compare a training step of ST-DIM with the bare forward and backward pass of its encoder.

Both use the same batch of 64 samples (128 full-size frames), alternate in one run, and are timed in CPU
seconds. The bare pass starts from floats in the layout of the step (channels last). The step also reads
uint8 from a memory-mapped file and includes the loss, its backward pass and the optimiser. It is also timed
in mixed precision, which pays on processors that multiply bfloat16. A last variant is a step as it is often
written: frames in a list of tensors, the default layout, and a small product for each of the 88 positions.

python benchmarks/train.py [--rounds 9] [--profile]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from harness.encoders.frame_spec import FrameSpec, sample_frames
from harness.methods.contrastive import SpatioTemporalDIM
from harness.methods.encoders import NatureCNN
from harness.methods.learner import Learner, read_batches
from harness.methods.method import Batch
from harness.methods.rows import Rows
from harness.methods.run import Settings
from harness.methods.sampling import draw_epoch

ROWS = 4096
SAMPLES = 64
CPU = torch.device("cpu")


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def made_rows(folder: str) -> Rows:
    """Make rows with frames in a file, as `harness.methods.rows.open_rows` maps it."""
    path = Path(folder) / "frames.npy"
    frames = np.lib.format.open_memmap(path, "w+", np.uint8, (ROWS, 210, 160))
    some = sample_frames(FrameSpec(), 256)[:, 0]
    for start in range(0, ROWS, len(some)):
        frames[start : start + len(some)] = np.roll(some, start, axis=2)
    frames.flush()
    mapped = np.load(path, mmap_mode="r")
    episode = np.arange(ROWS) // 512
    return Rows(mapped, episode, np.zeros(ROWS, np.uint8), np.zeros((ROWS, 128), np.uint8), episode)


def endless(rows: Rows) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from read_batches(rows, draw_epoch(rows, 2, SAMPLES, seed=0, epoch=epoch), CPU)
        epoch += 1


def stepping(settings: Settings, batches: Iterator[Batch]) -> Callable[[], object]:
    """Make a step of ST-DIM, as `harness train` takes it."""
    learner = Learner(SpatioTemporalDIM(NatureCNN()), settings, CPU)

    def step() -> None:
        float(learner.learn(next(batches)).total)

    return step


def by_loops(rows: Rows) -> Callable[[], object]:
    """Make a step with loops and lists."""
    method = SpatioTemporalDIM(NatureCNN())
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-4, eps=1e-5)
    frames = [torch.from_numpy(np.array(frame))[None] for frame in rows.frames[:1024]]
    rng, right = np.random.default_rng(0), torch.arange(SAMPLES)

    def step() -> None:
        chosen = rng.integers(0, 500, SAMPLES)
        now, after = (torch.stack([frames[i + k] for i in chosen]).float() / 255 for k in (0, 1))
        first, second = method.encoder.parts(now), method.encoder.parts(after)
        loss = torch.zeros(())
        for y in range(11):
            for x in range(8):
                target = second.local[:, :, y, x]
                loss = loss + functional.cross_entropy(method.global_form(first.features) @ target.t(), right)
                loss = loss + functional.cross_entropy(
                    method.local_form(first.local[:, :, y, x]) @ target.t(), right
                )
        optimizer.zero_grad()
        (loss / 88).backward()
        optimizer.step()
        loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--profile", action="store_true", help="print a profile of the step")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = made_rows(folder)
        settings = Settings(method="infonce-stdim", game="pong")
        batches = endless(rows)

        step = stepping(settings, batches)
        mixed_step = stepping(settings.model_copy(update={"mixed_precision": True}), batches)
        encoder = NatureCNN().to(memory_format=torch.channels_last)
        plain = NatureCNN()
        ready = next(endless(rows)).frames.reshape(2 * SAMPLES, 1, 210, 160)

        def bare(of: NatureCNN) -> Callable[[], object]:
            def work() -> None:
                of.zero_grad()
                of(ready).sum().backward()

            return work

        works = {
            "step of ST-DIM, loading included": step,
            "the step in mixed precision": mixed_step,
            "bare forward and backward, channels last": bare(encoder),
            "bare forward and backward, default layout": bare(plain),
            "the step by loops and lists, default layout": by_loops(rows),
        }
        for work in works.values():
            work()
        times = {name: [cpu_seconds(work)] for name, work in works.items()}
        for _ in range(arguments.rounds - 1):
            for name, work in works.items():
                times[name].append(cpu_seconds(work))
        print(f"batch {SAMPLES}, whole frames, {torch.get_num_threads()} threads, best of {arguments.rounds}")
        for name, found in times.items():
            best = min(found)
            print(f"{name:45} {1000 * best:7.0f} ms {SAMPLES / best:6.0f} samples a CPU second")
        whole, mixed, alone, default, loops = (min(found) for found in times.values())
        print(f"step / bare, channels last   {whole / alone:.2f}")
        print(f"step / bare, default layout  {whole / default:.2f}")
        print(f"step by loops / step         {loops / whole:.2f}")
        print(f"step / in mixed precision    {whole / mixed:.2f}")
        if arguments.profile:
            with torch.profiler.profile() as profile:
                for _ in range(3):
                    step()
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))


if __name__ == "__main__":
    main()
