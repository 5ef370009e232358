"""One logistic regression by L-BFGS with a preconditioner, as a generator that asks for evaluations.

The objective of one variable is that of scikit-learn's ``LogisticRegression(C=1 / (n * strength))``::

    f(W, b) = mean over rows of cross_entropy(softmax(W x + b), y)  +  strength / 2 * |W|^2

(with two classes ``strength`` counts twice, since scikit-learn penalises the one difference of the two).
It is convex, and strictly so in ``W``, so it has one solution: no seed, no learning rate, no order of rows.
What is asked for is answered by `harness.probes.logistic`, for all variables at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

MAX_EVALUATIONS: Final = 2000

HISTORY: Final = 100  # with 30, weak penalties on ill-conditioned features take half as long again
DAMPING: Final = 0.01  # share of the mean curvature; a sample of rows says little about flat directions
LOOK: Final = 6  # evaluations between validations, to abandon a strength that gains nothing
RISE: Final = 0.001  # gain in the validation score between two validations that justifies going on
REFRESH: Final = 30  # evaluations after which the curvature is measured again
ARMIJO: Final = 1e-4
LOSS_NOISE: Final = 2e-7  # relative rounding error of a loss in float32


@dataclass(frozen=True)
class Tolerance:
    """When a solution counts as converged.

    The penalty makes the objective ``strength``-strongly convex in the weights, hence
    ``f - min f <= |gradient|^2 / (2 * strength)``. In practice it is some ten times nearer where the penalty
    is weak, and about as near where it is strong, so that a norm alone is the sharper rule there.

    Attributes:
        gradient: The largest Euclidean norm of the gradient.
        nats: The largest distance of the objective from its minimum, by the bound.
    """

    gradient: float
    nats: float

    def norm(self, strength: float) -> float:
        """Return the gradient norm that satisfies both."""
        return min(self.gradient, math.sqrt(2 * strength * self.nats))


ON_THE_WAY: Final = Tolerance(4e-3, 3e-2)
"""Where only the choice of the strength hangs on it, and that is clear."""
AT_THE_END: Final = Tolerance(4e-4, 1e-3)
"""In what is reported, and where the choice is close."""
CLOSE: Final = 0.003
"""How far the validation score of an unfinished solution may be from that of the finished one."""


@dataclass(frozen=True)
class Ask:
    """The next question of a variable about weights, float32 [k, d + 1].

    ``gradient`` asks for loss and gradient over the training rows, ``curvature`` for the shape of the loss
    there, ``validation`` for the weighted F1 over the validation rows.
    """

    weights: Tensor
    wants: Literal["gradient", "curvature", "validation"] = "gradient"


@dataclass(frozen=True)
class Answer:
    """The answer to a question; fields that were not asked for are empty.

    Attributes:
        loss: Mean cross-entropy over the training rows in nats, without the penalty.
        gradient: Its gradient, float32 [k, d + 1].
        curvature: Its shape.
        score: Weighted F1 over the validation rows whose class is known.
    """

    loss: float = math.nan
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))
    curvature: Curvature | None = None
    score: float = math.nan


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
        evaluations: The number of passes over the rows.
        memory: The memory of L-BFGS, from which the next strength continues.
    """

    weights: Tensor
    loss: float
    gradient_norm: float
    converged: bool
    evaluations: int
    memory: Memory


@dataclass(frozen=True)
class Memory:
    """The memory of L-BFGS: steps, and the change of the objective's gradient over each.

    The penalty's part of a change is known, so that what was learned at one strength holds at another.

    Attributes:
        penalty: float32 [1, d + 1], of the strength it belongs to.
        pairs: Step and change, float32 [k, d + 1] each, the oldest first.
    """

    penalty: Tensor
    pairs: tuple[tuple[Tensor, Tensor], ...] = ()

    def at(self, penalty: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the pairs as another penalty has them."""
        more = penalty - self.penalty
        if not more.any():
            return list(self.pairs)
        return [(step, change + more * step) for step, change in self.pairs]


def minimise(
    start: Tensor,
    strength: float,
    tolerance: Tolerance,
    history: int = HISTORY,
    *,
    memory: Memory | None = None,
    beat: float | None = None,
) -> Generator[Ask, Answer, Solution]:
    """Minimise the objective of one variable by L-BFGS.

    Args:
        start: The initial weights, float32 [k, d + 1].
        strength: The strength of the L2 penalty; the intercept (last column) has none.
        tolerance: When the solution counts as converged.
        history: The number of steps that L-BFGS remembers.
        memory: The memory of an earlier solution of this variable, if ``start`` is its weights.
        beat: The validation score to beat; minimising stops when that is out of reach.
    """
    # For two classes scikit-learn has one vector of weights, the difference of ours.
    twice = 2 if len(start) == 2 else 1  # noqa: PLR2004
    penalty = torch.full_like(start[:1], twice * strength)
    penalty[:, -1] = 0
    stop, evaluations, age = tolerance.norm(strength), 1, REFRESH
    pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
    for move, difference in memory.at(penalty) if memory else ():
        _remember(pairs, move, difference)
    weights = start
    loss, gradient = _penalised((yield Ask(weights)), weights, penalty)
    norm = float(gradient.norm())
    curvature, looked, seen = None, 0, -math.inf
    while norm > stop and evaluations < MAX_EVALUATIONS:
        if beat is not None and evaluations >= looked + LOOK:
            before, seen, looked = seen, (yield Ask(weights, "validation")).score, evaluations
            if seen <= beat and seen - before <= RISE:
                break
        if age >= REFRESH or curvature is None:
            curvature, age = (yield Ask(weights, "curvature")).curvature, 0
        direction = _direction(gradient, pairs, curvature, penalty)
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
        _remember(pairs, trial - weights, trial_gradient - gradient)
        weights, loss, gradient = trial, trial_loss, trial_gradient
        norm = float(gradient.norm())
    kept = Memory(penalty, tuple((move, difference) for move, difference, _ in pairs))
    return Solution(weights, loss, norm, norm <= stop, evaluations, kept)


def _remember(pairs: deque[tuple[Tensor, Tensor, float]], change: Tensor, difference: Tensor) -> None:
    product = float(torch.sum(change * difference))
    if product > 0:  # as it is but for rounding
        pairs.append((change, difference, 1 / product))


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
        least = DAMPING * curvature.diagonal.mean()
        diagonal = (curvature.diagonal.clamp_min(0) + least + penalty).clamp_min(1e-8)
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
        strength: The selected strength.
        tried: The validation F1 of each strength, in the order of the path.
        evaluations: The number of passes over the training rows, for the whole path.
    """

    solution: Solution
    strength: float
    tried: dict[float, float]
    evaluations: int


def choose(
    start: Tensor, grid: Sequence[float], first: float, gain: float, history: int = HISTORY
) -> Generator[Ask, Answer, Chosen]:
    """Walk a grid of strengths, each solution the start of the next, and solve the best one to the end.

    The walk goes from ``first`` to weaker strengths while each step gains more than ``gain`` on validation;
    where the first step did not, it goes to stronger ones in the same way. On the way solutions need be only
    as good as the choice demands: one that gains nothing any more is left unfinished, and where a gain is
    nearly ``gain``, first the one that may stay chosen and then the other is solved to the end.

    Args:
        start: float32 [k, d + 1].
        grid: Strengths, strongest first.
        first: The strength to begin with.
        gain: The gain in the validation score that justifies the next strength.
        history: As for `minimise`.
    """
    tried: dict[float, float] = {}
    evaluations = 0

    def solve(
        weights: Tensor,
        strength: float,
        tolerance: Tolerance,
        memory: Memory | None,
        beat: float | None = None,
    ) -> Generator[Ask, Answer, Solution]:
        nonlocal evaluations
        solution = yield from minimise(weights, strength, tolerance, history, memory=memory, beat=beat)
        evaluations += solution.evaluations
        tried[strength] = (yield Ask(solution.weights, "validation")).score
        return solution

    best = yield from solve(start, first, ON_THE_WAY, None)
    chosen, origin = first, grid.index(first)
    for walk in (grid[origin + 1 :], grid[:origin][::-1]):
        for strength in walk:
            beat = tried[chosen] + gain - CLOSE
            solution = yield from solve(best.weights, strength, ON_THE_WAY, best.memory, beat)
            if abs(tried[strength] - tried[chosen] - gain) < CLOSE:
                best = yield from solve(best.weights, chosen, AT_THE_END, best.memory)
            if abs(tried[strength] - tried[chosen] - gain) < CLOSE:
                solution = yield from solve(solution.weights, strength, AT_THE_END, solution.memory)
            if tried[strength] <= tried[chosen] + gain:
                break
            best, chosen = solution, strength
        if chosen != first:
            break
    solution = yield from solve(best.weights, chosen, AT_THE_END, best.memory)
    return Chosen(solution, chosen, tried, evaluations)
