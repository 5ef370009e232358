"""Multinomial logistic regressions that share one feature matrix, solved together to convergence.

For one variable the objective is that of scikit-learn's ``LogisticRegression(C=1 / (n * strength))``::

    f(W, b) = mean over rows of cross_entropy(softmax(W x + b), y)  +  strength / 2 * |W|^2

It is convex, and strictly so in ``W``, so it has one solution: no seed, no learning rate, no order of rows.
Each variable is solved by its own preconditioned L-BFGS, written as a generator that asks for evaluations;
the driver answers all variables at once, in one pass over the rows: one product of the features with the
weights of all classes of all variables.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import torch
from torch import Tensor

from harness.basis import Coordinates

ON_THE_WAY: Final = 5e-2  # nats from the minimum, where only the choice of the strength hangs on it
AT_THE_END: Final = 5e-4  # nats from the minimum, in what is reported
MAX_EVALUATIONS: Final = 2000

CHUNK: Final = 2048  # rows a pass handles at once, so that their probabilities stay in the cache
HISTORY: Final = 30
HISTORY_NUMBERS: Final = 2**29  # of all variables together; 2 GiB
REFRESH: Final = 30  # evaluations after which the curvature is measured again
CURVATURE_ROWS: Final = 8192
ARMIJO: Final = 1e-4
LOSS_NOISE: Final = 2e-7  # relative; what float32 leaves undecided of a loss

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """What a variable wants to know about weights, float32 [k, d + 1], next.

    ``gradient`` asks for loss and gradient over the training rows, ``curvature`` for the shape of the loss
    there, ``validation`` for the loss over the validation rows.
    """

    weights: Tensor
    wants: Literal["gradient", "curvature", "validation"] = "gradient"


@dataclass(frozen=True)
class Answer:
    """Mean cross-entropy, without penalty, and what else was asked for.

    Attributes:
        loss: In nats; 0 where only the curvature was asked for.
        gradient: float32 [k, d + 1], or empty.
        curvature: Where asked for.
    """

    loss: float
    gradient: Tensor
    curvature: Curvature | None = None


@dataclass(frozen=True)
class Curvature:
    """The Hessian of the mean cross-entropy as a diagonal in turned class coordinates.

    Neighbouring classes of a position compete, so that the Hessian over classes is far from diagonal (it is
    like that of a chain); over features it is nearly diagonal in the basis that they come in. This is the
    eigenvalue correction of a Kronecker factorisation (arXiv 1806.03884), for one linear layer.

    Attributes:
        vectors: float32 [k, k], the eigenvectors of the mean covariance of the predicted class.
        diagonal: float32 [k, d + 1], of the Hessian in their coordinates.
    """

    vectors: Tensor
    diagonal: Tensor


@dataclass(frozen=True)
class Solution:
    """The minimum at one strength.

    Attributes:
        weights: float32 [k, d + 1]; the last column is the intercept.
        loss: Objective, the penalty included.
        gradient_norm: Euclidean norm of the gradient of the objective.
        converged: Whether the norm is below the tolerance.
        evaluations: Passes over the rows that it took.
    """

    weights: Tensor
    loss: float
    gradient_norm: float
    converged: bool
    evaluations: int


def tolerance(strength: float, nats: float) -> float:
    """Return the gradient norm that puts the objective within ``nats`` of its minimum.

    The penalty makes the objective ``strength``-strongly convex in the weights, hence
    ``f - min f <= |gradient|^2 / (2 * strength)``; in practice it is some ten times nearer.
    """
    return math.sqrt(2 * strength * nats)


def minimise(
    start: Tensor, strength: float, nats: float, history: int = HISTORY
) -> Generator[Ask, Answer, Solution]:
    """Minimise the objective of one variable by L-BFGS.

    Args:
        start: float32 [k, d + 1], where to begin.
        strength: Of the L2 penalty; the intercept (last column) has none.
        nats: How near to the minimum counts as converged.
        history: Steps that L-BFGS remembers.
    """
    penalty = torch.full_like(start[:1], strength)
    penalty[:, -1] = 0
    stop, evaluations, age = tolerance(strength, nats), 1, REFRESH
    memory: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
    weights = start
    loss, gradient = _penalised((yield Ask(weights)), weights, penalty)
    norm = float(gradient.norm())
    curvature = None
    while norm > stop and evaluations < MAX_EVALUATIONS:
        if age >= REFRESH or curvature is None:
            curvature, age = (yield Ask(weights, "curvature")).curvature, 0
        direction = _direction(gradient, memory, curvature, penalty)
        slope = float(torch.sum(gradient * direction))
        if not slope < 0:  # rounding has the last word
            break
        step, moved = 1.0, False
        while evaluations < MAX_EVALUATIONS and step > 1e-10:  # noqa: PLR2004  of rounding's size
            trial = weights + step * direction
            trial_loss, trial_gradient = _penalised((yield Ask(trial)), trial, penalty)
            evaluations, age = evaluations + 1, age + 1
            trial_slope = float(torch.sum(trial_gradient * direction))
            # A convex function that still falls at the far end has fallen all the way; this decides where
            # the loss itself no longer can.
            flat = trial_loss <= loss * (1 + LOSS_NOISE) and abs(trial_slope) <= 0.9 * abs(slope)
            if trial_loss <= loss + ARMIJO * step * slope or trial_slope <= 0 or flat:
                moved = True
                break
            # To where the line through both slopes crosses zero, within bounds.
            step *= min(0.7, max(0.1, slope / (slope - trial_slope)))
        if not moved:
            break
        change, difference = trial - weights, trial_gradient - gradient
        product = float(torch.sum(change * difference))
        if product > 0:
            memory.append((change, difference, 1 / product))
        weights, loss, gradient = trial, trial_loss, trial_gradient
        norm = float(gradient.norm())
    return Solution(weights, loss, norm, norm <= stop, evaluations)


def _penalised(answer: Answer, weights: Tensor, penalty: Tensor) -> tuple[float, Tensor]:
    pull = penalty * weights
    return answer.loss + 0.5 * float(torch.sum(pull * weights)), answer.gradient + pull


def _direction(
    gradient: Tensor,
    memory: deque[tuple[Tensor, Tensor, float]],
    curvature: Curvature | None,
    penalty: Tensor,
) -> Tensor:
    """Return the L-BFGS direction (two loops; Nocedal and Wright, algorithm 7.4)."""
    q = gradient.clone()
    kept = []
    for change, difference, rho in reversed(memory):
        alpha = rho * float(torch.sum(change * q))
        q.sub_(difference, alpha=alpha)
        kept.append(alpha)
    if curvature is not None:
        diagonal = (curvature.diagonal.clamp_min(0) + penalty).clamp_min(1e-8)
        vectors = curvature.vectors
        q = vectors @ ((vectors.T @ q) / diagonal)
        if memory:
            _, difference, rho = memory[-1]
            q.mul_(1 / (rho * float(torch.sum((vectors.T @ difference).square() / diagonal))))
    for (change, difference, rho), alpha in zip(memory, reversed(kept), strict=True):
        beta = rho * float(torch.sum(difference * q))
        q.add_(change, alpha=alpha - beta)
    return q.neg_()


@dataclass(frozen=True)
class Chosen:
    """The solution at the strength that validation chose.

    Attributes:
        solution: At that strength.
        strength: The strength.
        tried: Strength to validation log-loss, in the order of the path.
        evaluations: Passes over the training rows, the whole path together.
    """

    solution: Solution
    strength: float
    tried: dict[float, float]
    evaluations: int


def choose(
    start: Tensor, grid: Sequence[float], first: float, history: int = HISTORY
) -> Generator[Ask, Answer, Chosen]:
    """Walk a grid of strengths, each solution the start of the next, and solve the best one to the end.

    The walk goes from ``first`` to weaker strengths while the validation loss falls; where it never did, it
    goes to stronger ones. On the way solutions need be only as good as the choice demands.

    Args:
        start: float32 [k, d + 1].
        grid: Strengths, strongest first.
        first: The one to begin with.
        history: As for `minimise`.
    """
    tried: dict[float, float] = {}
    best = yield from minimise(start, first, ON_THE_WAY, history)
    tried[first] = (yield Ask(best.weights, "validation")).loss
    chosen, evaluations, origin = first, best.evaluations, grid.index(first)
    for walk in (grid[origin + 1 :], grid[:origin][::-1]):
        for strength in walk:
            solution = yield from minimise(best.weights, strength, ON_THE_WAY, history)
            evaluations += solution.evaluations
            tried[strength] = (yield Ask(solution.weights, "validation")).loss
            if tried[strength] >= tried[chosen]:
                break
            best, chosen = solution, strength
        if chosen != first:
            break
    solution = yield from minimise(best.weights, chosen, AT_THE_END, history)
    return Chosen(solution, chosen, tried, evaluations + solution.evaluations)


@dataclass(frozen=True)
class Rows:
    """Rows of one split: what a pass runs over.

    Attributes:
        features: Coordinates of n rows.
        classes: For each variable int64 [n], index of the class, -1 where it is not one of training's.
    """

    features: Coordinates
    classes: Sequence[Tensor]


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
        for rows, wants in ((training, "curvature"), (training, "gradient"), (validation, "validation")):
            group = [index for index in asked if asked[index].wants == wants]
            weights = [asked[index].weights for index in group]
            if wants == "curvature":
                answers = [Answer(0.0, w[:0], measure(rows, w)) for w in weights]
            else:
                answers = evaluate(rows, group, weights, gradient=wants == "gradient") if group else []
            for index, answer in zip(group, answers, strict=True):
                advance(index, answer)
    return [results[index] for index in range(len(solvers))]


def evaluate(
    rows: Rows, variables: Sequence[int], weights: Sequence[Tensor], *, gradient: bool
) -> list[Answer]:
    """Evaluate some variables in one pass over the rows.

    Args:
        rows: Of training or validation.
        variables: Which, as indices into ``rows.classes``.
        weights: Of each of them, float32 [k, d + 1].
        gradient: Whether it is wanted; the classes of all rows must be known then.
    """
    joint, sizes, n = torch.cat(list(weights)), [len(w) for w in weights], len(rows.features)
    losses = torch.zeros(len(sizes), dtype=torch.float64, device=joint.device)
    total = torch.zeros_like(joint) if gradient else joint.new_zeros(0, joint.shape[1])
    for start in range(0, n, CHUNK):
        chunk = rows.features.chunk(start, start + CHUNK)
        scores = joint @ chunk.T  # a variable is a block of whole rows of it
        for at, (variable, block) in enumerate(zip(variables, torch.split(scores, sizes), strict=True)):
            index = rows.classes[variable][start : start + CHUNK]
            torch.softmax(block, 0, out=block)
            right = block.gather(0, index.clamp_min(0)[None])[0]
            nats = right.clamp_min(1e-38).log_().masked_fill_(index < 0, 0.0)
            losses[at] -= nats.sum(dtype=torch.float64)
            if gradient:
                block.scatter_add_(0, index[None], block.new_full((1, len(index)), -1.0))
        if gradient:
            total.addmm_(scores, chunk)
    known = [max(1, int((rows.classes[v] >= 0).sum())) for v in variables]
    gradients = torch.split(total / n, sizes) if gradient else [total] * len(sizes)
    return [Answer(loss / k, g) for loss, k, g in zip(losses.tolist(), known, gradients, strict=True)]


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
