"""Logistic regressions of many variables on one feature matrix, answered in joint passes over the rows.

Each variable is solved by its own generator (`harness.lbfgs`); the driver here answers all that wait in one
pass: one product of the features with the weights of all classes, one softmax a variable, and one
product back. A variable that has ended costs nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import torch
from torch import Tensor

from harness.basis import Coordinates
from harness.lbfgs import Answer, Ask, Curvature
from harness.metrics import weighted_f1

CHUNK: Final = 2048  # rows a pass handles at once, so that their probabilities stay in the cache
CURVATURE_ROWS: Final = 8192
HISTORY_NUMBERS: Final = 2**28  # that L-BFGS may remember of all variables together, at two strengths; 2 GiB

FEW_ROWS: Final = 4096  # that one thread is through with before others are awake

T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """Rows of one split: what a pass runs over.

    Attributes:
        features: Coordinates of n rows.
        classes: For each variable int64 [n], index of the class, -1 where it is not one of training's.
    """

    features: Coordinates
    classes: Sequence[Tensor]


@contextmanager
def threads_for(rows: int) -> Iterator[None]:
    """Take one thread where there are few rows: its many small steps would wait for the others.

    On a machine with other work such a wait can be many times the step itself.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if rows <= FEW_ROWS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def solve_together(
    solvers: Sequence[Generator[Ask, Answer, T]],
    training: Rows,
    validation: Rows,
    done: Callable[[int], object] = lambda _: None,
) -> list[T]:
    """Run one generator a variable to its end, answering those that wait in joint passes.

    Args:
        solvers: One for each variable of the rows, in their order.
        training: Rows of the questions about gradient and curvature.
        validation: Rows of the questions about validation.
        done: Called with the index of a variable when it has ended.
    """
    results: dict[int, T] = {}
    asked: dict[int, Ask] = {}

    def advance(index: int, answer: Answer | None) -> None:
        try:
            asked[index] = next(solvers[index]) if answer is None else solvers[index].send(answer)
        except StopIteration as end:
            asked.pop(index, None)
            results[index] = end.value
            done(index)

    for index in range(len(solvers)):
        advance(index, None)
    while asked:
        waiting = list(asked.items())
        for index, ask in waiting:
            if ask.wants == "curvature":
                advance(index, Answer(curvature=measure(training, ask.weights)))
            elif ask.wants == "validation":
                guessed = predict([ask.weights], validation.features)[0]
                advance(index, Answer(score=_score(validation.classes[index], guessed)))
        group = [index for index in asked if asked[index].wants == "gradient"]
        if group:
            answers = evaluate(training, group, [asked[index].weights for index in group])
            for index, answer in zip(group, answers, strict=True):
                advance(index, answer)
    return [results[index] for index in range(len(solvers))]


def _score(classes: Tensor, guessed: Tensor) -> float:
    known = classes >= 0
    if not known.any():
        return 0.0
    pair = (array[known].to(torch.uint8).cpu().numpy() for array in (classes, guessed))
    return weighted_f1(*pair)


def evaluate(rows: Rows, variables: Sequence[int], weights: Sequence[Tensor]) -> list[Answer]:
    """Return loss and gradient of some variables, from one pass over the rows.

    Args:
        rows: Of training.
        variables: Which, as indices into ``rows.classes``.
        weights: Of each of them, float32 [k, d + 1].
    """
    joint, sizes, n = torch.cat(list(weights)), [len(w) for w in weights], len(rows.features)
    losses = torch.zeros(len(sizes), dtype=torch.float64, device=joint.device)
    total = torch.zeros_like(joint)
    for start in range(0, n, CHUNK):
        chunk = rows.features.chunk(start, start + CHUNK)
        scores = joint @ chunk.T  # a variable is a block of whole rows of it
        for at, (variable, block) in enumerate(zip(variables, torch.split(scores, sizes), strict=True)):
            index = rows.classes[variable][start : start + CHUNK][None]
            torch.softmax(block, 0, out=block)
            losses[at] -= block.gather(0, index).clamp_min(1e-38).log().sum(dtype=torch.float64)
            block.scatter_add_(0, index, block.new_full(index.shape, -1.0))
        total.addmm_(scores, chunk)
    gradients = torch.split(total / n, sizes)
    return [Answer(loss=loss / n, gradient=g) for loss, g in zip(losses.tolist(), gradients, strict=True)]


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
