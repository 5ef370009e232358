"""Logistic regressions of many variables on one feature matrix, answered in joint passes over the rows.

Each variable is solved by its own generator (`harness.probes.lbfgs`); the driver here answers all that wait
in one pass: one product of the features with the weights of all classes, one softmax a variable, and one
product back. A variable that has ended costs nothing more.

Parts of the rows and variables run side by side, each on one thread, so that no thread waits for the others
in the middle of a small operation. The order of the sums depends on the rows alone: for one basis, any number
of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, Protocol, TypeVar

import torch
from torch import Tensor

from harness.metrics import weighted_f1
from harness.probes.basis import Coordinates
from harness.probes.lbfgs import Answer, Ask, Curvature

CHUNK: Final = 512  # rows a thread handles at once, so that their probabilities stay in the cache
GROUP: Final = 800  # classes that it handles at once, likewise; of whole variables
PARTS: Final = 8  # that the rows of a pass are cut into, to be worked on side by side
PART_NUMBERS: Final = 2**26  # that the sums of all parts may take; 256 MiB
CURVATURE_ROWS: Final = 8192
HISTORY_NUMBERS: Final = 2**28  # that L-BFGS may remember of all variables together, at two strengths; 2 GiB

FEW_ROWS: Final = 4096  # that one thread is through with before others are awake

T = TypeVar("T")
S = TypeVar("S")


class Map(Protocol):
    """Apply a function to each, side by side or one after the other; results in order."""

    def __call__(self, function: Callable[[S], T], each: Iterable[S], /) -> Iterable[T]:
        """Return the function's value for each item."""


@dataclass(frozen=True)
class Rows:
    """The rows of one split.

    Attributes:
        features: The coordinates of n rows.
        classes: For each variable the index of each row's class, int64 [n]; -1 if training does not have it.
    """

    features: Coordinates
    classes: Sequence[Tensor]


@contextmanager
def workers(rows: int, device: torch.device) -> Iterator[Map]:
    """Work on as many things at once as torch has threads, each with one.

    One after the other where there are few rows, and on a GPU, which one thread keeps busy. Meanwhile numbers
    below 1e-38 are zero: a sharp probe's probabilities are full of them, and make a pass take twice as long.
    """
    threads, flushed = torch.get_num_threads(), not torch.tensor(1e-40).mul(1).item()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        if threads == 1 or rows <= FEW_ROWS or device.type != "cpu":
            yield map
        else:
            with ThreadPoolExecutor(threads, initializer=torch.set_flush_denormal, initargs=(True,)) as pool:
                yield pool.map
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


def solve_together(
    solvers: Sequence[Generator[Ask, Answer, T]],
    training: Rows,
    validation: Rows,
    done: Callable[[int], object] = lambda _: None,
) -> list[T]:
    """Run the generator of each variable to its end, answering all that wait in joint passes.

    Args:
        solvers: One generator for each variable, in the order of the rows' classes.
        training: The rows for gradients and curvature.
        validation: The rows for the validation score.
        done: Called with the index of a variable when it is finished.
    """
    results: dict[int, T] = {}
    asked: dict[int, Ask] = {}

    def advance(turn: tuple[int, Answer | None]) -> None:
        """Bring one variable to its next question about the gradient, or to its end."""
        index, answer = turn
        try:
            ask = next(solvers[index]) if answer is None else solvers[index].send(answer)
            while ask.wants != "gradient":
                if ask.wants == "curvature":
                    answer = Answer(curvature=measure(training, ask.weights))
                else:
                    guessed = predict([ask.weights], validation.features)[0]
                    answer = Answer(score=_score(validation.classes[index], guessed))
                ask = solvers[index].send(answer)
            asked[index] = ask
        except StopIteration as end:
            asked.pop(index, None)
            results[index] = end.value

    with workers(len(training.features), training.features.device) as each:
        turns: Sequence[tuple[int, Answer | None]] = [(index, None) for index in range(len(solvers))]
        while turns:
            list(each(advance, turns))
            for index, _ in turns:
                if index in results:
                    done(index)
            group = sorted(asked)
            answers = evaluate(training, group, [asked[index].weights for index in group], each)
            turns = list(zip(group, answers, strict=True))
    return [results[index] for index in range(len(solvers))]


def _score(classes: Tensor, guessed: Tensor) -> float:
    known = classes >= 0
    if not known.any():
        return 0.0
    pair = (array[known].to(torch.uint8).cpu().numpy() for array in (classes, guessed))
    return weighted_f1(*pair)


def evaluate(
    rows: Rows, variables: Sequence[int], weights: Sequence[Tensor], each: Map = map
) -> list[Answer]:
    """Return loss and gradient of some variables, from one pass over the rows.

    Args:
        rows: The training rows.
        variables: The variables, as indices into ``rows.classes``.
        weights: The weights of each variable, float32 [k, d + 1].
        each: Applies a function to the parts of the rows.
    """
    if not variables:
        return []
    joint, n = torch.cat(list(weights)), len(rows.features)
    parts = max(1, min(PARTS, n // CHUNK, PART_NUMBERS // joint.numel()))
    groups = _groups([len(w) for w in weights], [rows.classes[variable] for variable in variables])

    def part(bounds: tuple[int, int]) -> tuple[Tensor, Tensor]:
        losses = torch.zeros(len(weights), dtype=torch.float64, device=joint.device)
        total = torch.zeros_like(joint)
        space = joint.new_empty(max(sum(g.sizes) for g in groups) * CHUNK)  # once: fresh memory is dear
        for start in range(*bounds, CHUNK):
            stop = min(start + CHUNK, bounds[1])
            chunk = rows.features.chunk(start, stop)
            for group in groups:
                scores = space[: sum(group.sizes) * (stop - start)].view(-1, stop - start)
                torch.mm(joint[group.rows], chunk.T, out=scores)  # a variable is a block of whole rows of it
                for block in torch.split(scores, group.sizes):
                    torch.softmax(block, 0, out=block)
                index = group.classes[:, start:stop]
                right = scores.gather(0, index)
                losses[group.variables] -= right.clamp_min(1e-38).log().sum(1, dtype=torch.float64)
                scores.scatter_add_(0, index, right.fill_(-1.0))
                total[group.rows].addmm_(scores, chunk)
        return losses, total

    loss, total = (torch.stack(sums).sum(0) for sums in zip(*each(part, _cut(n, parts)), strict=True))
    gradients = torch.split(total / n, [len(w) for w in weights])
    return [Answer(loss=loss / n, gradient=g) for loss, g in zip(loss.tolist(), gradients, strict=True)]


@dataclass(frozen=True)
class _Group:
    """Variables whose class scores are computed together.

    Attributes:
        variables: The variables in the group.
        rows: Their rows in the joint weights.
        sizes: The number of rows of each variable.
        classes: The true class of each variable and data row, as a row of the joint weights, int64 [v, n].
    """

    variables: slice
    rows: slice
    sizes: list[int]
    classes: Tensor


def _groups(sizes: Sequence[int], classes: Sequence[Tensor]) -> list[_Group]:
    """Cut variables with so many classes into groups of at most `GROUP` classes, in their order."""
    groups: list[_Group] = []
    starts, begin = [0, *accumulate(sizes)], 0
    while begin < len(sizes):
        end = begin + 1
        while end < len(sizes) and starts[end + 1] - starts[begin] <= GROUP:
            end += 1
        index = torch.stack([classes[v] + (starts[v] - starts[begin]) for v in range(begin, end)])
        rows = slice(starts[begin], starts[end])
        groups.append(_Group(slice(begin, end), rows, list(sizes[begin:end]), index))
        begin = end
    return groups


def _cut(n: int, parts: int) -> list[tuple[int, int]]:
    """Cut n rows into parts of whole chunks, as even as they come."""
    chunks = -(-n // CHUNK)
    return list(pairwise(min(n, CHUNK * (chunks * i // parts)) for i in range(parts + 1)))


def measure(rows: Rows, weights: Tensor) -> Curvature:
    """Measure the curvature at weights, float32 [k, d + 1], on rows spread evenly over all."""
    stretch = 256
    starts = range(0, len(rows.features), stretch * max(1, len(rows.features) // CURVATURE_ROWS))
    chunks = [rows.features.chunk(start, start + stretch) for start in starts]
    likely = [torch.softmax(weights @ chunk.T, 0) for chunk in chunks]
    n = sum(len(chunk) for chunk in chunks)
    mean = torch.stack([p.sum(1) for p in likely]).sum(0)
    square = torch.stack([p @ p.T for p in likely]).sum(0)
    vectors = torch.linalg.eigh((torch.diag(mean) - square).double()).eigenvectors.float()
    diagonal = torch.zeros_like(weights)
    for chunk, p in zip(chunks, likely, strict=True):
        spread = vectors.square().T @ p - (vectors.T @ p).square()
        diagonal.addmm_(spread, chunk.square())
    return Curvature(vectors, diagonal / n)


def predict(weights: Sequence[Tensor], features: Coordinates) -> list[Tensor]:
    """Return for each variable the most likely class, int64 [n]; the first of equals."""
    if not weights:
        return []
    joint, sizes = torch.cat(list(weights)), [len(w) for w in weights]
    parts: list[list[Tensor]] = [[] for _ in sizes]
    for start in range(0, len(features), CHUNK):
        scores = joint @ features.chunk(start, start + CHUNK).T
        for part, block in zip(parts, torch.split(scores, sizes), strict=True):
            part.append(block.argmax(0))
    return [torch.cat(part) for part in parts]
